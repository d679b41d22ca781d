package detect

import (
	"strconv"
	"strings"
)

// A run is a part of a word after expansion. Only one that stood without quotes
// and came from a variable falls into several words at its blanks.
type run struct {
	text  string
	split bool
}

// expand returns the text of a word, in one.
func (s *shell) expand(t token) string {
	s.line = t.line
	e := expander{shell: s, text: t.word}
	e.all(0)
	var b strings.Builder
	for _, r := range e.runs {
		b.WriteString(r.text)
	}
	return b.String()
}

// fields returns the words that a word becomes.
func (s *shell) fields(t token) []string {
	s.line = t.line
	e := expander{shell: s, text: t.word}
	e.all(0)
	var all []string
	var b strings.Builder
	open := e.quoted // "" is a word, too
	for _, r := range e.runs {
		if !r.split {
			b.WriteString(r.text)
			open = open || r.text != ""
			continue
		}
		for i, part := range strings.FieldsFunc(" "+r.text+" ", isBlank) {
			if (i > 0 || isBlankAt(r.text, 0)) && b.Len() > 0 {
				all = append(all, b.String())
				b.Reset()
			}
			b.WriteString(part)
			open = true
		}
		if isBlankAt(r.text, len(r.text)-1) && b.Len() > 0 {
			all = append(all, b.String())
			b.Reset()
			open = false
		}
	}
	if b.Len() > 0 || open && len(all) == 0 {
		all = append(all, b.String())
	}
	return all
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }

func isBlankAt(text string, i int) bool {
	return i >= 0 && i < len(text) && isBlank(rune(text[i]))
}

// An expander goes through one word.
type expander struct {
	shell  *shell
	text   string
	pos    int
	depth  int
	size   int
	runs   []run
	quoted bool
}

func (e *expander) add(text string, split bool) {
	if e.size += len(text); e.size > maxText || !e.shell.spend(len(text)) {
		e.runs = []run{{unknown, false}}
		return
	}
	e.runs = append(e.runs, run{text, split})
}

// all expands up to the quote that ends the text, or to its end.
func (e *expander) all(end byte) {
	start := e.pos
	flush := func() {
		if start < e.pos {
			e.add(e.text[start:e.pos], false)
		}
	}
	for e.pos < len(e.text) {
		c := e.text[e.pos]
		switch {
		case c == end && end != 0:
			flush()
			e.pos++
			return
		case c == '\\':
			flush()
			e.escape(end)
			start = e.pos
		case c == '\'' && end == 0:
			flush()
			rest, _, _ := strings.Cut(e.text[e.pos+1:], "'")
			e.quoted = true
			e.add(rest, false)
			e.pos = min(e.pos+len(rest)+2, len(e.text))
			start = e.pos
		case c == '"' && end == 0:
			flush()
			e.pos++
			e.quoted = true
			e.all('"')
			start = e.pos
		case c == '`':
			flush()
			rest, _, _ := strings.Cut(e.text[e.pos+1:], "`")
			e.add(e.shell.output(rest), end == 0)
			e.pos = min(e.pos+len(rest)+2, len(e.text))
			start = e.pos
		case c == '$':
			flush()
			e.pos++
			e.dollar(end == 0)
			start = e.pos
		default:
			e.pos++
		}
	}
	flush()
}

