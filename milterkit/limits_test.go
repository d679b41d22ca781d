package milterkit_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A crowd is a Server with limits, in a bubble, on a listener that a test holds.
type crowd struct {
	*milterkit.Server
	ln   *pipes
	log  *journal
	stop func()

	messages atomic.Int64 // that the child has seen the MAIL of
}

// newCrowd starts it; set sets the limits.
func newCrowd(t *testing.T, set func(*milterkit.Server)) *crowd {
	t.Helper()
	c := &crowd{log: new(journal), ln: &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}}
	child := childOf("child", milterkit.Hooks{
		Mail: func(context.Context, *milterkit.Envelope) milterkit.Verdict {
			c.messages.Add(1)
			return milterkit.Continue
		},
	})
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: child})
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.NewTextHandler(c.log, nil))
	c.Server = &milterkit.Server{Dispatcher: d}
	set(c.Server)
	var served sync.WaitGroup
	served.Go(func() { c.Serve(c.ln) })
	c.stop = func() { c.Server.Close(); served.Wait() }
	return c
}

// dial returns a connection that was accepted.
func (c *crowd) dial() net.Conn {
	a, b := net.Pipe()
	c.ln.conns <- b
	return a
}

// mail begins a session and a message, and returns the answer to MAIL.
func mail(t *testing.T, nc net.Conn) miltertest.Reply {
	t.Helper()
	m := pipeMTA(t, nc, miltertest.Offer{Version: 6, Actions: wire.AllActions, Steps: wire.AllSteps})
	open(t, m)
	r, err := m.Mail("<a@example.org>")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// warnings counts the warnings that have a text.
func (c *crowd) warnings(text string) int {
	n := 0
	for line := range strings.Lines(c.log.String()) {
		if strings.Contains(line, "level=WARN") && strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// A session beyond MaxSessions gets the place of one that ends while it waits.
func TestSessionWaitsForAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, func(s *milterkit.Server) { s.MaxSessions = 1 })
		defer c.stop()
		first := c.dial()
		mail(t, first)
		go func() {
			time.Sleep(3 * time.Second)
			first.Close()
		}()
		began := time.Now()
		second := c.dial()
		defer second.Close()
		if r := mail(t, second); r.Kind != miltertest.Continue || time.Since(began) != 3*time.Second {
			t.Errorf("MAIL is answered %v after %v, want it to go on after 3 s", r, time.Since(began))
		}
		if n := c.messages.Load(); n != 2 {
			t.Errorf("the child has seen %d messages, want 2", n)
		}
		if n := c.warnings("too many sessions"); n != 0 {
			t.Errorf("%d warnings, want none", n)
		}
	})
}

// A session that gets no place within 5 s is told at MAIL to try again, each
// message of it, and no child sees any of it; it is logged once a minute.
func TestSessionWithoutAPlaceIsTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, func(s *milterkit.Server) { s.MaxSessions = 2 })
		defer c.stop()
		for range 2 {
			nc := c.dial()
			defer nc.Close()
			mail(t, nc)
		}
		for minute := range 2 {
			var crowded sync.WaitGroup
			for range 10 {
				crowded.Go(func() {
					began := time.Now()
					nc := c.dial()
					defer nc.Close()
					r := mail(t, nc)
					if want := "451 4.3.2 Too busy, try again later"; r.Text != want || time.Since(began) != 5*time.Second {
						t.Errorf("MAIL is answered %q after %v, want %q after 5 s", r.Text, time.Since(began), want)
					}
				})
			}
			crowded.Wait()
			if n := c.warnings("too many sessions"); n != minute+1 {
				t.Errorf("%d warnings in minute %d, want one a minute", n, minute+1)
			}
			time.Sleep(time.Minute)
		}
		if n := c.messages.Load(); n != 2 {
			t.Errorf("the child has seen %d messages, want 2", n)
		}
		if !strings.Contains(c.log.String(), "by=max_sessions at=mail") {
			t.Error("the log does not tell who has turned the messages away")
		}
	})
}

