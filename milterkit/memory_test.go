package milterkit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/milterkit/sdk/internal/spool"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A body is whole whatever memory there is: while sessions take the last slabs from
// each other, messages go from slabs to a file and back, in pieces of any size.
func TestBodyIsWholeWhateverMemoryThereIs(t *testing.T) {
	for _, slabs := range []int64{1, 3, 7} {
		t.Run(fmt.Sprint(slabs, " slabs"), func(t *testing.T) {
			sums := make(chan [32]byte, 1000)
			look := milterkit.Hooks{Message: func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
				h := sha256.New()
				for _, p := range m.Body() {
					h.Write(p)
				}
				sums <- [32]byte(h.Sum(nil))
				return milterkit.Continue
			}}
			d, err := milterkit.NewDispatcher(milterkit.Slot{Child: childOf("look", look)})
			if err != nil {
				t.Fatal(err)
			}
			d.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
			srv := &milterkit.Server{Dispatcher: d, TempDir: t.TempDir(), MaxMemory: slabs*spool.SlabSize + 64<<10}
			socket := listen(t, srv)
			var want sync.Map
			var sessions sync.WaitGroup
			for i := range 4 {
				sessions.Go(func() { playBodies(t, socket, rand.New(rand.NewPCG(uint64(slabs), uint64(i))), &want) })
			}
			sessions.Wait()
			shut(t, srv)
			close(sums)
			n := 0
			for sum := range sums {
				n++
				if _, ok := want.Load(sum); !ok {
					t.Error("a body was not what was sent")
				}
			}
			if n != 4*12 {
				t.Errorf("%d bodies seen, want %d", n, 4*12)
			}
			if s := srv.Stats(); s.Memory != 0 || s.Spilled == 0 {
				t.Errorf("%d bytes are still in use, %d went to files", s.Memory, s.Spilled)
			}
		})
	}
}

// playBodies sends a dozen messages in one session, and notes the sums of their
// bodies.
func playBodies(t *testing.T, socket string, r *rand.Rand, want *sync.Map) {
	nc, err := net.Dial("unix", socket)
	if err != nil {
		t.Error(err)
		return
	}
	m, err := miltertest.New(nc, miltertest.Offer{})
	if err != nil {
		t.Error(err)
		return
	}
	defer m.Quit()
	open(t, m)
	for range 12 {
		var pieces [][]byte
		for range r.IntN(30) {
			p := make([]byte, 1+r.IntN(wire.MaxBody))
			for i := range p {
				p[i] = byte(r.Uint32())
			}
			pieces = append(pieces, p)
		}
		want.Store(sha256.Sum256(bytes.Join(pieces, nil)), true)
		if _, reply := deliver(t, m, someHeader, pieces...); reply.Final() {
			t.Error(reply)
		}
	}
}
