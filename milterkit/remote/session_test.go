package remote_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/milterkit"
	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

const (
	sawConnect = "connect mx.example.org 4 192.0.2.1 2525"
	sawHelo    = "helo mx.example.org"
	sawMail    = "mail <a@example.org> SIZE=9"
	sawRcpt    = "rcpt <b@example.net>"
)

var sawMessage = []string{sawMail, sawRcpt, "data", "header Subject:hello", "eoh", `body "text\r\n"`, "eom", "abort"}

func lines(list ...any) (all []string) {
	for _, x := range list {
		switch x := x.(type) {
		case string:
			all = append(all, x)
		case []string:
			all = append(all, x...)
		}
	}
	return all
}

func TestOneConnectionIsOneSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{}).greet()
	r.message()
	r.message()
	r.greet()
	r.message()
	r.wantSaw(lines(sawConnect, sawHelo, sawMessage, sawMessage, "quit", sawConnect, sawHelo, sawMessage, "quit")...)
	if n := r.filter.Sessions(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

func TestSessionsThatTellNothingDialNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{}).open()
	r.close()
	if n := r.filter.Sessions(); n != 0 {
		t.Errorf("%d connections, want none", n)
	}
}

func TestVerdictsAtEachCommand(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answer Answer
		want   milterkit.Verdict
	}{
		{Answer{Verdict: Reject}, milterkit.Reject("")},
		{Answer{Verdict: TempFail}, milterkit.TempFail("")},
		{Answer{Text: "550 5.7.1 100% no"}, milterkit.Reply(550, "5.7.1 100% no")},
		{Answer{Text: "451-one\r\n451 two"}, milterkit.Reply(451, "one", "two")},
		{Answer{Text: "550"}, milterkit.Reply(550, "")},
		{Answer{Raw: Frame(wire.RepReplyCode, "554 a % b %% c %%% d %\x00")}, milterkit.Reply(554, "a  b % c % d ")},
		{Answer{Raw: Frame(wire.RepShutdown, "")}, milterkit.Reply(421, "4.7.0 Service not available, closing transmission channel")},
		{Answer{Verdict: Discard}, milterkit.Discard},
		{Answer{Verdict: Accept}, milterkit.Continue},
		{Answer{Verdict: Skip}, milterkit.Continue},
		{Answer{Progress: 2}, milterkit.Continue},
	} {
		for _, cmd := range []byte{wire.CmdConnect, wire.CmdHelo, wire.CmdMail, wire.CmdRcpt, wire.CmdData,
			wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM, wire.CmdUnknown} {
			if test.want == milterkit.Discard && (cmd == wire.CmdConnect || cmd == wire.CmdHelo || cmd == wire.CmdUnknown) {
				continue // it has no meaning there
			}
			s := on(cmd, test.answer)
			name := Word(cmd) + ": " + s.On[cmd][0].Verdict.String() + " " + test.answer.Text
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, s).open()
				v := r.connect()
				for _, next := range []func() milterkit.Verdict{r.helo,
					func() milterkit.Verdict { return r.walk.Unknown(t.Context(), "XYZ") }, r.message} {
					if v == milterkit.Continue {
						v = next()
					}
				}
				r.want("verdict", v, test.want)
			})
		}
	}
}

func TestRefusedRecipientIsOneOfMany(t *testing.T) {
	t.Parallel()
	r := newRig(t, on(wire.CmdRcpt, Answer{If: "nobody", Text: "550 5.1.1 unknown"})).greet()
	r.mail()
	r.want("nobody", r.rcpt("<nobody@example.net>"), milterkit.Reply(550, "5.1.1 unknown"))
	r.want("somebody", r.rcpt("<b@example.net>"), milterkit.Continue)
	r.want("end of message", r.letter().Verdict, milterkit.Continue)
	r.wantSaw(lines(sawConnect, sawHelo, sawMail, "rcpt <nobody@example.net>", sawRcpt,
		"header Subject:hello", "eoh", `body "text\r\n"`, "eom", "abort", "quit")...)
}

