//go:build !unix || race

package spool

// makeSlabs appends a new slab. It is one of the heap where there is nothing else,
// and for the race detector, which sees no other memory.
func makeSlabs(list []*slab) []*slab { return append(list, new(slab)) }

// coolSlab leaves a slab to the collector.
func coolSlab(*slab) bool { return false }
