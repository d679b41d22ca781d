package remote_test

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

func TestOfferIsVersion6WithAllSteps(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{}).greet()
	if got := r.filter.Events()[0].Text; got != "negotiate version=6 actions=0x1ff steps=0x1fffff" {
		t.Error(got)
	}
}

func TestOfferHasOnlyTheActionsOfTheMTAAndMacroLists(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{})
	r.acts = wire.ActAddHeader | wire.ActChangeBody
	r.greet()
	if got := r.filter.Events()[0].Text; got != "negotiate version=6 actions=0x103 steps=0x1fffff" {
		t.Error(got)
	}
}

// Source: rspamd's proxy, which answers 0xff080 whatever it was offered.
func TestRepliesPromisedAwayAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := Script{Steps: 0xff080, Stubborn: true, On: map[byte][]Answer{
		wire.CmdEOM: {{Edits: []Edit{AddHeader("X-Spam", "no")}}},
	}}
	r := newRig(t, s).envelope()
	o := r.letter()
	r.want("end of message", o.Verdict, milterkit.Continue)
	wantLines(t, edits(o), "add header 0 X-Spam: no")
	r.wantSaw("connect mx.example.org 4 192.0.2.1 2525", "helo mx.example.org", "mail <a@example.org> SIZE=9",
		"rcpt <b@example.net>", "data", "header Subject:hello", "eoh", `body "text\r\n"`, "eom", "abort", "quit")
}

func TestVersion2IsNotShownDataAndUnknown(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{Version: 2}).greet()
	r.want("unknown", r.walk.Unknown(t.Context(), "XYZ"), milterkit.Continue)
	r.want("message", r.message(), milterkit.Continue)
	r.wantSaw("connect mx.example.org 4 192.0.2.1 2525", "helo mx.example.org", "mail <a@example.org> SIZE=9",
		"rcpt <b@example.net>", "header Subject:hello", "eoh", `body "text\r\n"`, "eom", "abort", "quit")
}

// Source: np_mask in Postfix's milter8_event.
func TestMacrosOfCommandsThatAVersionDoesNotHaveAreNotSent(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{Version: 2}).greet()
	r.mail()
	r.macro(milterkit.StageRcpt, "i", "Q1")
	r.rcpt("<b@example.net>")
	r.macro(milterkit.StageData, "i", "Q1")
	r.data()
	r.close()
	r.idle(1)
	wantLines(t, r.filter.SawMacros(), "macros rcpt i=Q1")
}

func TestMacrosOfFieldsThatAreNotThereAreNotSent(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{}).envelope()
	r.macro(milterkit.StageHeader, "i", "Q1")
	r.content(nil, "text\r\n")
	r.close()
	r.idle(1)
	wantLines(t, r.filter.SawMacros(), "macros eoh i=Q1")
}

func TestUnwantedStepsAreLeftOutAndTheirMacrosSent(t *testing.T) {
	t.Parallel()
	no := wire.NoConnect | wire.NoHelo | wire.NoMail | wire.NoRcpt | wire.NoData | wire.NoHeader | wire.NoEOH | wire.NoBody | wire.NoUnknown
	r := newRig(t, Script{Steps: no}).open()
	r.macro(milterkit.StageConnect, "j", "mail.example.net")
	r.connect()
	r.helo()
	r.mail()
	r.macro(milterkit.StageRcpt, "i", "Q1", "{rcpt_mailer}", "local")
	r.rcpt("<b@example.net>")
	r.data()
	r.want("end of message", r.letter().Verdict, milterkit.Continue)
	r.wantSaw("eom", "abort", "quit")
	wantLines(t, r.filter.SawMacros(), "macros connect j=mail.example.net", "macros rcpt i=Q1 {rcpt_mailer}=local")
}

