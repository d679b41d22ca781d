package milterkit_test

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// refuser is a Dispatcher that refuses each message with a text of its own.
func refuser(t *testing.T, log *journal, text string) *milterkit.Dispatcher {
	t.Helper()
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: childOf(text, milterkit.Hooks{
		Mail: func(context.Context, *milterkit.Envelope) milterkit.Verdict { return milterkit.Reject(text) },
	})})
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.NewTextHandler(log, nil))
	return d
}

// hasEnded reports whether a channel is closed, once all has come to rest.
func hasEnded(ended <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

// replaceable is a Server in a bubble whose Dispatcher refuses with "5.7.1 old".
func replaceable(t *testing.T, log *journal) (s *milterkit.Server, dial func() net.Conn, stop func()) {
	s = &milterkit.Server{Dispatcher: refuser(t, log, "5.7.1 old")}
	ln := newPipes()
	var served sync.WaitGroup
	served.Go(func() { s.Serve(ln) })
	return s, ln.dial, func() { s.Close(); served.Wait() }
}

// A session keeps the Dispatcher with which it began, for all its messages, and one
// that begins after Replace has the new one; with the last of the old ones ended is
// closed.
func TestReplaceLeavesSessionsAsTheyBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(journal)
		s, dial, stop := replaceable(t, log)
		defer stop()
		var olds []*miltertest.MTA
		for range 2 {
			m := pipeMTA(t, dial(), miltertest.Offer{})
			open(t, m)
			olds = append(olds, m)
		}
		late := dial() // has connected, and said nothing yet: it has the new one
		ended, _ := s.Replace(refuser(t, log, "5.7.1 new"))
		says := func(m *miltertest.MTA, want string) {
			t.Helper()
			for range 2 {
				if r, err := m.Mail("<a@example.org>"); err != nil || !strings.HasSuffix(r.Text, want) {
					t.Errorf("MAIL is answered %v, %v, want %s", r, err, want)
				}
			}
		}
		for _, m := range olds {
			says(m, "old")
		}
		for _, nc := range []net.Conn{late, dial()} {
			m := pipeMTA(t, nc, miltertest.Offer{})
			open(t, m)
			says(m, "new")
			defer m.Quit()
		}
		olds[0].Quit()
		if hasEnded(ended) {
			t.Error("ended is closed while a session has the old one")
		}
		olds[1].Quit()
		if !hasEnded(ended) {
			t.Error("no session has the old one, and ended is not closed")
		}
		if n := s.Stats().Sessions; n != 2 {
			t.Errorf("%d sessions, want 2", n)
		}
	})
}

// Where no session has the old one it has ended at once; the numbers of sessions go on.
func TestNumbersOfSessionsGoOnAfterReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(journal)
		s, dial, stop := replaceable(t, log)
		for range 3 {
			m := pipeMTA(t, dial(), miltertest.Offer{})
			open(t, m)
			m.Mail("<a@example.org>")
			m.Quit()
			ended, end := s.Replace(refuser(t, log, "5.7.1 next"))
			if !hasEnded(ended) || end(t.Context()) != nil {
				t.Error("there was no session, and it has not ended")
			}
		}
		stop()
		numbers := sessionNumbers(log.String())
		if len(numbers) != 3 || len(slices.Compact(slices.Sorted(slices.Values(numbers)))) != 3 || !slices.IsSorted(numbers) {
			t.Errorf("got %v", numbers)
		}
	})
}

// A program that is started anew has other numbers than it had.
func TestNumbersOfSessionsAreNewAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := func() uint64 {
			d, err := milterkit.NewDispatcher()
			if err != nil {
				t.Fatal(err)
			}
			w := d.Walk(0)
			defer w.Close()
			return w.Session().ID
		}
		a := first()
		time.Sleep(2 * time.Second)
		if b := first(); b < a+1000 || b > 1<<53 {
			t.Errorf("the first session had %d, after the restart it has %d", a, b)
		}
	})
}

