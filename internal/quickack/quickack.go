// Package quickack reads from TCP connections without keeping the other end
// waiting for acknowledgements.
//
// MTAs and libmilter write a command in two parts, its macros and itself, or an
// answer in several. With Nagle's algorithm on their side the second part waits
// until the first is acknowledged, and the kernel here puts that off for 40 ms in
// the hope of something to send with it. To acknowledge at once ends the wait, as
// if the socket were one of the same machine.
package quickack

import (
	"io"
	"net"
)

// Reader returns what is to be read of nc: nc itself, or, where it is a TCP
// connection and the system can be told, a reader that has each read acknowledged
// at once. Its errors are those of nc.
func Reader(nc net.Conn) io.Reader {
	if tcp, ok := nc.(*net.TCPConn); ok {
		return reader(tcp)
	}
	return nc
}
