package imports

import (
	"net/netip"
	"regexp"
	"strings"
)

// A cond is a condition for `when`. The zero cond always holds.
type cond struct {
	text  string
	loose byte // the operator that binds least: 'o' or, 'a' and, 0 none
	never bool
	long  bool // it has grown too long to be used
}

// maxCond bounds a condition, below what package when takes.
const maxCond = 60 << 10

var always, never = cond{}, cond{never: true}

func (c cond) always() bool { return c.text == "" && !c.never && !c.long }

// atom is a condition without operators outside of parentheses.
func atom(text string) cond { return cond{text: text}.bounded() }

func (c cond) bounded() cond {
	if len(c.text) > maxCond {
		return cond{long: true}
	}
	return c
}

// within returns the text, in parentheses where an operator beside it would take it
// apart.
func (c cond) within(operator byte) string {
	if c.loose != 0 && c.loose != operator {
		return "(" + c.text + ")"
	}
	return c.text
}

func both(a, b cond) cond {
	switch {
	case a.long || b.long:
		return cond{long: true}
	case a.never || b.never:
		return never
	case a.always():
		return b
	case b.always() || a.text == b.text:
		return a
	}
	return cond{text: a.within('a') + " && " + b.within('a'), loose: 'a'}.bounded()
}

func either(a, b cond) cond {
	switch {
	case a.long || b.long:
		return cond{long: true}
	case a.always() || b.always():
		return always
	case a.never:
		return b
	case b.never || a.text == b.text:
		return a
	}
	return cond{text: a.within('o') + " || " + b.within('o'), loose: 'o'}.bounded()
}

func not(c cond) cond {
	switch {
	case c.long:
		return c
	case c.never:
		return always
	case c.always():
		return never
	case c.loose == 0 && strings.HasPrefix(c.text, "!"):
		return atom(c.text[1:])
	case c.loose == 0 && bare(c.text):
		return atom("!" + c.text)
	}
	return atom("!(" + c.text + ")")
}

var bareText = regexp.MustCompile(`^(\w+|cidr\([^()]*\))$`)

// bare reports whether a text is a name or a call, before which a ! can stand.
func bare(text string) bool { return bareText.MatchString(text) }

// inNetworks holds for clients in one of the networks.
func inNetworks(networks []netip.Prefix) cond {
	if len(networks) == 0 {
		return never
	}
	var b strings.Builder
	b.WriteString("cidr(client.addr")
	for _, p := range networks {
		network := p.String()
		if p.IsSingleIP() {
			network = p.Addr().String()
		}
		b.WriteString(`, "` + network + `"`)
	}
	return atom(b.String() + ")")
}

// matching holds where what matches the pattern, which is RE2's.
func matching(what, pattern string) cond {
	return atom(what + " matches " + quoted(pattern))
}

// quoted is a text within a condition. It has no control characters.
func quoted(s string) string {
	s = printable(s)
	if !strings.Contains(s, "`") {
		if strings.ContainsAny(s, `\"`) {
			return "`" + s + "`"
		}
		return `"` + s + `"`
	}
	return `"` + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `"`, `\"`) + `"`
}

// patternOf makes a pattern of RE2 of a POSIX one (basic where extended is false) or a
// Ruby one, which counts capitals as small letters; false where RE2 has no such thing.
func patternOf(s string, extended bool) (string, bool) {
	if !extended {
		s = extendedOf(s)
	}
	s = strings.NewReplacer(`\\`, `\\`, `\A`, `^`, `\z`, `$`, `\Z`, `$`, `\/`, `/`).Replace(s)
	s = "(?i)" + s
	if _, err := regexp.Compile(s); err != nil || printable(s) != s {
		return "", false
	}
	return s, true
}

// extendedOf is a basic regular expression as an extended one: parentheses, braces
// and the like are operators with a backslash there, and without one here.
func extendedOf(s string) string {
	const operators = "(){}|+?"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			if strings.IndexByte(operators, s[i]) < 0 {
				b.WriteByte('\\')
			}
		case strings.IndexByte(operators, s[i]) >= 0:
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
