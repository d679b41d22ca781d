//go:build unix && !race

package spool

import "golang.org/x/sys/unix"

// makeSlabs appends new slabs, outside the heap. Where the system has no memory for
// them it is one of the heap, which has its own way to say so.
func makeSlabs(list []*slab) []*slab {
	p, err := unix.Mmap(-1, 0, slabsAtOnce*SlabSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return append(list, new(slab))
	}
	for ; len(p) > 0; p = p[SlabSize:] {
		list = append(list, (*slab)(p))
	}
	return list
}

// coolSlab gives the memory of a slab back to the system, which has zeros there when
// it is used again. It reports whether the slab can be used again.
func coolSlab(s *slab) bool {
	_ = unix.Madvise(s[:], unix.MADV_DONTNEED) // or it keeps it
	return true
}
