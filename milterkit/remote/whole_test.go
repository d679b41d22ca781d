package remote_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-milter"
	"github.com/milterkit/sdk/milterkit"
	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

// These go the whole way: an MTA, a Server, a remote child, a filter.

// serve runs a Server for slots until the test ends.
func serve(t *testing.T, slots ...milterkit.Slot) (addr string) {
	t.Helper()
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	srv := &milterkit.Server{Dispatcher: d, TempDir: t.TempDir()}
	ln, err := net.Listen("unix", filepath.Join(temp(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { srv.Serve(ln) })
	t.Cleanup(func() {
		srv.Close()
		served.Wait()
		for _, s := range slots {
			if m, ok := s.Child.(*remote.Milter); ok {
				m.Close()
			}
		}
	})
	return ln.Addr().String()
}

// play plays a session with those mails.
func play(t *testing.T, addr string, offer Offer, mails ...Mail) (outcomes []*Outcome) {
	t.Helper()
	offer.Timeout = 10 * time.Second
	m, err := Dial(t.Context(), "unix", addr, offer)
	if err != nil {
		t.Fatal(err)
	}
	p := &Player{MTA: m, Client: Client{Host: "mx.example.org", Family: wire.FamilyInet, Addr: "192.0.2.1", Port: 2525,
		Helo: "mx.example.org", MTA: "mail.example.net"}}
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
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
	return outcomes
}

func letterTo(to ...string) Mail {
	m := Mail{From: "<a@example.org>", QueueID: "4B2",
		Message: ParseMessage([]byte("Subject: hello\nX-Empty:\nX-Fold: a\n\tb\n\ntext\x00\xff\n"))}
	for _, addr := range to {
		m.To = append(m.To, Recipient{Addr: addr})
	}
	return m
}

// stranger is a filter written with go-milter, which speaks version 2 and
// forgets a message's macros with the next ones.
type stranger struct {
	milter.NoOpMilter
	from string
	rcpt []string
	head []string
	body bytes.Buffer
}

func (s *stranger) MailFrom(from string, _ *milter.Modifier) (milter.Response, error) {
	*s = stranger{from: from}
	return milter.RespContinue, nil
}

func (s *stranger) RcptTo(to string, _ *milter.Modifier) (milter.Response, error) {
	if strings.HasPrefix(to, "nobody@") {
		return milter.NewResponseStr('y', "550 5.1.1 no such user"), nil
	}
	s.rcpt = append(s.rcpt, to)
	return milter.RespContinue, nil
}

func (s *stranger) Header(name, value string, _ *milter.Modifier) (milter.Response, error) {
	s.head = append(s.head, name+"="+value)
	return milter.RespContinue, nil
}

func (s *stranger) BodyChunk(chunk []byte, _ *milter.Modifier) (milter.Response, error) {
	s.body.Write(chunk)
	return milter.RespContinue, nil
}

func (s *stranger) Body(m *milter.Modifier) (milter.Response, error) {
	switch {
	case strings.Contains(s.body.String(), "virus"):
		return milter.NewResponseStr('y', "554 5.7.1 100%% virus"), nil
	case strings.Contains(s.body.String(), "leave"):
		return milter.RespAccept, nil
	}
	m.AddHeader("X-Saw", strings.Join(append([]string{m.Macros["i"], s.from}, append(s.rcpt, s.head...)...), " "))
	m.ChangeHeader(1, "Subject", "["+m.Macros["i"]+"]")
	m.ReplaceBody(bytes.ReplaceAll(s.body.Bytes(), []byte("text"), []byte("TEXT")))
	m.Quarantine("strange")
	return milter.RespContinue, nil
}

// startStranger starts a server of go-milter.
func startStranger(t *testing.T, network, addr string) string {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &milter.Server{
		NewMilter: func() milter.Milter { return &stranger{} },
		Actions:   milter.OptChangeHeader | milter.OptAddHeader | milter.OptChangeBody | milter.OptQuarantine,
	}
	var served sync.WaitGroup
	served.Go(func() { s.Serve(ln) })
	t.Cleanup(func() { s.Close(); served.Wait() })
	return ln.Addr().String()
}

func TestGoMilterFilterBehindAServer(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"unix", "tcp"} {
		at := "127.0.0.1:0"
		if network == "unix" {
			at = filepath.Join(temp(t), "f")
		}
		filter := startStranger(t, network, at)
		for name, offer := range map[string]Offer{"version 6": {Strict: true}, "version 2": VersionOffer(2), "Sendmail": {Sendmail: true}} {
			t.Run(network+" "+name, func(t *testing.T) {
				t.Parallel()
				addr := serve(t, milterkit.Slot{Child: &remote.Milter{Network: network, Addr: filter}})
				virus := letterTo("<b@example.net>")
				virus.Message.Body = []byte("a virus\r\n")
				leave := letterTo("<b@example.net>")
				leave.Message.Body = []byte("leave me\r\n")
				o := play(t, addr, offer, letterTo("<nobody@example.net>", "<b@example.net>"), virus, leave)

				saw := "4B2 a@example.org b@example.net Subject=hello X-Empty= X-Fold=a\n\tb"
				want := "Subject: [4B2]\nX-Empty:\nX-Fold: a\n\tb\nX-Saw: " + saw + "\n\nTEXT\x00\xff\n"
				if got := o[0].Message.String(); got != want {
					t.Errorf("%q\nwant\n%q", got, want)
				}
				if !o[0].Held || strings.Join(o[0].Refused, " ") != "<nobody@example.net>" {
					t.Errorf("held %t, refused %q", o[0].Held, o[0].Refused)
				}
				if o[1].Result != Rejected || o[1].Reply != "554 5.7.1 100% virus" {
					t.Errorf("%v %q", o[1].Result, o[1].Reply)
				}
				if o[2].Result != Accepted || len(o[2].Edits) > 0 {
					t.Errorf("%v %v", o[2].Result, o[2].Edits)
				}
			})
		}
	}
}

// go-milter's client is the MTA, and its server the filter.
func TestGoMilterAtBothEnds(t *testing.T) {
	t.Parallel()
	filter := startStranger(t, "unix", filepath.Join(temp(t), "f"))
	addr := serve(t, milterkit.Slot{Child: &remote.Milter{Network: "unix", Addr: filter}})
	c := milter.NewClientWithOptions("unix", addr, milter.ClientOptions{
		Dialer: &net.Dialer{}, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, ActionMask: 0x3f, ProtocolMask: 0x7f,
	})
	defer c.Close()
	s, err := c.Session()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []string
	note := func(a *milter.Action, err error) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimSpace(string(rune(a.Code))+" "+a.SMTPText))
	}
	note(s.Conn("mx", milter.FamilyInet, 25, "192.0.2.1"))
	note(s.Helo("mx"))
	note(s.Mail("a@example.org", nil))
	note(s.Rcpt("nobody@example.net", nil))
	note(s.Rcpt("b@example.net", nil))
	note(s.HeaderField("Subject", "x"))
	note(s.HeaderEnd())
	mods, a, err := s.BodyReadFrom(strings.NewReader(strings.Repeat("text\r\n", 50_000)))
	note(a, err)
	wantLines(t, got, "c", "c", "c", "y 5.1.1 no such user", "c", "c", "c", "c")
	var body []byte
	for _, m := range mods {
		if m.Code == milter.ActReplBody {
			body = append(body, m.Body...)
		}
	}
	// go-milter's server leaves out the CRs of a new body.
	if n := bytes.Count(body, []byte("TEXT\n")); n != 50_000 || len(body) != 250_000 {
		t.Errorf("the new body has %d lines, %d bytes", n, len(body))
	}
}

// Two Servers, one a child of the other, and a filter behind them: what it sees
// and what it asks for goes through both.
func TestServerBehindServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{Steps: wire.LeadingSpace | wire.CanSkip, Macros: []wire.MacroList{{Stage: wire.StageMail, Names: []string{"i", "{daemon_name}"}}},
		On: map[byte][]Answer{
			wire.CmdBody: {{Verdict: Skip}},
			wire.CmdEOM: {{Edits: []Edit{InsertHeader(1, "I", "1"), DeleteHeader(1, "X-Empty"), ReplaceBody("new\r\n"),
				AddRecipient("<c@example.net>", "NOTIFY=NEVER"), ChangeSender("<x@example.org>")}}},
		}})
	inner := serve(t, milterkit.Slot{Child: r.child})
	outer := serve(t, milterkit.Slot{Child: &remote.Milter{Network: "unix", Addr: inner}})
	mail := letterTo("<b@example.net>")
	o := play(t, outer, Offer{Strict: true}, mail, mail)
	for _, o := range o {
		var got []string
		for _, e := range o.Edits {
			got = append(got, e.String())
		}
		wantLines(t, got, "change sender <x@example.org>", "add recipient <c@example.net> NOTIFY=NEVER",
			"delete header 1 X-Empty", "insert header 1 I: 1", "replace body, 5 bytes")
	}
	r.idle(1)
	message := []string{"mail <a@example.org>", sawRcpt, "data", "header Subject: hello", "header X-Empty:",
		`header X-Fold: a\n\tb`, "eoh", `body "text\x00\xff\r\n"`, "eom", "abort"}
	wantLines(t, r.filter.Saw(), lines(sawConnect, sawHelo, message, message, "quit")...)
}

// A filter that has gone comes back, and the MTA's session has never ended.
func TestFilterIsRestartedDuringASession(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(temp(t), "f")
	child := &remote.Milter{Network: "unix", Addr: socket, Logger: slog.New(slog.DiscardHandler)}
	addr := serve(t, milterkit.Slot{Child: child})
	m, err := Dial(t.Context(), "unix", addr, Offer{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	p := &Player{MTA: m, Client: Client{Host: "mx", Family: wire.FamilyUnknown, Helo: "mx"}}
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for _, want := range []Result{TempFailed, Accepted, TempFailed, Accepted} {
		f := &Filter{}
		if want == Accepted {
			if _, err := f.Start("unix", socket); err != nil {
				t.Fatal(err)
			}
		}
		for {
			o, err := p.Mail(letterTo("<b@example.net>"))
			if err != nil {
				t.Fatal(err)
			}
			if o.Result == want {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%v, want %v", o.Result, want)
			}
			time.Sleep(10 * time.Millisecond)
		}
		f.Close()
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// Many sessions at once share nothing but the child.
func TestManySessionsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, on(wire.CmdRcpt, Answer{If: "nobody", Text: "550 5.1.1 no"}))
	addr := serve(t, milterkit.Slot{Child: r.child})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for _, o := range play(t, addr, Offer{}, letterTo("<b@example.net>", "<nobody@example.net>"), letterTo("<nobody@example.net>")) {
				if want := map[bool]Result{true: Accepted, false: Rejected}[len(o.Envelope.To) > 0]; o.Result != want || len(o.Refused) != 1 {
					t.Errorf("%v, refused %q", o.Result, o.Refused)
				}
			}
		})
	}
	all.Wait()
	r.idle(50)
}

// The server's context ends all hooks; nothing may be left of them.
func TestServerClosesWhileAFilterHangs(t *testing.T) {
	t.Parallel()
	r := newRig(t, on(wire.CmdMail, Answer{Hang: true}))
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: r.child})
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = r.child.Logger
	srv := &milterkit.Server{Dispatcher: d}
	ln, err := net.Listen("unix", filepath.Join(temp(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { srv.Serve(ln) })
	m, err := Dial(context.Background(), "unix", ln.Addr().String(), Offer{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.Connect("mx", wire.FamilyUnknown, 0, "")
	served.Go(func() { m.Mail("<a@example.org>") })
	for r.count(wire.CmdMail) == 0 {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	srv.Close()
	served.Wait()
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
	r.idle(1)
}
