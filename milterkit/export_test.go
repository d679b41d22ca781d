package milterkit

// MemoryInUse returns the bytes of messages that s holds.
func MemoryInUse(s *Server) int64 { return s.budget.Used() }
