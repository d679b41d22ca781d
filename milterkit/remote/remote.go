// Package remote makes a child of a milter that runs elsewhere, on a socket.
//
// The milter is offered version 6 of the protocol with all its steps, whatever
// the MTA speaks, and only those changes to a message that the MTA can make.
// Macro lists are offered always (SETSYMLIST): they change no message, and it is
// the multiplexer that heeds them; where the MTA takes none, the milter is sent
// what the MTA gives unasked. What it answers is adapted: the stages it does not
// want, the replies it promises not to give (also where they were not offered,
// as rspamd does), leading space, skip, and older versions.
//
// An answer too many, or one out of turn, is a failure of the milter: all the
// answers after it would be taken for answers to something else.
//
// Each session has a connection of its own, opened when the milter is first to
// be told something. It is never used for another session: most milters take no
// QUIT_NC. A connection that broke is opened anew for the next message of the
// session, and the milter told what happened so far; what it says against that
// holds for the rest of the session. A milter that cannot be reached is looked
// for in the background, and costs sessions nothing meanwhile.
//
// The package uses the public hooks of milterkit only.
package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A Milter is an existing milter as a child. Its fields must not change once it
// is in use.
type Milter struct {
	Label   string // its Name; empty: the address
	Network string // "unix" or "tcp"
	Addr    string // a path, or "host:port"

	// ConnectTimeout bounds dialling and negotiation together. Zero:
	// DefaultConnectTimeout.
	ConnectTimeout time.Duration

	// Dial opens a connection. Nil: net.Dialer. The connection must have room
	// for some KiB that are not read yet, each way, as sockets do. If it is none of
	// the system's, a method Waiting() (bytes int, err error) may tell how many bytes
	// there are to be read, or that the other end is closed; else that is noticed
	// only at the next word.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Lockstep has the milter's answer to each field of the header and each piece
	// of the body waited for before the next is sent, as MTAs do. Without it header
	// and body are sent ahead, and the answers read after them; a milter that gives
	// a verdict in the middle has its connection dropped, so that nothing depends
	// on what it makes of the rest. Connect is sent together with the negotiation,
	// on the terms that were agreed on the last time; where the milter agrees to
	// others now that is done again, on another connection. The rest of the envelope
	// and the end of a message are never sent ahead of an answer. See
	// docs/pipelining.md.
	Lockstep bool

	// Macros are the milter's own: what it is sent besides the MTA's.
	Macros []Macro

	// Logger is told when the milter goes and comes back. Nil: slog.Default().
	Logger *slog.Logger

	mu        sync.Mutex
	down      error // why it cannot be reached; nil: it can, or nobody has tried
	closed    bool
	lists     map[milterkit.Stage][]string // the macros it would like to have, and its own need
	last      terms                        // what was agreed on the last time
	searching sync.WaitGroup
	stop      context.CancelFunc // of the search
}

// DefaultConnectTimeout bounds dialling and negotiation where a Milter gives no
// other time.
const DefaultConnectTimeout = 5 * time.Second

// The time between two looks for a milter that is down.
const (
	firstLook = 250 * time.Millisecond
	lastLook  = 10 * time.Second
)

// longWait is how long a hook must have waited for the milter to be taken for
// down although the hook was told to stop.
const longWait = time.Second

// dialAgain is the time between two attempts at a socket whose queue is full.
const dialAgain = 10 * time.Millisecond

// errBusy says that a milter takes no more connections just now. That is one
// session's bad luck, and does not make the milter one that is down.
var errBusy = errors.New("its queue of connections is full")

// ErrDown is the reason of a failure while the milter is known not to be there.
var ErrDown = errors.New("the milter is down")

// errTerms says that the milter is there, but needs more of the MTA than that
// MTA can do. With another MTA it may agree.
var errTerms = errors.New("it does not agree to what the MTA can do")

// Name returns the Label, or the address.
func (m *Milter) Name() string {
	if m.Label != "" {
		return m.Label
	}
	return m.Addr
}

