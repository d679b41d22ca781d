package imports

import (
	"strconv"
	"strings"
)

// A call is a statement of milter-manager's configuration, in one of the forms that
// --show-config prints: NAME = VALUE, NAME(VALUE, …), NAME(VALUE) do |x|, end.
type call struct {
	setting
	name   string  // with dots
	args   []value // one of an assignment
	assign bool
	block  bool // it begins one
	end    bool // it ends one
	other  bool // it is Ruby of another kind
	opens  int  // how many blocks it begins, less those that it ends
}

// A value is a literal of Ruby's.
type value struct {
	kind  byte // 's' text, 'w' a word such as nil, true or 297.0, 'r' a regular expression, 'a' a list
	text  string
	items []value
}

// maxStatement bounds a statement that goes on over lines, in bytes.
const maxStatement = 64 << 10

// callsOf reads a program. Nothing of it is run.
func callsOf(program string) []call {
	var all []call
	var pending strings.Builder
	start, n := 0, 0
	for line := range strings.Lines(program) {
		n++
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if pending.Len() == 0 {
			start = n
		}
		pending.WriteString(trimmed + " ")
		joined := strings.TrimSpace(pending.String())
		if openLists(joined) > 0 && pending.Len() < maxStatement { // a list goes on in the next line
			continue
		}
		c := callOf(joined)
		c.line, c.setting.text = start, shortened(joined)
		all = append(all, c)
		pending.Reset()
	}
	if pending.Len() > 0 {
		text := shortened(pending.String())
		all = append(all, call{setting: setting{line: start, text: text}, other: true})
	}
	return all
}

// openLists is how many brackets and parentheses of a text are not closed.
func openLists(s string) int {
	depth, quote := 0, byte(0)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
		case c == '"' || c == '\'':
			quote = c
		case c == '#' && i > 0 && s[i-1] == ' ':
			return depth
		case c == '[' || c == '(':
			depth++
		case c == ']' || c == ')':
			depth--
		}
	}
	return depth
}

// callOf reads one statement.
func callOf(s string) call {
	if s == "end" {
		return call{end: true, opens: -1}
	}
	i := 0
	for i < len(s) && (s[i] == '.' || s[i] == '_' || s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z' || i > 0 && s[i] >= '0' && s[i] <= '9') {
		i++
	}
	c := call{name: s[:i]}
	rest := strings.TrimSpace(s[i:])
	ok := i > 0
	switch {
	case strings.HasPrefix(rest, "=") && !strings.HasPrefix(rest, "==") && !strings.HasPrefix(rest, "=~"):
		var v value
		v, rest, ok = valueOf(strings.TrimSpace(rest[1:]), 0)
		c.args, c.assign = []value{v}, true
	case strings.HasPrefix(rest, "("):
		c.args, rest, ok = valuesOf(rest[1:], ')', 0)
	case strings.HasPrefix(rest, `"`) || strings.HasPrefix(rest, "'"):
		var v value
		v, rest, ok = valueOf(rest, 0)
		c.args = []value{v}
	}
	rest = strings.TrimSpace(rest)
	if block, found := strings.CutPrefix(rest, "do"); found && ok {
		block = strings.TrimSpace(block)
		if block == "" || block[0] == '|' && block[len(block)-1] == '|' {
			c.block, c.opens = true, 1
			return c
		}
	}
	if !ok || rest != "" && rest[0] != '#' {
		return call{other: true, opens: opensOf(s)}
	}
	return c
}

// opensOf guesses how many blocks a line of Ruby begins.
func opensOf(s string) int {
	words := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '(' || r == ')' || r == ';' })
	n := 0
	for i, w := range words {
		switch w {
		case "do":
			n++
		case "if", "unless", "def", "class", "module", "while", "until", "case", "begin", "for":
			if i == 0 { // else it is about what stands before it
				n++
			}
		case "end":
			n--
		}
	}
	return n
}

// maxNesting bounds lists within lists.
const maxNesting = 10

// valuesOf reads values up to a closing bracket, and returns the rest behind it.
func valuesOf(s string, closing byte, depth int) ([]value, string, bool) {
	var list []value
	for {
		s = strings.TrimLeft(s, " ,")
		switch {
		case s == "" || depth > maxNesting:
			return list, s, false
		case s[0] == closing:
			return list, s[1:], true
		}
		v, rest, ok := valueOf(s, depth+1)
		if !ok {
			return list, s, false
		}
		list, s = append(list, v), rest
	}
}

// valueOf reads a value, and returns the rest behind it.
func valueOf(s string, depth int) (value, string, bool) {
	if s == "" {
		return value{}, s, false
	}
	switch s[0] {
	case '"', '\'', '/':
		for i := 1; i < len(s); i++ {
			switch {
			case s[i] == '\\':
				i++
			case s[i] == s[0] && s[0] == '/':
				return value{kind: 'r', text: s[1:i]}, strings.TrimLeft(s[i+1:], "imxu"), true
			case s[i] == s[0]:
				return value{kind: 's', text: unescaped(s[1:i])}, s[i+1:], true
			}
		}
		return value{}, s, false
	case '[':
		items, rest, ok := valuesOf(s[1:], ']', depth)
		return value{kind: 'a', items: items}, rest, ok
	}
	i := strings.IndexAny(s, " ,])#")
	if i < 0 {
		i = len(s)
	}
	word := s[:i]
	_, err := strconv.ParseFloat(word, 64)
	ok := err == nil || word == "nil" || word == "true" || word == "false"
	return value{kind: 'w', text: word}, s[i:], ok
}

// unescaped is the text of a string of Ruby's, with the escapes that inspect makes.
func unescaped(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
