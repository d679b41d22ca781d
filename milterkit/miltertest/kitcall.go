package miltertest

import (
	"context"
	"fmt"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

// Times that the kit gives to the child. All are counted in ticks, so that a
// machine that has no time for the child has none for the clock either.
const (
	tick = 10 * time.Millisecond

	// soon is how long a hook may take when its ctx is done; a Walk gives it up
	// after that.
	soon = 200 * time.Millisecond

	// soonEnough is that for Reset, Close and Hooks, which have no ctx.
	soonEnough = time.Second

	// long is how long a hook may take in good times, and how long Close of a child.
	long = 10 * time.Second

	// forever is how long one that has been asked to stop is waited for.
	forever = time.Second
)

// wait waits until done is closed, d at most, and reports whether it was.
func wait(done <-chan struct{}, d time.Duration) bool {
	select {
	case <-done:
		return true
	default:
	}
	t := time.NewTimer(min(tick, d))
	defer t.Stop()
	for left := d; ; left -= tick {
		select {
		case <-done:
			return true
		case <-t.C:
			if left <= tick {
				return false
			}
			t.Reset(tick)
		}
	}
}

// A call is one of the child's functions under way, on a goroutine of its own.
type call struct {
	what  string // its name, for a person: "Message"
	id    int64
	done  chan struct{}
	panic any    // what it panicked with
	stack string // of the panic
	ended bool   // it has called runtime.Goexit
}

// The labels of goroutines that come from the child, also of those that it starts.
const (
	labelChild = "miltertest child"
	labelCall  = "miltertest call"
)

// start calls a function of the child.
func (s *subject) start(ctx context.Context, what string, f func(context.Context)) *call {
	c := &call{what: what, id: lastID.Add(1), done: make(chan struct{})}
	go c.run(pprof.WithLabels(ctx, pprof.Labels(labelChild, strconv.FormatInt(s.id, 10), labelCall, strconv.FormatInt(c.id, 10))), f)
	return c
}

func (c *call) run(ctx context.Context, f func(context.Context)) {
	defer close(c.done)
	returned := false
	defer func() {
		if returned {
			return
		}
		if c.panic = recover(); c.panic == nil {
			c.ended = true
			return
		}
		c.stack = childFrames(string(debug.Stack()))
	}()
	pprof.SetGoroutineLabels(ctx)
	f(ctx)
	returned = true
}

// childFrames returns what is the child's of the stack of a panic.
func childFrames(stack string) string {
	if i := strings.LastIndex(stack, "\npanic("); i >= 0 {
		stack = stack[i+1:]
		for range 2 { // panic itself
			_, stack, _ = strings.Cut(stack, "\n")
		}
	}
	var lines []string
	for line := range strings.Lines(stack) {
		if isKits(line) {
			break
		}
		lines = append(lines, line)
	}
	return indent(strings.TrimSpace(strings.Join(lines, "")))
}

func indent(text string) string { return "\t" + strings.ReplaceAll(text, "\n", "\n\t") }

// endedWell tells of a call that has panicked, or ended its goroutine, and reports
// whether it did neither. with says with what mail.
func (s *subject) endedWell(c *call, with string) bool {
	switch {
	case c.panic != nil:
		s.k.fault("panic "+c.what+c.stack, "%s panics%s: %v. It stood here:\n%s", c.what, with, c.panic, c.stack)
		return false
	case c.ended:
		s.k.fault("exit "+c.what, "%s%s calls runtime.Goexit (t.Fatal and t.Skip do, in a test): return a verdict, milterkit.Fail(err) where there is none.", c.what, with)
		return false
	}
	return true
}

// stuck tells of a call that does not return.
func (s *subject) stuck(c *call, format string, args ...any) {
	s.k.giveUp()
	s.k.fault("stuck "+c.what, "%s %s It stands here:\n%s", c.what, fmt.Sprintf(format, args...), s.standsAt(c))
}

// plain calls a function of the child that has no ctx, and reports whether it ended
// well, in time.
func (s *subject) plain(what string, limit time.Duration, f func()) bool {
	c := s.start(context.Background(), what, func(context.Context) { f() })
	if wait(c.done, limit) {
		return s.endedWell(c, "")
	}
	where := s.standsAt(c)
	if !wait(c.done, forever) {
		s.stuck(c, "has not returned after %v. It blocks: it has no ctx, and must return soon, whatever happens.", limit+forever)
		return false
	}
	s.k.tooSlow(what, "%s took more than %v. It must return soon: hand what takes time to a goroutine. It stood here:\n%s", what, limit, where)
	return s.endedWell(c, "")
}