// Hooks implements [milterkit.Child]. The hooks have a connection in common,
// which is not opened yet.
func (m *Milter) Hooks() milterkit.Hooks {
	c := &conn{m: m}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lists == nil && len(m.Macros) > 0 {
		m.lists = m.wanted(nil)
	}
	return milterkit.Hooks{
		Connect:     c.connect,
		Helo:        c.helo,
		Mail:        c.mail,
		Rcpt:        c.rcpt,
		RefusedRcpt: c.refusedRcpt,
		Data:        c.data,
		Header:      c.header,
		Body:        c.body,
		Message:     c.endOfMessage,
		Unknown:     c.unknown,
		Reset:       c.reset,
		Close:       c.close,
		Macros:      m.lists,
		Prompt:      m.Dial == nil, // what others give as Dial may not heed its ctx
	}
}

// Probe dials the milter, negotiates and says goodbye. It tells whether there
// is a milter at the address, and learns which macros it would like to have.
func (m *Milter) Probe(ctx context.Context) error {
	c := conn{m: m}
	if err := c.open(ctx, wire.AllActions, false); err != nil {
		c.hangUp()
		return err
	}
	c.close()
	return nil
}

// Close ends the search for a milter that is down, and waits for it.
func (m *Milter) Close() error {
	m.mu.Lock()
	m.closed = true
	if m.stop != nil {
		m.stop()
	}
	m.mu.Unlock()
	m.searching.Wait()
	return nil
}

// connectTimeout is ConnectTimeout, or the default.
func (m *Milter) connectTimeout() time.Duration {
	if m.ConnectTimeout > 0 {
		return m.ConnectTimeout
	}
	return DefaultConnectTimeout
}

// dial opens a connection.
func (m *Milter) dial(ctx context.Context, by time.Time) (nc net.Conn, err error) {
	dial := m.Dial
	switch {
	case dial != nil:
	case m.Network == "unix":
		dial = dialUnix
	default:
		dial = new(net.Dialer).DialContext
	}
	if m.Dial != nil || m.Network != "unix" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, by)
		defer cancel()
	}
	for {
		nc, err = dial(ctx, m.Network, m.Addr)
		switch {
		case !errors.Is(err, syscall.EAGAIN):
			return nc, err
		case ctx.Err() != nil || !time.Now().Before(by):
			return nil, fmt.Errorf("%w: %w", errBusy, err)
		}
		// The queue of a unix socket is full: the milter is there, and busy.
		select {
		case <-ctx.Done():
		case <-time.After(min(dialAgain, time.Until(by))):
		}
	}
}

// dialUnix dials a unix socket. That never waits: the connection is there at once,
// or it is known why not. So no watch over ctx is needed.
func dialUnix(_ context.Context, network, addr string) (net.Conn, error) {
	nc, err := net.DialUnix(network, nil, &net.UnixAddr{Name: addr, Net: network})
	if err != nil {
		return nil, err // not a *net.UnixConn that is nil
	}
	return nc, nil
}

// Down returns why the milter cannot be reached, or nil: it can, as far as is known.
func (m *Milter) Down() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDown, m.down)
}

// goneDown notes that the milter cannot be reached, and has it looked for.
func (m *Milter) goneDown(err error) {
	if !m.beginSearch(err) {
		return
	}
	m.logger().Warn("milter is down", "milter", m.Name(), "socket", m.Network+":"+m.Addr, "error", err)
}

// beginSearch reports whether there was not a search already.
func (m *Milter) beginSearch(err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil || m.closed {
		return false
	}
	m.down = err
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	m.searching.Go(func() {
		defer cancel()
		m.search(ctx)
	})
	return true
}

// search looks for the milter until it is there.
func (m *Milter) search(ctx context.Context) {
	for wait := firstLook; ; wait = min(2*wait, lastLook) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		err := m.Probe(ctx)
		if ctx.Err() != nil {
			return
		}
		m.mu.Lock()
		if err == nil || tellsOfDown(err) {
			m.down = err
		}
		m.mu.Unlock()
		if err == nil {
			m.logger().Info("milter is back", "milter", m.Name())
			return
		}
	}
}

func (m *Milter) logger() *slog.Logger {
	if m.Logger != nil {
		return m.Logger
	}
	return slog.Default()
}
