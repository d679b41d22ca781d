package greylist

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// storeTime is how long mail waits for the store.
	storeTime = 300 * time.Millisecond

	// pause is how long a store that has failed is not asked again, so that mail
	// does not wait for it each time.
	pause = time.Second

	// complainEvery is how often the log is told of a store that is gone.
	complainEvery = time.Minute
)

// A guard lets mail pass where the store is gone or slow: greylisting is not worth
// a message.
type guard struct {
	clock  func() time.Time
	log    *slog.Logger
	passed atomic.Uint64 // tries that the store was not asked about, or did not answer
	errors atomic.Uint64 // of these, those that it did not answer

	mu         sync.Mutex
	failed     time.Time // when the store did last; zero: it answers
	complained time.Time
	told       bool   // the log was told of this failure
	since      uint64 // passed, when it failed first
}

// check is the store's Check. ok is false where the store has no answer.
func (g *guard) check(ctx context.Context, store Store, t Try, p Policy) (r Record, ok bool) {
	if g.pausing() {
		g.passed.Add(1)
		return r, false
	}
	within, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	r, err := store.Check(within, t, p)
	switch {
	case err == nil:
		g.well()
		return r, true
	case ctx.Err() != nil: // the session has ended, and the store is not to blame
		return r, false
	}
	g.passed.Add(1)
	g.errors.Add(1)
	g.complain(err)
	return r, false
}

func (g *guard) pausing() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.failed.IsZero() && g.clock().Sub(g.failed).Abs() < pause
}

func (g *guard) complain(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock()
	if g.failed.IsZero() {
		g.since = g.passed.Load() - 1
	}
	g.failed = now
	if !g.complained.IsZero() && now.Sub(g.complained).Abs() < complainEvery {
		return
	}
	g.complained, g.told = now, true
	g.log.Error("greylist: the store does not answer, and mail passes undelayed", "error", err, "undelayed", g.passed.Load()-g.since)
}

func (g *guard) well() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed.IsZero() {
		return
	}
	g.failed = time.Time{}
	if !g.told {
		return
	}
	g.told = false
	g.log.Info("greylist: the store answers again", "undelayed", g.passed.Load()-g.since)
}
