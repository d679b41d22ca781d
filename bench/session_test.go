package bench

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A small mail, of which each command can be told.
var small = Mail{Name: "small", Fields: 8, Header: 300, Body: 10, Recipients: 2}

// startFilter starts a filter that notes what it is told.
func startFilter(t *testing.T, script miltertest.Script) (Addr, *miltertest.Filter) {
	t.Helper()
	f := &miltertest.Filter{Script: script}
	path, err := f.Start("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return Addr{"unix", path}, f
}

// words returns the commands that a filter saw, those of a kind told once.
func words(f *miltertest.Filter) string {
	var list []string
	for _, line := range f.Saw() {
		word, _, _ := strings.Cut(line, " ")
		if n := len(list); n == 0 || list[n-1] != word {
			list = append(list, word)
		}
	}
	return strings.Join(list, " ")
}

func TestAFilterIsToldAllOfAMail(t *testing.T) {
	addr, f := startFilter(t, miltertest.Script{Steps: wire.LeadingSpace})
	m := &mta{addrs: []Addr{addr}}
	if err := m.session([]Mail{small, small}); err != nil {
		t.Fatal(err)
	}
	if err := f.Idle(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	const message = "mail rcpt data header eoh body eom abort"
	if got, want := words(f), "connect helo "+message+" "+message+" quit"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	saw := strings.Join(f.Saw(), "\n")
	for _, want := range []string{"helo client.example.org", "mail <alice@example.org> SIZE=310", "rcpt <bob1@example.net>", "header Subject: a mail of the benchmark"} {
		if !strings.Contains(saw, want) {
			t.Errorf("%q is missing in\n%s", want, saw)
		}
	}
	macros := strings.Join(f.SawMacros(), "\n")
	for _, want := range []string{"connect j=mx.example.net", "{mail_addr}=alice@example.org", "{rcpt_addr}=bob1@example.net", "eom i=4B2Xk01"} {
		if !strings.Contains(macros, want) {
			t.Errorf("the macro %q is missing in\n%s", want, macros)
		}
	}
}

// What a filter does not want it is not sent, whatever it is, and all the rest
// of the session goes on; what it does not answer it is sent.
func TestAFilterIsSentWhatItWants(t *testing.T) {
	const all = "connect helo mail rcpt data header eoh body eom"
	for _, word := range strings.Fields(all)[:8] {
		cmd := miltertest.Command(word)
		for _, c := range []struct {
			rule  string
			steps wire.Steps
			want  string
		}{
			{"without " + word, wire.NoStep(cmd), strings.ReplaceAll(all, word+" ", "")},
			{"no answer to " + word, wire.NoReply(cmd), all},
		} {
			t.Run(c.rule, func(t *testing.T) {
				addr, f := startFilter(t, miltertest.Script{Steps: c.steps})
				m := &mta{addrs: []Addr{addr}}
				if err := m.session([]Mail{small}); err != nil {
					t.Fatal(err)
				}
				if err := f.Idle(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				if got := words(f); got != c.want+" abort quit" {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
			})
		}
	}
}

// What nobody answers is written together with what is answered next.
func TestAPlanWritesAsPostfixDoes(t *testing.T) {
	p := newPlan(small, wire.NoReplyHeader|wire.NoReplyEOH|wire.NoReplyRcpt|wire.NoData)
	var got []string
	for _, x := range append(p.envelope, p.content...) {
		got = append(got, fmt.Sprintf("%s %d", wire.CmdName(x.cmd), x.replies))
	}
	want := []string{wire.CmdName(wire.CmdMail) + " 1", wire.CmdName(wire.CmdBody) + " 1", wire.CmdName(wire.CmdEOM) + " 1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if first := p.content[0].out; !bytes.Contains(first, []byte("bob1@")) || !bytes.Contains(first, []byte("Subject")) {
		t.Errorf("the recipients and the header are not with the body: %q", first)
	}
}

func TestAnAnswerEndsWhatItEnds(t *testing.T) {
	for _, c := range []struct {
		rule string
		on   map[byte][]miltertest.Answer
		want string // in a session of two messages
	}{
		{"accept at connect is for the session", map[byte][]miltertest.Answer{wire.CmdConnect: {{Verdict: miltertest.Accept}}},
			"connect abort quit"},
		{"accept at mail is for the message", map[byte][]miltertest.Answer{wire.CmdMail: {{Verdict: miltertest.Accept, Message: 1}}},
			"connect helo mail abort mail rcpt data header eoh body eom abort quit"},
		{"skip is for the body", map[byte][]miltertest.Answer{wire.CmdBody: {{Verdict: miltertest.Skip}}},
			"connect helo mail rcpt data header eoh body eom abort mail rcpt data header eoh body eom abort quit"},
		{"progress is waited past", map[byte][]miltertest.Answer{wire.CmdEOM: {{Progress: 2}}},
			"connect helo mail rcpt data header eoh body eom abort mail rcpt data header eoh body eom abort quit"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			addr, f := startFilter(t, miltertest.Script{On: c.on, Steps: wire.CanSkip})
			m := &mta{addrs: []Addr{addr}}
			if err := m.session([]Mail{small, small}); err != nil {
				t.Fatal(err)
			}
			if err := f.Idle(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			if got := words(f); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// The envelope is asked filter by filter, and the content of a message is one
// stage.
func TestFiltersAreAskedOneAfterAnother(t *testing.T) {
	first, _ := startFilter(t, miltertest.Script{On: map[byte][]miltertest.Answer{wire.CmdEOM: {{Text: "550 5.7.1 no"}}}})
	second, f := startFilter(t, miltertest.Script{})
	m := &mta{addrs: []Addr{first, second}}
	err := m.session([]Mail{small})
	if !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "550 5.7.1 no") {
		t.Fatalf("got %v, want the refusal", err)
	}
	if err := f.Idle(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if got, want := words(f), "connect helo mail rcpt data abort quit"; got != want {
		t.Errorf("the second filter saw %s, want %s", got, want)
	}
}

func TestWhoIsNoMilterIsNotReached(t *testing.T) {
	addr, _ := startFilter(t, miltertest.Script{})
	if err := Reach(addr, time.Second); err != nil {
		t.Error(err)
	}
	for rule, script := range map[string]miltertest.Script{
		"closes": {Negotiate: miltertest.Answer{Close: true}},
		"hangs":  {Negotiate: miltertest.Answer{Hang: true}},
		"talks":  {Negotiate: miltertest.Answer{Raw: []byte("220 mail.example.org ESMTP\r\n")}},
	} {
		addr, _ := startFilter(t, script)
		if err := Reach(addr, 50*time.Millisecond); err == nil {
			t.Errorf("one that %s is reached", rule)
		}
	}
}
