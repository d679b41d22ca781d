package milterkit_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"slices"
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
	c := &crowd{log: new(journal), ln: newPipes()}
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
func (c *crowd) dial() net.Conn { return c.ln.dial() }

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

// A connection beyond MaxConnections is served when another has ended, whichever
// listener it came to: one that nobody comes to keeps no room.
func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, func(s *milterkit.Server) { s.MaxConnections = 2 })
		idle := newPipes()
		var served sync.WaitGroup
		served.Go(func() { c.Serve(idle) })
		first, second := c.dial(), c.dial()
		defer second.Close()
		began := time.Now()
		mail(t, first)
		mail(t, second)
		if d := time.Since(began); d != 0 {
			t.Errorf("two connections were served after %v", d)
		}
		go func() {
			time.Sleep(time.Second)
			first.Close()
		}()
		third := c.dial()
		defer third.Close()
		mail(t, third)
		if d := time.Since(began); d != time.Second {
			t.Errorf("the third connection was served after %v, want 1 s, when the first has ended", d)
		}
		if n := c.warnings("others wait until one ends"); n != 1 {
			t.Errorf("%d warnings, want one", n)
		}
		c.stop()
		served.Wait()
	})
}

// A session that was turned away stays so after QUIT_NC: the MTA was told to leave
// out all content.
func TestSessionWithoutAPlaceStaysTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, func(s *milterkit.Server) { s.MaxSessions = 1 })
		defer c.stop()
		first := c.dial()
		mail(t, first)
		second := c.dial()
		defer second.Close()
		m := pipeMTA(t, second, miltertest.VersionOffer(6))
		first.Close()
		synctest.Wait()
		m.QuitNew()
		open(t, m)
		if r, err := m.Mail("<a@example.org>"); err != nil || r.Kind != miltertest.ReplyCode {
			t.Errorf("MAIL after QUIT_NC: %v, %v", r, err)
		}
		if n := c.messages.Load(); n != 1 {
			t.Errorf("the child has seen %d messages, want 1", n)
		}
	})
}

// A child that wants more in the second session of a connection than in the first
// is not shown half of a message: the MTA has to connect anew.
func TestQuitNCWithOtherNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fickle := &fickle{}
		_, dial, stop := pipeServer(t, 0, milterkit.Slot{Child: fickle})
		defer stop()
		nc := dial()
		defer nc.Close()
		m := pipeMTA(t, nc, miltertest.VersionOffer(6))
		open(t, m)
		m.QuitNew()
		if _, err := m.Connect("mx.example.org", wire.FamilyInet, 25, "192.0.2.1"); err == nil {
			t.Error("the session goes on")
		}
	})
}

// fickle wants content from its second session on.
type fickle struct{ sessions atomic.Int64 }

func (*fickle) Name() string { return "fickle" }

func (f *fickle) Hooks() milterkit.Hooks {
	if f.sessions.Add(1) == 1 {
		return milterkit.Hooks{}
	}
	return milterkit.Hooks{Message: func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
		return milterkit.Continue
	}}
}

// Sessions are counted from accept until they have ended, those without a place too,
// and so are those that wait for one and those that get none.
func TestSessionsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, func(s *milterkit.Server) { s.MaxSessions = 1 })
		defer c.stop()
		count := func(want int) {
			t.Helper()
			synctest.Wait()
			if got := c.Stats().Sessions; got != want {
				t.Errorf("%d sessions, want %d", got, want)
			}
		}
		count(0)
		first, second := c.dial(), c.dial()
		count(2)
		first.Close()
		count(1)
		second.Close()
		count(0)
		first, second = c.dial(), c.dial()
		defer first.Close()
		defer second.Close()
		mail(t, first)
		time.AfterFunc(time.Second, func() {
			if got := c.Stats(); got.Sessions != 2 || got.Waiting != 1 || got.Begun != 4 || got.Refused != 0 {
				t.Errorf("while one waits: %+v", got)
			}
		})
		mail(t, second)
		if got := c.Stats(); got.Waiting != 0 || got.Refused != 1 {
			t.Errorf("when it got no place: %+v", got)
		}
	})
}

// All sessions have numbers of their own, those that were turned away too.
func TestSessionsHaveNumbersOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, func(s *milterkit.Server) { s.MaxSessions = 1 })
		for range 3 {
			nc := c.dial()
			defer nc.Close()
			mail(t, nc)
		}
		c.stop()
		if numbers := sessionNumbers(c.log.String()); len(numbers) != 3 || len(slices.Compact(slices.Sorted(slices.Values(numbers)))) != 3 {
			t.Errorf("the numbers are %v, want three:\n%s", numbers, c.log)
		}
	})
}

// sessionNumbers are those in the lines of a log, in their order.
func sessionNumbers(log string) (numbers []string) {
	for _, m := range regexp.MustCompile(`session=(\d+) `).FindAllStringSubmatch(log, -1) {
		numbers = append(numbers, m[1])
	}
	return numbers
}

// What a message's recipients take is bounded.
func TestTooManyRecipients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, func(*milterkit.Server) {})
		defer c.stop()
		nc := c.dial()
		defer nc.Close()
		m := pipeMTA(t, nc, miltertest.VersionOffer(6))
		open(t, m)
		long := "<" + strings.Repeat("x", 60_000) + "@example.net>"
		for range 2 {
			ok(t)(m.Mail("<a@example.org>"))
			taken := 0
			for range 100 {
				r, err := m.Rcpt(long)
				if err != nil {
					t.Fatal(err)
				}
				if !r.Final() {
					taken++
				} else if want := "452 4.5.3 Too many recipients"; r.Text != want {
					t.Fatalf("%v, want %s", r, want)
				}
			}
			if taken != 69 { // 4 MiB
				t.Errorf("%d recipients of 60 KB were taken", taken)
			}
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
		ln := &short{pipes: newPipes(), until: time.Now().Add(150 * time.Second)}
		var served sync.WaitGroup
		served.Go(func() { c.Serve(ln) })
		nc := ln.dial()
		mail(t, nc)
		nc.Close()
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
			log := new(journal)
			d.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
			w := d.Walk(wire.AllActions)
			w.Connect(t.Context(), "mail.example.org", '4', "192.0.2.1", 25)
			v := w.Mail(t.Context(), milterkit.NewAddress("<a@example.org>"))
			w.Mail(t.Context(), milterkit.NewAddress("<b@example.org>"))
			if s := log.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "no descriptors left") || !strings.Contains(s, "milter=dials") {
				t.Errorf("logged: %s", s)
			}
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
