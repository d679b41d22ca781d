package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	emersion "github.com/emersion/go-milter"

	"github.com/milterkit/sdk/bench"
)

// many is about memory: of many sessions that wait, and of large messages at one
// time.
func (r *run) many() error {
	room, err := r.crowd()
	if err == nil && room {
		err = r.idlers()
	}
	return errors.Join(err, r.large())
}

// crowdSize is how many sessions there are at one time, past crowdChildren
// children.
const (
	crowdSize     = 1000
	crowdChildren = 5
)

// crowd has many sessions at one time, none of which may go wrong: an error ends
// the benchmark, a refusal is counted. It reports whether there is room for so
// many.
func (r *run) crowd() (room bool, err error) {
	few := *r
	few.rounds = min(r.rounds, 3)
	t, err := few.at(point("short", crowdSize, crowdChildren))
	if err != nil || t.Results == nil {
		return false, err
	}
	refused := 0
	for _, s := range t.Results[bench.Milterkit] {
		refused += s.Refused
	}
	r.goal(bench.Goal{What: fmt.Sprintf("%d sessions at one time, %d filters: errors and refusals", crowdSize, crowdChildren),
		Want: "none", Got: fmt.Sprint(refused), Held: refused == 0})
	return true, nil
}

// idleLimit is the memory that milterkit may have for a session that waits.
const idleLimit = 40 // KiB

// idlers has as many sessions that have each had a message and stay open, and
// looks at what memory milterkit has more than before the first of them.
func (r *run) idlers() error {
	what := fmt.Sprintf("%d sessions that wait after a message each, %d filters", crowdSize, crowdChildren)
	r.say("%s", what)
	addrs, _, err := r.lab.Filters(r.ctx, bench.Filters{Count: crowdChildren})
	if err != nil {
		return err
	}
	var mux bench.Mux
	for _, a := range addrs {
		mux.Children = append(mux.Children, bench.Child{Remote: a})
	}
	at, part, err := r.lab.Milterkit(r.ctx, mux)
	if err != nil {
		return err
	}
	before, err := memoryOf(part.Pid())
	if err != nil {
		return err
	}
	waiting, err := openMany(r.ctx, at, crowdSize)
	defer func() {
		for _, s := range waiting {
			s.Close()
		}
	}()
	if err != nil {
		return err
	}
	after, err := memoryOf(part.Pid())
	if err != nil {
		return err
	}
	each := float64(after-before) / crowdSize / (1 << 10)
	g := onceAtMost(what+": memory of milterkit, a session", each, idleLimit, " KiB")
	g.Note = fmt.Sprintf("%.1f MiB before the first session, %.1f MiB with all of them", mib(before), mib(after))
	r.goal(g)
	return nil
}

// openMany opens sessions, a few at one time, and has each of them carry a
// message.
func openMany(ctx context.Context, at bench.Addr, n int) ([]*emersion.ClientSession, error) {
	client := emersion.NewClientWithOptions(at.Network, at.Addr, emersion.ClientOptions{
		ReadTimeout: time.Minute, WriteTimeout: time.Minute,
		ActionMask: emersion.OptAddHeader | emersion.OptChangeHeader | emersion.OptQuarantine,
	})
	var mu sync.Mutex
	var sessions []*emersion.ClientSession
	var errs []error
	var all sync.WaitGroup
	next := make(chan struct{}, n)
	for range n {
		next <- struct{}{}
	}
	close(next)
	for range 8 {
		all.Go(func() {
			for range next {
				if ctx.Err() != nil {
					return
				}
				s, err := client.Session()
				if err == nil {
					err = carry(s)
				}
				mu.Lock()
				if s != nil {
					sessions = append(sessions, s)
				}
				if err != nil {
					errs = append(errs, err)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return sessions, errors.Join(append(errs, ctx.Err())...)
}

// carry has a session carry a message of 4 KB.
func carry(s *emersion.ClientSession) error {
	var first error
	said := func(a *emersion.Action, err error) {
		if err == nil && a.Code != emersion.ActContinue && a.Code != emersion.ActAccept {
			err = fmt.Errorf("the answer is %c", a.Code)
		}
		first = cmp.Or(first, err)
	}
	said(s.Conn("client.example.org", emersion.FamilyInet, 40000, "192.0.2.10"))
	said(s.Helo("client.example.org"))
	said(s.Mail("alice@example.org", nil))
	said(s.Rcpt("bob@example.net", nil))
	for i := range 12 {
		said(s.HeaderField(fmt.Sprintf("X-Field-%d", i), strings.Repeat("x", 70)))
	}
	said(s.HeaderEnd())
	_, a, err := s.BodyReadFrom(strings.NewReader(strings.Repeat("The quick brown fox jumps over it.\r\n", 90)))
	said(a, err)
	return first
}

// memoryOf returns the memory that a process has for itself, in bytes. What it has
// mapped of files is not counted: the kernel takes that back when it wants to.
// Source: proc_pid_statm(5).
func memoryOf(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	var total, resident, shared int64
	_, err = fmt.Sscan(string(text), &total, &resident, &shared)
	return (resident - shared) * int64(os.Getpagesize()), err
}

// watch looks at the memory of a process every few milliseconds, until the
// function that it returns is called: that tells the most of it.
func watch(pid int) (most func() (int64, error)) {
	stop, done := make(chan struct{}), make(chan struct{})
	var peak int64
	var err error
	go func() {
		defer close(done)
		for {
			var now int64
			if now, err = memoryOf(pid); err != nil {
				return
			}
			peak = max(peak, now)
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() (int64, error) {
		close(stop)
		<-done
		return peak, err
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// Large messages at one time, for which there is not the memory.
const (
	largeSessions = 200
	largeChildren = 3
	largeMemory   = 64 << 20 // for messages
	largeSession  = 64 << 10 // for a session besides
)

// large has large messages at one time, and looks at the most memory that
// milterkit had.
func (r *run) large() error {
	addrs, filters, err := r.lab.Filters(r.ctx, bench.Filters{Count: largeChildren})
	if err != nil {
		return err
	}
	mux := bench.Mux{MaxMemory: largeMemory}
	for _, a := range addrs {
		mux.Children = append(mux.Children, bench.Child{Remote: a})
	}
	at, part, err := r.lab.Milterkit(r.ctx, mux)
	if err != nil {
		return err
	}
	idle, err := memoryOf(part.Pid())
	if err != nil {
		return err
	}
	p := point("10MB", largeSessions, largeChildren)
	p.Scenario = "memory"
	few := *r
	few.rounds, few.time = 1, time.Second // in which every session begins its first
	name := fmt.Sprintf("milterkit with %d MiB", largeMemory>>20)
	title := fmt.Sprintf("%d messages of 10 MB at one time, %d filters, %d MiB for messages", largeSessions, largeChildren, largeMemory>>20)
	most := watch(part.Pid())
	_, err = few.hold(title, p, []*bench.Contestant{{Name: name, Addrs: []bench.Addr{at}, Between: part, Filters: []*bench.Part{filters}}})
	peak, lost := most()
	if err := errors.Join(err, lost); err != nil {
		return err
	}
	limit := largeMemory + largeSessions*largeSession + idle
	g := onceAtMost(title+": memory of milterkit", mib(peak), mib(limit), " MiB")
	g.Note = fmt.Sprintf("the limit is %d MiB for messages, 64 KiB for each of %d sessions, and the %.1f MiB that it has without any", largeMemory>>20, largeSessions, mib(idle))
	r.goal(g)
	return nil
}
