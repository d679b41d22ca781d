package milterkit

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// What happens where there is no room for another session. A connection beyond
// MaxSessions waits for a place, and is told at MAIL to try again later if it
// gets none; one beyond MaxConnections is not served until another ends. No
// message is waved through for want of room.

// placeTimeout is how long a new connection waits for a place: less than the
// 10 s that Sendmail waits for the answer to the negotiation (its timeout R).
// Source: sendmail/milter.c, milter_negotiate.
const placeTimeout = 5 * time.Second

// crowded is how often trouble of one kind is logged while it lasts.
const crowded = time.Minute

// busy is the answer to a message for which there was no room.
var busy = TempFail("4.3.2 Too busy, try again later")

// turningAway returns the dispatcher of sessions that got no place: an ordinary
// one, with a child that puts off every message. They are told of where those of
// d are.
func turningAway(d *Dispatcher) *Dispatcher {
	turnAway := func(context.Context, *Envelope) Verdict { return busy }
	full, _ := NewDispatcher(Slot{Child: stateless{"max_sessions", Hooks{Mail: turnAway}}})
	if d != nil {
		full.Logger, full.OnReport, full.lastID = d.Logger, d.OnReport, d.lastID // no two sessions have one number
	}
	return full
}

// limits are the places of a Server.
type limits struct {
	connections chan struct{} // one for each that is open; nil: no limit
	places      chan struct{} // one for each session that has one; nil: no limit
	ending      chan struct{} // closed when the Server takes no more

	waiting atomic.Int64  // sessions that wait for a place
	refused atomic.Uint64 // that got none

	full   seldom // no place for a session
	queued seldom // connections are left in the listen queue
	failed seldom // connections cannot be accepted
}

func newPlaces(n int) chan struct{} {
	if n <= 0 {
		return nil
	}
	return make(chan struct{}, n)
}

// admit waits until another connection may be served. It reports false when the
// Server is closed first.
func (s *Server) admit(ln net.Listener) bool {
	if s.connections == nil {
		return true
	}
	select {
	case s.connections <- struct{}{}:
		return true
	default:
	}
	if n, ok := s.queued.due(); ok {
		s.logger().Warn("as many connections as there may be: others wait until one ends",
			"listener", ln.Addr().String(), "max_connections", cap(s.connections), "times", n)
	}
	select {
	case s.connections <- struct{}{}:
		return true
	case <-s.ending:
		return false
	}
}

// dismiss gives back what admit took.
func (s *Server) dismiss() {
	if s.connections != nil {
		<-s.connections
	}
}

// takePlace waits for a place for a session. It reports false if there is none
// in time.
func (s *Server) takePlace() bool {
	if s.places == nil {
		return true
	}
	select {
	case s.places <- struct{}{}:
		return true
	default:
	}
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	timer := time.NewTimer(placeTimeout)
	defer timer.Stop()
	select {
	case s.places <- struct{}{}:
		return true
	case <-timer.C:
		s.refused.Add(1)
		if n, ok := s.full.due(); ok {
			s.logger().Warn("too many sessions: the messages of this one are told to come again",
				"max_sessions", cap(s.places), "waited", placeTimeout, "times", n)
		}
	case <-s.ending:
	}
	return false
}

// leavePlace gives back what takePlace took.
func (s *Server) leavePlace() {
	if s.places != nil {
		<-s.places
	}
}

// noneLeft reports whether err says that this process, or the system, has no
// descriptor left: that is nobody's fault but ours.
func noneLeft(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// seldom counts what happens often and is logged seldom.
type seldom struct {
	mu    sync.Mutex
	last  time.Time // when it was logged
	count int       // how often it has happened since
}

// due counts once more. It reports whether it is time to log it, and how often
// it has happened since the last time.
func (s *seldom) due() (times int, now bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if !s.last.IsZero() && time.Since(s.last) < crowded {
		return 0, false
	}
	times, s.count, s.last = s.count, 0, time.Now()
	return times, true
}

// acceptFailed logs that connections cannot be accepted, and waits before the
// next attempt.
func (s *Server) acceptFailed(ln net.Listener, err error, wait time.Duration) {
	if n, ok := s.failed.due(); ok {
		s.logger().Warn("cannot accept a connection", "listener", ln.Addr().String(), "error", err, "times", n)
	}
	select {
	case <-time.After(wait):
	case <-s.ending:
	}
}
