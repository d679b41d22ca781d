package daemon

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/milterkit/sdk/daemon/internal/history"
	"github.com/milterkit/sdk/daemon/internal/statuspage"
	"github.com/milterkit/sdk/milterkit/remote"
)

const (
	// lookEvery is the least time between two looks for the milters. With a page that
	// asks every two seconds one that stops is seen within four.
	lookEvery = 1500 * time.Millisecond

	// lookPatience is how long who asks waits for what a look has to tell. What comes
	// later is for the next one.
	lookPatience = 300 * time.Millisecond
)

// A look is what is known of whether milters are there. They are asked while somebody
// looks at the status only: each time is a connection to each of them.
type look struct {
	mu     sync.Mutex
	began  time.Time
	done   chan struct{} // closed when those of began have answered; nil: nobody has looked
	states map[string]*seen
}

// seen is what the last look has seen of one milter.
type seen struct {
	why   string    // it does not answer; "": it does
	since time.Time // of that; zero: since the first look
	at    time.Time // the look
}

// ask asks all milters, unless they have just been asked.
func (l *look) ask(ctx context.Context, probes []probe, now time.Time) {
	l.mu.Lock()
	over := l.done == nil
	if !over {
		select {
		case <-l.done:
			over = now.Sub(l.began) >= lookEvery
		default:
		}
	}
	if over {
		l.began, l.done = now, make(chan struct{})
		go l.see(probes, now, l.done)
	}
	done := l.done
	l.mu.Unlock()
	select {
	case <-done:
	case <-time.After(lookPatience):
	case <-ctx.Done():
	}
}

// knownDown returns why messages do not get to a milter, where that is known.
func knownDown(probes []probe, name string) error {
	for _, p := range probes {
		if m, ok := p.prober.(interface{ Down() error }); ok && p.name == name {
			return m.Down()
		}
	}
	return nil
}

// see asks, and remembers the answers. It ends after probeTime.
func (l *look) see(probes []probe, now time.Time, done chan<- struct{}) {
	defer close(done)
	errs := askAll(context.Background(), probes)
	l.mu.Lock()
	defer l.mu.Unlock()
	states := make(map[string]*seen, len(probes)) // without those that are not there any more
	for i, err := range errs {
		why := ""
		if err != nil {
			why = err.Error()
		}
		before := l.states[probes[i].name]
		one := &seen{why: why, at: now}
		switch {
		case before == nil && why == "":
		case before == nil || (before.why == "") != (why == ""):
			one.since = now
		default:
			one.since = before.since
		}
		states[probes[i].name] = one
	}
	l.states = states
}

// judge says how a milter is, by the last look and by how it fared in messages. Known
// is why messages do not get to it: it was found to be down, and is looked for.
func (l *look) judge(m *statuspage.Milter, s history.State, known error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.states[m.Name]
	m.Passed = known != nil
	since := func(t time.Time) {
		if !t.IsZero() {
			m.Since = &t
		}
	}
	switch {
	case seen != nil && seen.why != "":
		m.State, m.Why = statuspage.StateDown, seen.why
		since(seen.since)
		if !s.Failed.IsZero() && s.Failed.Before(seen.since) {
			since(s.Failed) // messages have found out first
		}
	case known != nil:
		m.State, m.Why = statuspage.StateDown, known.Error()
		since(s.Failed)
	case !s.Failed.IsZero() && (seen == nil || s.Asked.After(seen.since)): // else it has come back since
		m.State, m.Why = statuspage.StateFailing, s.Why
		since(s.Failed)
	case seen == nil && m.Kind == "remote" && s.Asked.IsZero():
		m.State = statuspage.StateUnknown
	default:
		m.State = statuspage.StateUp
		if seen != nil {
			since(seen.since)
		}
	}
	m.Why = strings.TrimPrefix(m.Why, remote.ErrDown.Error()+": ")
}
