// Package gomilter makes a child of a filter that is written for
// github.com/emersion/go-milter, unchanged and without a socket:
//
//	server := milter.Server{NewMilter: newFilter, Actions: milter.OptAddHeader}
//	child := &gomilter.Child{Label: "mine", Server: &server} // was: server.Serve(ln)
//
// The library's own server runs, on connections in memory, and is spoken with as
// a milter on a socket is. So the filter does what it did on its socket, behind
// whichever MTA, and other libraries' filters can be run the same way: see
// [Child.Serve].
//
// # Failure
//
// A hook that panics, also NewMilter, costs one message: the panic is logged, the
// session with the filter ends, and the slot's DefaultAction decides. (A panic in
// a goroutine that the filter has started itself ends the process, as always in Go.)
// A filter that does not return is hung up on when its time is over. Its goroutine
// cannot be ended; when a hundred of them are left the child is down until some
// have returned.
//
// # Files, in reading order
//
//	child.go     the child
//	server.go    the filter's server, and its listener
//	sessions.go  the connections, and what is left of them
//	guard.go     a filter whose panics are errors
package gomilter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-milter"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/remote"
)

// A Child is a filter in this process that was written to be a milter of its own.
// One of Server and Serve must be given. The fields must not change once the Child
// is in use.
type Child struct {
	Label string // its Name; empty: "go-milter"

	// Server is the filter on github.com/emersion/go-milter, as it would be
	// served on a socket. In place of its Close there is [Child.Close].
	Server *milter.Server

	// Serve serves a filter on any other library, where Server is nil. Whatever
	// takes a listener will do:
	//
	//	Serve: server.Serve // a *milter.Server of github.com/d--j/go-milter
	//
	// It is called on a goroutine of its own when the first session begins, and
	// must return when Accept returns an error. When it returns before, the child
	// is down until the next call, which comes in the background. What it calls in
	// goroutines of its own must not panic.
	Serve func(net.Listener) error

	// Logger is told of panics, and when the filter's server ends and is there
	// again. Nil: slog.Default().
	Logger *slog.Logger

	begin sync.Once
	far   remote.Milter

	mu       sync.Mutex
	serving  *listener // nil: the server does not run
	sessions sessions
	closed   bool
}

// closeTimeout bounds how long Close waits for the filter.
const closeTimeout = time.Second

// errClosed says that the Child is of no use any more.
var errClosed = errors.New("it was closed")

// Name implements [milterkit.Child].
func (c *Child) Name() string {
	if c.Label != "" {
		return c.Label
	}
	return "go-milter"
}

// Hooks implements [milterkit.Child].
func (c *Child) Hooks() milterkit.Hooks {
	h := c.remote().Hooks()
	h.Prompt = true // the connections heed their deadlines, and Dial its ctx
	return h
}

// remote returns the filter as a milter elsewhere. It is spoken with in lockstep:
// filters on these libraries go on being called, with the rest of the message,
// after a verdict in the midst of what was sent ahead.
func (c *Child) remote() *remote.Milter {
	c.begin.Do(func() {
		c.far.Label, c.far.Network, c.far.Addr = c.Name(), "memory", c.Name()
		c.far.Dial, c.far.Lockstep, c.far.Logger = c.dial, true, c.Logger
	})
	return &c.far
}

// dial opens a connection to the filter's server.
func (c *Child) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if err := c.room(ctx); err != nil {
		return nil, err
	}
	ln, err := c.listener()
	if err != nil {
		return nil, err
	}
	near, far, err := c.connect()
	if err != nil {
		return nil, err
	}
	select {
	case ln.conns <- far:
		return near, nil
	case <-ln.closed:
		err = errEnded
	case <-ctx.Done():
		err = fmt.Errorf("its server accepts no connection: %w", context.Cause(ctx))
	}
	far.Close()
	near.Close()
	return nil, err
}

// Close ends the filter's server and all its sessions. It waits a second at most
// for them, and returns an error if some have not ended then, because a hook of the
// filter has not returned. A session that is not over fails.
func (c *Child) Close() error {
	c.remote().Close()
	c.mu.Lock()
	c.closed = true
	if c.serving != nil {
		c.serving.Close()
	}
	open := c.sessions.ends()
	c.mu.Unlock()
	for _, e := range open {
		e.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if c.await(ctx, func() bool { return c.serving == nil && len(c.sessions.open) == 0 }) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("gomilter: %s: %d of its sessions have not ended", c.Name(), len(c.sessions.open))
}

func (c *Child) logger() *slog.Logger {
	if c.Logger != nil {
		return c.Logger
	}
	return slog.Default()
}
