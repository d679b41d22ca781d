package gomilter_test

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-milter"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/gomilter"
	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// results returns how each message of a session ended.
func (r *rig) results(mails ...Mail) string {
	r.t.Helper()
	p := r.open()
	defer p.Close()
	var list []string
	for _, m := range mails {
		o, err := p.Mail(m)
		if err != nil {
			r.t.Fatal(err)
		}
		list = append(list, o.Result.String())
	}
	return strings.Join(list, " ")
}

func (r *rig) want(got, want string) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("got %s, want %s\n%s", got, want, r.log)
	}
}

func (r *rig) wantLog(words ...string) {
	r.t.Helper()
	for _, w := range words {
		if !strings.Contains(r.log.String(), w) {
			r.t.Errorf("the log does not say %q:\n%s", w, r.log)
		}
	}
}

// A panic costs one message, as the slot's default action says, and is logged with
// the hook, the reason and the stack.
func TestPanicCostsOneMessage(t *testing.T) {
	t.Parallel()
	for action, want := range map[milterkit.DefaultAction]string{
		milterkit.DefaultTempFail: "tempfailed",
		milterkit.DefaultReject:   "rejected",
		milterkit.DefaultAccept:   "accepted",
	} {
		c := &gomilter.Child{Label: "mine", Server: serving(func() milter.Milter { return &scripted{at: "header", do: deeds["panic"]} })}
		r := inSlot(t, c, milterkit.Slot{DefaultAction: action})
		r.want(r.results(mailFrom("a@example.org"), mailFrom("bad@example.org"), mailFrom("a@example.org")), "accepted "+want+" accepted")
		r.wantLog("filter panicked", "milter=mine", "hook=Header", "index out of range, or the like", "filters_test.go")
	}
}

// So does a panic of NewMilter, which would end the process: it is called where
// connections are accepted. nil in place of a filter is no better.
func TestPanicOfNewMilterCostsOneMessage(t *testing.T) {
	t.Parallel()
	for reason, newMilter := range map[string]func() milter.Milter{
		"panic: no database":     func() milter.Milter { panic("no database") },
		"NewMilter returned nil": func() milter.Milter { return nil },
	} {
		var calls atomic.Int32
		r := inProcess(t, &gomilter.Child{Server: serving(func() milter.Milter {
			if calls.Add(1) == 1 {
				return newMilter()
			}
			return milter.NoOpMilter{}
		})})
		r.want(r.results(mailFrom("a@example.org"), mailFrom("a@example.org")), "tempfailed accepted")
		if strings.HasPrefix(reason, "panic") {
			r.wantLog("hook=NewMilter", reason)
		}
	}
}

// Nothing but the hook's own message waits for a hook that does not return.
func TestHookThatDoesNotReturnCostsItsTime(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	c := &gomilter.Child{Label: "mine", Server: serving(func() milter.Milter {
		return &scripted{at: "end of message", do: func() (milter.Response, error) {
			<-release
			return milter.RespContinue, nil
		}}
	})}
	r := inSlot(t, c, milterkit.Slot{ContentTimeout: 300 * time.Millisecond})
	r.want(r.results(mailFrom("a@example.org"), mailFrom("bad@example.org"), mailFrom("a@example.org")), "accepted tempfailed accepted")
	began := time.Now()
	if err := c.Close(); err == nil || err.Error() != "gomilter: mine: 1 of its sessions have not ended" || time.Since(began) > 5*time.Second {
		t.Errorf("Close: %v after %v", err, time.Since(began))
	}
	close(release)
	if err := c.Close(); err != nil {
		t.Errorf("Close when it has returned: %v", err)
	}
}

