package miltertest

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// ErrFilterClosed is returned by [Filter.Serve] after Close.
var ErrFilterClosed = errors.New("miltertest: filter closed")

// A Filter is the filter's end of milter connections. It answers as its script
// says and records what it was told. Its fields must not change once it serves.
// It is safe for many sessions at once.
type Filter struct {
	// Script is what the filter does in each session.
	Script Script

	// ScriptFor, where it is set, has the script of each session instead;
	// sessions count from 1 in the order of their connections.
	ScriptFor func(session int) Script

	// OnEvent is told of each event when it has been answered. Sessions call it
	// at the same time. Nil: nobody is.
	OnEvent func(Event)

	mu       sync.Mutex
	down     chan struct{} // closed by Close; made by the first Serve
	ended    bool
	closers  map[interface{ Close() error }]bool // listeners and connections
	sessions [][]Event
	open     int            // sessions that have not ended
	changed  chan struct{}  // closed and made anew when a session begins or ends
	running  sync.WaitGroup // those held
}

// Start listens on an address and serves in a goroutine that Close ends. It
// returns the address, which for "tcp" and port 0 is the one that was found.
func (f *Filter) Start(network, addr string) (string, error) {
	ln, err := net.Listen(network, addr)
	if err != nil {
		return "", err
	}
	if !f.hold(ln) {
		ln.Close()
		return "", ErrFilterClosed
	}
	go f.accept(ln) // Close waits for it: see hold
	return ln.Addr().String(), nil
}

// Serve serves MTAs that connect to ln until Close. It always returns a non-nil
// error, and closes ln.
func (f *Filter) Serve(ln net.Listener) error {
	if !f.hold(ln) {
		ln.Close()
		return ErrFilterClosed
	}
	return f.accept(ln)
}

func (f *Filter) accept(ln net.Listener) error {
	defer f.release(ln)
	defer ln.Close()
	for {
		conn, err := ln.Accept()
		if err != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.ended {
				return ErrFilterClosed
			}
			return err
		}
		if !f.hold(conn) {
			conn.Close()
			return ErrFilterClosed
		}
		s := f.newSession(conn)
		go func() {
			defer f.release(conn)
			defer f.sessionEnded() // the MTA sees by then that it has
			defer conn.Close()
			s.serve()
		}()
	}
}

// hold has Close close c, and wait until it is released, unless Close has been
// called.
func (f *Filter) hold(c interface{ Close() error }) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return false
	}
	f.init()
	f.closers[c] = true
	f.running.Add(1)
	return true
}

// init makes what the zero Filter does not have. The caller holds mu.
func (f *Filter) init() {
	if f.closers == nil {
		f.closers = map[interface{ Close() error }]bool{}
		f.down = make(chan struct{})
		f.changed = make(chan struct{})
	}
}

func (f *Filter) release(c interface{ Close() error }) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.closers, c)
	f.running.Done()
}

// newSession begins the record of a session.
func (f *Filter) newSession(conn net.Conn) *session {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sessions = append(f.sessions, nil)
	f.open++
	f.change()
	s := &session{filter: f, number: len(f.sessions), conn: conn, began: time.Now(), down: f.down}
	s.frames = wire.NewReader(conn, make([]byte, 0, 16<<10))
	s.script = f.Script
	return s
}

func (f *Filter) sessionEnded() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open--
	f.change()
}

// change wakes who waits in Idle. The caller holds mu.
func (f *Filter) change() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// record notes an event.
func (f *Filter) record(e Event) {
	f.mu.Lock()
	f.sessions[e.Session-1] = append(f.sessions[e.Session-1], e)
	f.mu.Unlock()
	if f.OnEvent != nil {
		f.OnEvent(e)
	}
}

// Close stops listening, cuts all sessions, and waits for them.
func (f *Filter) Close() error {
	f.mu.Lock()
	if !f.ended {
		f.init()
		f.ended = true
		close(f.down)
	}
	for c := range f.closers {
		c.Close()
	}
	f.mu.Unlock()
	f.running.Wait()
	return nil
}

// Idle waits until at least n sessions have been and none is open.
func (f *Filter) Idle(ctx context.Context, n int) error {
	for {
		f.mu.Lock()
		f.init()
		changed, idle := f.changed, f.open == 0 && len(f.sessions) >= n
		f.mu.Unlock()
		if idle {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Events returns all that the filter was told, session by session, each in the
// order in which it came.
func (f *Filter) Events() []Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Concat(f.sessions...)
}

// Saw returns what the filter was told but for negotiations and macros, one line
// for each command, session by session: "helo mx.example.org".
func (f *Filter) Saw() []string {
	var lines []string
	for _, e := range f.Events() {
		if e.Cmd != wire.CmdNegotiate && e.Cmd != wire.CmdMacros {
			lines = append(lines, e.Text)
		}
	}
	return lines
}

// SawMacros returns the macros that the filter was told, one line for each frame
// of them: "macros mail i=4B2".
func (f *Filter) SawMacros() []string {
	var lines []string
	for _, e := range f.Events() {
		if e.Cmd == wire.CmdMacros {
			lines = append(lines, e.Text)
		}
	}
	return lines
}

// Sessions returns how many sessions there have been.
func (f *Filter) Sessions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sessions)
}
