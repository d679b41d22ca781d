package headers

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// This file has the text of rules and the values of fields.

const blanks = " \t"

// A template is a text with references to what was matched.
type template []piece

// A piece is a text, or where that is empty a group.
type piece struct {
	text  string
	group int
}

// reference is what can stand behind a dollar sign.
var reference = regexp.MustCompile(`^(?:\$|([\pL\p{Nd}_]+)|\{([\pL\p{Nd}_]+)\})`)

// parseTemplate reads a text that refers to the groups of match.
func parseTemplate(text string, match *regexp.Regexp) (template, error) {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return nil, errors.New("it has a control character or more than one line; write one line of text")
	}
	var t template
	for text != "" {
		before, after, found := strings.Cut(text, "$")
		if before != "" {
			t = append(t, piece{text: before})
		}
		if !found {
			break
		}
		m := reference.FindStringSubmatch(after)
		switch {
		case m == nil:
			return nil, errors.New(`a $ stands for nothing there; write $1 or ${1} for what a group has matched, $$ for a dollar sign`)
		case m[0] == "$":
			t = append(t, piece{text: "$"})
		default:
			group, err := groupOf(m[1]+m[2], match)
			if err != nil {
				return nil, err
			}
			t = append(t, piece{group: group})
		}
		text = after[len(m[0]):]
	}
	return t, nil
}

// groupOf returns the number of the group of that number or name.
func groupOf(name string, match *regexp.Regexp) (int, error) {
	behind := strings.TrimLeft(name, "0123456789")
	if behind == "" {
		n, err := strconv.Atoi(name)
		if err != nil || n > match.NumSubexp() || strconv.Itoa(n) != name {
			return 0, fmt.Errorf("there is no $%s: match has %d groups, which stand in parentheses", name, match.NumSubexp())
		}
		return n, nil
	}
	if n := match.SubexpIndex(name); n >= 0 {
		return n, nil
	}
	if digits := strings.TrimSuffix(name, behind); digits != "" {
		return 0, fmt.Errorf("there is no group %q in match; write ${%s}%s for a group with text behind it", name, digits, behind)
	}
	return 0, fmt.Errorf("there is no group %q in match; it would be (?P<%s>…)", name, name)
}

// expand writes the text, with groups of value as they are in loc. It stops when it
// has more than limit bytes.
func (t template) expand(value []byte, loc []int, limit int) string {
	var b strings.Builder
	for _, p := range t {
		switch from := 2 * p.group; {
		case p.text != "":
			b.WriteString(p.text)
		case loc[from] >= 0:
			group := value[loc[from]:loc[from+1]]
			b.Write(group[:min(len(group), limit+1)])
		}
		if b.Len() > limit {
			break
		}
	}
	return b.String()
}

// unfold returns a value on one line, without the space around it. It may be a part
// of folded.
func unfold(folded []byte) []byte {
	if bytes.IndexByte(folded, '\n') < 0 {
		return bytes.Trim(folded, blanks)
	}
	value := make([]byte, 0, len(folded))
	for line := range bytes.Lines(folded) {
		if len(value) > 0 && line[0] != ' ' && line[0] != '\t' {
			value = append(value, ' ') // of a child that left it out
		}
		value = append(value, bytes.TrimRight(line, "\r\n")...)
	}
	return bytes.Trim(value, blanks)
}

// width is how long the lines of a new field are, where it has blanks.
// Source: RFC 5322, section 2.1.1.
const width = 78

// fold breaks a value of one line, which has no space around it, before blanks, so
// that unfolded it is the same.
func fold(name, value string) string {
	var b strings.Builder
	column := len(name) + len(": ")
	for value != "" {
		word := strings.TrimLeft(value, blanks)
		end := strings.IndexAny(word, blanks)
		if end < 0 {
			end = len(word)
		}
		end += len(value) - len(word) // with the blanks before it
		if column+end > width && b.Len() > 0 {
			b.WriteByte('\n')
			column = 0
		}
		b.WriteString(value[:end])
		column += end
		value = value[end:]
	}
	return b.String()
}

// cleanValue makes text fit for one line of a header.
func cleanValue(text string) string {
	clean := []byte(text)
	for i, c := range clean {
		if c < ' ' && c != '\t' || c == 0x7f {
			clean[i] = ' '
		}
	}
	return strings.Trim(string(clean), blanks)
}

// cleanReply makes text fit for a reply or a log: printable ASCII, cut off where it
// is too long.
func cleanReply(text string, limit int) string {
	clean := []byte(text)
	if len(clean) > limit {
		clean = append(clean[:limit], "..."...)
	}
	for i, c := range clean {
		switch {
		case c == '\t':
			clean[i] = ' '
		case c < ' ' || c >= 0x7f:
			clean[i] = '?'
		}
	}
	return string(clean)
}

// lower writes the capitals of ASCII small, and no others: so do MTAs compare names.
func lower(name []byte) string {
	small := make([]byte, len(name))
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		small[i] = c
	}
	return string(small)
}