func TestRefusedRecipientsOfTheMTAAreShownToWhoAskedForThem(t *testing.T) {
	t.Parallel()
	for _, steps := range []wire.Steps{0, wire.RefusedRcpts} {
		r := newRig(t, Script{Steps: steps}).greet()
		r.mail()
		r.walk.RefusedRcpt(t.Context(), milterkit.NewAddress("<no@example.net>"))
		want := lines(sawConnect, sawHelo, sawMail, "abort", "quit")
		if steps != 0 {
			want = lines(sawConnect, sawHelo, sawMail, "rcpt <no@example.net>", "abort", "quit")
		}
		r.wantSaw(want...)
	}
}

// A milter built on libmilter answers nothing after it.
func TestAcceptAtARefusedRecipientEndsItsPartInTheMessage(t *testing.T) {
	t.Parallel()
	s := on(wire.CmdRcpt, Answer{If: "no@", Verdict: Accept})
	s.Steps = wire.RefusedRcpts
	r := newRig(t, s).greet()
	r.mail()
	r.walk.RefusedRcpt(t.Context(), milterkit.NewAddress("<no@example.net>"))
	r.want("rcpt", r.rcpt("<b@example.net>"), milterkit.Continue)
	r.want("end of message", r.letter().Verdict, milterkit.Continue)
	r.walk.Reset()
	r.want("next message", r.message(), milterkit.Continue)
	r.wantSaw(lines(sawConnect, sawHelo, sawMail, "rcpt <no@example.net>", "abort", sawMessage, "quit")...)
}

// Source: skip_event_type in Postfix's milter8_event.
func TestSkipLeavesOutThatCommandUntilAnother(t *testing.T) {
	t.Parallel()
	for cmd, want := range map[byte][]string{
		wire.CmdMail: {sawMail, sawRcpt, "rcpt <c@example.net>", "data", "header A:1", "eoh", `body "1"`, `body "2"`, "eom"},
		wire.CmdRcpt: {sawMail, sawRcpt, "data", "header A:1", "eoh", `body "1"`, `body "2"`, "eom"},
		wire.CmdData: {sawMail, sawRcpt, "rcpt <c@example.net>", "data", "header A:1", "eoh", `body "1"`, `body "2"`, "eom"},
		wire.CmdEOH:  {sawMail, sawRcpt, "rcpt <c@example.net>", "data", "header A:1", "eoh", `body "1"`, `body "2"`, "eom"},
		wire.CmdEOM:  {sawMail, sawRcpt, "rcpt <c@example.net>", "data", "header A:1", "eoh", `body "1"`, `body "2"`, "eom"},
	} {
		t.Run(Word(cmd), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, on(cmd, Answer{Verdict: Skip, Nth: 1})).greet()
			for range 2 {
				r.mail()
				r.rcpt("<b@example.net>")
				r.rcpt("<c@example.net>")
				r.data()
				r.want("end of message", r.content([]string{"A: 1"}, "1", "2").Verdict, milterkit.Continue)
				r.walk.Reset()
			}
			r.wantSaw(lines(sawConnect, sawHelo, want, "abort", want, "abort", "quit")...)
		})
	}
}

func TestSecondHeloIsTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{}).greet()
	r.walk.Helo(t.Context(), "other.example.org")
	r.wantSaw(sawConnect, sawHelo, "helo other.example.org", "quit")
}

func TestVerdictOnTheSessionEndsTheConnection(t *testing.T) {
	t.Parallel()
	for _, verdict := range []Kind{Reject, TempFail, Accept} {
		r := newRig(t, on(wire.CmdConnect, Answer{Verdict: verdict})).open()
		r.connect()
		r.idle(1) // though the session goes on
		r.helo()
		r.message()
		r.wantSaw(sawConnect, "quit")
	}
}

