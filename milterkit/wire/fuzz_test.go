package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// tolerated reports whether a good payload need not come out as it went in: a
// macro list with other separators or of an unknown stage, a macro without a
// value.
func tolerated(code byte, p []byte) bool {
	return code == CmdNegotiate && len(p) > 12 ||
		code == CmdMacros && bytes.Count(p[1:], []byte{0})%2 != 0
}

// Any payload of any code is parsed or refused, never a panic; what is parsed
// and written again is the same frame, or, where we are tolerant, parses to the
// same once more.
func FuzzParse(f *testing.F) {
	for _, p := range packets() {
		f.Add(p.frame[4], []byte(p.frame[5:]))
	}
	f.Add(CmdMacros, []byte("Mi\x00"))
	f.Add(CmdNegotiate, offer("\x00\x00\x00\x09i\x00\x00\x00\x00\x05i, j\x00"))
	f.Add(RepReplyCode, []byte("550-5.7.1 a\n551 4.7.1 b\r\n\x00"))
	f.Fuzz(func(t *testing.T, code byte, p []byte) {
		before := bytes.Clone(p)
		frame, err := again(code, p)
		if !bytes.Equal(p, before) {
			t.Fatal("the payload was written to")
		}
		if err != nil {
			var fault *ProtocolError
			if !errors.As(err, &fault) || fault.Code != code {
				t.Fatalf("%v is no ProtocolError of %q", err, code)
			}
			return
		}
		if int(binary.BigEndian.Uint32(frame)) != len(frame)-lengthSize || frame[4] != code {
			t.Fatalf("%q is no frame of %q", frame, code)
		}
		if !tolerated(code, p) {
			if !bytes.Equal(frame[headerSize:], p) {
				t.Fatalf("%q became %q", p, frame[headerSize:])
			}
			return
		}
		if twice, err := again(code, frame[headerSize:]); err != nil || !bytes.Equal(twice, frame) {
			t.Fatalf("%q became %q, then %q (%v)", p, frame, twice, err)
		}
		if code == CmdNegotiate {
			one, _ := ParseNegotiation(p)
			two, _ := ParseNegotiation(frame[headerSize:])
			if !reflect.DeepEqual(one, two) {
				t.Fatalf("%v became %v", one, two)
			}
		}
	})
}

// stream makes frames of a recipe, three bytes each: a code and a length. Each
// byte of a payload differs from those around it, so that one that is lost,
// doubled or moved shows.
func stream(recipe []byte) (s []byte) {
	codes := []byte{CmdBody, CmdHeader, CmdMacros, RepReplaceBody}
	for ; len(recipe) >= 3 && len(s) < 1<<16; recipe = recipe[3:] {
		p := make([]byte, int(binary.BigEndian.Uint16(recipe[1:]))%5000)
		for i := range p {
			p[i] = byte((len(s) + i) * 167 >> 3)
		}
		s = AppendFrame(s, codes[recipe[0]%4], p)
	}
	return s
}

// However a stream is cut into reads, with time-outs between, and whatever is
// pinned, replaced and set meanwhile: the Reader gives the frames that the plain
// decoder gives and ends as it ends; what was pinned stays as it was; and a byte
// of a Split frame is where it was read to.
func FuzzReader(f *testing.F) {
	f.Add([]byte("\x00\x10\x00\x01\x00\x10\x02\x00\x00\x00\x00\x00"), []byte(nil), byte(1), uint64(1))
	f.Add([]byte("\x00\x13\x00\x00\x13\x00\x03\x01\x00"), []byte("\x00\x00\x00\x09Babc"), byte(1), uint64(2))
	f.Add([]byte("\x03\x13\x80\x01\x00\x03"), []byte("\x00\x00\x00\x00"), byte(2), uint64(3))
	f.Add([]byte(nil), session(), byte(0), uint64(4))
	f.Add([]byte(nil), []byte("220 mx ESMTP\r\n"), byte(1), uint64(5))
	f.Fuzz(func(t *testing.T, recipe, tail []byte, split byte, seed uint64) {
		data := append(stream(recipe), tail...)
		want, end := plain(data)
		rnd := rand.New(rand.NewPCG(seed, 0))
		buffer := func() []byte { return make([]byte, 0, rnd.IntN(1+[]int{8, 100, 3000, 20000}[rnd.IntN(4)])) }
		src := &source{data: data, next: func(room int) int { return rnd.IntN(1+min(room, []int{4, 300, 1 << 20}[rnd.IntN(3)])) - rnd.IntN(2) }}
		r := NewReader(src, buffer())
		r.Split = []byte{0, CmdBody, RepReplaceBody}[split%3]
		r.Replace = func(need int) []byte {
			if need < 1 || need > MaxFrame+lengthSize {
				t.Fatalf("asked for %d bytes", need)
			}
			return buffer()
		}
		sets := seed%3 == 0 // SetBuffer is the one call that moves bytes
		type pin struct {
			at   int
			view []byte
		}
		var pins []pin
		at, left := 0, 0
		got, err := readAll(t, r, func(fr Frame) {
			if left == 0 {
				at += headerSize
			}
			if r.Split != 0 && fr.Code == r.Split && !sets && !src.stays(fr.Payload, at) {
				t.Fatalf("the %d bytes at %d were moved", len(fr.Payload), at)
			}
			if rnd.IntN(3) > 0 {
				r.Pin()
				pins = append(pins, pin{at, fr.Payload})
			}
			if sets && rnd.IntN(4) == 0 {
				r.SetBuffer(buffer())
			}
			at, left = at+len(fr.Payload), r.Rest()
		})
		for _, p := range pins {
			if !bytes.Equal(p.view, data[p.at:p.at+len(p.view)]) {
				t.Fatalf("the %d bytes pinned at %d have changed", len(p.view), p.at)
			}
		}
		// A stream that ends within a Split frame has given a part of it.
		if n := len(want); errors.Is(err, io.ErrUnexpectedEOF) && len(got) == n+1 && got[n].code == r.Split {
			got = got[:n]
		}
		if !slices.Equal(got, want) || !sameEnd(err, end) {
			t.Fatalf("%d frames, want %d; %v, want %v", len(got), len(want), err, end)
		}
	})
}
