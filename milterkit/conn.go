package milterkit

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/milterkit/sdk/internal/quickack"
	"github.com/milterkit/sdk/internal/spool"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A conn is one connection from an MTA: one SMTP session.
//
// What is read stays where it was read. Outside a message that is a small
// buffer, written over again and again. From the header on, what children may
// still look at is pinned there, and reading goes on in slabs that are given
// back at the end of the message.
type conn struct {
	s  *Server
	nc net.Conn
	of *generation // nil before the negotiation
	r  *wire.Reader
	w  *Walk // of the session; nil before the negotiation

	answer  wire.Negotiation // what we have agreed to
	placed  bool             // it has one of MaxSessions places
	waiting bool             // the MTA waits for a word from us
	written moment           // when the deadline of writes was set last

	small    []byte      // the buffer outside a message
	page     *spool.Page // written over where there is no memory for a message
	scratch  bool        // what is read now goes to a buffer that is written over
	memory   *memory     // of the message under way
	envelope int         // bytes of recipients so far
	header   int         // bytes of header so far
	pieces   int         // of the body so far
	spilled  bool        // the last one went to a file

	out []byte // frames to be written

	mu       sync.Mutex
	busy     bool // a command is being answered
	idle     bool // no message is under way
	draining bool // to be closed as soon as it is idle
	closing  bool // to be closed as soon as it is not busy
}

// smallBuffer is the size of the buffer outside a message: enough for what comes
// there at once, and little enough for thousands of idle sessions.
const smallBuffer = 2 << 10

// smallBuffers holds *[smallBuffer]byte of sessions that have ended.
var smallBuffers sync.Pool

func newSmallBuffer() []byte {
	if b, ok := smallBuffers.Get().(*[smallBuffer]byte); ok {
		return b[:]
	}
	return make([]byte, smallBuffer)
}

// maxCommand is the longest frame outside the content of a message. libmilter takes
// no longer one anywhere, where nothing else is agreed. Source: Maxdatasize in
// libmilter's comm.c, mi_rd_cmd.
const maxCommand = 64 << 10

// negotiateTimeout bounds the wait for an MTA's first word, which comes at once.
const negotiateTimeout = time.Minute

// writeTimeout bounds one write to the MTA, which reads at once unless it hangs,
// and bodyTimeout that of a whole new body.
const (
	writeTimeout = time.Minute
	bodyTimeout  = 5 * time.Minute
)

// memory is where the bytes of one message stand.
type memory struct {
	*spool.Store
	lent  bool // a hook that was given up still looks at it
	fresh bool // and was given up just now
}

// Retain implements [Memory]. It is called by the session's own goroutine, or while
// that is in a hook.
func (m *memory) Retain() {
	m.lent, m.fresh = true, true
	m.Store.Retain()
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, nc: nc, small: newSmallBuffer(), idle: true}
	c.r = wire.NewReader(quickack.Reader(nc), c.small)
	c.r.Split, c.r.Max = wire.CmdBody, c.longest
	c.r.Replace = c.replace
	return c
}

// longest returns how long a frame may be where the session stands.
func (c *conn) longest(code byte) int {
	switch code {
	case wire.CmdHeader, wire.CmdBody, wire.CmdEOM:
		if c.w != nil && c.w.open {
			return wire.MaxFrame
		}
	}
	return maxCommand
}

// errGoodbye ends a connection in good order.
var errGoodbye = errors.New("goodbye")

// growStack takes at once the stack that a session comes to need. It would be
// copied three times on the way there, each time with more on it.
//
//go:noinline
func growStack() byte {
	var room [stackNeeded]byte
	return room[len(os.Args)%stackNeeded] // so that it is not left out
}

// stackNeeded is about what a session uses where it dials, and where it logs.
const stackNeeded = 6 << 10

// serve reads commands and answers them until the connection ends.
func (c *conn) serve() {
	growStack()
	err := errHookExit
	defer func() { c.finish(err) }()
	err = c.guarded(c.loop)
}

// errHookExit is what ends a session whose goroutine a hook has ended.
var errHookExit = errors.New("a hook that runs on the session's goroutine has ended that")

// finish ends the session.
func (c *conn) finish(err error) {
	c.nc.Close()
	defer func() { c.free(err) }() // also where a hook ends the goroutine
	if c.w != nil {
		err = cmp.Or(c.guarded(func() error { c.w.Close(); return nil }), err)
	}
}

// free gives back what the session has had, and logs why it has ended, unless that is
// in good order.
func (c *conn) free(err error) {
	c.s.part(c)
	c.freeMemory()
	smallBuffers.Put((*[smallBuffer]byte)(c.small))
	if c.placed {
		c.s.leavePlace()
	}
	negotiated := c.w != nil
	switch {
	case errors.Is(err, errGoodbye), errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF):
	case !negotiated && isReset(err): // a port probe
	default:
		c.s.logger().Warn("MTA connection ended", append(c.known(), "error", err)...)
	}
}

