package milterkit

import (
	"bytes"
	"net"

	"github.com/milterkit/sdk/internal/bodycopy"
)

// asLines returns a new body as the children after it see it: an MTA keeps
// lines, and sends each of them with CRLF, the last one too. The pieces are the
// same ones where they are lines already. Source: Postfix, cleanup_repl_body.
func asLines(pieces net.Buffers) net.Buffers {
	if areLines(pieces) {
		return pieces
	}
	out := make([]byte, 0, size(pieces)+2)
	last := byte('\n') // of what was seen so far
	for _, p := range pieces {
		for len(p) > 0 {
			n := bytes.IndexByte(p, '\n')
			line := p[:max(n, 0)]
			if n < 0 {
				line = p
			}
			if out = bodycopy.Append(out, line); len(line) > 0 {
				last = line[len(line)-1]
			}
			if p = p[len(line):]; n < 0 {
				continue
			}
			if last != '\r' {
				out = append(out, '\r')
			}
			out, p, last = append(out, '\n'), p[1:], '\n'
		}
	}
	switch last {
	case '\n':
	case '\r':
		out = append(out, '\n')
	default:
		out = append(out, '\r', '\n')
	}
	return net.Buffers{out}
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
