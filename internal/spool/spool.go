// Package spool is the memory that the bytes of all sessions' messages stand in.
//
// A piece of a message is read from the MTA's socket into a slab and stays there
// until the last who looks at it is done. The slabs of all sessions together are
// bounded by one [Budget]. A session that finds the budget used up does not wait
// for another one, which may be waiting for it: it writes its pieces to an
// unlinked file, and shows them from there as mapped memory. So whoever reads a
// message sees slices, wherever they are.
//
// The file is written with write(2) and mapped for reading only. A store into a
// mapping of a full disk kills the process with SIGBUS; a write says ENOSPC. The
// file is never truncated, and only bytes that were written are ever handed out,
// so every page that a reader can touch is backed by the file. What remains is a
// disk that fails when a page is read back, and no program is safe from that: the
// directory should be on a local disk.
//
// Written bytes must show in the mapping at once, which takes a system that has
// one cache for both: all of today's Unixes but OpenBSD.
package spool

import (
	"os"
	"sync/atomic"

	"github.com/milterkit/sdk/internal/bodycopy"
)

// SlabSize is the size of a slab in bytes: room for two of the longest pieces of a
// body that an MTA sends in one frame, 64 KiB, with the macros before each. With a few
// bytes less the second would be cut in two, and so the frames to all filters.
const SlabSize = 132 << 10

// poisonByte is what recycled slabs are overwritten with, see [Budget.Poison].
const poisonByte = 0xDB

// A Budget bounds the slabs of all its stores together. The zero value is a
// budget without a limit. It may be used by many goroutines, and must not be
// copied; its fields must not be changed once a store was made.
type Budget struct {
	// Max is how many bytes of slabs there are at most at one time, with a page
	// for each store; 0 or less means no limit. What does not fill a slab cannot be
	// used.
	Max int64

	// Dir is where the files are for what goes beyond Max; "" means os.TempDir.
	// It should not be on a tmpfs, which is memory again.
	Dir string

	// Poison has recycled slabs overwritten with 0xDB, so that a test finds a
	// view that was kept for too long. It costs time: not for production.
	Poison bool

	used    atomic.Int64
	spilled atomic.Int64
	stores  atomic.Int64 // not released; each may come to need a page

	// Tests put failures and short windows here. Zero means what production has.
	writeAt func(f *os.File, p []byte, off int64) (int, error)
	window  int
}

// Used returns how many bytes of slabs are in use now.
func (b *Budget) Used() int64 { return b.used.Load() }

// Spilled returns how many bytes have been spilled so far.
func (b *Budget) Spilled() int64 { return b.spilled.Load() }

// NewStore returns an empty store with one reference, the caller's. An empty
// store holds nothing but itself: slabs and files come when they are asked for.
func (b *Budget) NewStore() *Store {
	b.stores.Add(1)
	s := &Store{budget: b}
	s.slabs = s.few[:0]
	s.refs.Store(1)
	return s
}

// take returns a slab, or nil when there is none left. All counting is in here
// and in give.
func (b *Budget) take() *slab {
	for {
		used := b.used.Load()
		if b.Max > 0 && used+SlabSize > b.Max-b.stores.Load()*PageSize {
			return nil
		}
		// Not added first and taken back when it was too much: for that moment
		// another session would see a full budget that is not.
		if b.used.CompareAndSwap(used, used+SlabSize) {
			break
		}
	}
	return shelf.take()
}

// give takes slabs back. They are counted after they are on the shelf, so the
// next one finds them there.
func (b *Budget) give(slabs []*slab) {
	for _, s := range slabs {
		if b.Poison {
			for i := range s {
				s[i] = poisonByte
			}
		}
		shelf.give(s)
	}
	b.used.Add(-SlabSize * int64(len(slabs)))
}

// A Store is the memory of one message. It counts its references: whoever keeps
// views of the message beyond the call that showed them holds one. Slab and Spill
// are called by one goroutine at a time, Retain and Release by any.
//
// Any use after the last Release is a bug of this program, and panics.
type Store struct {
	budget *Budget
	refs   atomic.Int64
	slabs  []*slab
	few    [4]*slab // the first of slabs: most messages are small
	pages  []*Page  // that are read into where there is no slab
	file   file
}

// Slab returns SlabSize bytes to read into, or nil when the budget is used up.
// They belong to the store and are the caller's to fill until the last Release.
// What stands in them is left from an earlier message.
func (s *Store) Slab() []byte {
	s.check()
	p := s.budget.take()
	if p == nil {
		return nil
	}
	s.slabs = append(s.slabs, p)
	return p[:]
}

// Spill writes p to the store's file and returns a view of the bytes there, which
// can be read until the last Release and must not be written to: that faults. p
// stays the caller's. With join, where the bytes stand right behind those of the
// Spill before, joined is true, and the view is of both: one view for many pieces.
// The error is a [*SpillError]; what was spilled before it is still good, and a later
// Spill may succeed.
func (s *Store) Spill(p []byte, join bool) (view []byte, joined bool, err error) {
	s.check()
	bodycopy.Count(len(p))
	return s.file.put(s.budget, p, join)
}

// Spilled returns how many bytes were spilled successfully. It is called by the
// goroutine that calls Spill.
func (s *Store) Spilled() int64 { return s.file.spilled }

// Retain adds a reference. The caller must hold one already.
func (s *Store) Retain() {
	for {
		n := s.refs.Load()
		if n <= 0 {
			panic(released) // without counting: a dead store must stay dead
		}
		if s.refs.CompareAndSwap(n, n+1) {
			return
		}
	}
}

// Release drops a reference. The last one ends all views of the message: slabs go
// back to the budget, and the file, which has no name, is gone.
func (s *Store) Release() {
	switch n := s.refs.Add(-1); {
	case n < 0:
		panic(released)
	case n > 0:
		return
	}
	s.file.close()
	s.budget.give(s.slabs)
	s.budget.stores.Add(-1)
	s.slabs, s.few = nil, [4]*slab{} // slabs that others fill now must not be seen from here
	if s.pages != nil {
		givePages(s.pages)
		s.pages = nil
	}
}

const released = "spool: store used after its last Release"

func (s *Store) check() {
	if s.refs.Load() <= 0 {
		panic(released)
	}
}
