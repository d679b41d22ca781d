//go:build unix

package remote

import (
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// quiet returns nil if the milter, of which no answer is due, has left the
// connection open and said nothing on it.
func quiet(nc net.Conn) error {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil // it cannot be told; it shows at the next word
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var n int
	var said error
	err = rc.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, said = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return true
	})
	switch {
	case err != nil:
		return err
	case said == unix.EAGAIN, said == unix.EINTR:
		return nil
	case said != nil:
		return said
	case n == 0:
		return io.EOF
	}
	return errUnasked
}

// writeAtOnce writes as much of b as there is room for, waits for nothing, and
// returns how much that was.
func writeAtOnce(nc net.Conn, b []byte) (n int) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return 0
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	rc.Write(func(fd uintptr) bool {
		n, _ = unix.Write(int(fd), b)
		return true
	})
	return max(n, 0)
}
