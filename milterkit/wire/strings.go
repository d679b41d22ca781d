package wire

import (
	"bytes"
	"strings"
)

// cut splits p at its first NUL. s is what stands before it and rest what
// follows; both are views. ok is false where there is no NUL.
func cut(p []byte) (s, rest []byte, ok bool) {
	i := bytes.IndexByte(p, 0)
	if i < 0 {
		return nil, nil, false
	}
	return p[:i:i], p[i+1:], true
}

// only is the one string that p holds: bytes without a NUL, then a NUL, then
// nothing. what names it in the error, "the host name".
func only(code byte, p []byte, what string) ([]byte, error) {
	s, rest, ok := cut(p)
	switch {
	case !ok:
		return nil, fault(code, "no NUL after "+what)
	case len(rest) > 0:
		return nil, fault(code, "something follows "+what)
	}
	return s, nil
}

// appendString appends s and a NUL. Where s holds a NUL itself it ends there:
// the rest of it would be read as the next string of the frame.
func appendString(dst []byte, s string) []byte {
	if i := strings.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	return append(append(dst, s...), 0)
}

// appendBytes is appendString for bytes.
func appendBytes(dst, s []byte) []byte {
	if i := bytes.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	return append(append(dst, s...), 0)
}
