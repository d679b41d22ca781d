package gomilter

import (
	"context"
	"fmt"
	"net"

	"github.com/milterkit/sdk/internal/memconn"
)

// maxLeft is how many sessions may have been hung up on and not have ended yet:
// as many hooks of one child may go on after the dispatcher has given them up.
const maxLeft = 100

// sessions are a Child's connections, guarded by its mu.
type sessions struct {
	open    map[*session]struct{} // those of which an end is open
	left    int                   // those of which only the filter's end is
	changed chan struct{}         // closed at the next change; nil: nobody waits
}

// A session is one connection.
type session struct {
	child     *Child
	near, far end
}

// An end is one end of a session.
type end struct {
	*memconn.Conn
	of     *session
	closed bool // guarded by the Child's mu
}

// connect makes a session. near is our end of it, far the filter's.
func (c *Child) connect() (near, far net.Conn, err error) {
	s := &session{child: c}
	s.near.of, s.far.of = s, s
	s.near.Conn, s.far.Conn = memconn.Pipe()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, errClosed
	}
	if c.sessions.open == nil {
		c.sessions.open = map[*session]struct{}{}
	}
	c.sessions.open[s] = struct{}{}
	return &s.near, &s.far, nil
}

// Close implements [net.Conn].
func (e *end) Close() error {
	c, s := e.of.child, e.of
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	switch {
	case s.near.closed && s.far.closed:
		delete(c.sessions.open, s)
		if e == &s.far {
			c.sessions.left--
		}
	case e == &s.near:
		c.sessions.left++
	}
	c.sessions.notify()
	return e.Conn.Close()
}

// ends returns our ends of all sessions.
func (s *sessions) ends() (list []net.Conn) {
	for open := range s.open {
		list = append(list, &open.near)
	}
	return list
}

// notify wakes those who wait for a change.
func (s *sessions) notify() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// room waits until there may be one session more. Sessions that are just ending
// are none that hang.
func (c *Child) room(ctx context.Context) error {
	if c.await(ctx, func() bool { return c.closed || c.sessions.left < maxLeft }) {
		return nil
	}
	return fmt.Errorf("%d of its sessions have been hung up on and have not ended: its hooks do not return", maxLeft)
}

// await waits until ready, which is called with mu held, returns true. It reports
// false if ctx is done before.
func (c *Child) await(ctx context.Context, ready func() bool) bool {
	for {
		c.mu.Lock()
		if ready() {
			c.mu.Unlock()
			return true
		}
		if c.sessions.changed == nil {
			c.sessions.changed = make(chan struct{})
		}
		changed := c.sessions.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
