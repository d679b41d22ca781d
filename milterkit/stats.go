package milterkit

// Stats are figures of a Server, those but Sessions, Waiting and Memory since its start.
type Stats struct {
	Sessions, Waiting int    // those without a place included; those that wait for one
	Begun, Refused    uint64 // all sessions so far; those that got no place
	Memory, Spilled   int64  // bytes taken for messages, at most MaxMemory; bytes that went to files
}

// Stats returns the figures of now.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Sessions: len(s.conns), Waiting: int(s.waiting.Load()),
		Begun: s.begun, Refused: s.refused.Load(),
		Memory: s.budget.Used(), Spilled: s.budget.Spilled(),
	}
}
