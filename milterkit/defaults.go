package milterkit

import "time"

// What slots, a Dispatcher and a Server do where they are told nothing else.
const (
	DefaultCommandTimeout = 30 * time.Second
	DefaultContentTimeout = 4 * time.Minute
	DefaultStageTimeout   = 25 * time.Second
	DefaultMessageTimeout = 4*time.Minute + 50*time.Second
	DefaultMaxGivenUp     = 100
	DefaultMaxMemory      = 256 << 20
	DefaultMaxHeader      = 1 << 20
)
