package milterkit

import (
	"bytes"
	"net"
)

// asLines returns a new body as the children after it see it: an MTA keeps
// lines, and sends each of them with CRLF, the last one too. The pieces are the
// same ones where they are lines already. Source: Postfix, cleanup_repl_body.
func asLines(pieces net.Buffers) net.Buffers {
	if areLines(pieces) {
		return pieces
	}
	var b bytes.Buffer
	b.Grow(int(size(pieces)) + 2)
	last := byte('\n')
	for _, p := range pieces {
		for _, c := range p {
			if c == '\n' && last != '\r' {
				b.WriteByte('\r')
			}
			b.WriteByte(c)
			last = c
		}
	}
	switch last {
	case '\n':
	case '\r':
		b.WriteByte('\n')
	default:
		b.WriteString("\r\n")
	}
	return net.Buffers{b.Bytes()}
}

// areLines reports whether every line ends in CRLF, the last one too.
func areLines(pieces net.Buffers) bool {
	last, before := byte('\n'), byte('\r') // of what was seen so far
	for _, p := range pieces {
		for i := 0; ; {
			n := bytes.IndexByte(p[i:], '\n')
			if n < 0 {
				break
			}
			i += n
			if i > 0 && p[i-1] != '\r' || i == 0 && last != '\r' {
				return false
			}
			i++
		}
		switch len(p) {
		case 0:
		case 1:
			last, before = p[0], last
		default:
			last, before = p[len(p)-1], p[len(p)-2]
		}
	}
	return last == '\n' && before == '\r'
}