func TestDiscardAtConnectAndHeloIsNothing(t *testing.T) {
	t.Parallel()
	s := Script{On: map[byte][]Answer{wire.CmdConnect: {{Verdict: Discard}}, wire.CmdHelo: {{Verdict: Discard}},
		wire.CmdEOM: {{Message: 1, Close: true, Verdict: Continue}}}}
	r := newRig(t, s).open()
	r.want("connect", r.connect(), milterkit.Continue)
	r.want("helo", r.helo(), milterkit.Continue)
	r.want("message", r.message(), milterkit.Continue)
	// The connection is closed by now, and all is told again.
	r.want("second message", r.message(), milterkit.Continue)
	if n := r.filter.Sessions(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// closing is a filter that closes its first connection at the end of the first
// message, and then does as the script says.
func closing(s Script) *Filter {
	return &Filter{ScriptFor: func(session int) Script {
		if session == 1 {
			return on(wire.CmdEOM, Answer{Verdict: Continue, Close: true})
		}
		return s
	}}
}

func TestConnectionClosedBetweenMessagesIsOpenedAgain(t *testing.T) {
	t.Parallel()
	r := newRigFor(t, closing(Script{})).open()
	r.macro(milterkit.StageConnect, "j", "mx")
	r.connect()
	r.macro(milterkit.StageHelo, "{cipher}", "AES")
	r.helo()
	r.want("first message", r.message(), milterkit.Continue)
	r.idle(1)
	r.want("second message", r.message(), milterkit.Continue)
	r.wantSaw(lines(sawConnect, sawHelo, sawMessage[:7], sawConnect, sawHelo, sawMessage, "quit")...)
	wantLines(t, r.filter.SawMacros(), "macros connect j=mx", "macros helo {cipher}=AES", "macros connect j=mx", "macros helo {cipher}=AES")
}

// The connection is still there when MAIL is written, and then it is not.
func TestConnectionClosedAtTheNextMailIsOpenedAgain(t *testing.T) {
	t.Parallel()
	f := &Filter{ScriptFor: func(session int) Script {
		if session == 1 {
			return on(wire.CmdMail, Answer{Message: 2, Close: true})
		}
		return Script{}
	}}
	r := newRigFor(t, f).greet()
	r.want("first message", r.message(), milterkit.Continue)
	r.want("second message", r.message(), milterkit.Continue)
	r.wantSaw(lines(sawConnect, sawHelo, sawMessage, sawMail, sawConnect, sawHelo, sawMessage, "quit")...)
}

func TestConnectionClosedBeforeHeloIsOpenedAgain(t *testing.T) {
	t.Parallel()
	f := &Filter{ScriptFor: func(session int) Script {
		return on(wire.CmdConnect, Answer{Verdict: Continue, Close: session == 1})
	}}
	r := newRigFor(t, f).open()
	r.connect()
	r.idle(1)
	r.want("helo", r.helo(), milterkit.Continue)
	r.wantSaw(sawConnect, sawConnect, sawHelo, "quit")
}

func TestUnknownCommandBetweenMessagesDoesNotMindAClosedConnection(t *testing.T) {
	t.Parallel()
	closed := make(chan bool, 1)
	r := newChild(t, "unix", fake(t, func(nc net.Conn, rd *wire.Reader) {
		for {
			f, err := rd.Next()
			switch {
			case err != nil:
				return
			case f.Code == wire.CmdNegotiate:
				nc.Write(wire.Negotiation{Version: 6}.Append(nil))
			case f.Code == wire.CmdEOM:
				nc.Write(Frame(wire.RepContinue, ""))
				nc.Close()
				closed <- true
				return
			default:
				nc.Write(Frame(wire.RepContinue, ""))
			}
		}
	}))
	r.greet()
	for range 3 {
		r.want("message", r.message(), milterkit.Continue)
		<-closed
		r.want("unknown", r.walk.Unknown(t.Context(), "XYZ"), milterkit.Continue)
	}
}

func TestVerdictWhenToldAgainHoldsForTheRestOfTheSession(t *testing.T) {
	t.Parallel()
	for _, cmd := range []byte{wire.CmdConnect, wire.CmdHelo} {
		for _, test := range []struct {
			answer Answer
			want   milterkit.Verdict
		}{
			{Answer{Text: "550 5.7.1 no"}, milterkit.Reply(550, "5.7.1 no")},
			{Answer{Verdict: TempFail}, milterkit.TempFail("")},
			{Answer{Verdict: Accept}, milterkit.Continue},
		} {
			t.Run(Word(cmd)+" "+test.want.String(), func(t *testing.T) {
				t.Parallel()
				r := newRigFor(t, closing(on(cmd, test.answer))).greet()
				r.message()
				r.idle(1)
				r.want("second message", r.message(), test.want)
				r.idle(2)
				r.want("third message", r.message(), test.want)
				r.want("helo", r.helo(), test.want)
				saw := lines(sawConnect, sawHelo, sawMessage[:7], sawConnect)
				if cmd == wire.CmdHelo {
					saw = lines(saw, sawHelo)
				}
				r.wantSaw(lines(saw, "quit")...)
			})
		}
	}
}

func TestFailureWhenToldAgainIsOfTheMessage(t *testing.T) {
	t.Parallel()
	f := &Filter{ScriptFor: func(session int) Script {
		switch session {
		case 1:
			return on(wire.CmdEOM, Answer{Verdict: Continue, Close: true})
		case 2:
			return on(wire.CmdHelo, Answer{Close: true})
		}
		return Script{}
	}}
	r := newRigFor(t, f).greet()
	r.message()
	r.idle(1)
	r.want("second message", r.message(), tryAgain)
	r.wantLog("it has closed the connection: EOF")
	r.want("third message", r.message(), milterkit.Continue)
}

func TestFailureAtHeloIsOverAtTheSecondMessage(t *testing.T) {
	t.Parallel()
	f := &Filter{ScriptFor: func(session int) Script {
		return on(wire.CmdHelo, Answer{Verdict: Continue, Text: map[bool]string{true: "250 ok"}[session == 1]})
	}}
	r := newRigFor(t, f).greet()
	r.want("first message", r.message(), tryAgain)
	r.want("second message", r.message(), milterkit.Continue)
	r.wantSaw(lines(sawConnect, sawHelo, "closed", sawConnect, sawHelo, sawMessage, "quit")...)
}

func TestAddressesGoAsTheyCame(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{}).greet()
	r.walk.Mail(t.Context(), milterkit.NewAddress("<>"))
	r.walk.Rcpt(t.Context(), milterkit.NewAddress("b@example.net", "NOTIFY=NEVER", "ORCPT=rfc822;b@example.net"))
	r.walk.Rcpt(t.Context(), milterkit.Address{Addr: "c\xff@example.net"})
	r.wantSaw(sawConnect, sawHelo, "mail <>", "rcpt b@example.net NOTIFY=NEVER ORCPT=rfc822;b@example.net", `rcpt <c\xff@example.net>`, "abort", "quit")
}

// Postfix gives the null sender without brackets where mail does not come by
// SMTP. Source: cleanup_milter_emul_mail in Postfix's cleanup_milter.c.
func TestNullSenderWithoutBracketsGoesAsItCame(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{}).greet()
	r.walk.Mail(t.Context(), milterkit.NewAddress(""))
	r.wantSaw(sawConnect, sawHelo, "mail", "abort", "quit")
}