// known is what a line of the log has of the session.
func (c *conn) known() []any {
	attrs := []any{"mta", c.nc.RemoteAddr().String()}
	if c.w != nil {
		attrs = append(attrs, "session", c.w.sess.ID, "queue_id", c.w.env.QueueID())
	}
	return attrs
}

// guarded makes an error of a panic: one conversation is not worth the
// process. The MTA then defers the message.
func (c *conn) guarded(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			stack := debug.Stack()
			err = &PanicError{Value: r, Stack: stack}
			c.s.logger().Error("bug in milterkit: please report it", append(c.known(), "error", err, "stack", string(stack))...)
		}
	}()
	return do()
}

func (c *conn) loop() error {
	c.nc.SetReadDeadline(time.Now().Add(negotiateTimeout))
	for {
		f, err := c.r.Next()
		if err != nil {
			return err
		}
		if !c.enter() {
			return errGoodbye
		}
		if err := c.command(f); err != nil {
			return err
		}
		if !c.leave() {
			return errGoodbye
		}
	}
}

// enter notes that a command is being answered. It reports false if the
// connection is to end now.
func (c *conn) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = true
	return !c.closing
}

// leave notes that a command has been answered. It reports false if the
// connection is to end now.
func (c *conn) leave() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy, c.idle = false, !c.underWay()
	return !c.closing && !(c.draining && c.idle)
}

// underWay reports whether there is a message that may still be taken.
func (c *conn) underWay() bool {
	return c.w != nil && c.w.open && (c.w.content.begun() || c.w.ended.kind < KindTempFail)
}

// endWhenIdle closes the connection as soon as no message is under way.
func (c *conn) endWhenIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if c.idle && !c.busy {
		c.nc.Close()
	}
}

// end closes the connection as soon as the command at hand is answered.
func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	if !c.busy {
		c.nc.Close()
	}
}

// replace gives the reader its next buffer: a slab while the budget lasts, and
// then one that is written over, whose contents are kept elsewhere.
func (c *conn) replace(need int) []byte {
	if c.scratch = c.memory == nil; c.scratch {
		return nil // a long command outside a message: the reader makes one
	}
	if slab := c.memory.Slab(); slab != nil {
		return slab
	}
	c.scratch = true
	if c.page == nil {
		c.page = c.memory.Page()
	}
	return c.page[:] // a frame that is longer comes in parts, or has a buffer made
}

// beginMessage gets memory for a message.
func (c *conn) beginMessage() {
	c.memory = &memory{Store: c.s.budget.NewStore()}
	c.w.Memory = c.memory
	c.envelope, c.header, c.pieces, c.spilled = 0, 0, 0, false
	if c.scratch {
		c.r.SetBuffer(c.small) // a long command had the reader make a buffer
		c.scratch = false
	}
}

// endMessage ends the message under way, if there is one, and gives its memory
// back.
func (c *conn) endMessage() {
	c.w.Reset()
	c.freeMemory()
}

func (c *conn) freeMemory() {
	if c.memory == nil {
		return
	}
	if c.memory.lent {
		c.small = newSmallBuffer()
	}
	if !c.r.SetBuffer(c.small) {
		c.r.SetBuffer(make([]byte, c.r.Buffered()))
	}
	c.page = nil
	c.memory.Release()
	c.memory, c.scratch = nil, false
	if c.w != nil {
		c.w.Memory = nil
	}
}

// keep returns a view of p, which stands in the reader's buffer, that is good
// for the whole message.
func (c *conn) keep(p []byte) []byte {
	if c.scratch {
		return slices.Clone(p)
	}
	c.r.Pin()
	return p
}

// keepBody is keep for a piece of the body, which may be large. joined says that the
// view has the last piece before this one.
func (c *conn) keepBody(p []byte) (view []byte, joined bool, err error) {
	if c.scratch {
		view, joined, err = c.memory.Spill(p, c.spilled)
		c.spilled = err == nil
		return view, joined, err
	}
	c.spilled = false
	c.r.Pin()
	return p, false, nil
}

// leavePage gives the page back as soon as the message has come to its end.
func (c *conn) leavePage() {
	if c.page != nil && !c.memory.lent && c.r.Buffered() == 0 {
		c.r.SetBuffer(c.small)
		c.memory.LeavePage(c.page)
		c.page = nil
	}
}

// isReset reports whether the peer has just gone away.
func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, io.ErrUnexpectedEOF)
}
