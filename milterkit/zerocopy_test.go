package milterkit_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/milterkit/sdk/internal/bodycopy"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
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

// addressed is a connection to a filter that counts the bytes which it is given to
// write from where they were read.
type addressed struct {
	net.Conn
	from    *watched
	inPlace *atomic.Int64
}

func (c addressed) Write(p []byte) (int, error) {
	if c.from.holds(p) {
		c.inPlace.Add(int64(len(p)))
	}
	return c.Conn.Write(p)
}

// zeroCopy is a Server on a listener that knows where it was read into.
type zeroCopy struct {
	*testing.T
	ln  *watched
	srv *milterkit.Server
}

func newZeroCopy(t *testing.T, ln *watched, maxMemory int64, slots ...milterkit.Slot) *zeroCopy {
	t.Helper()
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	return &zeroCopy{t, ln, &milterkit.Server{Dispatcher: d, TempDir: t.TempDir(), MaxMemory: maxMemory}}
}

// takes takes messages with bodies of so many bytes past the slots, and returns how
// many bytes of bodies were copied.
func (z *zeroCopy) takes(sizes ...int) int64 {
	z.Helper()
	before := bodycopy.Total()
	z.ln.Listener = listener(z.T)
	served := make(chan error)
	go func() { served <- z.srv.Serve(z.ln) }()
	nc, err := net.Dial("unix", z.ln.Addr().String())
	if err != nil {
		z.Fatal(err)
	}
	m, err := miltertest.New(nc, miltertest.Offer{})
	if err != nil {
		z.Fatal(err)
	}
	open(z.T, m)
	for _, size := range sizes {
		var pieces [][]byte
		for n := 0; n < size; n += 1 << 15 {
			pieces = append(pieces, make([]byte, min(1<<15, size-n)))
		}
		if _, r := deliver(z.T, m, someHeader, pieces...); r.Final() {
			z.Fatal(r)
		}
	}
	m.Quit()
	shut(z.T, z.srv)
	<-served
	return bodycopy.Total() - before
}

// bodies are the sizes of bodies that are shown when they are complete, while they
// arrive, and over several slabs.
var bodies = []int{4 << 10, 1 << 20, 100 << 10, 1 << 20}

func sum(list []int) (n int) {
	for _, x := range list {
		n += x
	}
	return n
}

// No byte of a body is copied on its way to native children, however many there
// are: what they are shown stands where it was read from the socket.
func TestBodyIsNotCopied(t *testing.T) {
	for _, children := range []int{1, 3, 20} {
		ln := &watched{}
		seen, copied := make([]int, children), make([]int, children)
		count := func(i int, p []byte) {
			if seen[i] += len(p); !ln.holds(p) {
				copied[i] += len(p)
			}
		}
		var slots []milterkit.Slot
		for i := range children {
			h := milterkit.Hooks{Message: func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
				for _, p := range m.Body() {
					count(i, p)
				}
				return milterkit.Continue
			}}
			if i%2 == 0 {
				h.Body = func(_ context.Context, _ *milterkit.Message, p []byte) milterkit.Verdict {
					count(i, p)
					return milterkit.Continue
				}
			}
			slots = append(slots, milterkit.Slot{Child: childOf(strconv.Itoa(i), h)})
		}
		if n := newZeroCopy(t, ln, 0, slots...).takes(bodies...); n != 0 {
			t.Errorf("%d children: %d bytes copied", children, n)
		}
		for i := range seen {
			if seen[i] != sum(bodies) || copied[i] != 0 {
				t.Errorf("child %d of %d: %d bytes seen, %d of them not where they were read", i, children, seen[i], copied[i])
			}
		}
	}
}

// Nor on its way to filters on sockets: what the vectored write is given stands
// where it was read.
func TestBodyIsNotCopiedForRemoteChildren(t *testing.T) {
	short, err := os.MkdirTemp("", "z") // for names of sockets
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	for name, steps := range map[string]wire.Steps{"answered": 0, "not answered": wire.NoReplyHeader | wire.NoReplyEOH | wire.NoReplyBody} {
		for _, lockstep := range []bool{false, true} {
			ln := &watched{}
			inPlace := make([]atomic.Int64, 3)
			var slots []milterkit.Slot
			for i := range inPlace {
				f := &miltertest.Filter{Script: miltertest.Script{Steps: steps}}
				addr, err := f.Start("unix", filepath.Join(short, name+strconv.FormatBool(lockstep)+strconv.Itoa(i)))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				slots = append(slots, milterkit.Slot{Child: &remote.Milter{Label: strconv.Itoa(i), Network: "unix", Addr: addr, Lockstep: lockstep,
					Dial: func(_ context.Context, network, addr string) (net.Conn, error) {
						nc, err := net.Dial(network, addr)
						return addressed{nc, ln, &inPlace[i]}, err
					}}})
			}
			if n := newZeroCopy(t, ln, 0, slots...).takes(bodies...); n != 0 {
				t.Errorf("%s, lockstep %t: %d bytes copied", name, lockstep, n)
			}
			for i := range inPlace {
				if n := inPlace[i].Load(); n != int64(sum(bodies)) {
					t.Errorf("%s, lockstep %t: filter %d: %d bytes written from where they were read, want %d", name, lockstep, i, n, sum(bodies))
				}
			}
		}
	}
}

// What is copied is counted: a body for which there is no memory, once, and one
// that a child makes anew.
func TestCopiesAreCounted(t *testing.T) {
	look := milterkit.Hooks{Message: func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
		return milterkit.Continue
	}}
	anew := milterkit.Hooks{Message: func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.ReplaceBody([]byte("bare\nlines"))
		return milterkit.Continue
	}}
	for name, test := range map[string]struct {
		hooks []milterkit.Hooks
		limit int64
		want  [2]int64 // at least and at most
	}{
		// The beginning may stand in the buffer that a session has anyway.
		"a spill":                   {[]milterkit.Hooks{look, look}, 1, [2]int64{100_000 - 4<<10, 100_000}},
		"a new body, seen as lines": {[]milterkit.Hooks{anew, look}, 0, [2]int64{9, 9}},
		"a new body, for the MTA":   {[]milterkit.Hooks{look, anew}, 0, [2]int64{}},
	} {
		var slots []milterkit.Slot
		for i, h := range test.hooks {
			slots = append(slots, milterkit.Slot{Child: childOf(strconv.Itoa(i), h)})
		}
		if n := newZeroCopy(t, &watched{}, test.limit, slots...).takes(100_000); n < test.want[0] || n > test.want[1] {
			t.Errorf("%s: %d bytes copied, want %v", name, n, test.want)
		}
	}
}
