package remote_test

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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
	start := newRigFor
	if fault.Answer.After != nil { // one that comes late nobody can tell from the next
		start = newGatheringRig
	}
	r := start(t, &Filter{ScriptFor: func(session int) Script {
		if session == 1 {
			return first
		}
		return Script{}
	}})
	r.slot.CommandTimeout, r.slot.ContentTimeout = 300*time.Millisecond, 300*time.Millisecond
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

// A gatherer is a listener of a filter whose answers to all that it has read leave
// together: what is sent ahead is read together too, so that an answer too many is
// there when the last one that is due is read.
type gatherer struct{ net.Listener }

func (g gatherer) Accept() (net.Conn, error) {
	nc, err := g.Listener.Accept()
	return &gathering{Conn: nc}, err
}

// A gathering is a connection that writes before it waits for more.
type gathering struct {
	net.Conn
	out []byte
}

func (g *gathering) Write(b []byte) (int, error) {
	g.out = append(g.out, b...)
	return len(b), nil
}

func (g *gathering) Read(b []byte) (int, error) {
	if _, err := g.Conn.Write(g.out); err != nil {
		return 0, err
	}
	g.out = nil
	return g.Conn.Read(b)
}

// newGatheringRig is newRigFor with such a listener.
func newGatheringRig(t *testing.T, f *Filter) *rig {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(temp(t), "f"))
	if err != nil {
		t.Fatal(err)
	}
	r := newChild(t, "unix", ln.Addr().String())
	r.filter, r.addr = f, ln.Addr().String()
	go f.Serve(gatherer{ln})
	t.Cleanup(func() { f.Close() })
	return r
}

// An answer too many to a piece of the body would pass for the verdict on the
// message. It is noticed when it has come before the end of the message is told;
// one that comes later nobody can tell from the verdict.
func TestAnswerTooManyIsNotTakenForTheVerdict(t *testing.T) {
	t.Parallel()
	for _, cmd := range []byte{wire.CmdRcpt, wire.CmdData, wire.CmdHeader, wire.CmdBody} {
		for _, kind := range []struct {
			steps    wire.Steps
			lockstep bool
		}{{}, {wire.NoReply(cmd), false}, {0, true}, {wire.NoReply(cmd), true}} {
			steps, lockstep := kind.steps, kind.lockstep
			a := Answer{Nth: 1, After: Frame(wire.RepContinue, "")}
			if steps != 0 {
				a = Answer{Nth: 1, Always: true}
				if cmd == wire.CmdBody { // what it says is that answer, and no other
					steps |= wire.NoReply(wire.CmdHeader) | wire.NoReply(wire.CmdEOH)
				}
			}
			r := newGatheringRig(t, &Filter{Script: Script{Steps: steps, On: map[byte][]Answer{
				cmd:         {a},
				wire.CmdEOM: {{Text: "550 5.7.1 spam"}},
			}}})
			r.child.Lockstep = lockstep
			var nc *net.UnixConn
			r.child.Dial = func(_ context.Context, _, addr string) (_ net.Conn, err error) {
				nc, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: addr, Net: "unix"})
				return nc, err
			}
			r.greet()
			letter := func() milterkit.Verdict {
				r.walk.Header([]byte("Subject"), []byte(" hello"))
				r.walk.EndOfHeader(t.Context())
				body := []byte("text\r\n")
				if cmd == wire.CmdBody {
					body = make([]byte, wire.MaxBody) // it is sent as it arrives
				}
				r.walk.Body(t.Context(), body)
				if cmd == wire.CmdBody && (!lockstep || steps != 0) {
					waitForAnswer(t, nc)
				}
				return r.walk.EndOfMessage(t.Context()).Verdict
			}
			v := r.mail()
			for _, next := range []func() milterkit.Verdict{func() milterkit.Verdict { return r.rcpt("<b@example.net>") }, r.data, letter} {
				if v == milterkit.Continue {
					v = next()
				}
			}
			if v != tryAgain {
				t.Errorf("%s, steps %#x, lockstep %t: %v, want %v", Word(cmd), uint32(steps), lockstep, v, tryAgain)
			}
		}
	}
}

// waitForAnswer waits until there is something to be read, and leaves it there.
func waitForAnswer(t *testing.T, nc *net.UnixConn) {
	t.Helper()
	rc, err := nc.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := rc.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return err != unix.EAGAIN
	}); err != nil {
		t.Fatal(err)
	}
}

// A tardy connection is that of a busy machine: a deadline is over when it is set.
type tardy struct{ *net.UnixConn }

func (c tardy) SetWriteDeadline(at time.Time) error {
	time.Sleep(time.Until(at))
	return c.UnixConn.SetWriteDeadline(at)
}

// On a busy machine a milter is told the end of a message and of the session as
// well.
func TestMilterIsToldOfTheEndOnABusyMachine(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{})
	r.child.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return tardy{nc.(*net.UnixConn)}, nil
	}
	r.greet()
	r.want("message", r.message(), milterkit.Continue)
	r.wantSaw(lines(sawConnect, sawHelo, sawMessage, "quit")...)
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
