package milterkit

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/milterkit/sdk/internal/spool"
	"github.com/milterkit/sdk/milterkit/wire"
)

// untilStopped is a hook that waits until it is told to stop.
func untilStopped(ctx context.Context, _ *Message, _ *Edits) Verdict {
	<-ctx.Done()
	return Fail(context.Cause(ctx))
}

// What one child of a group has said counts, however long the session is in the hook
// of another one, on its own goroutine.
func TestVerdictOfAGroupCountsWhileAnotherHangs(t *testing.T) {
	refuses := func(context.Context, *Message, *Edits) Verdict { return Reject("5.7.1 no") }
	for _, prompt := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := quietDispatcher(t,
				Slot{Child: native("hangs", Hooks{Prompt: true, Message: untilStopped}), ContentTimeout: 5 * time.Second, DefaultAction: DefaultAccept},
				Slot{Child: native("refuses", Hooks{Prompt: prompt, Message: refuses}), ContentTimeout: time.Second, Together: true, DefaultAction: DefaultAccept},
			).Walk(wire.AllActions)
			defer w.Close()
			toContent(w)
			var o Outcome
			wantTime(t, "the end", took(func() { o = w.EndOfMessage(ctxTest) }), 5*time.Second)
			wantVerdict(t, "the end", o.Verdict, Reject("5.7.1 no"))
		})
	}
}

// A hook on the session's own goroutine has its timeout, and the MTA is told to wait
// meanwhile.
func TestPromptHookIsToldToStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := quietDispatcher(t, Slot{Child: native("hangs", Hooks{Prompt: true, Message: untilStopped}), ContentTimeout: 12 * time.Second}).Walk(wire.AllActions)
		defer w.Close()
		told := 0
		w.OnProgress = func() { told++ }
		toContent(w)
		var o Outcome
		wantTime(t, "the end", took(func() { o = w.EndOfMessage(ctxTest) }), 12*time.Second)
		wantVerdict(t, "the end", o.Verdict, TempFail(""))
		if told != 2 {
			t.Errorf("the MTA was told to wait %d times, want 2", told)
		}
	})
}

// An alarm that rings when a hook was set going, and the session does not yet listen,
// is not lost: the hook still has its timeout.
func TestAlarmThatRingsAsAHookBeginsIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := quietDispatcher(t, Slot{Child: native("hangs", Hooks{Prompt: true, Message: untilStopped}), ContentTimeout: 12 * time.Second}).Walk(wire.AllActions)
		defer w.Close()
		toContent(w)
		w.EndOfHeader(ctxTest)
		w.complete = true
		w.beginContent(ctxTest, StageMessage)
		w.parts[0].begin(StageMessage, runContent)
		w.alarmAt = now().add(time.Millisecond) // as it may be from a stage before
		w.alarm.Reset(time.Millisecond)
		time.Sleep(2 * time.Millisecond)
		wantTime(t, "the hook", took(w.await), 12*time.Second)
	})
}

func TestPanicOfAPromptHookIsAFailure(t *testing.T) {
	panics := Hooks{Prompt: true, Rcpt: func(context.Context, *Envelope, Address) Verdict { panic("at once") }}
	w := quietDispatcher(t, Slot{Child: native("panics", panics), DefaultAction: DefaultReject}).Walk(wire.AllActions)
	defer w.Close()
	for range 2 {
		wantVerdict(t, "MAIL", w.Mail(ctxTest, NewAddress("<a@b>")), Continue)
		wantVerdict(t, "RCPT", w.Rcpt(ctxTest, NewAddress("<c@d>")), Reject(""))
	}
}

