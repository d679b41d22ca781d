package greylist

// Stats are figures of a Greylist since its start, by recipients that it was asked about.
type Stats struct {
	Delayed     uint64 // were put off
	Passed      uint64 // passed, as the store knew them
	Undelayed   uint64 // passed because the store was gone
	StoreErrors uint64 // times that the store was asked and did not answer

	// Entries is how many triplets the file remembers, counted once a minute; below zero
	// where that is not known: in Redis.
	Entries int
}

// Stats returns the figures.
func (g *Greylist) Stats() Stats {
	s := Stats{Delayed: g.delayed.Load(), Passed: g.let.Load(), Undelayed: g.Undelayed(), StoreErrors: g.guard.errors.Load(), Entries: -1}
	if d, ok := g.store.(*Disk); ok {
		s.Entries = int(d.entries.Load())
	}
	return s
}
