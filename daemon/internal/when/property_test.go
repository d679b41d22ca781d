package when

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/milterkit/sdk/milterkit"
)

// values are few, so that comparisons often hold.
var values = []string{"", "a", "b", "ab", "a1b2.example", "192.0.2.7", "2001:db8::1", "IPv6:2001:db8::1", "<a@b>", "a@b"}

// writable are those that all names can be compared with.
var writable = []string{"", "a", "b", "ab", "192.0.2.7", "2001:db8::1"}

// own are macros that no MTA has by itself.
var own = []string{"x", "{mine}", "rate"}

func macroNames() []string { return append(slices.Sorted(maps.Keys(told)), own...) }

// drawText draws a part that is text.
func drawText(t *rapid.T) string {
	switch rapid.IntRange(0, 2).Draw(t, "text") {
	case 0:
		return strconv.Quote(rapid.SampledFrom(writable).Draw(t, "value"))
	case 1:
		return rapid.SampledFrom([]string{"client.addr", "client.name", "helo", "mail_from", "mail_from.domain", "rcpt_to", "rcpt_to.domain"}).Draw(t, "name")
	}
	return fmt.Sprintf("macro(%q)", rapid.SampledFrom(macroNames()).Draw(t, "macro"))
}

// drawCondition draws any condition, of that depth at most.
func drawCondition(t *rapid.T, depth int) string {
	part := func() string { return drawCondition(t, depth-1) }
	kind := rapid.IntRange(0, 12).Draw(t, "kind")
	if depth == 0 {
		kind = kind%8 + 5
	}
	switch kind {
	case 0, 1, 2, 3:
		op := rapid.SampledFrom([]string{"&&", "||", "and", "or", "==", "!="}).Draw(t, "join")
		return "(" + part() + ") " + op + " (" + part() + ")"
	case 4:
		return rapid.SampledFrom([]string{"!", "not "}).Draw(t, "not") + "(" + part() + ")"
	case 5:
		return rapid.SampledFrom([]string{"true", "false"}).Draw(t, "constant")
	case 6:
		return rapid.SampledFrom([]string{"authenticated", "local", "s25r"}).Draw(t, "name")
	case 7:
		nets := rapid.SliceOfN(rapid.SampledFrom([]string{`"192.0.2.0/24"`, `"2001:db8::/32"`, `"::/0"`, `"127.0.0.1"`}), 1, 3).Draw(t, "nets")
		addr := rapid.SampledFrom([]string{"client.addr", `macro("if_addr")`, `macro("mine")`}).Draw(t, "addr")
		return "cidr(" + addr + ", " + strings.Join(nets, ", ") + ")"
	case 8:
		not := rapid.SampledFrom([]string{"", "not "}).Draw(t, "not")
		return fmt.Sprintf("%s %sin [%s, %s]", drawText(t), not, drawText(t), drawText(t))
	case 9:
		return drawText(t) + " matches " + rapid.SampledFrom([]string{`"^a"`, `"(?i)B"`, `""`, "`[0-9]+`"}).Draw(t, "pattern")
	case 10:
		return rapid.SampledFrom([]string{"sessions", "7", "0"}).Draw(t, "left") + rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">="}).Draw(t, "compare") +
			rapid.SampledFrom([]string{"sessions", "7", "70"}).Draw(t, "right")
	case 11:
		return rapid.SampledFrom([]string{"stress", "authenticated"}).Draw(t, "name")
	}
	op := rapid.SampledFrom([]string{"==", "!=", "contains", "startsWith", "endsWith"}).Draw(t, "op")
	return drawText(t) + " " + op + " " + drawText(t)
}

// drawSample draws any session with a message, whose MTA tells each macro at its
// stage, and those of its own at any.
func drawSample(t *rapid.T) sample {
	value := func(name string) string { return rapid.SampledFrom(values).Draw(t, name) }
	s := sample{
		host:   value("host"),
		family: rapid.SampledFrom([]milterkit.Family{0, milterkit.FamilyUnknown, milterkit.FamilyUnix, milterkit.FamilyInet, milterkit.FamilyInet6}).Draw(t, "family"),
		addr:   value("addr"),
		helo:   value("helo"),
		from:   value("from"),
		to:     rapid.SliceOfNDistinct(rapid.SampledFrom(values), 1, 4, rapid.ID).Draw(t, "to"),
		macros: map[milterkit.Stage]map[string]string{connect: {}, helo: {}, mail: {}, rcpt: {}},
	}
	for name, at := range told {
		s.macros[at][name] = ""
	}
	for _, list := range s.macros {
		for _, name := range slices.Sorted(maps.Keys(list)) {
			if list[name] = value(name); list[name] == "" {
				delete(list, name)
			}
		}
	}
	for _, name := range own {
		for _, at := range anyTime {
			if v := value(name); v != "" {
				s.macros[at][name] = v
			}
		}
	}
	return s
}

// A condition is settled as soon as it can be: nothing that comes later in the
// envelope changes it.
func TestWhatIsSettledStays(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text := drawCondition(r, 3)
		c := mustCompile(t, text)
		later := []milterkit.Condition{c}
		for at := c.At + 1; at <= rcpt; at++ {
			d := c
			d.At = at
			later = append(later, d)
		}
		s := drawSample(r)
		shown := s.play(t, later...)
		for i := range shown {
			if shown[i] != shown[0] {
				r.Fatalf("%s\nsettled at %s: %s\nat %s: %s\n%+v", text, c.At, shown[0], later[i].At, shown[i], s)
			}
		}
	})
}

// Whatever is written, the compiler tells what is wrong, on one line and at a
// place of the text, or makes a condition that can be asked of any message. It
// never panics, and neither does what it makes: play would see it refused.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		"", "local", "!authenticated && client.addr == '192.0.2.7'", `cidr(client.addr, "192.0.2.0/24", "::1")`, `macro("{auth_type}") in ["a", 'b', helo]`,
		"rcpt_to matches `(?i)@example\\.test$`", `helo not startsWith "\u00e9\x41\n"`, `client?.addr`, `all([1], # == .x)`, `let x = 1; x | map(.a)`, `{"a": 1}[0:1]`,
		`b"\xff" in $env`, `if local { 1 } else { nil } ?? -0x1p3 ** 2..3`, `"`, "/*", `macro("i")`, `client["addr"]`, "((((((((((", "not not not local", "\xff",
	} {
		f.Add(s)
	}
	for _, c := range []string{"local", `helo == "a"`} {
		f.Add(strings.Repeat("!(", 100) + c + strings.Repeat(")", 100))
	}
	samples := []sample{outside(), outside().with(mail, "{auth_authen}", "a").client(milterkit.FamilyUnix, "/s"), outside().client(milterkit.FamilyInet6, "IPv6:::1%x")}
	f.Fuzz(func(t *testing.T, text string) {
		c, errs := new(Env).Compile(text, nil)
		if len(errs) > 0 {
			for _, e := range errs {
				if e.Offset < 0 || e.Offset > len(text) || e.Message == "" || strings.ContainsFunc(e.Message, unicode.IsControl) || (e.Unknown == "") != (e.Known == nil) {
					t.Fatalf("%+v", e)
				}
			}
			return
		}
		if c.Name != text || c.At < connect || c.At > rcpt || c.Holds == nil {
			t.Fatalf("%+v", c)
		}
		for _, s := range samples {
			s.play(t, c)
		}
	})
}
