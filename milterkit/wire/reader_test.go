package wire

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// session is the stream of all packets of the tables, one behind the other.
func session() (stream []byte) {
	for _, p := range packets() {
		stream = append(stream, p.frame...)
	}
	return stream
}

// However the bytes arrive, and however long the buffer is, the frames are the
// same.
func TestFramesDoNotDependOnHowBytesArrive(t *testing.T) {
	stream := session()
	want, _ := plain(stream)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"at once":           func(r io.Reader) io.Reader { return r },
		"byte by byte":      iotest.OneByteReader,
		"half":              iotest.HalfReader,
		"end with data":     iotest.DataErrReader,
		"time-out once":     iotest.TimeoutReader,
		"end, byte by byte": func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.OneByteReader(r)) },
	} {
		for _, size := range []int{0, 1, 4, 5, 6, 20, 64, 4096, 1 << 16} {
			for _, split := range []byte{0, CmdBody, RepReplaceBody} {
				r := NewReader(wrap(bytes.NewReader(stream)), make([]byte, 0, size))
				r.Split = split
				got, err := readAll(t, r, nil)
				if errors.Is(err, iotest.ErrTimeout) {
					var rest []seen
					rest, err = readAll(t, r, nil)
					got = append(got, rest...)
				}
				if err != io.EOF || !slices.Equal(got, want) {
					t.Errorf("%s, buffer of %d, split %q: %d frames of %d, %v", name, size, split, len(got), len(want), err)
				}
			}
		}
	}
}

// A stream that ends within a frame is io.ErrUnexpectedEOF, wherever it ends;
// the frames before it are read.
func TestAStreamThatEndsWithinAFrame(t *testing.T) {
	for _, p := range packets() {
		for n := range p.frame {
			for _, split := range []byte{0, CmdBody, RepReplaceBody} {
				r := NewReader(strings.NewReader("\x00\x00\x00\x01N"+p.frame[:n]), nil)
				r.Split = split
				if f, err := r.Next(); err != nil || f.Code != CmdEOH {
					t.Fatal(f, err)
				}
				_, err := r.Next()
				if n == 0 && err != io.EOF || n > 0 && (!errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)) {
					t.Errorf("%s, %d bytes of it: %v", p.name, n, err)
				}
			}
		}
	}
}

// The error says in which frame the stream ended, and how far from its end.
func TestTheErrorOfAnEarlyEndNamesTheFrame(t *testing.T) {
	for stream, want := range map[string]string{
		"\x00\x00":                      "length and code",
		"\x00\x00\x00\x09Habc":          "HELO: stream ends 5 bytes before its end",
		"\x00\x00\x00\x09Babc":          "BODY: stream ends 5 bytes before its end",
		"\x00\x00\x00\x09B":             "BODY: stream ends 8 bytes before its end",
		"\x00\x01\x00\x00Babc":          "BODY: stream ends 65532 bytes before its end",
		"\x00\x00\x00\x09y550":          "REPLYCODE: stream ends 5 bytes before its end",
		"\x00\x00\x00\x02\x01":          "0x01: stream ends 1 bytes before its end",
		"\x00\x00\x00\x01Z\x00\x00\x00": "length and code",
	} {
		r := NewReader(strings.NewReader(stream), nil)
		r.Split = CmdBody
		var err error
		for err == nil {
			_, err = r.Next()
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", stream, err, want)
		}
	}
}

// A frame of no bytes, or of too many, is the peer's fault, and stays so: Next
// does not go on behind it.
func TestImpossibleLengths(t *testing.T) {
	for _, stream := range []string{"\x00\x00\x00\x00", "\x00\x00\x00\x00C", "\x00\x10\x00\x01C", "\xff\xff\xff\xffC", "\x80\x00\x00\x00C"} {
		r := NewReader(strings.NewReader("\x00\x00\x00\x01N"+stream), nil)
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			var fault *ProtocolError
			if _, err := r.Next(); !errors.As(err, &fault) || !strings.Contains(err.Error(), "want 1 to 1048576") {
				t.Errorf("%q: %v", stream, err)
			}
		}
	}
}

// The longest frame there may be is read.
func TestTheLongestFrame(t *testing.T) {
	stream := AppendFrame(nil, CmdHeader, bytes.Repeat([]byte("x"), MaxFrame-1))
	f, err := NewReader(bytes.NewReader(stream), nil).Next()
	if err != nil || len(f.Payload) != MaxFrame-1 {
		t.Errorf("%d bytes, %v", len(f.Payload), err)
	}
}

