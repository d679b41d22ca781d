package authres

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText bounds a comment, a reason and the value of a property: they come from
// outside.
const maxText = 500

// Format returns the value of a field, each result in a line of its own. Without
// results it says "none". What may not stand as it is is quoted or left out.
func Format(id string, results []Result) string {
	var b strings.Builder
	b.WriteString(word(id))
	if len(results) == 0 {
		b.WriteString("; none")
	}
	for _, r := range results {
		b.WriteString(";\n\t" + word(r.Method) + "=" + word(r.Value))
		width := len(r.Method) + len(r.Value) + 9
		add := func(s string) {
			if s == "" {
				return
			}
			if width += len(s) + 1; width > 77 {
				b.WriteString("\n\t")
				width = len(s) + 8
			} else {
				b.WriteByte(' ')
			}
			b.WriteString(s)
		}
		if r.Comment != "" {
			add("(" + strings.Map(inComment, plain(r.Comment)) + ")")
		}
		if r.Reason != "" {
			add(`reason=` + quote(plain(r.Reason)))
		}
		for _, p := range r.Props {
			if p.Value != "" {
				add(word(p.Type) + "." + word(p.Name) + "=" + pvalue(p.Value))
			}
		}
	}
	return b.String()
}

// clean takes out what cannot be seen, and cuts what is too long.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r != ' ' && !unicode.IsPrint(r) || r == utf8.RuneError { // neither controls, nor what turns the text around
			return '?'
		}
		return r
	}, s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "..."
	}
	return s
}

// plain is clean for text to be read. It has no semicolons, at which some who read the
// field cut it, in quotes or not.
func plain(s string) string { return strings.ReplaceAll(clean(s), ";", ",") }

// inComment takes out what ends a comment, or begins another one.
func inComment(r rune) rune {
	switch r {
	case '(', ')', '\\':
		return '?'
	}
	return r
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// isToken reports whether a byte may stand in a token. Source: RFC 2045 section 5.1.
func isToken(c byte) bool {
	return c > ' ' && c < 0x7f && !strings.ContainsRune(`()<>@,;:\"/[]?=`, rune(c))
}

// word returns a token, quoted where it is none.
func word(s string) string {
	s = clean(s)
	for i := range len(s) {
		if !isToken(s[i]) {
			return quote(s)
		}
	}
	if s == "" {
		return `""`
	}
	return s
}

// pvalue returns the value of a property: a token, or an address, whose parts are
// tokens. Source: RFC 8601 section 2.2.
func pvalue(s string) string {
	local, domain, found := strings.Cut(s, "@")
	if !found || strings.Contains(domain, "@") {
		return word(s)
	}
	if local != "" {
		local = word(local)
	}
	if strings.HasPrefix(local, `"`) || domain == "" || strings.HasPrefix(word(domain), `"`) {
		return quote(clean(s))
	}
	return local + "@" + domain
}
