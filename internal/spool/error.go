package spool

// A SpillError says that a piece of a message could not be written to the file
// system, or not be mapped from there.
type SpillError struct {
	Dir string // the directory of the file
	Op  string // what failed: "create", "write" or "map"
	Err error  // why, mostly a syscall.Errno such as ENOSPC
}

func (e *SpillError) Error() string {
	return "spool: " + e.Op + " in " + e.Dir + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *SpillError) Unwrap() error { return e.Err }
