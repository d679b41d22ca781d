package quickack

import (
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// An acknowledger is a TCP connection whose reads are acknowledged at once.
type acknowledger struct {
	*net.TCPConn
	rc  syscall.RawConn
	now func(fd uintptr) // made once, so that a read allocates nothing
}

func reader(tcp *net.TCPConn) io.Reader {
	rc, err := tcp.SyscallConn()
	if err != nil {
		return tcp
	}
	return &acknowledger{tcp, rc, func(fd uintptr) {
		// The kernel forgets it after a while, so it is said after each read.
		// Source: tcp(7), TCP_QUICKACK. An error costs time and nothing else.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	}}
}

func (a *acknowledger) Read(p []byte) (int, error) {
	n, err := a.TCPConn.Read(p)
	if n > 0 {
		_ = a.rc.Control(a.now) // fails for a closed connection
	}
	return n, err
}
