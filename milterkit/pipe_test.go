package milterkit_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// pipes is a listener in memory, for tests on the clock of a bubble.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

// dial returns the other end of a connection to the listener.
func (p *pipes) dial() net.Conn {
	a, b := miltertest.Pipe()
	p.conns <- b
	return a
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case nc := <-p.conns:
		return nc, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// pipeServer runs a Server for slots within a bubble. dial connects to it; stop
// ends it.
func pipeServer(t *testing.T, maxMemory int64, slots ...milterkit.Slot) (srv *milterkit.Server, dial func() net.Conn, stop func()) {
	t.Helper()
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	srv = &milterkit.Server{Dispatcher: d, TempDir: t.TempDir(), MaxMemory: maxMemory}
	ln := newPipes()
	var served sync.WaitGroup
	served.Go(func() { srv.Serve(ln) })
	return srv, ln.dial, func() { srv.Close(); served.Wait() }
}

// pipeMTA is an MTA on such a connection.
func pipeMTA(t *testing.T, nc net.Conn, offer miltertest.Offer) *miltertest.MTA {
	t.Helper()
	offer.Strict = true
	m, err := miltertest.New(nc, offer)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A piece of the body that a hook still looks at is not written over, though the
// hook was given up and the body is not kept.
func TestPieceOfAGivenUpHookStaysAsItIs(t *testing.T) {
	for name, limit := range map[string]int64{"in memory": 0, "without memory": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const children = 8
				release := make(chan struct{})
				result := make(chan bool, children)
				var slots []milterkit.Slot
				for i := range children {
					calls := 0
					slots = append(slots, milterkit.Slot{ContentTimeout: time.Second, DefaultAction: milterkit.DefaultAccept, Together: i > 0, Child: childOf(string('a'+rune(i)), milterkit.Hooks{
						Body: func(_ context.Context, _ *milterkit.Message, p []byte) milterkit.Verdict {
							if calls++; calls == i+1 {
								was := bytes.Clone(p)
								<-release
								result <- bytes.Equal(was, p)
							}
							return milterkit.Continue
						},
					})})
				}
				srv, dial, stop := pipeServer(t, limit, slots...)
				m := pipeMTA(t, dial(), miltertest.Offer{})
				open(t, m)
				var pieces [][]byte
				for i := range 3 * children {
					pieces = append(pieces, bytes.Repeat([]byte{byte(i)}, wire.MaxBody-100))
				}
				if _, r := deliver(t, m, someHeader, pieces...); r.Final() {
					t.Error(r)
				}
				if _, r := deliver(t, m, someHeader, pieces...); r.Final() {
					t.Error(r)
				}
				m.Quit()
				close(release)
				for range children {
					if !<-result {
						t.Error("a hook's piece of the body was written over")
					}
				}
				synctest.Wait()
				stop()
				if n := milterkit.MemoryInUse(srv); n != 0 {
					t.Errorf("%d bytes are still in use", n)
				}
			})
		})
	}
}

// While hooks run the MTA is told to wait: Postfix at any stage, Sendmail and
// those that are not known only at the end of a message, and nobody where it does
// not wait. Behind Sendmail the header too is shown at the end.
func TestMTAIsToldToWait(t *testing.T) {
	for v, want := range map[string][2]int{"Postfix 3.7.11": {2, 4}, "8.18.1": {0, 4}, "": {0, 4}} {
		synctest.Test(t, func(t *testing.T) {
			slow := func(ctx context.Context) milterkit.Verdict {
				select {
				case <-time.After(12 * time.Second):
				case <-ctx.Done():
				}
				return milterkit.Continue
			}
			_, dial, stop := pipeServer(t, 0, milterkit.Slot{DefaultAction: milterkit.DefaultAccept, Child: childOf("slow", milterkit.Hooks{
				Rcpt: func(ctx context.Context, _ *milterkit.Envelope, _ milterkit.Address) milterkit.Verdict {
					return slow(ctx)
				},
				Header: func(ctx context.Context, _ *milterkit.Message) milterkit.Verdict { return slow(ctx) },
				Message: func(ctx context.Context, _ *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
					return slow(ctx)
				},
			})})
			m := pipeMTA(t, dial(), miltertest.Offer{Sendmail: v == "8.18.1", Timeout: time.Minute})
			m.Macros(wire.CmdConnect, "v", v)
			open(t, m)
			ok(t)(m.Mail("<a@b>"))
			r, err := m.Rcpt("<c@d>")
			if err != nil || r.Progress != want[0] {
				t.Errorf("%q at RCPT: %d times, %v", v, r.Progress, err)
			}
			ok(t)(m.Mail("<a@b>"))
			ok(t)(m.EOH())
			if _, r, err = m.EOM(); err != nil || r.Progress != want[1] {
				t.Errorf("%q at the end: %d times, %v", v, r.Progress, err)
			}
			m.Quit()
			stop()
		})
	}
}

// A child that hangs in one session costs the other sessions nothing.
func TestHungChildDoesNotHoldUpOtherSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, dial, stop := pipeServer(t, 0, milterkit.Slot{Child: childOf("c", milterkit.Hooks{Mail: func(_ context.Context, e *milterkit.Envelope) milterkit.Verdict {
			if e.Sender.Addr == "hang" {
				time.Sleep(time.Hour)
			}
			return milterkit.Continue
		}})})
		hung, other := pipeMTA(t, dial(), miltertest.Offer{Timeout: time.Minute}), pipeMTA(t, dial(), miltertest.Offer{})
		open(t, hung)
		open(t, other)
		var wg sync.WaitGroup
		wg.Go(func() {
			if r, err := hung.Mail("<hang>"); err != nil || r.Kind != miltertest.TempFail {
				t.Errorf("%v %v", r, err)
			}
		})
		began := time.Now()
		if _, r := deliver(t, other, someHeader, []byte("body\r\n")); r.Final() || time.Since(began) > 0 {
			t.Errorf("%v after %v", r, time.Since(began))
		}
		wg.Wait()
		stop()
		time.Sleep(2 * time.Hour)
	})
}

