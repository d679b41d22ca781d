package remote

import (
	"bytes"
	"net"
	"sync"

	"github.com/milterkit/sdk/milterkit/wire"
)

// A desk is the memory that a conversation needs while it goes on. Between hooks
// there is none: a session has as many connections as there are milters, of which one
// is spoken with at a time, and may be idle for long.
type desk struct {
	in     [1 << 10]byte // replies are short; a longer one gets a buffer of its own
	out    [4 << 10]byte // room for the header of most messages
	pieces [8]piece
	vec    [17][]byte
}

// desks holds *desk, for all connections.
var desks sync.Pool

func newDesk() *desk {
	if d, ok := desks.Get().(*desk); ok {
		return d
	}
	return new(desk)
}

// sit takes a desk, if the connection has none.
func (c *conn) sit() {
	if c.desk != nil {
		return
	}
	c.desk = newDesk()
	c.r.SetBuffer(c.desk.in[:])
	c.spread()
	if c.abort {
		c.out, c.abort = wire.AppendFrame(c.out, wire.CmdAbort, nil), false
	}
}

// spread moves what is to be written, which is little, to the desk.
func (c *conn) spread() {
	c.out = append(c.desk.out[:0], c.out...)
	c.pieces, c.vec = c.desk.pieces[:0], net.Buffers(c.desk.vec[:0])
}

// rise gives the desk back, unless something is under way on it.
func (c *conn) rise() {
	if c.desk == nil || c.owed > 0 || c.r.Buffered() > 0 || c.size > 0 {
		return
	}
	c.r.SetBuffer(nil)
	c.output = output{out: bytes.Clone(c.out)}
	if len(c.out) == 0 {
		c.out = nil
	}
	c.clearDesk()
}

// clearDesk gives the desk back, whatever is on it.
func (c *conn) clearDesk() {
	if c.desk != nil {
		clear(c.desk.pieces[:])
		clear(c.desk.vec[:])
		desks.Put(c.desk)
		c.desk = nil
	}
}