// A peer that speaks something else is told by its first bytes.
func TestStrangers(t *testing.T) {
	for stream, want := range map[string]string{
		"220 mx.example.test ESMTP\r\n":  "not a milter peer: first bytes look like SMTP",
		"EHLO client\r\n":                "look like SMTP",
		"ehlo client\r\n":                "look like SMTP",
		"HELO client\r\n":                "look like SMTP",
		"MAIL FROM:<>\r\n":               "look like SMTP",
		"HTTP/1.1 400 Bad Request\r\n":   "look like HTTP",
		"GET / HTTP/1.1\r\n":             "look like HTTP",
		"POST /checkv2 HTTP/1.1\r\n":     "look like HTTP",
		"\x16\x03\x01\x02\x00\x01":       "look like TLS",
		"\x15\x03\x01\x00\x02\x02\x46":   "look like TLS",
		"UNKNOWN COMMAND\n":              "look like clamd's answer",
		"SPAMD/1.0 76 Bad header line\n": "look like spamd's answer",
		"\x7fELF\x02":                    "starts with \"\\x7fELF\\x02\"",
		"\x00\x00\x00\x00\x00":           "frame of 0 bytes",
	} {
		_, err := NewReader(strings.NewReader(stream), nil).Next()
		var fault *ProtocolError
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", stream, err, want)
		}
	}
}

// Only the first frame of a stream can be a stranger's; later ones are just bad.
func TestALaterFrameIsNoStranger(t *testing.T) {
	r := NewReader(strings.NewReader("\x00\x00\x00\x01cHTTP/1.1"), nil)
	_, _ = r.Next()
	if _, err := r.Next(); err == nil || strings.Contains(err.Error(), "HTTP is") || !strings.Contains(err.Error(), "frame of") {
		t.Errorf("%v", err)
	}
}

// No stranger's first bytes are the length of a frame that may be.
func TestStrangersAreNoFrames(t *testing.T) {
	for _, s := range strangers {
		if _, err := plain([]byte(s.prefix + "\x00\x00\x00\x00")); err == nil || err == io.ErrUnexpectedEOF {
			t.Errorf("%q is the start of a frame", s.prefix)
		}
	}
}

// After a time-out nothing is lost: a further Next goes on where it stopped, in
// the length, in the payload, and in a part.
func TestATimeOutLosesNothing(t *testing.T) {
	stream := append(session(), AppendFrame(nil, CmdBody, bytes.Repeat([]byte("0123456789"), 500))...)
	want, _ := plain(stream)
	for _, pin := range []bool{false, true} {
		turn, timeouts := 0, 0
		src := &source{data: stream, next: func(int) int {
			turn++
			if turn%2 == 0 {
				timeouts++
				return -1
			}
			return 3
		}}
		r := NewReader(src, make([]byte, 1000))
		r.Split = CmdBody
		got, err := readAll(t, r, func(Frame) {
			if pin {
				r.Pin()
			}
		})
		if err != io.EOF || !slices.Equal(got, want) || timeouts < 100 {
			t.Errorf("pin %v: %d frames of %d, %v", pin, len(got), len(want), err)
		}
	}
}

// An error that comes together with bytes is returned when they are used up, and
// once.
func TestAnErrorWithBytesComesAfterThem(t *testing.T) {
	r := NewReader(iotest.TimeoutReader(iotest.DataErrReader(strings.NewReader("\x00\x00\x00\x01a\x00\x00"))), nil)
	if f, err := r.Next(); err != nil || f.Code != RepAccept {
		t.Fatal(f, err)
	}
	if _, err := r.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
	odd := &withBytes{}
	r = NewReader(odd, nil)
	for range 2 {
		if f, err := r.Next(); err != nil || f.Code != RepContinue {
			t.Fatal(f, err)
		}
		if _, err := r.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v", err)
		}
	}
}

// withBytes gives a frame and a time-out in one read, always.
type withBytes struct{}

func (*withBytes) Read(p []byte) (int, error) {
	return copy(p, "\x00\x00\x00\x01c"), os.ErrDeadlineExceeded
}

// Other errors are passed on as they are, in the middle of a frame too.
func TestErrorsOfTheSourceArePassedOn(t *testing.T) {
	broken := errors.New("broken")
	for _, stream := range []string{"", "\x00", "\x00\x00\x00\x04Cx", "\x00\x00\x00\x04Bx"} {
		r := NewReader(&source{data: []byte(stream), end: broken}, nil)
		r.Split = CmdBody
		if _, err := r.Next(); err != broken {
			t.Errorf("%q: %v", stream, err)
		}
	}
}

// A source that gives nothing and says nothing does not hang us.
func TestASourceThatGivesNothing(t *testing.T) {
	src := &source{data: []byte("x"), next: func(int) int { return 0 }}
	if _, err := NewReader(src, nil).Next(); err != io.ErrNoProgress {
		t.Errorf("%v", err)
	}
}

// One read brings all the frames that the buffer has room for.
func TestReadingAhead(t *testing.T) {
	reads := 0
	stream := session()
	src := &source{data: stream, next: func(room int) int { reads++; return room }}
	r := NewReader(src, make([]byte, len(stream)))
	if _, err := r.Next(); err != nil || r.Buffered() != len(stream)-len(sent[0].frame) {
		t.Errorf("%d bytes ahead, %v", r.Buffered(), err)
	}
	_, _ = readAll(t, r, nil)
	if reads != 1 {
		t.Errorf("%d reads, want 1", reads)
	}
}