func TestMacrosStandBeforeTheirCommand(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{}).open()
	r.macro(milterkit.StageConnect, "j", "mx")
	r.connect()
	r.macro(milterkit.StageHelo, "{tls_version}", "TLSv1.3")
	r.helo()
	r.macro(milterkit.StageMail, "{mail_addr}", "a@example.org")
	r.mail()
	r.macro(milterkit.StageRcpt, "i", "Q1")
	r.rcpt("<b@example.net>")
	r.macro(milterkit.StageData, "i", "Q1")
	r.data()
	r.macro(milterkit.StageHeader, "i", "Q1")
	r.macro(milterkit.StageBody, "i", "Q1")
	r.macro(milterkit.StageMessage, "i", "Q1")
	r.content([]string{"A: 1", "B: 2"}, "x", "y")
	r.close()
	r.idle(1)
	var got []string
	for _, e := range r.filter.Events()[1:] {
		got = append(got, e.Text)
	}
	wantLines(t, got, "macros connect j=mx", "connect mx.example.org 4 192.0.2.1 2525",
		"macros helo {tls_version}=TLSv1.3", "helo mx.example.org",
		"macros mail {mail_addr}=a@example.org", "mail <a@example.org> SIZE=9",
		"macros rcpt i=Q1", "rcpt <b@example.net>", "macros data i=Q1", "data",
		"macros header i=Q1", "header A:1", "header B:2", "macros eoh i=Q1", "eoh",
		"macros body i=Q1", `body "x"`, `body "y"`, "macros eom i=Q1", "eom", "abort", "quit")
}

func TestListedMacrosOnlyAreSentWhereThereIsAList(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{Macros: []wire.MacroList{
		{Stage: wire.StageMail, Names: []string{"{mail_addr}", "i", "nothing"}},
		{Stage: wire.StageRcpt},
	}}).open()
	r.connect()
	r.macro(milterkit.StageMail, "i", "Q1", "{auth_type}", "PLAIN", "mail_addr", "a@example.org")
	r.mail()
	r.macro(milterkit.StageRcpt, "i", "Q1")
	r.rcpt("<b@example.net>")
	r.close()
	r.idle(1)
	wantLines(t, r.filter.SawMacros(), "macros mail {mail_addr}=a@example.org i=Q1", "macros rcpt i=Q1")
}

// What was sent ahead on other terms is sent again on these, on another connection.
func TestStepsAreThoseOfTheSessionAndNotOfTheLast(t *testing.T) {
	t.Parallel()
	last := Script{Steps: wire.NoConnect | wire.LeadingSpace}
	f := &Filter{ScriptFor: func(session int) Script {
		return []Script{{Steps: wire.NoHelo}, last, last}[session-1]
	}}
	r := newRigFor(t, f).greet()
	r.greet()
	r.want("message", r.message(), milterkit.Continue)
	r.close()
	r.idle(1)
	saw := slices.DeleteFunc(r.filter.Saw(), func(line string) bool { return line == "closed" }) // or it was about to answer
	const connect = "connect mx.example.org 4 192.0.2.1 2525"
	wantLines(t, saw, connect, "quit", connect, "helo mx.example.org", "mail <a@example.org> SIZE=9",
		"rcpt <b@example.net>", "data", "header Subject: hello", "eoh", `body "text\r\n"`, "eom", "abort", "quit")
}

