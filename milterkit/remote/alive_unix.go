//go:build unix

package remote

import (
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// An ear hears whether a milter of which no answer is due has said something, or
// gone. It is made once for a connection, so that to listen allocates nothing.
type ear struct {
	rc     syscall.RawConn // nil: it cannot be heard; it shows at the next word
	listen func(fd uintptr) bool
	poll   [1]unix.PollFd
	heard  error
}

func newEar(nc net.Conn) *ear {
	e := &ear{}
	if sc, ok := nc.(syscall.Conn); ok {
		e.rc, _ = sc.SyscallConn() // fails for a connection that is closed
	}
	e.listen = e.look
	return e
}

// quiet returns nil if the milter has left the connection open and said nothing on
// it.
func (e *ear) quiet() error {
	if e.rc == nil {
		return nil
	}
	if err := e.rc.Read(e.listen); err != nil {
		return err
	}
	return e.heard
}

func (e *ear) look(fd uintptr) bool {
	e.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	if n, err := unix.Poll(e.poll[:], 0); n == 0 || err == unix.EINTR {
		e.heard = nil
		return true
	}
	var b [1]byte
	n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch {
	case err == unix.EAGAIN, err == unix.EINTR:
		e.heard = nil
	case err != nil:
		e.heard = err
	case n == 0:
		e.heard = io.EOF
	default:
		e.heard = ErrUnasked
	}
	return true
}

// writeAtOnce writes as much of b as there is room for, waits for nothing, and
// returns how much that was.
func (e *ear) writeAtOnce(b []byte) (n int) {
	if e.rc == nil {
		return 0
	}
	e.rc.Write(func(fd uintptr) bool {
		n, _ = unix.Write(int(fd), b)
		return true
	})
	return max(n, 0)
}
