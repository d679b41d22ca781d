package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
)

type limits struct {
	Max  int
	Each struct{ Hour int }
}

// A limiter is a native child that can be closed.
type limiter struct {
	milterkit.Child
	close func() error
}

func (l limiter) Close() error { return l.close() }

// idle is a child that does nothing.
func idle(name string) milterkit.Child {
	return milterkit.OnRcpt(name, func(context.Context, *milterkit.Envelope, milterkit.Address) milterkit.Verdict {
		return milterkit.Continue
	})
}

// checked runs check with native children, on milters that follow [server].
func checked(t *testing.T, milters string, children ...Native) (status int, stdout, stderr string) {
	t.Helper()
	file := configFile(t, publicDir(t), milters)
	var out, errs bytes.Buffer
	status = run("mine", children, []string{"check", "--config", file}, &out, &errs)
	return status, out.String(), strings.ReplaceAll(errs.String(), file+":", "")
}

const twoLimiters = `[[milter]]
name = "a"
use = "limit"
[milter.options]
max = 5
[[milter]]
name = "b"
use = "limit"
each = 1
enabled = false
`

// The child is made of the options in effect, and closed when the program ends.
func TestAChildIsMadeOfItsOptions(t *testing.T) {
	var made []limits
	closed := 0
	limit := Use("limit", limits{Max: 100}, func(o limits) (milterkit.Child, error) {
		made = append(made, o)
		return limiter{idle("limit"), func() error { closed++; return nil }}, nil
	})
	milters := strings.Replace(twoLimiters, "each = 1\n", "", 1)
	status, stdout, stderr := checked(t, milters, limit)
	if status != exitOK || len(made) != 1 || made[0].Max != 5 || closed != 1 {
		t.Errorf("status %d, made %v, closed %d\n%s%s", status, made, closed, stdout, stderr)
	}
	made, closed = nil, 0
	status, _, stderr = checked(t, strings.Replace(milters, "enabled = false\n", "", 1), limit)
	if status != exitOK || fmt.Sprint(made) != "[{5 {0}} {100 {0}}]" || closed != 2 {
		t.Errorf("status %d, made %v, closed %d\n%s", status, made, closed, stderr)
	}
}

// What the function that makes a child has against it is told in the place it is
// about.
func TestWhatAChildHasAgainstItsOptions(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{OptionErrorf("max", "%d is odd", 5), "9:1: max: 5 is odd\n"},
		{OptionErrorf("each.hour", "how many?"), "7:1: each.hour: how many? (this is the default)\n"},
		{fmt.Errorf("cannot be: %w", OptionErrorf("max", "%d is odd", 5)), "9:1: max: cannot be: max: 5 is odd\n"},
		{OptionErrorf("mx", "a slip"), "7:1: limit: mx: a slip\n"},
		{errors.New("the database is away"), "7:1: limit: the database is away\n"},
		{errors.Join(errors.New("a"), OptionErrorf("max", "b")), "7:1: limit: a\n9:1: max: b\n"},
		{nil, "7:1: limit: no child was made\n"},
	} {
		limit := Use("limit", limits{}, func(limits) (milterkit.Child, error) { return nil, c.err })
		status, _, stderr := checked(t, "[[milter]]\nname = \"a\"\nuse = \"limit\"\n[milter.options]\nmax = 5\n", limit)
		if status != exitConfig || stderr != c.want {
			t.Errorf("status %d\ngot  %swant %s", status, stderr, c.want)
		}
	}
}

// An option within a table is told where it stands, else where its table does.
func TestWhatAChildHasAgainstAnOptionOfATable(t *testing.T) {
	type options struct {
		Rule []struct{ Match, Text string }
	}
	const milters = "[[milter]]\nname = \"a\"\nuse = \"limit\"\n[[milter.options.rule]]\n[[milter.options.rule]]\nmatch = \"x\"\n"
	for _, c := range []struct{ option, want string }{
		{"rule[2].match", "10:1: rule[2].match: no\n"},
		{"rule[1].match", "8:18: rule[1].match: no\n"},
		{"rule[2].text", "9:18: rule[2].text: no\n"},
		{"rule[3].text", "7:1: limit: rule[3].text: no\n"},
	} {
		limit := Use("limit", options{}, func(options) (milterkit.Child, error) { return nil, OptionErrorf(c.option, "no") })
		if status, _, stderr := checked(t, milters, limit); status != exitConfig || stderr != c.want {
			t.Errorf("status %d\ngot  %swant %s", status, stderr, c.want)
		}
	}
}

// A key of the milter that is an option of its child is told so.
func TestAnOptionOutsideOfItsSection(t *testing.T) {
	limit := Use("limit", limits{}, func(limits) (milterkit.Child, error) { return idle("limit"), nil })
	status, _, stderr := checked(t, twoLimiters, limit)
	if want := "13:1: \"each\" does not belong in [[milter]], it belongs under [milter.options]\n"; status != exitConfig || stderr != want {
		t.Errorf("status %d\ngot  %swant %s", status, stderr, want)
	}
}

