//go:build !race

package milterkit

import (
	"context"
	"fmt"
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

// children returns slots with native children that have the same hooks.
func children(n int, h Hooks) []Slot {
	var slots []Slot
	for i := range n {
		slots = append(slots, Slot{Child: native(fmt.Sprint("child", i), h)})
	}
	return slots
}

// rcptWalk has come to the recipients of a message past native children.
func rcptWalk(t testing.TB, n int) *Walk {
	w := quietDispatcher(t, children(n, Hooks{
		Rcpt: func(_ context.Context, e *Envelope, to Address) Verdict { return Continue },
	})...).Walk(wire.AllActions)
	w.Mail(ctxTest, NewAddress("<a@b>"))
	return w
}

// stageSizes are numbers of children that a stage is measured with.
var stageSizes = []int{1, 5, 20}

// A stage past native children allocates nothing, however many there are.
func TestStageAllocatesNothing(t *testing.T) {
	for _, n := range stageSizes {
		w := rcptWalk(t, n)
		to := NewAddress("<c@d>")
		wantAllocs(t, fmt.Sprintf("a stage, %d children", n), testing.AllocsPerRun(1000, func() { w.Rcpt(ctxTest, to) }), 0)
		w.Close()
	}
}

func BenchmarkStage(b *testing.B) {
	for _, n := range stageSizes {
		b.Run(fmt.Sprintf("children=%d", n), func(b *testing.B) {
			w := rcptWalk(b, n)
			defer w.Close()
			to := NewAddress("<c@d>")
			b.ReportAllocs()
			for b.Loop() {
				w.Rcpt(ctxTest, to)
				w.env.Recipients = w.env.Recipients[:0] // or they would be a million
			}
		})
	}
}

// pieceSizes are lengths of pieces of a body.
var pieceSizes = []int{64, 4 << 10, 64 << 10}

func TestBodyPieceAllocatesNothing(t *testing.T) {
	for _, size := range pieceSizes {
		w := liveWalk(t)
		piece := make([]byte, size)
		wantAllocs(t, fmt.Sprintf("a piece of %d bytes, one native child", size), testing.AllocsPerRun(1000, func() { w.Body(ctxTest, piece) }), 0)
		w.Close()
	}
}

// liveWalk has come to where one native child is shown the body as it arrives.
func liveWalk(t testing.TB) *Walk {
	w := quietDispatcher(t, Slot{Child: native("a", Hooks{
		Body: func(context.Context, *Message, []byte) Verdict { return Continue },
	})}).Walk(wire.AllActions)
	toContent(w)
	w.EndOfHeader(ctxTest)
	w.Body(ctxTest, make([]byte, feedFrom))
	return w
}

// The cost of showing a piece does not depend on its length.
func BenchmarkBodyPiece(b *testing.B) {
	for _, size := range pieceSizes {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
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
const sessionAllocs = 120

func TestSessionAllocatesLittle(t *testing.T) {
	session, stop := wholeSessions(t)
	defer stop()
	wantAllocs(t, "a session", testing.AllocsPerRun(100, session), sessionAllocs)
}

func BenchmarkSession(b *testing.B) {
	session, stop := wholeSessions(b)
	defer stop()
	b.ReportAllocs()
	for b.Loop() {
		session()
	}
}

// wholeSessions returns a function that plays a session, over a socket.
func wholeSessions(t testing.TB) (session, stop func()) {
	d := quietDispatcher(t, children(8, Hooks{
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
	session = func() {
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
	}
	return session, func() {
		srv.Close()
		<-served
	}
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
