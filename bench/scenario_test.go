package bench

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/internal/tomlfile"
)

func TestTheStandardScenariosAreRight(t *testing.T) {
	list := Scenarios()
	if len(list) < 5 {
		t.Errorf("there are %d", len(list))
	}
	for _, s := range list {
		points := s.Points()
		if len(points) == 0 || s.About == "" {
			t.Errorf("%s has %d points and is about %q", s.Name, len(points), s.About)
		}
		seen := map[string]bool{}
		for _, p := range points {
			if seen[p.benchName()] {
				t.Errorf("%s has %s twice", s.Name, p.benchName())
			}
			seen[p.benchName()] = true
		}
	}
	quick, err := FindScenario(StandardScenario)
	if err != nil {
		t.Fatal(err)
	}
	if d := Estimate(quick.Points(), Terms{Rounds: 5, Time: 500 * time.Millisecond}); d > 2*time.Minute {
		t.Errorf("the quick one takes %v", d)
	}
	if _, err := FindScenario("quik"); err == nil || !strings.Contains(err.Error(), `did you mean "quick"?`) {
		t.Errorf("a slip is told as %v", err)
	}
}

// parsePoints returns a scenario's points in words.
func parsePoints(t *testing.T, text string) []string {
	t.Helper()
	s, err := ParseScenario("dir/mine.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, p := range s.Points() {
		list = append(list, p.String())
	}
	return list
}

