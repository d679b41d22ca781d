package authres

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/milterkit/sdk/milterkit/mime"
)

// Parse returns the authserv-id and the results of a field's value. It is as lenient
// as can be without guessing: a result that it cannot make out is left out, and the
// others count. An error is that there is no authserv-id, or no end to a comment or
// a quoted string. Source: RFC 8601 section 2.2.
func Parse(value string) (id string, results []Result, err error) {
	parts, err := split(value)
	if err != nil {
		return "", nil, err
	}
	if len(parts[0]) == 0 {
		return "", nil, errors.New("no authserv-id")
	}
	for _, tokens := range parts[1:] {
		if r, ok := result(tokens); ok {
			results = append(results, r)
		}
	}
	return parts[0][0].text, results, nil
}

// A token is a comment, or a word between white space without its quotes.
type token struct {
	text    string
	equals  int // where in text the first = that is not quoted stands, or -1
	comment bool
}

// split cuts a value into the tokens between its semicolons.
func split(value string) ([][]token, error) {
	parts := [][]token{nil}
	var word strings.Builder
	begun, equals := false, -1 // a word may be the empty quoted string
	flush := func() {
		if begun {
			parts[len(parts)-1] = append(parts[len(parts)-1], token{text: word.String(), equals: equals})
			word.Reset()
			begun, equals = false, -1
		}
	}
	for i := 0; i < len(value); {
		switch c := value[i]; c {
		case ' ', '\t', '\r', '\n':
			flush()
			i++
		case ';':
			flush()
			parts = append(parts, nil)
			i++
		case '(':
			text, n := comment(value[i:])
			if n == 0 {
				return nil, errors.New("a comment that does not end")
			}
			flush()
			parts[len(parts)-1] = append(parts[len(parts)-1], token{text: text, comment: true})
			i += n
		case '"':
			text, n := quoted(value[i:])
			if n == 0 {
				return nil, errors.New("a quoted string that does not end")
			}
			begun = true
			word.WriteString(text)
			i += n
		default:
			if c == '=' && equals < 0 {
				equals = word.Len()
			}
			begun = true
			word.WriteByte(c)
			i++
		}
	}
	flush()
	parts[0] = withoutComments(parts[0])
	return parts, nil
}

func withoutComments(tokens []token) []token {
	var words []token
	for _, t := range tokens {
		if !t.comment {
			words = append(words, t)
		}
	}
	return words
}

// comment returns the text of the comment that s begins with, and its length, which
// is 0 where it does not end.
func comment(s string) (text string, n int) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return s[1:i], i + 1
			}
		}
	}
	return "", 0
}

// quoted returns what the quoted string that s begins with stands for, and its
// length, which is 0 where it does not end.
func quoted(s string) (text string, n int) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), i + 1
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", 0
}

// result reads the tokens of one result: method=value, reason=text, type.name=value.
// White space may stand around the signs.
func result(tokens []token) (r Result, ok bool) {
	for _, t := range tokens {
		if t.comment && r.Comment == "" {
			r.Comment = t.text
		}
	}
	pairs := pairs(withoutComments(tokens))
	if len(pairs) == 0 {
		return r, false
	}
	method, _, _ := strings.Cut(pairs[0].name, "/") // its version
	r.Method, r.Value = strings.ToLower(method), strings.ToLower(pairs[0].value)
	for _, p := range pairs[1:] {
		if strings.EqualFold(p.name, "reason") {
			r.Reason = p.value
		} else if ptype, name, found := strings.Cut(p.name, "."); found {
			r.Props = append(r.Props, Property{strings.ToLower(ptype), strings.ToLower(name), p.value})
		}
	}
	return r, r.Method != "" && r.Value != ""
}

type pair struct{ name, value string }

// pairs joins what white space has taken apart, and cuts at the equals signs. What is
// no pair is left out.
func pairs(tokens []token) []pair {
	var list []pair
	name, open := "", false // open: an equals sign still waits for its value
	for _, t := range tokens {
		switch {
		case open:
			list = append(list, pair{name, t.text})
			open = false
		case t.equals < 0:
			name = t.text
		default:
			if t.equals > 0 {
				name = t.text[:t.equals]
			}
			if value := t.text[t.equals+1:]; value != "" {
				list = append(list, pair{name, value})
			} else {
				open = true
			}
		}
	}
	return list
}

// Claims reports whether a value claims to be of id: by its authserv-id, or, where it
// cannot be parsed, by having id anywhere in it. A reader might see more in it than a
// parser does: so signs that belong to no name do not count, nor where the comments
// stand, and encoded words are decoded.
func Claims(value, id string) bool {
	return claims(value, id) || strings.Contains(value, "=?") && claims(mime.Decode([]byte(value)), id)
}

func claims(value, id string) bool {
	parts, err := split(value)
	if err != nil {
		return strings.Contains(strings.ToLower(value), strings.ToLower(id))
	}
	id = bare(id)
	var first []token // the first part that is not empty
	for _, tokens := range parts {
		if first = withoutComments(tokens); len(first) > 0 {
			break
		}
	}
	var whole strings.Builder
	for _, t := range first {
		whole.WriteString(t.text)
		end := strings.IndexAny(t.text, "/,:=") // before its version, or what else does not belong there
		if bare(t.text) == id || end >= 0 && bare(t.text[:end]) == id {
			return true
		}
	}
	return bare(whole.String()) == id
}

// bare is a name without what no name has, in small letters and without dots around it.
func bare(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		case r == utf8.RuneError, r >= utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r):
			return -1
		case r >= utf8.RuneSelf:
			return unicode.ToLower(r)
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', strings.ContainsRune(".-_/:", r):
			return r
		}
		return -1
	}, name), ".")
}