// Shutdown does not wait for those that wait.
func TestShutdownEndsTheWaitForAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, func(s *milterkit.Server) { s.MaxSessions = 1 })
		defer c.stop()
		first := c.dial()
		defer first.Close()
		mail(t, first)
		second := c.dial()
		defer second.Close()
		go io.Copy(io.Discard, second)
		second.Write(wire.Negotiation{Version: 6}.Append(nil))
		synctest.Wait()
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c.Shutdown(ctx)
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("Shutdown took %v", d)
		}
	})
}

// A connection beyond MaxConnections stays in the listen queue.
func TestConnectionsBeyondTheLimitStayInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, func(s *milterkit.Server) { s.MaxConnections = 2 })
		defer c.stop()
		first, second := c.dial(), c.dial()
		defer second.Close()
		go func() {
			time.Sleep(time.Second)
			first.Close()
		}()
		began := time.Now()
		third := c.dial()
		defer third.Close()
		if d := time.Since(began); d != time.Second {
			t.Errorf("the third connection was accepted after %v, want 1 s, when the first has ended", d)
		}
		if n := c.warnings("wait in the listen queue"); n != 1 {
			t.Errorf("%d warnings, want one", n)
		}
	})
}

// short is a listener that has no descriptor left for a while.
type short struct {
	*pipes
	until time.Time
	tries int
}

func (l *short) Accept() (net.Conn, error) {
	if l.tries++; time.Now().Before(l.until) {
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: syscall.EMFILE}
	}
	return l.pipes.Accept()
}

// Where no descriptor is left, accept is tried again every now and then, which is
// logged once a minute, and goes on when there is one.
func TestAcceptWithoutDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, func(*milterkit.Server) {})
		ln := &short{pipes: &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}, until: time.Now().Add(150 * time.Second)}
		var served sync.WaitGroup
		served.Go(func() { c.Serve(ln) })
		a, b := net.Pipe()
		ln.conns <- b
		mail(t, a)
		a.Close()
		c.stop()
		served.Wait()
		if n := c.warnings("cannot accept a connection"); n != 3 {
			t.Errorf("%d warnings in 150 s, want 3", n)
		}
		if ln.tries > 170 {
			t.Errorf("%d attempts in 150 s: that is spinning", ln.tries)
		}
	})
}

// For want of a descriptor a message is put off, whatever the child's default
// action is: nobody has looked at it.
func TestWantOfDescriptorsIsNotTheChildsFailure(t *testing.T) {
	for _, err := range []error{syscall.EMFILE, syscall.ENFILE} {
		for action := milterkit.DefaultTempFail; action <= milterkit.DefaultQuarantine; action++ {
			d, _ := milterkit.NewDispatcher(milterkit.Slot{
				DefaultAction: action,
				Child: childOf("dials", milterkit.Hooks{Connect: func(context.Context, *milterkit.Session) milterkit.Verdict {
					return milterkit.Fail(fmt.Errorf("dial: %w", err))
				}}),
			})
			d.Logger = slog.New(slog.DiscardHandler)
			w := d.Walk(wire.AllActions)
			w.Connect(t.Context(), "mail.example.org", '4', "192.0.2.1", 25)
			v := w.Mail(t.Context(), milterkit.NewAddress("<a@example.org>"))
			if want := "451 4.3.2 Too busy, try again later"; v.Text() != want {
				t.Errorf("%v, default action %s: %v, want %s", err, action, v, want)
			}
			w.Close()
		}
	}
}

// A connection on which nothing is said does not stay for ever.
func TestSilentConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, func(*milterkit.Server) {})
		defer c.stop()
		began := time.Now()
		if _, err := c.dial().Read(make([]byte, 1)); err == nil || time.Since(began) != time.Minute {
			t.Errorf("read: %v after %v, want the connection closed after a minute", err, time.Since(began))
		}
	})
}

// A frame's claim to be long is not believed where no long one can be.
func TestLongFrameOutsideAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, func(*milterkit.Server) {})
		defer c.stop()
		nc := c.dial()
		go nc.Write([]byte("\x00\x01\x00\x01O"))
		if b, _ := io.ReadAll(nc); len(bytes.TrimSpace(b)) > 0 {
			t.Errorf("answered %q", b)
		}
		synctest.Wait()
		if n := c.warnings("want 1 to 65536"); n != 1 {
			t.Errorf("the log does not tell why: %s", c.log)
		}
	})
}