func TestAScenarioExpandsToPoints(t *testing.T) {
	for _, c := range []struct {
		rule, text string
		want       []string
	}{
		{"what is not said is usual", `mail = "short"`, []string{"short mail, 8 sessions at one time, 1 remote child"}},
		{"each of a list is a point", "mail = [\"short\", \"1MB\"]\nsessions = [1, 64]", []string{
			"short mail, 1 session at one time, 1 remote child", "short mail, 64 sessions at one time, 1 remote child",
			"1MB mail, 1 session at one time, 1 remote child", "1MB mail, 64 sessions at one time, 1 remote child"}},
		{"a mix is one point", `mix = ["short", "short", "list"]`, []string{"short+list mail, 8 sessions at one time, 1 remote child"}},
		{"one child is never together", "mail = \"short\"\nchildren = [1, 2]\ntogether = true\ndelay = \"5ms\"", []string{
			"short mail, 8 sessions at one time, 2 remote children, each taking 5ms, together behind milterkit"}},
		{"a mail of its own", "mail = \"news\"\nmessages = 3\nkind = \"native\"\n[[mails]]\nname = \"news\"\nbody = \"40KB\"", []string{
			"3 messages of news mail in a session, 8 sessions at one time, 1 native child"}},
		{"children that do not answer all", "mail = \"tiny\"\nsilent = true\nkind = \"mixed\"\nchildren = 2", []string{
			"tiny mail, 8 sessions at one time, 2 mixed children without an answer to header and body"}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got := parsePoints(t, c.text); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
	s, err := ParseScenario("dir/mine.toml", []byte("mail = \"news\"\n[[mails]]\nname = \"news\"\nfields = 20\nheader = \"2KB\"\nbody = \"3MB\"\nrecipients = 50"))
	if want := (Mail{"news", 20, 2 << 10, 3 << 20, 50}); err != nil || s.Name != "mine" || s.Mails[0] != want {
		t.Errorf("%v: %s has %+v, want %+v", err, s.Name, s.Mails, want)
	}
}

func TestMistakesInAScenario(t *testing.T) {
	for _, c := range []struct{ rule, text, want string }{
		{"a misspelt key", "mail = \"short\"\nsesions = 8", `2:1: unknown key "sesions"; did you mean "sessions"?`},
		{"an unknown key", "mail = \"short\"\nfoo = 8", `2:1: unknown key "foo"; there are about, mail, mix, messages, sessions, children, kind, delay, together, silent, mails`},
		{"an unknown mail", "mail = [\"short\", \"lst\"]", `1:18: mail: there is no mail "lst"; did you mean "list"?`},
		{"no mail", "sessions = 8", `1:1: nothing is played; add mail = "short", or a list of mails`},
		{"mail and mix", "mail = \"short\"\nmix = [\"short\"]", `2:1: mix: a scenario has either mail (line 1) or mix, not both`},
		{"no session", "mail = \"short\"\nsessions = 0", `2:12: sessions: 0 is not possible; write a number from 1 to 10000`},
		{"a number in quotes", "mail = \"short\"\nsessions = [1, \"8\"]", `2:16: sessions: this is a string; write a whole number, without quotes`},
		{"text without quotes", "mail = short", `1:8: this is not TOML: unexpected character U+0073 's' at start of value (text stands in quotes: "…")`},
		{"a mail that is a number", "mail = 5", `1:8: mail: this is a whole number; write text in quotes, such as "short"`},
		{"twice the same", "mail = \"short\"\nchildren = [1, 5, 1]", `2:19: children: 1 is in the list twice`},
		{"an empty list", "mail = \"short\"\nkind = []", `2:1: kind: the list is empty, so nothing would be measured; leave the key out, or write values`},
		{"a delay without a unit", "mail = \"short\"\ndelay = \"5\"", `2:9: delay: "5" has no unit; for milliseconds write "5ms"`},
		{"a delay that is none", "mail = \"short\"\ndelay = \"soon\"", `2:9: delay: "soon" is not a time; write a number with the unit s, ms or us, such as "5ms"`},
		{"a delay that nobody waits for", "mail = \"short\"\nchildren = [1, 7]\ndelay = \"5s\"", `3:1: delay: 7 children taking 5s each take 35s, and a session waits 30s for an answer`},
		{"an unknown kind", "mail = \"short\"\nkind = \"natve\"", `2:8: kind: "natve" is unknown; did you mean "native"?`},
		{"mixed alone", "mail = \"short\"\nkind = \"mixed\"", `2:1: kind: of mixed children there are at least 2; write children = 2 or more`},
		{"together alone", "mail = \"short\"\ntogether = true", `2:1: together: one child has none that it could run together with; write children = 2 or more`},
		{"native and silent", "mail = \"short\"\nkind = \"native\"\nsilent = true", `3:1: silent: native children are not asked over a socket; silent goes with kind = "remote"`},
		{"together in quotes", "mail = \"short\"\ntogether = \"yes\"", `2:12: together: this is a string; write true or false, without quotes`},
		{"mails in single brackets", "mail = \"a\"\n[mails]\nname = \"a\"", "1:8: mail: there is no mail \"a\"; there are tiny, short, list, 100KB, 1MB, 10MB, recipients\n" +
			"2:2: each mail is a section of its own that begins with [[mails]], in double brackets"},
		{"a mail without a body", "mail = \"a\"\n[[mails]]\nname = \"a\"", `2:3: this mail has no body; add body = …`},
		{"a mail without a name", "mail = \"big\"\n[[mails]]\nbody = \"1KB\"", "1:8: mail: there is no mail \"big\"; there are tiny, short, list, 100KB, 1MB, 10MB, recipients\n" +
			"2:3: this mail has no name; add name = …"},
		{"a name that is none", "mail = \"a b\"\n[[mails]]\nname = \"a b\"\nbody = \"1KB\"", `3:8: name: "a b" is not a name; it has letters, digits, dots and dashes, such as "newsletter"`},
		{"a size without a unit", "mail = \"a\"\n[[mails]]\nname = \"a\"\nbody = \"40\"", `4:8: body: "40" is not a size; write a whole number with the unit B, KB or MB, such as "40KB"`},
		{"a mail that there is", "mail = \"list\"\n[[mails]]\nname = \"list\"\nbody = \"1KB\"", `3:8: name: there is a mail "list" already; give this one another name`},
		{"a header of too few fields", "mail = \"a\"\n[[mails]]\nname = \"a\"\nbody = \"1KB\"\nfields = 3", `5:1: fields: a mail has at least 8, From, To and Date among them`},
		{"a header that is too small", "mail = \"a\"\n[[mails]]\nname = \"a\"\nbody = \"1KB\"\nheader = \"100B\"", `5:1: header: 12 fields take at least 297 bytes, not 100`},
		{"all of them at once", "mail = \"shrt\"\nsessions = 0\nx = 1\n[[mails]]\nnam = \"a\"\nbody = \"-1KB\"", `1:8: mail: there is no mail "shrt"; did you mean "short"?` + "\n" +
			`2:12: sessions: 0 is not possible; write a number from 1 to 10000` + "\n" +
			`3:1: unknown key "x"; there are about, mail, mix, messages, sessions, children, kind, delay, together, silent, mails` + "\n" +
			`4:3: this mail has no name; add name = …` + "\n" +
			`5:1: unknown key "nam" in [[mails]]; did you mean "name"?` + "\n" +
			`6:8: body: "-1KB" is not a size; write a whole number with the unit B, KB or MB, such as "40KB"`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			_, err := ParseScenario("f.toml", []byte(c.text))
			if !errors.As(err, new(tomlfile.Errors)) {
				t.Fatalf("got %v", err)
			}
			if got := strings.ReplaceAll(err.Error(), "f.toml:", ""); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	if _, err := ReadScenario("nowhere/f.toml"); err == nil || err.Error() != "nowhere/f.toml: the scenario cannot be read: no such file or directory" {
		t.Errorf("got %v", err)
	}
}

// The scenario in the manual is a good one, and the manual has every key.
func TestTheManualKnowsScenarios(t *testing.T) {
	text, err := os.ReadFile("../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```toml scenario\n(.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatal("there is no scenario in it")
	}
	s, err := ParseScenario("mine.toml", m[1])
	if err != nil || len(s.Points()) != 4 {
		t.Errorf("%d points, %v", len(s.Points()), err)
	}
	_, err = ParseScenario("f.toml", []byte("foo = 1"))
	_, keys, _ := strings.Cut(strings.Split(err.Error(), "\n")[0], "there are ")
	for _, key := range strings.Split(keys, ", ") {
		if !strings.Contains(string(text), "| `"+key+"` |") && !strings.Contains(string(text), "| `[["+key+"]]` |") {
			t.Errorf("the key %s is missing", key)
		}
	}
}
