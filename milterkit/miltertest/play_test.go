package miltertest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

var client = Client{
	Host: "mx.example.org", Family: wire.FamilyInet, Addr: "192.0.2.1", Port: 2525,
	Helo: "mx.example.org", MTA: "mail.example.net",
}

// mail returns a small message to two recipients.
func mail() Mail {
	return Mail{
		From: "<a@example.org>", FromArgs: []string{"SIZE=99"}, QueueID: "4B2",
		To:      []Recipient{{Addr: "<b@example.net>"}, {Addr: "<c@example.net>"}},
		Message: ParseMessage([]byte("Subject: hello\nX-Empty:\n\ntext\n")),
	}
}

// play plays one session with those mails.
func play(t *testing.T, s Script, o Offer, mails ...Mail) ([]*Outcome, *Filter) {
	t.Helper()
	m, f := dial(t, s, o)
	p := &Player{MTA: m, Client: client}
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
	var outcomes []*Outcome
	for _, mail := range mails {
		o, err := p.Mail(mail)
		if err != nil {
			t.Fatal(err)
		}
		outcomes = append(outcomes, o)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Idle(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return outcomes, f
}

// all returns all that a filter was told, in one text.
func all(f *Filter) string {
	var b strings.Builder
	for _, e := range f.Events() {
		if e.Cmd != wire.CmdNegotiate {
			b.WriteString(e.Text + "\n")
		}
	}
	return b.String()
}

// Source: a session between Postfix 3.7 and amavisd-milter, as recorded.
func TestPostfixSession(t *testing.T) {
	_, f := play(t, Script{Steps: wire.NoEOH}, Offer{}, mail())
	want := `macros connect j=mail.example.net {daemon_name}=mail.example.net {daemon_addr}=127.0.0.1 v=Postfix 3.11.0 _=mx.example.org [192.0.2.1]
connect mx.example.org 4 192.0.2.1 2525
macros helo
helo mx.example.org
macros mail {mail_addr}=a@example.org {mail_host}=example.org {mail_mailer}=smtp
mail <a@example.org> SIZE=99
macros rcpt {rcpt_addr}=b@example.net {rcpt_host}=example.net {rcpt_mailer}=local
rcpt <b@example.net>
macros rcpt i=4B2 {rcpt_addr}=c@example.net {rcpt_host}=example.net {rcpt_mailer}=local
rcpt <c@example.net>
macros data i=4B2
data
macros header i=4B2
header Subject:hello
macros header i=4B2
header X-Empty:
macros body i=4B2
body "text\r\n"
macros eom i=4B2
eom
abort
abort
quit
`
	if diff := cmp.Diff(want, all(f)); diff != "" {
		t.Error(diff)
	}
}

func TestSendmailSession(t *testing.T) {
	_, f := play(t, Script{}, Offer{Sendmail: true}, mail())
	want := `macros connect j=mail.example.net _=mx.example.org [192.0.2.1] {daemon_name}=mail.example.net {if_name}=mail.example.net {if_addr}=127.0.0.1
connect mx.example.org 4 192.0.2.1 2525
helo mx.example.org
macros mail i=4B2 {mail_mailer}=smtp {mail_host}=example.org {mail_addr}=a@example.org
mail <a@example.org> SIZE=99
macros rcpt {rcpt_mailer}=local {rcpt_host}=example.net {rcpt_addr}=b@example.net
rcpt <b@example.net>
macros rcpt {rcpt_mailer}=local {rcpt_host}=example.net {rcpt_addr}=c@example.net
rcpt <c@example.net>
data
header Subject:hello
header X-Empty:
eoh
body "text\r\n"
eom
quit
`
	if diff := cmp.Diff(want, all(f)); diff != "" {
		t.Error(diff)
	}
}

func TestAListOfTheFilterReplacesTheMTAs(t *testing.T) {
	s := Script{Macros: []wire.MacroList{
		{Stage: wire.StageConnect, Names: []string{"{client_addr}", "v", "{nothing}"}},
		{Stage: wire.StageEOM, Names: []string{"{auth_authen}", "i", "{mail_addr}", "{tls_version}"}},
	}}
	m, f := dial(t, s, Offer{})
	c := client
	c.Known = map[string]string{"auth_authen": "alice", "tls_version": "TLSv1.3"}
	p := &Player{MTA: m, Client: c}
	p.Open()
	p.Mail(mail())
	p.Close()
	f.Idle(t.Context(), 1)
	text := all(f)
	for _, want := range []string{
		"macros connect {client_addr}=192.0.2.1 v=Postfix 3.11.0\n",
		"macros mail {auth_authen}=alice {mail_addr}=a@example.org",
		"macros body {auth_authen}=alice i=4B2\n", "macros eom {auth_authen}=alice i=4B2\n", "macros data i=4B2\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestHowAMessageEnds(t *testing.T) {
	for name, c := range map[string]struct {
		script Script
		result Result
		at     string
		last   string // that the filter saw before the message ended
		to     int
	}{
		"nothing said":      {Script{}, Accepted, "eom", "eom", 2},
		"accept at mail":    {on(wire.CmdMail, Answer{Verdict: Accept}), Accepted, "mail", "mail <a@example.org> SIZE=99", 2},
		"reject at mail":    {on(wire.CmdMail, Answer{Verdict: Reject}), Rejected, "mail", "mail <a@example.org> SIZE=99", 0},
		"one rcpt refused":  {on(wire.CmdRcpt, Answer{Nth: 1, Text: "550 no"}), Accepted, "eom", "eom", 1},
		"all rcpts refused": {on(wire.CmdRcpt, Answer{Verdict: TempFail}), TempFailed, "rcpt", "rcpt <c@example.net>", 0},
		"accept at rcpt":    {on(wire.CmdRcpt, Answer{Nth: 2, Verdict: Accept}), Accepted, "rcpt", "rcpt <c@example.net>", 2},
		"discard at rcpt":   {on(wire.CmdRcpt, Answer{Verdict: Discard}), Discarded, "rcpt", "rcpt <b@example.net>", 2},
		"hang-up at rcpt":   {on(wire.CmdRcpt, Answer{Text: "421 4.7.0 bye"}), Disconnected, "rcpt", "rcpt <b@example.net>", 2},
		"tempfail at data":  {on(wire.CmdData, Answer{Verdict: TempFail}), TempFailed, "data", "data", 2},
		"reply at a header": {on(wire.CmdHeader, Answer{If: "hello", Text: "550 no"}), Rejected, "header", "header Subject:hello", 2},
		"accept at eoh":     {on(wire.CmdEOH, Answer{Verdict: Accept}), Accepted, "eoh", "eoh", 2},
		"discard at body":   {on(wire.CmdBody, Answer{Verdict: Discard}), Discarded, "body", `body "text\r\n"`, 2},
		"reject at eom":     {on(wire.CmdEOM, Answer{Verdict: Reject}), Rejected, "eom", "eom", 2},
	} {
		outcomes, f := play(t, c.script, Offer{}, mail())
		o := outcomes[0]
		if o.Result != c.result || Word(o.At) != c.at || len(o.Envelope.To) != c.to && c.to > 0 {
			t.Errorf("%s: %v at %s, to %v", name, o.Result, Word(o.At), o.Envelope.To)
		}
		saw := f.Saw()
		for len(saw) > 0 && (saw[len(saw)-1] == "quit" || saw[len(saw)-1] == "abort") {
			saw = saw[:len(saw)-1]
		}
		if last := saw[len(saw)-1]; last != c.last {
			t.Errorf("%s: the filter saw last %q", name, last)
		}
		if refused := o.Result == Rejected || o.Result == TempFailed || o.Result == Disconnected; refused != (o.Reply != "") {
			t.Errorf("%s: the client was told %q", name, o.Reply)
		}
	}
}

func TestASettledSessionIsNotTalkedOfAgain(t *testing.T) {
	for _, c := range []struct {
		answer Answer
		result Result
	}{{Answer{Verdict: Accept}, Accepted}, {Answer{Text: "554 5.7.1 not you"}, Rejected}} {
		outcomes, f := play(t, on(wire.CmdConnect, c.answer), Offer{}, mail(), mail())
		for _, o := range outcomes {
			if o.Result != c.result || len(o.Steps) != 0 || o.Result == Accepted && len(o.Envelope.To) != 2 {
				t.Errorf("%v: %v, %v", c.answer, o.Result, o.Steps)
			}
		}
		// Postfix closes the connection without a QUIT.
		if diff := cmp.Diff([]string{"connect mx.example.org 4 192.0.2.1 2525", "closed"}, f.Saw()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestADiscardAtConnectIsContinue(t *testing.T) {
	outcomes, _ := play(t, on(wire.CmdConnect, Answer{Verdict: Discard}), Offer{}, mail())
	if o := outcomes[0]; o.Result != Accepted || o.At != wire.CmdEOM {
		t.Errorf("%v at %s", o.Result, Word(o.At))
	}
}

func TestTwoMessagesInASession(t *testing.T) {
	s := on(wire.CmdEOM, Answer{Message: 1, Edits: []Edit{AddHeader("X", "1"), Quarantine("odd")}}, Answer{Verdict: Reject})
	outcomes, f := play(t, s, Offer{}, mail(), mail())
	if o := outcomes[0]; o.Result != Accepted || !o.Held || o.Reason != "odd" ||
		o.Message.String() != "Subject: hello\nX-Empty:\nX: 1\n\ntext\n" {
		t.Errorf("first: %+v", o)
	}
	if o := outcomes[1]; o.Result != Rejected || o.Message.String() != "Subject: hello\nX-Empty:\n\ntext\n" {
		t.Errorf("second: %+v", o)
	}
	if n := strings.Count(strings.Join(f.Saw(), " "), "abort"); n != 3 {
		t.Errorf("%d aborts", n)
	}
}

func TestTheClientCanBreakOffAnywhere(t *testing.T) {
	for _, at := range []byte{wire.CmdMail, wire.CmdRcpt, wire.CmdData, wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM} {
		m := mail()
		m.AbortAt = at
		outcomes, f := play(t, Script{}, Offer{}, m)
		if o := outcomes[0]; o.Result != Aborted {
			t.Errorf("%s: %v", Word(at), o.Result)
		}
		for _, line := range f.Saw() {
			if strings.HasPrefix(line, Word(at)+" ") || line == Word(at) {
				t.Errorf("%s: the filter saw %q", Word(at), line)
			}
		}
	}
}

func TestRefusedRecipientsAreForThoseWhoAsk(t *testing.T) {
	m := mail()
	m.To[0].Refused = "550 5.1.1 unknown user"
	for steps, want := range map[wire.Steps]int{0: 1, wire.RefusedRcpts: 2} {
		outcomes, f := play(t, Script{Steps: steps}, Offer{}, m)
		if n := strings.Count(strings.Join(f.Saw(), "\n"), "rcpt "); n != want {
			t.Errorf("steps 0x%x: saw %d recipients", steps, n)
		}
		if to := outcomes[0].Envelope.To; len(to) != 1 {
			t.Errorf("delivered to %v", to)
		}
	}
}

func TestABodyComesInPiecesAndAnEmptyOneNotAtAll(t *testing.T) {
	m := mail()
	m.Message.Body = make([]byte, 2*wire.MaxBody+1)
	_, f := play(t, Script{}, Offer{}, m)
	if n := strings.Count(strings.Join(f.Saw(), "\n"), "body "); n != 3 {
		t.Errorf("%d pieces", n)
	}
	m.Message.Body = nil
	_, f = play(t, Script{}, Offer{}, m)
	if n := strings.Count(strings.Join(f.Saw(), "\n"), "body"); n != 0 {
		t.Errorf("%d pieces of nothing", n)
	}
}

func TestUnknownCommandsAndOwnReceived(t *testing.T) {
	m := mail()
	m.Unknown = []string{"XYZZY now"}
	m.Message.AddReceived(" by us")
	_, f := play(t, on(wire.CmdUnknown, Answer{Verdict: Reject}), Offer{}, m)
	saw := strings.Join(f.Saw(), "\n")
	if !strings.Contains(saw, "unknown XYZZY now") || strings.Contains(saw, "Received") {
		t.Error(saw)
	}
}

func TestAFilterCountsMessagesThatItSeesOnlyPartsOf(t *testing.T) {
	for _, not := range []wire.Steps{0, wire.NoMail, wire.NoMail | wire.NoRcpt | wire.NoData | wire.NoHeader | wire.NoEOH | wire.NoBody} {
		s := on(wire.CmdEOM, Answer{Message: 2, Nth: 1, Verdict: Reject})
		s.Steps = not
		outcomes, _ := play(t, s, Offer{}, mail(), mail(), mail())
		var got []Result
		for _, o := range outcomes {
			got = append(got, o.Result)
		}
		if diff := cmp.Diff([]Result{Accepted, Rejected, Accepted}, got); diff != "" {
			t.Errorf("steps 0x%x: %s", uint32(not), diff)
		}
	}
}