func TestLeadingSpaceIsAdaptedBothWays(t *testing.T) {
	t.Parallel()
	fields := []string{"A: 1", "B:2", "C:", "D:\t4", "E:  5", "F: "}
	asked := []Edit{{Code: wire.RepAddHeader, Name: "G", Value: " 7"}, {Code: wire.RepAddHeader, Name: "H"},
		{Code: wire.RepChgHeader, Index: 1, Name: "A", Value: " one"}, {Code: wire.RepChgHeader, Index: 1, Name: "E"}}
	for name, test := range map[string]struct {
		steps wire.Steps
		saw   string
		edits []string
	}{
		"without": {0, "A:1 B:2 C: D:\t4 E: 5 F:", []string{"change header 1 A: one", "delete header 1 E:", "add header 0 G: 7", "add header 0 H: "}},
		"with": {wire.LeadingSpace, "A: 1 B:2 C: D:\t4 E:  5 F: ",
			[]string{"change header 1 A: one", "delete header 1 E:", "add header 0 G: 7", "add header 0 H:"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := on(wire.CmdEOM, Answer{Edits: asked})
			s.Steps = test.steps
			r := newRig(t, s).envelope()
			o := r.content(fields)
			got := map[string]bool{}
			for _, e := range edits(o) {
				got[e] = true
			}
			for _, e := range test.edits {
				if !got[e] {
					t.Errorf("no %q in %q", e, edits(o))
				}
			}
			var saw []string
			for _, line := range r.filter.Saw() {
				if f, ok := strings.CutPrefix(line, "header "); ok {
					saw = append(saw, strings.ReplaceAll(f, `\t`, "\t"))
				}
			}
			if got := strings.Join(saw, " "); got != test.saw {
				t.Errorf("saw %q, want %q", got, test.saw)
			}
		})
	}
}

// With another MTA the milter may do well, so it is not down.
func TestActionsNotOfferedAreAFailureOfTheSessionOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{Actions: wire.ActChangeBody | wire.ActAddHeader, Stubborn: true})
	r.acts = wire.ActAddHeader
	r.open()
	r.want("connect", r.connect(), milterkit.Continue)
	r.want("message", r.message(), tryAgain)
	r.wantLog("it does not agree to what the MTA can do: it asks for replace body")
	r.acts = wire.AllActions
	r.greet()
	r.want("message to another MTA", r.message(), milterkit.Continue)
	if strings.Contains(r.log.String(), "down") {
		t.Error(r.log)
	}
}

// Source: libmilter's st_optionneg.
func TestClosingOnAnOfferOfTooLittleDoesNotMakeItDown(t *testing.T) {
	t.Parallel()
	r := newChild(t, "unix", fake(t, func(nc net.Conn, r *wire.Reader) {
		if f, err := r.Next(); err == nil && f.Payload[7] == 0xff {
			nc.Write(wire.Negotiation{Version: 6}.Append(nil))
			r.Next()
			nc.Write(Frame(wire.RepContinue, ""))
			r.Next()
		}
	}))
	r.acts = wire.ActAddHeader
	r.open()
	r.connect()
	r.want("mail", r.mail(), tryAgain)
	r.wantLog("it does not agree to what the MTA can do: it has closed the connection")
	r.acts = wire.AllActions
	r.open()
	r.connect()
	if strings.Contains(r.log.String(), "down") {
		t.Error(r.log)
	}
}

// faultyNegotiations are answers to the offer that are none, and what is said of
// them.
var faultyNegotiations = []struct {
	name   string
	answer Answer
	words  string
}{
	{"another version", Answer{Raw: wire.Negotiation{Version: 7}.Append(nil)}, "it speaks version 7 of the milter protocol; 2 to 6 are spoken here"},
	{"version 1", Answer{Raw: wire.Negotiation{Version: 1}.Append(nil)}, "version 1"},
	{"an SMTP server", Answer{Raw: []byte("220 mail.example.net ESMTP\r\n")}, "not a milter peer: first bytes look like SMTP"},
	{"closed", Answer{Close: true}, "negotiation: it has closed the connection: EOF"},
	{"too short", Answer{Raw: Frame(wire.CmdNegotiate, "\x00\x00")}, "milter protocol: NEGOTIATE"},
	{"another frame", Answer{Raw: Frame(wire.RepContinue, "")}, "CONTINUE: in place of the negotiation"},
	{"nothing", Answer{Hang: true}, "no answer to the negotiation within 100ms"},
	{"actions without a name", Answer{Raw: wire.Negotiation{Version: 6, Actions: 0x800}.Append(nil)}, "it asks for actions 0x800"},
}

