package milterkit

import "context"

// A generation is a Dispatcher of a Server, and the sessions that take it.
type generation struct {
	d      *Dispatcher
	noRoom *Dispatcher     // of sessions that got no place
	ctx    context.Context // of all hooks; done when the sessions are ended
	cancel context.CancelFunc

	// Guarded by the Server's mu.
	sessions map[*conn]struct{}
	ended    chan struct{} // closed when it is replaced and the last session is gone
}

func newGeneration(ctx context.Context, d *Dispatcher) *generation {
	g := &generation{d: d, noRoom: turningAway(d), sessions: make(map[*conn]struct{}), ended: make(chan struct{})}
	g.ctx, g.cancel = context.WithCancel(ctx)
	return g
}

// Replace has sessions that begin from now on take d, of which no session has begun
// elsewhere. Those under way keep the Dispatcher that they have; ended is closed when
// the last of them has ended, but for hooks that were given up. End is to these
// sessions what Shutdown is to all.
func (s *Server) Replace(d *Dispatcher) (ended <-chan struct{}, end func(context.Context) error) {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.now
	if old.d != nil {
		d.lastID = old.d.lastID
	}
	s.now = newGeneration(s.ctx, d)
	if len(old.sessions) == 0 {
		old.end()
	}
	return old.ended, func(ctx context.Context) error { return s.endAll(ctx, old) }
}

// replaced reports whether new sessions take another generation than g.
func (s *Server) replaced(g *generation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now != g
}

// join has a session begin, and returns what it takes.
func (s *Server) join(c *conn) *generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.sessions[c] = struct{}{}
	return s.now
}

// part notes that the session of a connection has ended, if it ever began.
func (s *Server) part(c *conn) {
	g := c.of
	if g == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(g.sessions, c)
	if g != s.now && len(g.sessions) == 0 {
		g.end()
	}
}

// end notes that no session is left, and that none will come.
func (g *generation) end() {
	close(g.ended)
	g.cancel()
}

// endAll ends the sessions of a generation that has been replaced.
func (s *Server) endAll(ctx context.Context, g *generation) error {
	s.eachOf(g, (*conn).endWhenIdle)
	select {
	case <-g.ended:
		return nil
	case <-ctx.Done():
	}
	g.cancel()
	s.eachOf(g, (*conn).end)
	<-g.ended
	return ctx.Err()
}

func (s *Server) eachOf(g *generation, do func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range g.sessions {
		do(c)
	}
}
