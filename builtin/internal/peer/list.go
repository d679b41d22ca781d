package peer

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Penalty is how long a server that has failed is tried after the others.
const Penalty = 30 * time.Second

// A List is several servers of which any will do. The first one that works is
// asked; one that has failed is tried last for a while, so that each message does
// not wait for it anew. It is safe for use by many goroutines.
type List struct {
	addrs []Addr
	now   func() time.Time

	mu     sync.Mutex
	failed []time.Time // when each has failed last; zero: it works, as far as is known
}

// NewList makes a List of at least one server. now is the clock; nil: time.Now.
func NewList(addrs []Addr, now func() time.Time) *List {
	if now == nil {
		now = time.Now
	}
	return &List{addrs: addrs, now: now, failed: make([]time.Time, len(addrs))}
}

// Try calls ask with one server after the other until it returns nil, or ctx is
// done. ask must bound its own time. An answer that another server would give as
// well, though a sad one, is no error for ask to return. The error of Try has all
// servers that were tried, and why each would not do: "unix:/run/clamd.ctl: cannot
// connect: no such file or directory; inet:3310@192.0.2.1: no answer".
func (l *List) Try(ctx context.Context, ask func(context.Context, Addr) error) error {
	var failures failures
	for _, i := range l.order() {
		if len(failures) > 0 && ctx.Err() != nil {
			break
		}
		was := l.begin(i)
		err := ask(ctx, l.addrs[i])
		if ctx.Err() != nil && err != nil {
			l.set(i, was) // who asked went away: that says nothing of the server
		} else {
			l.end(i, err)
		}
		if err == nil {
			return nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", l.addrs[i], err))
	}
	return failures
}

// order is the order in which the servers are tried, by index: those that have
// failed of late come last.
func (l *List) order() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	var order, last []int
	for i, failed := range l.failed {
		if now.Sub(failed) < Penalty {
			last = append(last, i)
		} else {
			order = append(order, i)
		}
	}
	return append(order, last...)
}

// begin is called before a server is asked. Where the penalty of one that has
// failed is over, one caller finds out whether it works again, and meanwhile the
// others pass it by. It returns when the server had failed before that.
func (l *List) begin(i int) (was time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if was = l.failed[i]; !was.IsZero() {
		l.failed[i] = l.now()
	}
	return was
}

// end takes down how a server has done.
func (l *List) end(i int, err error) {
	var failed time.Time
	if err != nil {
		failed = l.now()
	}
	l.set(i, failed)
}

func (l *List) set(i int, failed time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed[i] = failed
}

// failures are why each server would not do.
type failures []error

func (f failures) Error() string {
	texts := make([]string, len(f))
	for i, err := range f {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (f failures) Unwrap() []error { return f }
