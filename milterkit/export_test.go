package milterkit

// MemoryInUse returns the bytes of messages that s holds.
func MemoryInUse(s *Server) int64 { return s.budget.Used() }

// FeedFrom has the first children of d shown bodies of n bytes while they arrive.
func FeedFrom(d *Dispatcher, n int64) { d.feedFrom = n }