func TestClientOfNoFamily(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{}).open()
	r.walk.Connect(t.Context(), "localhost", 0, "", 0)
	r.close()
	r.open().walk.Connect(t.Context(), "localhost", milterkit.FamilyUnix, "/run/s", 0)
	r.wantSaw("connect localhost U", "quit", "connect localhost L /run/s 0", "quit")
}

// hung is the far end of a pipe that negotiates, answers the first replies
// commands, and then neither reads nor writes.
func hung(replies int) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		near, far := Pipe()
		go func() {
			r := wire.NewReader(far, nil)
			if _, err := r.Next(); err != nil {
				return
			}
			far.Write(wire.Negotiation{Version: 6}.Append(nil))
			for range replies {
				if _, err := r.Next(); err != nil {
					return
				}
				far.Write(Frame(wire.RepContinue, ""))
			}
		}()
		return near, nil
	}
}

// The milter does not even read: what is written to it hangs too.
func TestHookReturnsAtOnceWhenItsContextIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newChild(t, "", "")
		r.child.Dial = hung(3)
		r.greet()
		ctx, cancel := context.WithCancel(t.Context())
		r.walk.Mail(ctx, milterkit.NewAddress("<a@example.org>"))
		began := time.Now()
		time.AfterFunc(50*time.Millisecond, cancel)
		r.walk.Rcpt(ctx, milterkit.NewAddress("<b@example.org>"))
		if d := time.Since(began); d != 50*time.Millisecond {
			t.Errorf("it returned after %v", d)
		}
		// The cancelled hook must not have spoilt what comes next.
		r.child.Dial = hung(100)
		r.want("next message", r.message(), milterkit.Continue)
		r.close()
	})
}

func TestHangingMilterIsTimedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newChild(t, "", "")
		r.child.Dial = hung(3)
		r.greet()
		began := time.Now()
		r.want("message", r.message(), tryAgain)
		if d := time.Since(began); d > milterkit.DefaultStageTimeout {
			t.Errorf("it took %v", d)
		}
		r.wantLog("no answer in time")
		r.close()
	})
}

// Reset and Close write to a milter that does not read.
func TestGoodbyeToAHangingMilterIsShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newChild(t, "", "")
		r.child.Dial = hung(3)
		r.greet()
		r.mail()
		began := time.Now()
		r.walk.Reset()
		r.close()
		if d := time.Since(began); d > 200*time.Millisecond {
			t.Errorf("it took %v", d)
		}
	})
}

// The deadline of a message's end must not outlast it.
func TestNoDeadlineIsLeftBetweenMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newChild(t, "", "")
		r.child.Dial = func(context.Context, string, string) (net.Conn, error) { return obliging(), nil }
		r.greet()
		for range 3 {
			r.want("message", r.message(), milterkit.Continue)
			time.Sleep(time.Hour)
		}
		r.close()
	})
}

func TestErrorsNameWhatWasWrong(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answer Answer
		words  string
	}{
		{Answer{Close: true}, "it has closed the connection"},
		{Answer{Raw: Frame(wire.RepConnFail, "")}, "CONN_FAIL: is no answer to RCPT"},
		{Answer{Edits: []Edit{AddHeader("X", "1")}}, "ADDHEADER: is no answer to RCPT"},
		{Answer{Raw: Frame(wire.RepReplyCode, "250 ok\x00")}, "the reply code is not 4xx or 5xx"},
		{Answer{Raw: Frame(wire.RepAccept, "x")}, "ACCEPT: 1 bytes follow it"},
		{Answer{Raw: Frame(wire.RepProgress, "x")}, "PROGRESS: 1 bytes follow it"},
		{Answer{Raw: Oversized()}, "frame of 1073741824 bytes"},
		{Answer{After: Frame(wire.RepContinue, "")}, "more answers than there were questions"},
		{Answer{Raw: Frame(wire.RepQuarantine, "no NUL")}, "QUARANTINE: no NUL after the reason"},
	} {
		t.Run(test.words, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, on(wire.CmdRcpt, test.answer)).greet()
			r.mail()
			r.want("rcpt", r.rcpt("<b@example.net>"), tryAgain)
			r.wantLog(test.words)
			if !strings.Contains(r.log.String(), "child") {
				t.Error("the log does not name the milter")
			}
		})
	}
}