func (e *expander) escape(end byte) {
	e.pos++
	if e.pos >= len(e.text) {
		e.add(`\`, false)
		return
	}
	c := e.text[e.pos]
	e.pos++
	if end == '"' && strings.IndexByte("$`\"\\\n", c) < 0 {
		e.add(`\`, false)
	}
	if c != '\n' {
		e.add(string([]byte{c}), false)
	}
}

// output is what a command would print: known for the one by which old scripts of
// FreeBSD name their variable.
func (s *shell) output(command string) string {
	if f := strings.Fields(command); len(f) == 1 && f[0] == "set_rcvar" {
		return s.get("name") + "_enable"
	}
	return unknown
}

func isNameByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// dollar expands what stands behind a dollar sign.
func (e *expander) dollar(split bool) {
	if e.pos >= len(e.text) {
		e.add("$", false)
		return
	}
	switch c := e.text[e.pos]; {
	case c == '{':
		body := e.bracketed('{', '}')
		e.add(e.parameter(body), split)
	case c == '(':
		body := e.bracketed('(', ')')
		e.add(e.shell.output(body), split)
	case c >= '0' && c <= '9' || strings.IndexByte("@*#?$!-", c) >= 0:
		e.pos++
		text, _ := e.lookup(string(c))
		e.add(text, split)
	case isNameByte(c):
		start := e.pos
		for e.pos < len(e.text) && isNameByte(e.text[e.pos]) {
			e.pos++
		}
		e.add(e.shell.get(e.text[start:e.pos]), split)
	default:
		e.add("$", false)
	}
}

// bracketed returns what stands between the bracket at hand and its end.
func (e *expander) bracketed(open, end byte) string {
	l := lexer{text: e.text, pos: e.pos + 1}
	l.nested(open, end)
	body := e.text[e.pos+1 : l.pos]
	e.pos = l.pos
	return strings.TrimSuffix(body, string(end))
}

// lookup returns a parameter, and whether it is set.
func (e *expander) lookup(name string) (string, bool) {
	args := e.shell.args
	switch name {
	case "@", "*":
		return strings.Join(args[1:], " "), len(args) > 1
	case "#":
		return strconv.Itoa(len(args) - 1), true
	case "?", "$", "!", "-":
		return unknown, true
	}
	if n, err := strconv.Atoi(name); err == nil {
		if n >= 0 && n < len(args) {
			return args[n], true
		}
		return "", false
	}
	v, set := e.shell.vars[name]
	return v.text, set
}

// parameter expands ${…}.
func (e *expander) parameter(body string) string {
	n := 0
	for n < len(body) && isNameByte(body[n]) {
		n++
	}
	if n == 0 && body != "" && strings.IndexByte("@*#?$", body[0]) >= 0 {
		if n = 1; body[0] == '#' && len(body) > 1 {
			return unknown // a length
		}
	}
	name, rest := body[:n], body[n:]
	text, set := e.lookup(name)
	if rest == "" {
		return text
	}
	op := rest[:1]
	rest = rest[1:]
	if op == ":" && rest != "" && strings.IndexByte("-=+?", rest[0]) >= 0 {
		op, rest = rest[:1], rest[1:]
		set = set && text != ""
	}
	switch op {
	case "-", "?":
		if set {
			return text
		}
		return e.word(rest)
	case "=":
		if !set {
			text = e.word(rest)
			e.shell.set(name, text)
		}
		return text
	case "+":
		if set {
			return e.word(rest)
		}
		return ""
	case "#", "%":
		longest := strings.HasPrefix(rest, op)
		pattern := e.word(strings.TrimPrefix(rest, op))
		if !e.shell.spend(len(text) * len(text) * (len(pattern) + 1)) {
			return unknown
		}
		return cut(text, pattern, op == "#", longest)
	}
	return unknown
}

// word expands what stands within ${…}.
func (e *expander) word(text string) string {
	if e.depth >= maxCalls {
		return unknown
	}
	inner := expander{shell: e.shell, text: text, depth: e.depth + 1}
	inner.all(0)
	var b strings.Builder
	for _, r := range inner.runs {
		b.WriteString(r.text)
	}
	return b.String()
}

// cut takes what a pattern fits from the front or the back of a text.
func cut(text, pattern string, front, longest bool) string {
	best := text
	for i := 0; i <= len(text); i++ {
		part, rest := text[:i], text[i:]
		if !front {
			rest, part = text[:len(text)-i], text[len(text)-i:]
		}
		if matches(pattern, part) {
			best = rest
			if !longest {
				break
			}
		}
	}
	return best
}
