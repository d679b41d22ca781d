//go:build !race

package milterkit

import (
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"testing"

	"github.com/milterkit/sdk/milterkit/wire"
)

func wantAllocs(t *testing.T, what string, got, most float64) {
	t.Helper()
	t.Logf("%s: %v allocations", what, got)
	if got > most {
		t.Errorf("%s: %v allocations, want %v at most", what, got, most)
	}
}

func eightChildren(h Hooks) []Slot {
	var slots []Slot
	for i := range 8 {
		slots = append(slots, Slot{Child: native(string('a'+rune(i)), h)})
	}
	return slots
}

func TestRcptAllocatesNothing(t *testing.T) {
	w := quietDispatcher(t, eightChildren(Hooks{
		Rcpt: func(_ context.Context, e *Envelope, to Address) Verdict { return Continue },
	})...).Walk(wire.AllActions)
	defer w.Close()
	w.Mail(ctxTest, NewAddress("<a@b>"))
	to := NewAddress("<c@d>")
	wantAllocs(t, "RCPT, 8 children", testing.AllocsPerRun(1000, func() { w.Rcpt(ctxTest, to) }), 0)
}

func TestBodyPieceAllocatesNothing(t *testing.T) {
	for _, size := range []int{64, 64 << 10} {
		w := liveWalk(t)
		piece := make([]byte, size)
		wantAllocs(t, "a piece of the body, one native child", testing.AllocsPerRun(1000, func() { w.Body(ctxTest, piece) }), 0)
		w.Close()
	}
}

// liveWalk has come to the body of a message that one native child is shown.
func liveWalk(t testing.TB) *Walk {
	w := quietDispatcher(t, Slot{Child: native("a", Hooks{
		Body: func(context.Context, *Message, []byte) Verdict { return Continue },
	})}).Walk(wire.AllActions)
	toContent(w)
	w.EndOfHeader(ctxTest)
	return w
}

// The cost of showing a piece does not depend on its length.
func BenchmarkBodyPiece(b *testing.B) {
	for name, size := range map[string]int{"64B": 64, "64KiB": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			w := liveWalk(b)
			defer w.Close()
			piece := make([]byte, size)
			b.ReportAllocs()
			for b.Loop() {
				w.Body(ctxTest, piece)
			}
		})
	}
}

// sessionAllocs is the bound for a session of one message with 5 recipients, 20
// fields and 100 KB of body past 8 children, both ends of the socket and the log
// line included. It is lowered as it can be, never raised.
const sessionAllocs = 220

func TestSessionAllocatesLittle(t *testing.T) {
	d := quietDispatcher(t, eightChildren(Hooks{
		Connect: func(context.Context, *Session) Verdict { return Continue },
		Helo:    func(context.Context, *Session) Verdict { return Continue },
		Mail:    func(context.Context, *Envelope) Verdict { return Continue },
		Rcpt:    func(context.Context, *Envelope, Address) Verdict { return Continue },
		Header:  func(context.Context, *Message) Verdict { return Continue },
		Message: func(_ context.Context, _ *Message, _ *Edits) Verdict { return Continue },
		Reset:   func() {},
		Close:   func() {},
	})...)
	d.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	srv := &Server{Dispatcher: d}
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- srv.Serve(ln) }()
	out := wholeSession()
	in := make([]byte, 64<<10)
	got := testing.AllocsPerRun(100, func() {
		nc, err := net.Dial("unix", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		nc.Write(out)
		for {
			if _, err := nc.Read(in); err != nil {
				break
			}
		}
		nc.Close()
	})
	wantAllocs(t, "a session", got, sessionAllocs)
	srv.Close()
	<-served
}

// wholeSession is what an MTA says in a session of one message.
func wholeSession() []byte {
	out := wire.Negotiation{Version: 6, Actions: wire.AllActions, Steps: wire.AllSteps}.Append(nil)
	macros := func(cmd byte) {
		out = wire.AppendMacros(out, cmd, func(yield func(string, string) bool) { yield("i", "4B2") })
	}
	macros(wire.CmdConnect)
	out = wire.Connect{Host: []byte("mx.example.org"), Family: FamilyInet, Port: 25, Addr: []byte("192.0.2.1")}.Append(out)
	out = wire.AppendHelo(out, []byte("mx.example.org"))
	macros(wire.CmdMail)
	out = wire.AppendAddress(out, wire.CmdMail, "<alice@example.org>", []string{"SIZE=100000"})
	for range 5 {
		macros(wire.CmdRcpt)
		out = wire.AppendAddress(out, wire.CmdRcpt, "<bob@example.test>", nil)
	}
	for range 20 {
		macros(wire.CmdHeader)
		out = wire.AppendHeader(out, []byte("X-Field"), []byte(" some value"))
	}
	out = wire.AppendFrame(out, wire.CmdEOH, nil)
	for range 2 {
		macros(wire.CmdBody)
		out = wire.AppendFrame(out, wire.CmdBody, make([]byte, 50000))
	}
	macros(wire.CmdEOM)
	out = wire.AppendFrame(out, wire.CmdEOM, nil)
	return wire.AppendFrame(out, wire.CmdQuit, nil)
}
