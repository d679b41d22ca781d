package miltertest

import (
	"sync"
	"time"
)

// A Clock is a clock that a test sets, for a child that takes its time from a
// function: give it [Clock.Now]. The zero Clock stands at midnight UTC, 1 January
// 2000. It is safe for use by many goroutines.
//
// It has no timers. A child that waits, or that calls time.Now itself, is tested in
// a bubble of testing/synctest, in which all that package time does is of one clock
// that goes by itself; [Run] and [Pipe] work there. A Clock is for what cannot be in
// a bubble, such as a child with a database or a socket.
type Clock struct {
	mu      sync.Mutex
	elapsed time.Duration
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(c.elapsed)
}

// Advance has d go by. Below zero it sets the clock back, as happens to real ones.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.elapsed += d
}
