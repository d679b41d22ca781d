package remote_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// Whatever a filter does wrong, at whatever command: the message with which it
// went wrong is never waved through with half of what was to be done, and the
// next one is as if nothing had been.
func TestFaults(t *testing.T) {
	t.Parallel()
	const late = time.Second
	for _, fault := range Faults(late) {
		for _, cmd := range []byte{wire.CmdNegotiate, wire.CmdConnect, wire.CmdHelo, wire.CmdMail, wire.CmdRcpt,
			wire.CmdData, wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM} {
			if !fault.Is(cmd) || cmd == wire.CmdNegotiate && (fault.Answer.Edits != nil || fault.Name == "negotiation out of turn") ||
				fault.Answer.Text != "" {
				continue // none there; see TestEditsBeforeARefusalDoNotCount
			}
			t.Run(fault.Name+" at "+Word(cmd), func(t *testing.T) {
				t.Parallel()
				testFault(t, cmd, fault)
			})
		}
	}
}

func testFault(t *testing.T, cmd byte, fault Fault) {
	first := on(cmd, fault.Answer)
	if cmd == wire.CmdNegotiate {
		first = Script{Negotiate: fault.Answer}
	}
	r := newRigFor(t, &Filter{ScriptFor: func(session int) Script {
		if session == 1 {
			return first
		}
		return Script{}
	}})
	r.slot.CommandTimeout, r.slot.ContentTimeout = 300*time.Millisecond, 300*time.Millisecond
	if fault.Answer.After != nil { // one that comes late nobody can tell from the next
		r.child.Dial = dialLate
		r.slot.ContentTimeout = 2 * time.Second
	}
	r.child.ConnectTimeout = 300 * time.Millisecond
	r.open()
	r.connect()
	r.helo()
	v := r.message()
	switch {
	case fault.Name == "body in two places": // what is meant is clear; Sendmail takes it so
		r.want("message", v, milterkit.Continue)
	default:
		r.want("message", v, tryAgain)
		r.wantLog("child")
	}
	for range 100 { // one that was down is looked for
		if v = r.message(); v == milterkit.Continue {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.want("next message", v, milterkit.Continue)
	r.close()
	r.idle(1)
}

// A lateReader reads what has come some time ago, so that all that a filter says
// in one go is there.
type lateReader struct{ *net.UnixConn }

func (l lateReader) Read(b []byte) (int, error) {
	time.Sleep(50 * time.Millisecond)
	return l.UnixConn.Read(b)
}

// dialLate is a Milter's Dial for such a connection.
func dialLate(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return lateReader{nc.(*net.UnixConn)}, nil
}

// An answer too many to a piece of the body would pass for the verdict on the
// message. It is noticed when it has come before the end of the message is told;
// one that comes later nobody can tell from the verdict.
func TestAnswerTooManyIsNotTakenForTheVerdict(t *testing.T) {
	t.Parallel()
	for _, cmd := range []byte{wire.CmdRcpt, wire.CmdData, wire.CmdHeader, wire.CmdBody} {
		for _, steps := range []wire.Steps{0, wire.NoReply(cmd)} {
			a := Answer{Nth: 1, After: Frame(wire.RepContinue, "")}
			if steps != 0 {
				a = Answer{Nth: 1, Always: true}
			}
			r := newRig(t, Script{Steps: steps, On: map[byte][]Answer{
				cmd:         {a},
				wire.CmdEOM: {{Text: "550 5.7.1 spam"}},
			}})
			r.child.Dial = dialLate
			r.greet()
			v := r.mail()
			for _, next := range []func() milterkit.Verdict{func() milterkit.Verdict { return r.rcpt("<b@example.net>") }, r.data,
				func() milterkit.Verdict { return r.letter().Verdict }} {
				if v == milterkit.Continue {
					v = next()
				}
			}
			if v == milterkit.Continue {
				t.Errorf("%s, steps %#x: the message passed", Word(cmd), uint32(steps))
			}
		}
	}
}

func TestUnknownCommandThatIsAnsweredWrongFailsTheNextMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t, on(wire.CmdUnknown, Answer{Close: true})).greet()
	r.want("unknown", r.walk.Unknown(t.Context(), "XYZ"), milterkit.Continue)
	r.want("message", r.message(), tryAgain)
	r.want("next message", r.message(), milterkit.Continue)
}

func TestUnknownCommandsAreShownAndAnswered(t *testing.T) {
	t.Parallel()
	r := newRig(t, on(wire.CmdUnknown, Answer{If: "NO", Text: "500 5.5.2 no"})).greet()
	r.want("unknown", r.walk.Unknown(t.Context(), "XYZ a b"), milterkit.Continue)
	r.want("unknown", r.walk.Unknown(t.Context(), "NO"), milterkit.Reply(500, "5.5.2 no"))
	r.want("message", r.message(), milterkit.Continue)
	r.wantSaw(lines(sawConnect, sawHelo, "unknown XYZ a b", "unknown NO", sawMessage, "quit")...)
}

func TestUnknownCommandWithinAMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t, on(wire.CmdUnknown, Answer{Close: true})).greet()
	r.mail()
	r.want("unknown", r.walk.Unknown(t.Context(), "XYZ"), tryAgain)
	r.want("rcpt", r.rcpt("<b@example.net>"), tryAgain)
	r.walk.Reset()
	if saw := r.filter.Saw(); !slices.Contains(saw, "unknown XYZ") || strings.Contains(strings.Join(saw, " "), "rcpt") {
		t.Errorf("%q", saw)
	}
}