// A hundred such hooks, and the child is down; when they have returned it is back.
func TestHooksThatDoNotReturnAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var stuck atomic.Int32
		release := make(chan struct{})
		l := &lines{}
		c := &gomilter.Child{Label: "mine", Logger: l.logger(), Server: serving(func() milter.Milter {
			return &scripted{at: "mail", do: func() (milter.Response, error) {
				stuck.Add(1)
				<-release
				stuck.Add(-1)
				return milter.RespContinue, nil
			}}
		})}
		d, err := milterkit.NewDispatcher(milterkit.Slot{Child: c, CommandTimeout: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		d.Logger = slog.New(slog.DiscardHandler)
		mail := func(from string) milterkit.Verdict {
			w := d.Walk(wire.AllActions)
			defer w.Close()
			w.Connect(t.Context(), "mx", milterkit.FamilyInet, "192.0.2.1", 25)
			return w.Mail(t.Context(), milterkit.NewAddress(from))
		}
		for range 150 {
			if v := mail("<bad@example.org>"); v != milterkit.TempFail("") {
				t.Fatal(v)
			}
		}
		if n := stuck.Load(); n != 100 {
			t.Errorf("%d hooks have not returned, want 100", n)
		}
		if v := mail("<a@example.org>"); v != milterkit.TempFail("") {
			t.Errorf("another session: %v", v)
		}
		if !strings.Contains(l.String(), "100 of its sessions have been hung up on and have not ended") {
			t.Error(l)
		}
		close(release)
		time.Sleep(time.Minute)
		if v := mail("<a@example.org>"); v != milterkit.Continue {
			t.Errorf("when they have returned: %v\n%s", v, l)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A session that the filter's server has ended while it was idle, as some do after
// a while, is begun anew when the client goes on.
func TestSessionThatTheServerHasEndedIsBegunAnew(t *testing.T) {
	t.Parallel()
	accepted := &noted{}
	r := inProcess(t, &gomilter.Child{Serve: func(ln net.Listener) error {
		accepted.Listener = ln
		return serving(func() milter.Milter { return milter.NoOpMilter{} }).Serve(accepted)
	}})
	p := r.open()
	defer p.Close()
	for range 2 {
		accepted.closeAll()
		o, err := p.Mail(mailFrom("a@example.org"))
		if err != nil || o.Result != Accepted {
			t.Errorf("%v, %v\n%s", o.Result, err, r.log)
		}
		accepted.closeAll()
		if v, err := p.MTA.Helo("again"); err != nil || v.Refused() {
			t.Error(v, err)
		}
	}
	if strings.Contains(r.log.String(), "milter failed") {
		t.Error(r.log)
	}
}

// noted notes the connections that it accepts.
type noted struct {
	net.Listener
	mu   sync.Mutex
	open []net.Conn
}

func (l *noted) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.open = append(l.open, nc)
	}
	return nc, err
}

func (l *noted) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, nc := range l.open {
		nc.Close()
	}
	l.open = nil
}

// Close ends the server and all sessions, and what they are in the midst of fails.
func TestCloseEndsSessions(t *testing.T) {
	t.Parallel()
	c := &gomilter.Child{Server: serving(func() milter.Milter { return milter.NoOpMilter{} })}
	r := inProcess(t, c)
	p := r.open()
	defer p.Close()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	o, err := p.Mail(mailFrom("a@example.org"))
	if err != nil || o.Result != TempFailed {
		t.Errorf("%v, %v", o.Result, err)
	}
	r.want(r.results(mailFrom("a@example.org")), "tempfailed")
	r.wantLog("it was closed")
}

// Close has nothing to end where nothing has begun.
func TestCloseOfAnUnusedChild(t *testing.T) {
	t.Parallel()
	c := &gomilter.Child{}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestChildWithoutAServerSaysSo(t *testing.T) {
	t.Parallel()
	r := inProcess(t, &gomilter.Child{Label: "mine"})
	r.want(r.results(mailFrom("a@example.org")), "tempfailed")
	r.wantLog("the Child has neither Server nor Serve")
}

// Any library's server can be served.
func TestServe(t *testing.T) {
	t.Parallel()
	newFilter := func() milter.Milter { return &letterhead{} }
	want := onSocket(t, serving(newFilter)).play(mailFrom("a@example.org"))
	c := &gomilter.Child{Serve: serving(newFilter).Serve}
	r := inProcess(t, c)
	r.want(r.play(mailFrom("a@example.org")), want)
	if c.Name() != "go-milter" {
		t.Error(c.Name())
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// A server that ends, however it does, is started again.
func TestServerThatEndsIsStartedAgain(t *testing.T) {
	t.Parallel()
	for reason, end := range map[string]func() error{
		"it has had enough": func() error { return errors.New("it has had enough") },
		"panic: and worse":  func() error { panic("and worse") },
	} {
		var once sync.Once
		r := inProcess(t, &gomilter.Child{Serve: func(ln net.Listener) (err error) {
			once.Do(func() {
				nc, _ := ln.Accept()
				nc.Close()
				err = end()
			})
			if err != nil {
				return err
			}
			return serving(func() milter.Milter { return milter.NoOpMilter{} }).Serve(ln)
		}})
		for began := time.Now(); r.results(mailFrom("a@example.org")) != "accepted"; time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > 5*time.Second {
				t.Fatalf("it is not there again\n%s", r.log)
			}
		}
		r.wantLog("the filter's server has ended", reason)
	}
}
