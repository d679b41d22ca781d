package daemon

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// toldMacros returns the macros that a milter with these lines is told in one message,
// from an MTA that sends those.
func toldMacros(t *testing.T, lines string, mta map[milterkit.Stage][]string) []string {
	t.Helper()
	var f miltertest.Filter
	addr, err := f.Start("unix", filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := mustBuild(t, "[[milter]]\nname = \"a\"\nsocket = \""+addr+"\"\n"+lines).Dispatcher.Walk(wire.AllActions)
	macros := func(at milterkit.Stage) {
		w.Macros(at, func(yield func(string, string) bool) {
			for _, m := range mta[at] {
				name, value, _ := strings.Cut(m, "=")
				if !yield(name, value) {
					return
				}
			}
		})
	}
	macros(milterkit.StageConnect)
	w.Connect(t.Context(), "mx.example.org", milterkit.FamilyInet, "192.0.2.1", 25)
	macros(milterkit.StageHelo)
	w.Helo(t.Context(), "mx.example.org")
	macros(milterkit.StageMail)
	w.Mail(t.Context(), milterkit.NewAddress("<a@gmail.com>"))
	macros(milterkit.StageRcpt)
	w.Rcpt(t.Context(), milterkit.NewAddress("<bob@example.test>"))
	w.Rcpt(t.Context(), milterkit.NewAddress("<carol@example.test>"))
	w.Close()
	if err := f.Idle(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return f.SawMacros()
}

func postfixConnect(more ...string) map[milterkit.Stage][]string {
	return map[milterkit.Stage][]string{milterkit.StageConnect: append([]string{"v=Postfix 3.7.11", "j=mx.example.test"}, more...)}
}

// sendmail_macros has a milter told what Sendmail would, behind Postfix only, and only
// what the MTA does not send itself. Without it nothing is made.
func TestSendmailMacros(t *testing.T) {
	t.Parallel()
	const on = "sendmail_macros = true\n"
	sent := "macros connect v=Postfix 3.7.11 j=mx.example.test "
	for _, c := range []struct {
		rule, lines string
		mta         map[milterkit.Stage][]string
		want        []string
	}{
		{"off", "", postfixConnect("{daemon_addr}=192.0.2.9"), []string{sent + "{daemon_addr}=192.0.2.9"}},
		{"Postfix", on, postfixConnect("{daemon_addr}=192.0.2.9", "{daemon_port}=25"),
			[]string{sent + "{daemon_addr}=192.0.2.9 {daemon_port}=25 {if_addr}=192.0.2.9 {if_name}=mx.example.test", "macros mail i=NOQUEUE"}},
		{"IPv6", on, postfixConnect("{daemon_addr}=2001:db8:0::9"),
			[]string{sent + "{daemon_addr}=2001:db8:0::9 {if_addr}=IPv6:2001:db8:0:0:0:0:0:9 {if_name}=mx.example.test", "macros mail i=NOQUEUE"}},
		{"loopback", on, postfixConnect("{daemon_addr}=127.0.0.1"), []string{sent + "{daemon_addr}=127.0.0.1 {if_name}=localhost", "macros mail i=NOQUEUE"}},
		{"Postfix before 3.2, which has no daemon_addr", on, postfixConnect(),
			[]string{sent + "{if_name}=mx.example.test", "macros mail i=NOQUEUE"}},
		{"what the MTA sends stands", on,
			map[milterkit.Stage][]string{
				milterkit.StageConnect: {"v=Postfix 3.7.11", "j=mx.example.test", "{daemon_addr}=192.0.2.9", "{if_addr}=1", "{if_name}=2"}, milterkit.StageMail: {"i=Q1"}},
			[]string{sent + "{daemon_addr}=192.0.2.9 {if_addr}=1 {if_name}=2", "macros mail i=Q1"}},
		{"Sendmail", on, map[milterkit.Stage][]string{milterkit.StageConnect: {"v=8.17.1", "j=sm", "{daemon_addr}=192.0.2.9"}},
			[]string{"macros connect v=8.17.1 j=sm {daemon_addr}=192.0.2.9"}},
		{"one's own come first", on + "[milter.macros]\nif_name = \"other\"\n\"{i}\" = \"dummy-id\"\n", postfixConnect("{daemon_addr}=192.0.2.9"),
			[]string{sent + "{daemon_addr}=192.0.2.9 {if_addr}=192.0.2.9 {if_name}=other", "macros mail i=dummy-id"}},
	} {
		if got := toldMacros(t, c.lines, c.mta); !slices.Equal(got, c.want) {
			t.Errorf("%s: told\n%s\nwant\n%s", c.rule, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// A macro of [milter.macros] is sent at the stage of its name and of its condition, in
// place of the MTA's, with the value that the condition gives it.
func TestOwnMacros(t *testing.T) {
	t.Parallel()
	mta := postfixConnect()
	mta[milterkit.StageMail] = []string{"{auth_type}=PLAIN", "{mail_addr}=a@gmail.com"}
	for lines, want := range map[string][]string{
		"\"{stress}\" = \"yes\"\n":    {"macros connect v=Postfix 3.7.11 j=mx.example.test {stress}=yes", "macros mail {auth_type}=PLAIN {mail_addr}=a@gmail.com"},
		"auth_type = \"CRAM-MD5\"\n":  {"macros connect v=Postfix 3.7.11 j=mx.example.test", "macros mail {mail_addr}=a@gmail.com {auth_type}=CRAM-MD5"},
		"j = { value = \"other\" }\n": {"macros connect v=Postfix 3.7.11 j=other", "macros mail {auth_type}=PLAIN {mail_addr}=a@gmail.com"},
		`trusted_domain = { value = "yes", when = 'mail_from.domain in ["gmail.com"]' }`: {
			"macros connect v=Postfix 3.7.11 j=mx.example.test", "macros mail {auth_type}=PLAIN {mail_addr}=a@gmail.com {trusted_domain}=yes"},
		`trusted_domain = { value = "yes", when = 'mail_from.domain in ["example.org"]', else = "no" }`: {
			"macros connect v=Postfix 3.7.11 j=mx.example.test", "macros mail {auth_type}=PLAIN {mail_addr}=a@gmail.com {trusted_domain}=no"},
		`x = { value = "1", when = 'local' }`: {
			"macros connect v=Postfix 3.7.11 j=mx.example.test", "macros mail {auth_type}=PLAIN {mail_addr}=a@gmail.com"},
		`x = { value = "1", when = 'rcpt_to startsWith "bob"', else = "2" }`: {
			"macros connect v=Postfix 3.7.11 j=mx.example.test", "macros mail {auth_type}=PLAIN {mail_addr}=a@gmail.com", "macros rcpt x=1", "macros rcpt x=2"},
	} {
		if got := toldMacros(t, "[milter.macros]\n"+lines, mta); !slices.Equal(got, want) {
			t.Errorf("%s: told\n%s\nwant\n%s", lines, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// The MTA is asked for the macros at which own macros and their conditions look.
func TestMacrosOfConditionsOfMacrosAreAskedFor(t *testing.T) {
	t.Parallel()
	h := mustBuild(t, "[[milter]]\nname = \"a\"\nsocket = \"/a\"\nsendmail_macros = true\n[milter.macros]\nx = { value = \"1\", when = 'macro(\"client_rate\") == \"1\"' }\n").Dispatcher.Slots()[0].Child.Hooks()
	if !slices.Contains(h.Macros[milterkit.StageConnect], "{daemon_addr}") || !slices.Contains(h.Macros[milterkit.StageRcpt], "{client_rate}") {
		t.Errorf("asked for are %v", h.Macros)
	}
}

// A shadow with a share takes part in that share of the sessions, whichever they are,
// and where its condition holds.
func TestShadowShare(t *testing.T) {
	t.Parallel()
	for _, share := range []float64{0.001, 0.1, 0.25, 0.9, 1} {
		slots := mustBuild(t, fmt.Sprintf("[[milter]]\nname = \"a\"\nsocket = \"/a\"\nshadow = true\nshadow_share = %g\nwhen = 'client.name != \"x\"'\n", share)).Dispatcher.Slots()
		when := slots[0].When
		for _, from := range []uint64{1, 1e6, math.MaxUint64 - 5000} {
			n := 0
			for id := from; id < from+1000; id++ {
				e := &milterkit.Envelope{Session: &milterkit.Session{ID: id, Host: "y"}}
				if when.Holds(t.Context(), e, milterkit.Address{}) {
					n++
				}
				e.Host = "x"
				if when.Holds(t.Context(), e, milterkit.Address{}) {
					t.Fatalf("session %d takes part against its condition", id)
				}
			}
			if off := math.Abs(float64(n) - 1000*share); off > 3 {
				t.Errorf("%g: of 1000 sessions %d take part", share, n)
			}
		}
	}
}

// Without a condition or a share the slot has none.
func TestShadowOfAllSessionsHasNoCondition(t *testing.T) {
	t.Parallel()
	slots := mustBuild(t, "[[milter]]\nname = \"a\"\nsocket = \"/a\"\nshadow = true\n[[milter]]\nname = \"b\"\nsocket = \"/b\"\nshadow = true\nshadow_share = 0.5\n").Dispatcher.Slots()
	if slots[0].When.Holds != nil || slots[1].When.At != milterkit.StageConnect || takesPart(slots[1]) != "b: when in 0.5 of the sessions (settled at connect)" {
		t.Errorf("got %+v, %s", slots, takesPart(slots[1]))
	}
}
