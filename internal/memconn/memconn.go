// Package memconn is a connection in memory, with room in it.
//
// It is what net.Pipe is, but for that room: as with sockets, what is written
// need not be read at once, so that commands can be sent ahead of the answers to
// those before them. A connection on which nothing is under way takes some
// hundred bytes. It can be used within a bubble of testing/synctest.
package memconn

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Pipe returns the two ends of a connection. What one end writes before it is
// closed the other can still read; then that reads io.EOF. To write to an end that
// is closed is io.ErrClosedPipe, to use one's own closed end net.ErrClosed.
func Pipe() (*Conn, *Conn) {
	a, b := newHalf(), newHalf()
	return &Conn{in: a, out: b}, &Conn{in: b, out: a}
}

// room is how many bytes a direction holds.
const room = 64 << 10

// rings holds *[room]byte, for all connections.
var rings = sync.Pool{New: func() any { return new([room]byte) }}

// A half is one direction of a connection.
type half struct {
	mu   sync.Mutex
	more *sync.Cond // something has changed

	ring    *[room]byte // nil: it is empty
	from, n int         // where it begins, and how much there is

	readerGone, writerGone bool
	readBy, writeBy        deadline
}

func newHalf() *half {
	h := &half{}
	h.more = sync.NewCond(&h.mu)
	return h
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.readerGone:
			return 0, net.ErrClosed
		case h.readBy.over():
			return 0, os.ErrDeadlineExceeded
		case h.n > 0 || len(p) == 0:
			return h.take(p), nil
		case h.writerGone:
			return 0, io.EOF
		}
		h.more.Wait()
	}
}

// take moves what there is room for in p out of the ring.
func (h *half) take(p []byte) (n int) {
	for h.n > 0 && n < len(p) {
		k := copy(p[n:], h.ring[h.from:min(h.from+h.n, room)])
		h.from, h.n, n = (h.from+k)%room, h.n-k, n+k
	}
	if h.n == 0 {
		h.drop()
	}
	if n > 0 {
		h.more.Broadcast()
	}
	return n
}

func (h *half) write(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.writerGone:
			return n, net.ErrClosed
		case h.readerGone:
			return n, io.ErrClosedPipe
		case h.writeBy.over():
			return n, os.ErrDeadlineExceeded
		}
		n += h.put(p[n:])
		if n == len(p) {
			return n, nil
		}
		h.more.Wait()
	}
}

// put moves what there is room for into the ring.
func (h *half) put(p []byte) (n int) {
	if h.ring == nil && len(p) > 0 {
		h.ring = rings.Get().(*[room]byte)
	}
	for h.n < room && n < len(p) {
		at := (h.from + h.n) % room
		k := copy(h.ring[at:min(at+room-h.n, room)], p[n:])
		h.n, n = h.n+k, n+k
	}
	if n > 0 {
		h.more.Broadcast()
	}
	return n
}

// drop empties the ring, and gives it back.
func (h *half) drop() {
	if h.ring != nil {
		rings.Put(h.ring)
	}
	h.ring, h.from, h.n = nil, 0, 0
}

// leave notes that the reader, or the writer, is gone.
func (h *half) leave(gone *bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*gone = true
	if h.readerGone {
		h.drop()
	}
	h.readBy.stop()
	h.writeBy.stop()
	h.more.Broadcast()
}

// A deadline is a time at which those who wait are to be woken.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) over() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

// set sets one of the half's two deadlines.
func (h *half) set(d *deadline, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.stop()
	d.at = at
	h.more.Broadcast()
	h.arm(d)
}

// arm has those who wait woken when a deadline is over.
func (h *half) arm(d *deadline) {
	switch left := time.Until(d.at); {
	case d.at.IsZero() || left <= 0:
	case d.timer != nil:
		d.timer.Reset(left)
	default:
		d.timer = time.AfterFunc(left, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.more.Broadcast()
			h.arm(d) // it may have been set anew meanwhile
		})
	}
}

// A Conn is one end of a connection.
type Conn struct{ in, out *half }

// Waiting returns how many bytes could be read now without a wait. Where there are
// none and the other end is closed, the error is io.EOF.
func (c *Conn) Waiting() (int, error) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	switch {
	case c.in.readerGone:
		return 0, net.ErrClosed
	case c.in.n == 0 && c.in.writerGone:
		return 0, io.EOF
	}
	return c.in.n, nil
}

// Read implements [net.Conn].
func (c *Conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write implements [net.Conn].
func (c *Conn) Write(p []byte) (int, error) { return c.out.write(p) }

// Close implements [net.Conn].
func (c *Conn) Close() error {
	c.in.leave(&c.in.readerGone)
	c.out.leave(&c.out.writerGone)
	return nil
}

// LocalAddr implements [net.Conn].
func (*Conn) LocalAddr() net.Addr { return Addr{} }

// RemoteAddr implements [net.Conn].
func (*Conn) RemoteAddr() net.Addr { return Addr{} }

// SetDeadline implements [net.Conn].
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.set(&c.in.readBy, t)
	c.out.set(&c.out.writeBy, t)
	return nil
}

// SetReadDeadline implements [net.Conn].
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.set(&c.in.readBy, t)
	return nil
}

// SetWriteDeadline implements [net.Conn].
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.set(&c.out.writeBy, t)
	return nil
}

// Addr is the address of both ends. Its network is "memory".
type Addr struct{}

// Network implements [net.Addr].
func (Addr) Network() string { return "memory" }

// String implements [net.Addr].
func (Addr) String() string { return "memory" }
