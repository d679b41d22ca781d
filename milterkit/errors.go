package milterkit

import (
	"errors"
	"fmt"
)

var (
	// ErrServerClosed is returned by [Server.Serve] after Close or Shutdown.
	ErrServerClosed = errors.New("milterkit: server closed")

	// ErrTimeout is the reason of a failure when a hook took longer than its slot allows.
	ErrTimeout = errors.New("no answer in time")

	// ErrNoTimeLeft is the reason of a failure when the children before have
	// used up the time of the stage or the message.
	ErrNoTimeLeft = errors.New("no time left for it")

	// ErrGivenUp is the reason of a failure when a hook of that child did not return earlier in the session.
	ErrGivenUp = errors.New("an earlier hook has not returned")

	// ErrTooManyGivenUp is the reason of a failure when too many hooks of a child, of all sessions, have not returned.
	ErrTooManyGivenUp = errors.New("too many hooks have not returned")
)

// A PanicError is the reason of a failure when a hook panicked.
type PanicError struct {
	Value any    // what was given to panic; nil: runtime.Goexit was called
	Stack []byte // of the goroutine that panicked
}

// Error gives the panic's value, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }
