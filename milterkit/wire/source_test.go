package wire

import (
	"errors"
	"io"
	"os"
	"testing"
)

// A source is a peer's end of a stream, for tests. It notes where each of its
// bytes was put, so that a test can see whether one has been moved since.
type source struct {
	data []byte
	next func(room int) int // how many bytes the next read gives; below 0: a time-out; nil: all there is room for
	put  []*byte            // put[i] is where data[i] was read to
	end  error              // what stands behind data; nil: io.EOF
}

// Read gives what next says.
func (s *source) Read(p []byte) (int, error) {
	if len(s.put) == len(s.data) {
		if s.end != nil {
			return 0, s.end
		}
		return 0, io.EOF
	}
	n := len(p)
	if s.next != nil {
		n = s.next(n)
	}
	if n < 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n = copy(p[:min(n, len(p))], s.data[len(s.put):])
	for i := range n {
		s.put = append(s.put, &p[i])
	}
	return n, nil
}

// steps gives reads of the sizes named, then of one byte.
func steps(sizes ...int) func(int) int {
	return func(int) int {
		if len(sizes) == 0 {
			return 1
		}
		n := sizes[0]
		sizes = sizes[1:]
		return n
	}
}

// A seen is a frame as a test remembers it.
type seen struct {
	code    byte
	payload string
}

// plain is the simplest decoder there is: the whole stream is at hand and
// nothing is shared. It is what a Reader has to agree with. err is how the
// stream ends: io.EOF, io.ErrUnexpectedEOF or a ProtocolError.
func plain(stream []byte) (frames []seen, err error) {
	for len(stream) > 0 {
		if len(stream) < 4 {
			return frames, io.ErrUnexpectedEOF
		}
		n := int(stream[0])<<24 | int(stream[1])<<16 | int(stream[2])<<8 | int(stream[3])
		if n > 0 && len(stream) < 5 {
			return frames, io.ErrUnexpectedEOF
		}
		if n == 0 || n > MaxFrame {
			return frames, &ProtocolError{}
		}
		if len(stream) < 4+n {
			return frames, io.ErrUnexpectedEOF
		}
		frames = append(frames, seen{stream[4], string(stream[5 : 4+n])})
		stream = stream[4+n:]
	}
	return frames, io.EOF
}

// readAll reads frames to the end of the stream, parts put together. Payloads of
// parts are looked at with see, which may be nil. Time-outs are gone over.
func readAll(t *testing.T, r *Reader, see func(Frame)) (frames []seen, err error) {
	t.Helper()
	whole := true
	for {
		f, err := r.Next()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			if f.Payload != nil {
				t.Error("a frame and an error")
			}
			return frames, err
		}
		if f.Payload == nil || cap(f.Payload) != len(f.Payload) {
			t.Errorf("payload of %s: %d bytes, capacity %d", frameName(f.Code), len(f.Payload), cap(f.Payload))
		}
		if see != nil {
			see(f)
		}
		if whole {
			frames = append(frames, seen{f.Code, string(f.Payload)})
		} else {
			last := &frames[len(frames)-1]
			if last.code != f.Code || len(f.Payload) == 0 {
				t.Errorf("%d bytes of %s within %s", len(f.Payload), frameName(f.Code), frameName(last.code))
			}
			last.payload += string(f.Payload)
		}
		whole = r.Rest() == 0
		if !whole && len(f.Payload) == 0 {
			t.Errorf("an empty part of a frame that is not empty")
		}
	}
}

// sameEnd reports whether two streams end in the same way.
func sameEnd(a, b error) bool {
	var p, q *ProtocolError
	if errors.As(a, &p) || errors.As(b, &q) {
		return errors.As(a, &p) && errors.As(b, &q)
	}
	return errors.Is(a, io.EOF) == errors.Is(b, io.EOF) && errors.Is(a, io.ErrUnexpectedEOF) == errors.Is(b, io.ErrUnexpectedEOF)
}

// within reports whether p lies inside buf.
func within(p, buf []byte) bool {
	buf = buf[:cap(buf)]
	for i := range buf {
		if len(p) > 0 && &buf[i] == &p[0] {
			return i+len(p) <= len(buf)
		}
	}
	return false
}

// stays reports whether p is where the bytes from data[at] on were read to.
func (s *source) stays(p []byte, at int) bool {
	for i := range p {
		if s.put[at+i] != &p[i] {
			return false
		}
	}
	return true
}
