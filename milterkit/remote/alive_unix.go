//go:build unix

package remote

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// alive reports whether the milter has left an idle connection open, and said
// nothing on it. One that has gone meanwhile is noticed before a message is
// entrusted to it.
func alive(nc net.Conn) bool {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return true
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = rc.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = err == unix.EAGAIN || err == unix.EINTR
		return true
	})
	return err == nil && quiet
}
