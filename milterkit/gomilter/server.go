package gomilter

import (
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"

	"github.com/emersion/go-milter"

	"github.com/milterkit/sdk/internal/memconn"
)

var (
	errEnded   = errors.New("its server has ended")
	errNothing = errors.New("gomilter: the Child has neither Server nor Serve")
)

// A listener is where the filter's server gets its connections.
type listener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements [net.Listener].
func (*listener) Addr() net.Addr { return memconn.Addr{} }

// listener returns that of the filter's server, which is started if it does not
// run.
func (c *Child) listener() (*listener, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, errClosed
	case c.Server == nil && c.Serve == nil:
		return nil, errNothing
	case c.serving == nil:
		c.serving = &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
		go c.serve(c.serving)
	}
	return c.serving, nil
}

// serve runs the filter's server until it ends.
func (c *Child) serve(ln *listener) {
	err := errors.New("runtime.Goexit was called")
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
		ln.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.serving = nil
		c.sessions.notify()
		if !c.closed {
			c.logger().Error("the filter's server has ended", "milter", c.Name(), "error", err)
		}
	}()
	serve := c.Serve
	if c.Server != nil {
		serve = c.guarded().Serve
	}
	err = serve(ln)
}

// guarded returns a server like Server, whose filters have a guard.
func (c *Child) guarded() *milter.Server {
	return &milter.Server{
		NewMilter: c.newMilter,
		Actions:   c.Server.Actions,
		Protocol:  c.Server.Protocol &^ noReplies,
		SymList:   c.Server.SymList,
	}
}
