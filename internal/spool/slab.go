package spool

import "sync"

type slab [SlabSize]byte

// A slabShelf holds the slabs that are not in use, of all budgets. They are no part
// of the collector's heap where that can be: it would let the heap grow to twice of
// what is in them before it looks for garbage, and a budget would be half the truth.
// Slabs are never unmapped, so that whoever has kept a view for too long reads
// nonsense and does not fault.
type slabShelf struct {
	mu   sync.Mutex
	warm []*slab // as they were left
	cold []*slab // whose memory was given back to the system
}

var shelf slabShelf

// warmSlabs is how many slabs keep their memory while nobody uses them: 8 MiB.
const warmSlabs = 8 << 20 / SlabSize

// slabsAtOnce is how many are made at one time, for the system's sake.
const slabsAtOnce = 32

// take returns a slab.
func (f *slabShelf) take() *slab {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := pop(&f.warm); s != nil {
		return s
	}
	if len(f.cold) == 0 {
		f.cold = makeSlabs(f.cold)
	}
	return pop(&f.cold)
}

// give takes a slab back.
func (f *slabShelf) give(s *slab) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.warm) < warmSlabs {
		f.warm = append(f.warm, s)
		return
	}
	if coolSlab(s) {
		f.cold = append(f.cold, s)
	}
}

func pop(list *[]*slab) *slab {
	last := len(*list) - 1
	if last < 0 {
		return nil
	}
	s := (*list)[last]
	(*list)[last], *list = nil, (*list)[:last]
	return s
}
