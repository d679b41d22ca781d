package dns

// Stats are figures of a Cache, Answers and Bytes those of now, the others of all the
// time since the first question.
type Stats struct {
	Hits     uint64 // questions whose answer was known, or being looked for
	Misses   uint64 // questions that the name server was asked
	Failures uint64 // of these, how many it did not answer; that there is no such name is an answer
	Answers  int    // that are kept
	Bytes    int    // of memory that they take, about
}

// Stats returns the figures of the Cache.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Answers, s.Bytes = len(c.young)+len(c.old), c.bytes+c.oldBytes
	return s
}

// SharedStats returns the figures of all that Shared has returned, together.
func SharedStats() (sum Stats) {
	shared.Range(func(_, c any) bool {
		s := c.(*Cache).Stats()
		sum.Hits += s.Hits
		sum.Misses += s.Misses
		sum.Failures += s.Failures
		sum.Answers += s.Answers
		sum.Bytes += s.Bytes
		return true
	})
	return sum
}
