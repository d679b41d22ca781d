package config

import "github.com/milterkit/sdk/internal/socket"

// A Socket is an address to listen on or to dial.
type Socket = socket.Addr

// ParseSocket reads a socket as it stands in the file.
func ParseSocket(spec string) (Socket, error) { return socket.Parse(spec) }

// isControl reports whether r has no place in a path or a name that is logged.
func isControl(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }
