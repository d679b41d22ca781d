package miltertest_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

func TestEveryCommandHasAWord(t *testing.T) {
	for _, cmd := range []byte("ODCHMRTLNBEUAQK") {
		word := Word(cmd)
		if Command(word) != cmd || word != strings.ToLower(word) {
			t.Errorf("%q is called %q, which is %q", cmd, word, Command(word))
		}
	}
	if Command("nothing") != 0 || Word('!') != "'!'" {
		t.Error(Command("nothing"), Word('!'))
	}
}

func TestEditsAreToldInWords(t *testing.T) {
	for want, e := range map[string]Edit{
		"add header A: 1":              AddHeader("A", "1"),
		"insert header 3 A: 1":         InsertHeader(3, "A", "1"),
		`change header 2 A: a\n b`:     ChangeHeader(2, "A", "a\n b"),
		"delete header 1 A":            DeleteHeader(1, "A"),
		"change sender <a@b> RET=HDRS": ChangeSender("<a@b>", "RET=HDRS"),
		"add recipient <a@b>":          AddRecipient("<a@b>"),
		"add recipient <a@b> NOTIFY=X": AddRecipient("<a@b>", "NOTIFY=X"),
		"delete recipient <a@b>":       DeleteRecipient("<a@b>"),
		"replace body, 3 bytes":        ReplaceBody("a\r\n"),
		`quarantine: be\x1bhold`:       Quarantine("be\x1bhold"),
		"CONTINUE":                     {Code: wire.RepContinue},
	} {
		if got := e.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestStrictRefusesWhatNotEveryMTATakes(t *testing.T) {
	for name, c := range map[string]struct {
		offer  Offer
		cmd    byte
		answer Answer
	}{
		"shutdown":              {Offer{Strict: true}, wire.CmdMail, Answer{Verdict: Shutdown}},
		"shutdown to Sendmail":  {Offer{Sendmail: true}, wire.CmdMail, Answer{Verdict: Shutdown}},
		"skip of other than B":  {Offer{Strict: true}, wire.CmdHeader, Answer{Verdict: Skip}},
		"skip not offered":      {Offer{Strict: true, Version: 6}, wire.CmdBody, Answer{Verdict: Skip}},
		"discard of a session":  {Offer{Strict: true}, wire.CmdHelo, Answer{Verdict: Discard}},
		"quarantine, Sendmail":  {Offer{Sendmail: true}, wire.CmdRcpt, Answer{Edits: []Edit{Quarantine("x")}}},
		"more than one answer":  {Offer{Strict: true}, wire.CmdHelo, Answer{Raw: append(Frame(wire.RepContinue, ""), Frame(wire.RepContinue, "")...)}},
		"an edit without a NUL": {Offer{}, wire.CmdEOM, Answer{Raw: Frame(wire.RepDelRcpt, "<a@b>")}},
	} {
		m, _ := dial(t, on(c.cmd, c.answer), c.offer)
		var err error
		for _, a := range asks {
			if a.cmd == c.cmd && err == nil {
				_, err = a.ask(m)
			}
		}
		if name == "more than one answer" && err == nil {
			_, err = m.Mail("<a@b>") // it shows at the next command
		}
		var fault *wire.ProtocolError
		if !errors.As(err, &fault) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNegotiationsOfAStrictMTA(t *testing.T) {
	for name, s := range map[string]Script{
		"steps not offered": {Steps: wire.NoReplyHelo, Stubborn: true},
		"lists without the action": {Negotiate: Answer{Raw: Frame(wire.CmdNegotiate,
			"\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00i\x00")}},
	} {
		_, addr := start(t, s)
		o := VersionOffer(2)
		if name != "steps not offered" {
			o = Offer{}
		}
		m, err := Dial(t.Context(), "unix", addr, o)
		if err != nil {
			t.Errorf("%s: Postfix takes it: %v", name, err)
		} else {
			m.Close()
		}
		o.Strict = true
		if m, err := Dial(t.Context(), "unix", addr, o); err == nil {
			t.Errorf("%s: no error", name)
			m.Close()
		}
	}
}

func TestFramesOfOnesOwn(t *testing.T) {
	m, f := dial(t, Script{}, Offer{Timeout: time.Second})
	if err := m.Raw(Frame(wire.CmdHelo, "x\x00")); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Receive(); err != nil || got.Code != wire.RepContinue {
		t.Error(got, err)
	}
	if err := m.Quiet(20 * time.Millisecond); err != nil {
		t.Error(err)
	}
	m.Raw(Frame('!', ""))
	if _, err := m.Receive(); err == nil {
		t.Error("the filter takes anything")
	}
	if saw := f.Saw(); len(saw) != 2 || saw[1] != "closed: milter protocol: '!': is no command" {
		t.Errorf("%q", saw)
	}
	if err := m.Flush(); err == nil {
		t.Error("the connection can be used again")
	}
}

func TestServeEndsWithClose(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Filter{}
	ended := make(chan error)
	go func() { ended <- f.Serve(ln) }()
	m, err := Dial(t.Context(), "tcp", ln.Addr().String(), Offer{})
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := <-ended; err != ErrFilterClosed {
		t.Error(err)
	}
	if _, err := m.Helo("x"); err == nil {
		t.Error("the session goes on")
	}
	if err := f.Serve(ln); err != ErrFilterClosed {
		t.Error(err)
	}
	if _, err := f.Start("tcp", "127.0.0.1:0"); err != ErrFilterClosed {
		t.Error(err)
	}
}

func TestMacrosOfTheClientWin(t *testing.T) {
	m, f := dial(t, Script{}, Offer{})
	c := client
	c.Macros = map[byte][]Macro{wire.CmdConnect: {{"{daemon_name}", "other"}, {"{if_name}", "eth0"}}}
	p := &Player{MTA: m, Client: c}
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
	want := "macros connect j=mail.example.net {daemon_name}=other {daemon_addr}=127.0.0.1 v=Postfix 3.11.0 _=mx.example.org [192.0.2.1] {if_name}=eth0"
	if diff := cmp.Diff(want, f.SawMacros()[0]); diff != "" {
		t.Error(diff)
	}
}

func TestReadMessageReadsAll(t *testing.T) {
	m, err := ReadMessage(strings.NewReader("A: 1\n\nx\n"))
	if err != nil || m.Get("a") != "1" || m.Get("b") != "" || string(m.Body) != "x\r\n" {
		t.Error(m, err)
	}
}