func TestFaultyNegotiations(t *testing.T) {
	t.Parallel()
	second := Answer{Raw: append(wire.Negotiation{Version: 6}.Append(nil), Frame(wire.RepContinue, "")...)}
	for _, test := range append(slices.Clone(faultyNegotiations), struct {
		name   string
		answer Answer
		words  string
	}{"a second frame", second, "more answers than"}) {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Script{Negotiate: test.answer})
			r.child.ConnectTimeout = 100 * time.Millisecond
			err := r.child.Probe(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.words) {
				t.Errorf("%v, want %q", err, test.words)
			}
			r.idle(1)
		})
	}
}

// A milter that was well in the session before is found out in the same words,
// and is down then.
func TestFaultyNegotiationsAfterAGoodOne(t *testing.T) {
	t.Parallel()
	for _, test := range faultyNegotiations {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &Filter{ScriptFor: func(session int) Script {
				if session == 1 {
					return Script{}
				}
				return Script{Negotiate: test.answer}
			}}
			r := newRigFor(t, f).greet()
			r.child.ConnectTimeout = 100 * time.Millisecond
			r.open()
			r.want("connect", r.connect(), milterkit.Continue)
			r.want("mail", r.mail(), tryAgain)
			words := []string{test.words}
			if !strings.HasPrefix(test.name, "actions") {
				words = append(words, "milter is down")
			}
			r.wantLog(words...)
			r.close()
		})
	}
}

// recorder is a connection that keeps what is written to it.
type recorder struct {
	net.Conn
	writes *[]string // the frames of each write
}

func (c recorder) Write(p []byte) (int, error) {
	var codes []byte
	r := wire.NewReader(bytes.NewReader(p), nil)
	for f, err := r.Next(); err == nil; f, err = r.Next() {
		codes = append(codes, f.Code)
	}
	*c.writes = append(*c.writes, string(codes))
	return c.Conn.Write(p)
}

// From the second session on the milter is told of the client in one write with the
// negotiation, unless it is to be asked for each thing alone.
func TestConnectIsSentWithTheNegotiation(t *testing.T) {
	t.Parallel()
	for lockstep, want := range map[bool]string{false: "O C H OC H", true: "O C H O C H"} {
		r := newRig(t, Script{})
		r.child.Lockstep = lockstep
		var writes []string
		r.child.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			return recorder{nc, &writes}, err
		}
		r.greet().greet()
		got := strings.ReplaceAll(strings.Join(writes, " "), " Q", "") // the goodbye is not waited for
		if got != want {
			t.Errorf("lockstep %t: %q, want %q", lockstep, got, want)
		}
	}
}

// What is sent ahead is cut off with its hook.
func TestSilentMilterDoesNotKeepConnectLongerThanItsTime(t *testing.T) {
	t.Parallel()
	f := &Filter{ScriptFor: func(session int) Script {
		if session == 1 {
			return Script{}
		}
		return Script{Negotiate: Answer{Hang: true}}
	}}
	r := newRigFor(t, f)
	r.slot.CommandTimeout = 100 * time.Millisecond
	r.greet()
	began := time.Now()
	r.open()
	r.want("connect", r.connect(), milterkit.Continue)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	r.want("mail", r.mail(), tryAgain)
}

func TestProbeLearnsMacroListsAndSaysGoodbye(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{Macros: []wire.MacroList{{Stage: wire.StageConnect, Names: []string{"{if_name}"}}, {Stage: wire.StageEOM, Names: []string{"i"}}}})
	if r.child.Hooks().Macros != nil {
		t.Error("it knows of lists before")
	}
	if err := r.child.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := r.child.Hooks().Macros
	wantLines(t, m[milterkit.StageConnect], "{if_name}")
	wantLines(t, m[milterkit.StageMessage], "i")
	r.wantSaw("quit")
}

func TestNameIsTheLabelOrTheAddress(t *testing.T) {
	m := &remote.Milter{Network: "tcp", Addr: "127.0.0.1:8891"}
	if m.Name() != "127.0.0.1:8891" {
		t.Error(m.Name())
	}
	if m.Label = "dkim"; m.Name() != "dkim" {
		t.Error(m.Name())
	}
}
