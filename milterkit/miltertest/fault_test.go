package miltertest_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// harmless are the faults that an MTA does not notice, or takes.
var harmless = []string{"two answers", "refusal after edits"}

func TestEveryFaultIsAnError(t *testing.T) {
	const limit = 60 * time.Millisecond
	for _, fault := range Faults(2 * limit) {
		for _, a := range asks {
			if !fault.Is(a.cmd) || slices.Contains(harmless, fault.Name) {
				continue
			}
			m, _ := dial(t, on(a.cmd, fault.Answer), Offer{Timeout: limit})
			r, err := a.ask(m)
			if err == nil {
				t.Errorf("%s at %s: %v and no error", fault.Name, Word(a.cmd), r)
			}
			if _, again := m.Helo("x"); again != err {
				t.Errorf("%s at %s: then %v, want the same error", fault.Name, Word(a.cmd), again)
			}
			m.Close()
		}
	}
}

func TestErrorsSayWhatHappened(t *testing.T) {
	for _, c := range []struct {
		answer Answer
		want   string
	}{
		{Answer{Hang: true}, "answer to HELO: the filter does not answer within 100ms"},
		{Answer{Close: true}, "answer to HELO: the filter has closed the connection"},
		{Answer{Raw: Frame('!', "")}, "answer to HELO: milter protocol: '!': is not an answer"},
		{Answer{Edits: []Edit{AddHeader("A", "b")}}, "answer to HELO: milter protocol: ADDHEADER: a filter may ask for it only at the end of a message"},
		{Answer{Raw: Frame(wire.RepContinue, "x")}, "answer to HELO: milter protocol: CONTINUE: 1 bytes follow it"},
	} {
		m, _ := dial(t, on(wire.CmdHelo, c.answer), Offer{Timeout: 100 * time.Millisecond})
		if _, err := m.Helo("x"); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestStrictFindsTwoAnswers(t *testing.T) {
	m, _ := dial(t, on(wire.CmdHelo, Answer{After: Frame(wire.RepContinue, "")}), Offer{Strict: true})
	if _, err := m.Helo("x"); err != nil {
		t.Fatal(err)
	}
	if err := m.Quiet(100 * time.Millisecond); err == nil {
		t.Error("no error")
	}
}

func TestStrictFindsActionsThatWereNotNegotiated(t *testing.T) {
	s := on(wire.CmdEOM, Answer{Edits: []Edit{AddHeader("A", "b")}})
	s.Actions = wire.ActQuarantine
	m, _ := dial(t, s, Offer{})
	if edits, _, err := m.EOM(); err != nil || len(edits) != 1 {
		t.Error("Postfix takes it:", edits, err)
	}
	m, _ = dial(t, s, Offer{Strict: true})
	if _, _, err := m.EOM(); err == nil {
		t.Error("no error")
	}
}

func TestNegotiationsThatAreNone(t *testing.T) {
	for name, s := range map[string]Script{
		"version too high":         {Version: 7},
		"action not offered":       {Actions: 1 << 20, Stubborn: true},
		"closed":                   {Negotiate: Answer{Close: true}},
		"hangs":                    {Negotiate: Answer{Hang: true}},
		"garbage":                  {Negotiate: Answer{Raw: []byte("220 mx.example.org ESMTP\r\n")}},
		"too short":                {Negotiate: Answer{Raw: Frame(wire.CmdNegotiate, "\x00\x00\x00\x06")}},
		"a verdict":                {Negotiate: Answer{Raw: Frame(wire.RepContinue, "")}},
		"late":                     {Negotiate: Answer{Delay: 300 * time.Millisecond}},
		"a macro list without NUL": {Negotiate: Answer{Raw: Frame(wire.CmdNegotiate, strings.Repeat("\x00", 16)+"i")}},
	} {
		_, addr := start(t, s)
		m, err := Dial(t.Context(), "unix", addr, Offer{Timeout: 100 * time.Millisecond})
		if err == nil {
			t.Errorf("%s: no error", name)
			m.Close()
		}
	}
}

func TestStubbornFiltersAnswerWhatWasNotOffered(t *testing.T) {
	s := Script{Steps: wire.NoReplyHeader, Stubborn: true}
	m, _ := dial(t, s, Offer{Version: 6})
	if r, err := m.Header("A", " b"); err != nil || r.Kind != NoReply {
		t.Error("Postfix heeds it:", r, err)
	}
	s.Stubborn = false
	m, _ = dial(t, s, Offer{Version: 6})
	if r, err := m.Header("A", " b"); err != nil || r.Kind != Continue {
		t.Error(r, err)
	}
}

func TestAnswersWhereNoneWasPromised(t *testing.T) {
	s := on(wire.CmdHelo, Answer{Always: true, Verdict: Reject})
	s.Steps = wire.NoReplyHelo
	m, _ := dial(t, s, Offer{})
	m.Helo("x")
	m.Flush()
	// Like Postfix the MTA takes it for the next answer.
	if r, err := m.Mail("<a@b>"); err != nil || r.Kind != Reject {
		t.Error(r, err)
	}
}

func TestEachSessionCanHaveItsScript(t *testing.T) {
	f := &Filter{ScriptFor: func(session int) Script {
		if session == 1 {
			return Script{Steps: wire.NoHelo}
		}
		return Script{}
	}}
	addr, err := f.Start("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, want := range []Kind{NotSent, Continue} {
		m, err := Dial(t.Context(), "unix", addr, Offer{})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := m.Helo("x"); err != nil || r.Kind != want {
			t.Errorf("session %d: %v, %v", i+1, r, err)
		}
		m.Quit()
	}
}

func TestManySessionsAtOnce(t *testing.T) {
	f, addr := start(t, Script{})
	done := make(chan error)
	const n = 20
	for range n {
		go func() {
			m, err := Dial(t.Context(), "unix", addr, Offer{})
			if err == nil {
				_, err = m.Helo("x")
				m.Quit()
			}
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	f.Idle(t.Context(), n)
	if got := len(f.Saw()); got != 2*n {
		t.Errorf("saw %d commands, want %d", got, 2*n)
	}
}

func TestCloseDoesNotWaitForHungSessions(t *testing.T) {
	m, f := dial(t, on(wire.CmdHelo, Answer{Delay: time.Hour}), Offer{Timeout: 50 * time.Millisecond})
	m.Helo("x")
	began := time.Now()
	f.Close()
	if d := time.Since(began); d > time.Second {
		t.Errorf("Close took %v", d)
	}
}
