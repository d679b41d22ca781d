//go:build !race

package wire

import (
	"bytes"
	"io"
	"testing"
)

// sink keeps the compiler from leaving out what is measured.
var sink int

// The paths that each message takes allocate nothing: parsers give views,
// writers append to what is there.
func TestParsingAndWritingDoNotAllocate(t *testing.T) {
	macros := []byte("Mi\x004XY\x00{mail_addr}\x00a@example.org\x00")
	header := []byte("Subject\x00 hello\x00")
	mail := []byte("<a@example.org>\x00SIZE=1000\x00BODY=8BITMIME\x00")
	connect := []byte("localhost\x004\x88\xe6127.0.0.1\x00")
	dst := make([]byte, 0, 1024)
	for name, do := range map[string]func(){
		"macros": func() {
			m, _ := ParseMacros(macros)
			for name, value := range m.All() {
				sink += len(name) + len(value)
			}
		},
		"address": func() {
			a, _ := ParseAddress(CmdMail, mail)
			for arg := range a.Args() {
				sink += len(arg)
			}
		},
		"header": func() {
			name, value, _ := ParseHeader(header)
			sink += len(AppendHeader(dst, name, value))
		},
		"connect": func() {
			c, _ := ParseConnect(connect)
			sink += len(c.Append(dst))
		},
		"helo": func() {
			h, _ := ParseHelo([]byte("client\x00"))
			sink += len(AppendHelo(dst, h))
		},
		"reply code": func() {
			text, _ := ParseReplyCode([]byte("550-5.7.1 no\r\n550 5.7.1 never\x00"))
			sink += len(AppendReplyCode(dst, text))
		},
		"header edit": func() {
			e, _ := ParseChgHeader([]byte("\x00\x00\x00\x01A\x00b\x00"))
			sink += len(AppendChgHeader(dst, e))
		},
		"recipient edit": func() {
			e, _ := ParseAddRcptArgs([]byte("a@b\x00c\x00"))
			sink += len(AppendAddRcptArgs(dst, e))
		},
		"write an address": func() { sink += len(AppendAddress(dst, CmdRcpt, "<a@b>", nil)) },
		"flags":            func() { sink += int(NoStep(CmdBody)|NoReply(CmdBody)) + len(CmdName(CmdBody)) },
	} {
		if n := testing.AllocsPerRun(100, do); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// An endless is a stream that repeats itself.
type endless struct {
	data []byte
	at   int
}

// Read gives as much as fits, up to the end of data.
func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.data[e.at:])
	e.at = (e.at + n) % len(e.data)
	return n, nil
}

// Next allocates nothing while frames fit into the buffer, or Replace gives
// buffers, or Split frames come in parts.
func TestNextDoesNotAllocate(t *testing.T) {
	for name, size := range map[string]int{"large buffer": 1 << 17, "small buffer": 2000} {
		r := NewReader(&endless{data: append(session(), AppendFrame(nil, CmdBody, bytes.Repeat([]byte("x"), 30000))...)}, make([]byte, size))
		r.Split = CmdBody
		spare := [2][]byte{make([]byte, size), make([]byte, size)}
		turn := 0
		r.Replace = func(int) []byte { turn++; return spare[turn%2] }
		n := testing.AllocsPerRun(1000, func() {
			f, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			sink += len(f.Payload)
			r.Pin()
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// What a body costs to read does not depend on who reads it: this is the time
// and memory of the Reader alone, for chunks as Postfix sends them, each kept
// until its buffer comes round again. It is compared with BenchmarkPlainCopy.
func BenchmarkReadBody(b *testing.B) {
	src := &endless{data: AppendFrame(nil, CmdBody, bytes.Repeat([]byte("x"), MaxBody))}
	r := NewReader(src, make([]byte, 1<<17))
	r.Split = CmdBody
	spare := [2][]byte{make([]byte, 1<<17), make([]byte, 1<<17)}
	turn := 0
	r.Replace = func(int) []byte { turn++; return spare[turn%2] }
	b.SetBytes(MaxBody)
	b.ReportAllocs()
	for b.Loop() {
		for more := true; more; more = r.Rest() > 0 {
			if _, err := r.Next(); err != nil {
				b.Fatal(err)
			}
			r.Pin()
		}
	}
}

// The least that reading the same bytes into as much memory can cost:
// io.ReadFull and nothing else.
func BenchmarkPlainCopy(b *testing.B) {
	src := &endless{data: AppendFrame(nil, CmdBody, bytes.Repeat([]byte("x"), MaxBody))}
	var bufs [6][MaxBody + headerSize]byte
	turn := 0
	b.SetBytes(MaxBody)
	for b.Loop() {
		turn++
		if _, err := io.ReadFull(src, bufs[turn%len(bufs)][:]); err != nil {
			b.Fatal(err)
		}
	}
}