// A recipient that the MTA itself has refused is shown to children that asked for
// it, and never to the others.
func TestRefusedRecipientIsShownToThoseThatAskForIt(t *testing.T) {
	var asked, refused []string
	_, socket := serve(t, milterkit.Slot{Child: childOf("c", milterkit.Hooks{
		Rcpt: func(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
			asked = append(asked, to.Addr)
			return milterkit.Continue
		},
		RefusedRcpt: func(_ context.Context, e *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
			refused = append(refused, to.Addr+e.Macro("rcpt_addr"))
			return milterkit.Reject("too late")
		},
	})})
	m := call(t, socket, miltertest.Offer{})
	open(t, m)
	ok(t)(m.Mail("<a@b>"))
	m.Macros(wire.CmdRcpt, "{rcpt_mailer}", "error", "{rcpt_addr}", " no such user")
	ok(t)(m.Rcpt("<no@d>"))
	m.Macros(wire.CmdRcpt, "{rcpt_mailer}", "local", "{rcpt_addr}", "c@d")
	ok(t)(m.Rcpt("<c@d>"))
	if _, r, err := m.EOM(); err != nil || r.Final() {
		t.Fatal(r, err)
	}
	m.Quit()
	if len(asked) != 1 || asked[0] != "c@d" || len(refused) != 1 || refused[0] != "no@d no such user" {
		t.Errorf("asked %q, refused %q", asked, refused)
	}
	if m.Negotiated.Steps&wire.RefusedRcpts == 0 {
		t.Error("the MTA was not asked for refused recipients")
	}
}

// The MTA is not asked for what no child wants, and is asked for macros: its own
// defaults, and those that children name.
func TestNegotiation(t *testing.T) {
	rcpt := milterkit.Hooks{
		Rcpt: func(context.Context, *milterkit.Envelope, milterkit.Address) milterkit.Verdict {
			return milterkit.Continue
		},
		Macros: map[milterkit.Stage][]string{milterkit.StageRcpt: {"{mine}", "rcpt_addr"}},
	}
	_, socket := serve(t, milterkit.Slot{Child: childOf("c", rcpt)})
	m := call(t, socket, miltertest.Offer{})
	for cmd, want := range map[byte]bool{wire.CmdConnect: true, wire.CmdHelo: true, wire.CmdMail: true, wire.CmdRcpt: true,
		wire.CmdData: false, wire.CmdHeader: false, wire.CmdEOH: false, wire.CmdBody: false, wire.CmdUnknown: false, wire.CmdEOM: true} {
		if m.Wants(cmd) != want {
			t.Errorf("%s is wanted: %v", wire.CmdName(cmd), !want)
		}
	}
	stages := map[wire.Stage]bool{}
	for _, l := range m.Negotiated.MacroLists {
		stages[l.Stage] = true
		names := map[string]int{}
		for _, n := range l.Names {
			names[n]++
		}
		if l.Stage == wire.StageRcpt && (names["{mine}"] != 1 || names["{rcpt_addr}"] != 1 || names["rcpt_addr"] != 0 || names["i"] != 1) {
			t.Errorf("macros at RCPT: %v", l.Names)
		}
	}
	if len(stages) != 7 || stages[wire.StageEOH] != stages[wire.StageEOM] {
		t.Errorf("macros at stages %v", stages)
	}
	old := call(t, socket, miltertest.Offer{Version: 2, Actions: 0x3f, Steps: 0x7f})
	if n := old.Negotiated; n.Version != 2 || n.Actions != 0x3f || n.Steps != wire.NoHeader|wire.NoEOH|wire.NoBody || len(n.MacroLists) > 0 {
		t.Errorf("to version 2: %+v", n)
	}
}

// A message that Close or the end of Shutdown cuts short is put off, in so many
// words: no default action decides, and nothing is taken unscanned.
func TestMessageCutShortIsPutOff(t *testing.T) {
	for _, action := range []milterkit.DefaultAction{milterkit.DefaultAccept, milterkit.DefaultReject} {
		synctest.Test(t, func(t *testing.T) {
			started := make(chan struct{})
			srv, dial, stop := pipeServer(t, 0, milterkit.Slot{DefaultAction: action, Child: childOf("slow", milterkit.Hooks{
				Message: func(ctx context.Context, _ *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
					close(started)
					<-ctx.Done()
					return milterkit.Fail(ctx.Err())
				},
			})})
			m := pipeMTA(t, dial(), miltertest.Offer{Timeout: time.Minute})
			open(t, m)
			ok(t)(m.Mail("<a@b>"))
			ok(t)(m.Rcpt("<c@d>"))
			go func() {
				<-started
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				srv.Shutdown(ctx)
			}()
			_, r, err := m.EOM()
			if want := "451 4.3.2 Service not available, try again later"; err != nil || r.Text != want {
				t.Errorf("%v: %q, %v, want %q", action, r.Text, err, want)
			}
			stop()
		})
	}
}