// End closes idle sessions of the old Dispatcher at once and lets a message under way
// end, until ctx is done: then its hook is told to stop, and the client is put off.
// Sessions of the new one go on.
func TestEndOfWhatWasReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := milterkit.NewDispatcher(milterkit.Slot{Child: childOf("slow", milterkit.Hooks{
			Rcpt: func(ctx context.Context, _ *milterkit.Envelope, _ milterkit.Address) milterkit.Verdict {
				<-ctx.Done()
				return milterkit.Continue
			},
		})})
		if err != nil {
			t.Fatal(err)
		}
		log := new(journal)
		d.Logger = slog.New(slog.NewTextHandler(log, nil))
		s := &milterkit.Server{Dispatcher: d}
		ln := newPipes()
		var served sync.WaitGroup
		served.Go(func() { s.Serve(ln) })
		defer func() { s.Close(); served.Wait() }()
		session := func() *miltertest.MTA {
			m := pipeMTA(t, ln.dial(), miltertest.Offer{})
			open(t, m)
			return m
		}
		idle, working := session(), session()
		if r, err := working.Mail("<a@example.org>"); err != nil || r.Final() {
			t.Fatal(r, err)
		}
		answer := make(chan miltertest.Reply, 1)
		go func() { r, _ := working.Rcpt("<b@example.org>"); answer <- r }()
		synctest.Wait()
		ended, end := s.Replace(refuser(t, log, "5.7.1 new"))
		fresh := session()
		defer fresh.Quit()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := end(ctx); err != context.DeadlineExceeded || time.Since(began) != time.Second {
			t.Errorf("end: %v after %v", err, time.Since(began))
		}
		if r := <-answer; !strings.HasPrefix(r.Text, "451 4.3.2") {
			t.Errorf("RCPT is answered %v, want 451 4.3.2", r)
		}
		if _, err := idle.Mail("<a@example.org>"); err == nil {
			t.Error("the idle session is still open")
		}
		if !hasEnded(ended) {
			t.Error("it has not ended")
		}
		if r, err := fresh.Mail("<a@example.org>"); err != nil || r.Text != "550 5.7.1 new" {
			t.Errorf("MAIL is answered %v, %v in a session of the new one", r, err)
		}
	})
}

// A session that goes on with another client (QUIT_NC) would keep an old Dispatcher
// for as long as the MTA likes: it has to connect anew.
func TestNextSessionAfterReplaceConnectsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(journal)
		s, dial, stop := replaceable(t, log)
		defer stop()
		nc := dial()
		m := pipeMTA(t, nc, miltertest.Offer{})
		open(t, m)
		ended, _ := s.Replace(refuser(t, log, "5.7.1 new"))
		if _, err := nc.Write([]byte{0, 0, 0, 1, wire.CmdQuitNew}); err != nil {
			t.Fatal(err)
		}
		if !hasEnded(ended) {
			t.Error("the connection is still open")
		}
	})
}

// MaxSessions and MaxMemory are the Server's: they hold for old and new sessions
// together.
func TestReplaceLeavesTheBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(journal)
		s := &milterkit.Server{Dispatcher: refuser(t, log, "5.7.1 old"), MaxSessions: 1}
		ln := newPipes()
		var served sync.WaitGroup
		served.Go(func() { s.Serve(ln) })
		defer func() { s.Close(); served.Wait() }()
		first := ln.dial()
		defer first.Close()
		mail(t, first)
		s.Replace(refuser(t, log, "5.7.1 new"))
		second := ln.dial()
		defer second.Close()
		if r := mail(t, second); !strings.HasPrefix(r.Text, "451 4.3.2") {
			t.Errorf("MAIL is answered %v in a session beyond max_sessions", r)
		}
	})
}

// Sessions that begin while Dispatchers come and go all end with the one they began
// with, and each Dispatcher has ended once its last session has.
func TestReplaceUnderLoad(t *testing.T) {
	srv, socket := serve(t)
	log := new(journal)
	stop := make(chan struct{})
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := dial(t, socket)
				if a, err := s.Mail("<a@example.org>", nil); err != nil {
					t.Errorf("%v, %v", a, err)
				}
				s.Close()
			}
		})
	}
	var all []<-chan struct{}
	for range 50 {
		ended, _ := srv.Replace(refuser(t, log, "5.7.1 next"))
		all = append(all, ended)
		time.Sleep(2 * time.Millisecond)
	}
	close(stop)
	work.Wait()
	for i, ended := range all {
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatalf("Dispatcher %d has not ended", i)
		}
	}
}

// A Server may begin with no Dispatcher, and is given one.
func TestReplaceWhereThereWasNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(milterkit.Server)
		ended, end := s.Replace(refuser(t, new(journal), "5.7.1 first"))
		if !hasEnded(ended) || end(t.Context()) != nil {
			t.Error("there was nothing, and it has not ended")
		}
		ln := newPipes()
		var served sync.WaitGroup
		served.Go(func() { s.Serve(ln) })
		defer func() { s.Close(); served.Wait() }()
		nc := ln.dial()
		defer nc.Close()
		if r := mail(t, nc); r.Text != "550 5.7.1 first" {
			t.Errorf("MAIL is answered %v", r)
		}
	})
}

