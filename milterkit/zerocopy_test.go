package milterkit_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"unsafe"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// A span is where bytes stand in memory.
type span struct{ from, to uintptr }

func spanOf(p []byte) span {
	from := uintptr(unsafe.Pointer(unsafe.SliceData(p)))
	return span{from, from + uintptr(len(p))}
}

// watched is a listener whose connections note where they are read into.
type watched struct {
	net.Listener
	mu    sync.Mutex
	spans []span
}

type watchedConn struct {
	net.Conn
	of *watched
}

func (w *watched) Accept() (net.Conn, error) {
	nc, err := w.Listener.Accept()
	return watchedConn{nc, w}, err
}

func (c watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	// What is read behind something else makes one span with it.
	if s, last := spanOf(p[:n]), len(c.of.spans)-1; last >= 0 && c.of.spans[last].to == s.from {
		c.of.spans[last].to = s.to
	} else {
		c.of.spans = append(c.of.spans, s)
	}
	return n, err
}

// holds reports whether p stands where it was read.
func (w *watched) holds(p []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := spanOf(p)
	for _, s := range w.spans {
		if s.from <= x.from && x.to <= s.to {
			return true
		}
	}
	return false
}

// No byte of a body is copied on its way to native children, however many there
// are: what they are shown stands where it was read from the socket.
func TestBodyIsNotCopied(t *testing.T) {
	ln := &watched{}
	seen, copied := make([]int, 3), make([]int, 3)
	count := func(i int, p []byte) {
		if seen[i] += len(p); !ln.holds(p) {
			copied[i] += len(p)
		}
	}
	var slots []milterkit.Slot
	for i := range 3 {
		h := milterkit.Hooks{Message: func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
			for _, p := range m.Body() {
				count(i, p)
			}
			return milterkit.Continue
		}}
		if i == 0 {
			h.Body = func(_ context.Context, _ *milterkit.Message, p []byte) milterkit.Verdict {
				count(i, p)
				return milterkit.Continue
			}
		}
		slots = append(slots, milterkit.Slot{Child: childOf(string('a'+rune(i)), h)})
	}
	srv, _ := serve(t, slots...)
	ln.Listener = listener(t)
	served := make(chan error)
	go func() { served <- srv.Serve(ln) }()
	nc, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	m, err := miltertest.New(nc, miltertest.Offer{})
	if err != nil {
		t.Fatal(err)
	}
	open(t, m)
	const size = 1 << 20
	var pieces [][]byte
	for n := 0; n < size; n += 1 << 15 {
		pieces = append(pieces, make([]byte, 1<<15))
	}
	for range 2 {
		if _, r := deliver(t, m, someHeader, pieces...); r.Final() {
			t.Fatal(r)
		}
	}
	m.Quit()
	shut(t, srv)
	<-served
	for i := range seen {
		if seen[i] != 2*size || copied[i] != 0 {
			t.Errorf("child %d: %d bytes seen, %d of them copied", i, seen[i], copied[i])
		}
	}
}