// What the function that makes a child has against it is told beside all else that
// is wrong with the file, but not where that may be its reason; each child that
// was made is closed.
func TestChildrenAreMadeOfAWrongFile(t *testing.T) {
	const a, b = "[[milter]]\nname = \"a\"\nuse = \"limit\"\n[milter.options]\nmax = 5\n", "[[milter]]\nname = \"b\"\nuse = \"limit\"\n"
	for _, c := range []struct {
		milters, want string
		made, closed  int
	}{
		{a + b + "shadwo = true\n", "7:1: limit: the list is away\n12:1: limit: the list is away\n13:1: unknown key \"shadwo\" in [[milter]]; did you mean \"shadow\"?\n", 2, 0},
		{a + b + "[milter.options]\nmax = 7\n[sever]\n", "7:1: limit: the list is away\n15:2: unknown section \"sever\"; did you mean [server]?\n", 2, 1},
		{a + b + "[milter.options]\nmx = 7\n", "7:1: limit: the list is away\n14:1: unknown key \"mx\" in [milter.options]; did you mean \"max\"?\n", 1, 0},
		{b + "[milter.option]\nmax = 7\n", "8:9: unknown key \"option\" in [[milter]]; did you mean \"options\"?\n", 0, 0},
		{b + "enabled = false\nshadwo = true\n", "9:1: unknown key \"shadwo\" in [[milter]]; did you mean \"shadow\"?\n", 0, 0},
		{a + b + "[milter.options]\nmax = 7\n", "7:1: limit: the list is away\n", 2, 1},
		{b + "[milter.options]\nmax = 7\n[sever]\n", "10:2: unknown section \"sever\"; did you mean [server]?\n", 1, 1},
	} {
		made, closed := 0, 0
		limit := Use("limit", limits{}, func(o limits) (milterkit.Child, error) {
			made++
			if o.Max != 7 {
				return nil, errors.New("the list is away")
			}
			return limiter{idle("limit"), func() error { closed++; return nil }}, nil
		})
		status, _, stderr := checked(t, c.milters, limit)
		if status != exitConfig || stderr != c.want || made != c.made || closed != c.closed {
			t.Errorf("status %d, %d made, %d closed\ngot  %swant %s", status, made, closed, stderr, c.want)
		}
	}
}

// A mistake in the program is told whatever the command, all of them at once.
func TestMistakesInTheProgram(t *testing.T) {
	fine := func(struct{}) (milterkit.Child, error) { return idle("x"), nil }
	for _, c := range []struct {
		children []Native
		want     string
	}{
		{[]Native{Use("x", struct{ C chan int }{}, func(struct{ C chan int }) (milterkit.Child, error) { return nil, nil })},
			"daemon.Use(\"x\"): struct { C chan int }.C: chan int cannot be read from the file; "},
		{[]Native{Use("", struct{}{}, fine)}, "daemon.Use(\"\"): a name has letters, digits, dots and dashes, at most 64\n"},
		{[]Native{Use("x", struct{}{}, fine), Use("x", struct{}{}, fine)}, "daemon.Use(\"x\"): there is another child of this name\n"},
		{[]Native{Use[struct{}]("x", struct{}{}, nil)}, "daemon.Use(\"x\"): there is no function that makes it\n"},
		{[]Native{Use("a b", struct{}{}, fine), Use("y", 5, func(int) (milterkit.Child, error) { return nil, nil })},
			"daemon.Use(\"a b\"): a name has letters, digits, dots and dashes, at most 64\ndaemon.Use(\"y\"): options are a struct; int is none\n"},
		{[]Native{{}}, "a Native is made by daemon.Use\n"},
	} {
		var out, errs bytes.Buffer
		status := run("mine", c.children, []string{"version"}, &out, &errs)
		if want := "mine: a mistake in the program: " + c.want; status != exitFault || !strings.HasPrefix(errs.String(), want) || out.Len() > 0 {
			t.Errorf("status %d\ngot  %swant %s", status, errs.String(), want)
		}
	}
}

// Who names the daemon that a native child takes the place of is told the child's name.
func TestDaemonsAreToldWithTheirChildren(t *testing.T) {
	for name, want := range map[string]string{
		"OpenDKIM":        `"dkim-sign" or "dkim-verify"`,
		"opendmarc":       `"dmarc"`,
		"clamav":          `"clamd"`,
		"spamassassin":    `"spamd"`,
		"milter-greylist": `"greylist"`,
		"DMARC":           `"dmarc"`,
		"gerylist":        `"greylist"`,
	} {
		file := configFile(t, publicDir(t), "[[milter]]\nname = \"a\"\nuse = \""+name+"\"\n")
		if status, _, stderr := end(t, "check", "--config", file); status != exitConfig || !strings.Contains(stderr, "did you mean "+want+"?") {
			t.Errorf("%s: status %d\n%s", name, status, stderr)
		}
	}
}