// A message for which there is no memory takes no more of it the longer it is, also
// when a hook that was given up looks at a piece.
func TestMessageWithoutMemoryTakesFewPages(t *testing.T) {
	release := make(chan struct{})
	hung := false
	hangs := Hooks{Body: func(context.Context, *Message, []byte) Verdict {
		if !hung {
			hung = true
			<-release
		}
		return Continue
	}}
	places := map[uintptr]bool{}
	sees := Hooks{Body: func(_ context.Context, _ *Message, p []byte) Verdict {
		places[uintptr(unsafe.Pointer(unsafe.SliceData(p)))/spool.PageSize] = true
		return Continue
	}}
	srv := &Server{TempDir: t.TempDir(), MaxMemory: 1, Dispatcher: quietDispatcher(t,
		Slot{Child: native("hangs", hangs), ContentTimeout: 20 * time.Millisecond, DefaultAction: DefaultAccept},
		Slot{Child: native("sees", sees), Together: true})}
	m := newRawMTA(t, srv)
	m.envelope()
	for range 100 {
		m.say(wire.CmdBody, make([]byte, wire.MaxBody))
	}
	m.say(wire.CmdEOM, nil)
	close(release)
	if len(places) > 12 {
		t.Errorf("the body was seen at %d places", len(places))
	}
}

// A piece of no bytes changes nothing, wherever the others are kept.
func TestEmptyPieceChangesNothing(t *testing.T) {
	var got []byte
	srv := &Server{TempDir: t.TempDir(), MaxMemory: spool.SlabSize + 2*spool.PageSize, Dispatcher: quietDispatcher(t,
		Slot{Child: OnMessage("c", func(_ context.Context, m *Message, _ *Edits) Verdict {
			got = bytes.Join(m.Body(), nil)
			return Continue
		})})}
	m := newRawMTA(t, srv)
	other := srv.budget.NewStore() // takes the memory for a while
	if other.Slab() == nil {
		t.Fatal("no slab")
	}
	m.envelope()
	var want []byte
	body := func(c string, n int) {
		p := []byte(strings.Repeat(c, n))
		want = append(want, p...)
		m.say(wire.CmdBody, p)
		time.Sleep(10 * time.Millisecond) // until it is read
	}
	body("a", 40000) // to the file
	other.Release()
	body("b", 60000) // part of it to the file, the rest to a slab
	body("c", 40000)
	body("d", spool.SlabSize-(60000-(spool.PageSize-5))-40005-5) // the slab is full
	body("", 0)
	body("e", 1000)
	m.say(wire.CmdEOM, nil)
	if !bytes.Equal(got, want) {
		t.Errorf("the child saw %d bytes, want %d", len(got), len(want))
	}
}

// A rawMTA says what it is told to, frame by frame.
type rawMTA struct {
	*testing.T
	nc     net.Conn
	r      *wire.Reader
	agreed wire.Negotiation
}

func newRawMTA(t *testing.T, srv *Server) *rawMTA {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- srv.Serve(ln) }()
	nc, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close(); srv.Close(); <-served })
	m := &rawMTA{T: t, nc: nc, r: wire.NewReader(nc, nil)}
	nc.Write(wire.Negotiation{Version: 6, Actions: wire.AllActions, Steps: wire.AllSteps}.Append(nil))
	f, err := m.r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if m.agreed, err = wire.ParseNegotiation(f.Payload); err != nil {
		t.Fatal(err)
	}
	return m
}

// say says a command, and reads the answer if there is to be one.
func (m *rawMTA) say(cmd byte, p []byte) {
	m.Helper()
	m.nc.Write(wire.AppendFrame(nil, cmd, p))
	if nr := wire.NoReply(cmd); nr == 0 || m.agreed.Steps&nr == 0 {
		if f, err := m.r.Next(); err != nil || !slices.Contains([]byte{wire.RepContinue}, f.Code) {
			m.Fatalf("%s: %c, %v", wire.CmdName(cmd), f.Code, err)
		}
	}
}

// envelope takes a message to its body.
func (m *rawMTA) envelope() {
	m.say(wire.CmdMail, []byte("<a@b>\x00"))
	m.say(wire.CmdRcpt, []byte("<c@d>\x00"))
	m.say(wire.CmdHeader, []byte("Subject\x00 x\x00"))
	m.say(wire.CmdEOH, nil)
}
