package milterkit

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/milterkit/sdk/internal/spool"
)

// A Server speaks the milter protocol to MTAs on behalf of a Dispatcher. Its
// fields must not change once Serve has been called.
type Server struct {
	Dispatcher *Dispatcher // of the first sessions: see Replace

	// MaxSessions bounds the sessions at one time. The next one waits 5 s for a place;
	// if it gets none, its messages are told at MAIL to try again later (451 4.3.2). An
	// idle connection keeps its place. Zero: no limit.
	MaxSessions int

	// MaxConnections bounds the connections of MTAs at one time, those without a place
	// included. The next one of each listener waits until another ends, and those after
	// it in the listen queue: descriptors stay free for sessions. Zero: no limit.
	MaxConnections int

	// MaxMemory bounds the bytes of messages that are held in memory, for all sessions together; beyond it
	// bodies go to an unlinked file in TempDir. Zero: DefaultMaxMemory. Below zero: no limit.
	MaxMemory int64

	// TempDir is where that file is, best not in memory. Empty: os.TempDir().
	TempDir string

	// MaxHeader bounds one message's whole header, in bytes; a longer one is refused with 552. Zero: DefaultMaxHeader.
	MaxHeader int

	// Logger is told of failures of connections. Nil: the Dispatcher's.
	Logger *slog.Logger

	setup sync.Once
	limits
	budget spool.Budget
	ctx    context.Context // of all hooks; done at Close
	cancel context.CancelFunc

	mu        sync.Mutex
	closed    bool
	now       *generation                // of new sessions
	listeners map[*net.Listener]struct{} // of any type, so by address
	conns     map[*conn]struct{}
	begun     uint64 // connections so far
	serving   sync.WaitGroup
}

func (s *Server) init() {
	s.setup.Do(func() {
		s.mu.Lock() // for Stats, which may be asked before there is anything to serve
		defer s.mu.Unlock()
		s.ctx, s.cancel = context.WithCancel(context.Background())
		s.listeners = make(map[*net.Listener]struct{})
		s.conns = make(map[*conn]struct{})
		s.connections, s.places = newPlaces(s.MaxConnections), newPlaces(s.MaxSessions)
		s.ending = make(chan struct{})
		s.now = newGeneration(s.ctx, s.Dispatcher)
		s.budget.Max, s.budget.Dir = s.MaxMemory, s.TempDir
		if s.MaxMemory == 0 {
			s.budget.Max = DefaultMaxMemory
		}
	})
}

func (s *Server) logger() *slog.Logger {
	if s.Logger != nil {
		return s.Logger
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.d.logger()
}

// Serve serves MTAs that connect to ln until Close or Shutdown. It may be
// called for several listeners. It always returns a non-nil error, and closes
// ln.
func (s *Server) Serve(ln net.Listener) error {
	s.init()
	defer ln.Close()
	s.mu.Lock()
	if s.now.d == nil {
		s.mu.Unlock()
		return errors.New("milterkit: a Server needs a Dispatcher")
	}
	if s.closed {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.listeners[&ln] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, &ln)
		s.mu.Unlock()
	}()
	wait := time.Duration(0)
	for {
		nc, err := ln.Accept()
		if err == nil {
			wait = 0
			if !s.admit(ln) {
				nc.Close()
				return ErrServerClosed
			}
			s.serveConn(nc)
			continue
		}
		switch {
		case s.isClosed():
			return ErrServerClosed
		case errors.Is(err, net.ErrClosed):
			return err
		}
		// Out of descriptors, most likely: others will end.
		wait = min(max(2*wait, 5*time.Millisecond), time.Second)
		s.acceptFailed(ln, err, wait)
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// serveConn serves one MTA connection on a goroutine of its own.
func (s *Server) serveConn(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		nc.Close()
		s.dismiss()
		return
	}
	c := newConn(s, nc)
	s.conns[c] = struct{}{}
	s.begun++
	s.serving.Go(func() {
		defer func() {
			s.dismiss()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		}()
		c.serve()
	})
}

// Shutdown takes no more connections, ends idle sessions, and lets messages under
// way end. If ctx is done first, it cuts them short, and returns its error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopListening((*conn).endWhenIdle)
	ended := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		s.Close()
		<-ended
		return ctx.Err()
	}
}

// Close ends all sessions at once: hooks under way are told to stop, and their
// clients to try again later (451 4.3.2). It waits until all that has ended.
func (s *Server) Close() error {
	s.init()
	s.cancel()
	s.stopListening((*conn).end)
	s.serving.Wait()
	return nil
}

// stopListening closes all listeners and does end to all connections.
func (s *Server) stopListening(end func(*conn)) {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.ending)
	}
	for ln := range s.listeners {
		(*ln).Close()
	}
	for c := range s.conns {
		end(c)
	}
}
