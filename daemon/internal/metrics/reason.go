package metrics

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A reason is why a milter has failed.
type reason string

const (
	timedOut   reason = "timeout"      // it took longer than it may
	noTimeLeft reason = "no time left" // those before it have used up the time of all
	down       reason = "down"         // it is known not to be there
	connecting reason = "connect"      // it was found not to be there, or takes no more connections
	closed     reason = "closed"       // it has closed the connection
	protocol   reason = "protocol"     // what it says is not the milter protocol
	panicked   reason = "panic"        // a native one, in its own code
	givenUp    reason = "given up"     // a hook has not returned
	other      reason = "other"
)

var reasons = []reason{timedOut, noTimeLeft, down, connecting, closed, protocol, panicked, givenUp, other}

// reasonOf returns the reason that an error is. The first that fits counts: what broke
// a connection may be a time-out.
func reasonOf(err error) reason {
	is := func(any ...error) bool {
		for _, e := range any {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
	var timeout interface {
		error
		Timeout() bool
	}
	var op *net.OpError
	switch {
	case errors.As(err, new(*milterkit.PanicError)):
		return panicked
	case is(milterkit.ErrGivenUp, milterkit.ErrTooManyGivenUp):
		return givenUp
	case is(remote.ErrDown):
		return down
	case is(milterkit.ErrNoTimeLeft):
		return noTimeLeft
	case is(milterkit.ErrTimeout, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return timedOut
	case errors.As(err, &op) && op.Op == "dial", is(syscall.ECONNREFUSED, syscall.ENOENT, syscall.EAGAIN, syscall.EACCES):
		return connecting
	case is(remote.ErrClosed, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE):
		return closed
	case is(remote.ErrUnasked), errors.As(err, new(*wire.ProtocolError)):
		return protocol
	}
	return other
}