// What is said of sessions that got no place goes where the Dispatcher's own reports go
// that was there when they began; they have to end too.
func TestReplaceWithSessionsThatGotNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(journal)
		told := make(chan string, 10)
		named := func(name string) *milterkit.Dispatcher {
			d := refuser(t, log, "5.7.1 "+name)
			d.OnReport = func(r *milterkit.Report) { told <- name + " " + r.By }
			return d
		}
		s := &milterkit.Server{Dispatcher: named("old"), MaxSessions: 1}
		ln := newPipes()
		var served sync.WaitGroup
		served.Go(func() { s.Serve(ln) })
		defer func() { s.Close(); served.Wait() }()
		first, second := ln.dial(), ln.dial()
		mail(t, first)
		mail(t, second)
		ended, end := s.Replace(named("new"))
		third := ln.dial()
		mail(t, third)
		first.Close()
		if hasEnded(ended) {
			t.Error("ended is closed while a session that got no place has the old one")
		}
		if err := end(t.Context()); err != nil || !hasEnded(ended) {
			t.Errorf("end: %v", err)
		}
		third.Close()
		synctest.Wait()
		close(told)
		var got []string
		for s := range told {
			got = append(got, s)
		}
		if want := []string{"old 5.7.1 old", "old max_sessions", "new max_sessions"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A session that waits for a place while there is a new Dispatcher has that.
func TestReplaceWhileASessionWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(journal)
		s := &milterkit.Server{Dispatcher: refuser(t, log, "5.7.1 old"), MaxSessions: 1}
		ln := newPipes()
		var served sync.WaitGroup
		served.Go(func() { s.Serve(ln) })
		defer func() { s.Close(); served.Wait() }()
		first, second := ln.dial(), ln.dial()
		mail(t, first)
		defer second.Close()
		time.AfterFunc(time.Second, func() {
			ended, _ := s.Replace(refuser(t, log, "5.7.1 new"))
			first.Close()
			<-ended
		})
		if r := mail(t, second); r.Text != "550 5.7.1 new" {
			t.Errorf("MAIL is answered %v", r)
		}
	})
}

// Dispatchers come and go while the Server is shut down: each has ended in the end, and
// no end waits for ever.
func TestReplaceAlongsideShutdown(t *testing.T) {
	for _, stop := range []func(*milterkit.Server){
		func(s *milterkit.Server) { s.Close() },
		func(s *milterkit.Server) { s.Shutdown(context.Background()) },
		func(s *milterkit.Server) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			s.Shutdown(ctx)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			log := new(journal)
			s := &milterkit.Server{Dispatcher: refuser(t, log, "5.7.1 old")}
			ln := newPipes()
			var work sync.WaitGroup
			work.Go(func() { s.Serve(ln) })
			var all []<-chan struct{}
			for range 10 {
				open(t, pipeMTA(t, ln.dial(), miltertest.Offer{}))
				ended, end := s.Replace(refuser(t, log, "5.7.1 next"))
				all = append(all, ended)
				work.Go(func() { end(context.Background()) })
				work.Go(func() { end(context.Background()) })
			}
			ln.dial() // says nothing
			work.Go(func() { stop(s) })
			for range 10 {
				ended, _ := s.Replace(refuser(t, log, "5.7.1 next"))
				all = append(all, ended)
			}
			work.Wait()
			for i, ended := range all {
				if !hasEnded(ended) {
					t.Errorf("Dispatcher %d has not ended", i)
				}
			}
		})
	}
}

// Where a hook ends the goroutine as the session ends, its place is free all the same.
func TestAHookThatEndsTheGoroutineAtTheEndOfTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := milterkit.NewDispatcher(milterkit.Slot{Child: childOf("exits", milterkit.Hooks{
			Prompt: true,
			Mail:   func(context.Context, *milterkit.Envelope) milterkit.Verdict { return milterkit.Reject("5.7.1 asked") },
			Close:  runtime.Goexit,
		})})
		if err != nil {
			t.Fatal(err)
		}
		d.Logger = slog.New(slog.DiscardHandler)
		s := &milterkit.Server{Dispatcher: d, MaxSessions: 1}
		ln := newPipes()
		var served sync.WaitGroup
		served.Go(func() { s.Serve(ln) })
		defer func() { s.Close(); served.Wait() }()
		first := ln.dial()
		mail(t, first)
		ended, _ := s.Replace(refuser(t, new(journal), "5.7.1 new"))
		first.Close()
		if !hasEnded(ended) {
			t.Error("the session counts still")
		}
		second := ln.dial()
		defer second.Close()
		if r := mail(t, second); !strings.HasPrefix(r.Text, "550") {
			t.Errorf("MAIL is answered %v", r)
		}
	})
}
