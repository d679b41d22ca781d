package miltertest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Pipe returns the two ends of a connection in memory. It is [net.Pipe] with room
// in it, as sockets have: what is written need not be read at once, and commands
// can be sent ahead of the answers to those before them. It can be used within a
// bubble of testing/synctest.
func Pipe() (net.Conn, net.Conn) {
	a, b := newHalf(), newHalf()
	return &pipeEnd{in: a, out: b}, &pipeEnd{in: b, out: a}
}

// A half is one direction of a pipe.
type half struct {
	mu     sync.Mutex
	more   *sync.Cond // something has changed
	buf    []byte
	closed bool

	readBy, writeBy time.Time // deadlines
}

// pipeRoom is how much a half holds, about what a unix socket does.
const pipeRoom = 200 << 10

func newHalf() *half {
	h := &half{}
	h.more = sync.NewCond(&h.mu)
	return h
}

// wait waits until ready holds, the half is closed or the deadline is over.
func (h *half) wait(by *time.Time, ready func() bool) error {
	for !ready() && !h.closed {
		if !by.IsZero() && !time.Now().Before(*by) {
			return os.ErrDeadlineExceeded
		}
		h.more.Wait()
	}
	if !by.IsZero() && !time.Now().Before(*by) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.wait(&h.readBy, func() bool { return len(h.buf) > 0 }); err != nil {
		return 0, err
	}
	if len(h.buf) == 0 {
		return 0, io.EOF
	}
	n := copy(p, h.buf)
	h.buf = h.buf[n:]
	h.more.Broadcast()
	return n, nil
}

func (h *half) write(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(p) > 0 {
		if err := h.wait(&h.writeBy, func() bool { return len(h.buf) < pipeRoom }); err != nil {
			return n, err
		}
		if h.closed {
			return n, io.ErrClosedPipe
		}
		k := min(len(p), pipeRoom-len(h.buf))
		h.buf = append(h.buf, p[:k]...)
		n, p = n+k, p[k:]
		h.more.Broadcast()
	}
	return n, nil
}

func (h *half) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.more.Broadcast()
}

// setDeadline sets one of the two, and wakes those who wait when it is over.
func (h *half) setDeadline(by *time.Time, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*by = t
	h.more.Broadcast()
	if d := time.Until(t); !t.IsZero() && d > 0 {
		time.AfterFunc(d, h.more.Broadcast)
	}
}

// pipeEnd is one end of a pipe.
type pipeEnd struct{ in, out *half }

func (e *pipeEnd) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *pipeEnd) Write(p []byte) (int, error) { return e.out.write(p) }
func (e *pipeEnd) Close() error                { e.in.close(); e.out.close(); return nil }
func (e *pipeEnd) LocalAddr() net.Addr         { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
func (e *pipeEnd) RemoteAddr() net.Addr        { return e.LocalAddr() }

func (e *pipeEnd) SetDeadline(t time.Time) error {
	e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

func (e *pipeEnd) SetReadDeadline(t time.Time) error {
	e.in.setDeadline(&e.in.readBy, t)
	return nil
}

func (e *pipeEnd) SetWriteDeadline(t time.Time) error {
	e.out.setDeadline(&e.out.writeBy, t)
	return nil
}
