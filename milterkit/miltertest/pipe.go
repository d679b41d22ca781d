package miltertest

import (
	"net"

	"github.com/milterkit/sdk/internal/memconn"
)

// Pipe returns the two ends of a connection in memory. It is [net.Pipe] with room
// in it, as sockets have: what is written need not be read at once, and commands
// can be sent ahead of the answers to those before them. It can be used within a
// bubble of testing/synctest.
func Pipe() (net.Conn, net.Conn) { return memconn.Pipe() }
