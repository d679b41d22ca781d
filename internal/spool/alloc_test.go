//go:build !race

package spool

import "testing"

// In the long run a message costs its store and no slab.
func TestSlabsAreUsedAgain(t *testing.T) {
	b := &Budget{Max: 8 * SlabSize}
	if n := testing.AllocsPerRun(200, func() {
		s := b.NewStore()
		for range 4 {
			s.Slab()
		}
		s.Release()
	}); n > 1 {
		t.Errorf("%v allocations a message", n)
	}
}

func BenchmarkMessageInOneSlab(b *testing.B) {
	budget := &Budget{Max: 8 * SlabSize}
	b.ReportAllocs()
	for b.Loop() {
		s := budget.NewStore()
		s.Slab()
		s.Release()
	}
}

func BenchmarkSpill64K(b *testing.B) {
	s := (&Budget{Dir: b.TempDir()}).NewStore()
	defer func() { s.Release() }()
	p := piece(64<<10, 1)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		if _, _, err := s.Spill(p, false); err != nil {
			b.Fatal(err)
		}
		if s.Spilled() > 64<<20 { // keeps the disk small
			s.Release()
			s = s.budget.NewStore()
		}
	}
}
