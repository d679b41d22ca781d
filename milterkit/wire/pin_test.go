package wire

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
)

// frames writes frames of one code.
func frames(code byte, payloads ...string) (stream []byte) {
	for _, p := range payloads {
		stream = AppendFrame(stream, code, []byte(p))
	}
	return stream
}

// must is the next frame, which must be there.
func must(t *testing.T, r *Reader) Frame {
	t.Helper()
	f, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A payload lies in the buffer that was given, not in a copy of it.
func TestPayloadsLieInTheBuffer(t *testing.T) {
	buf := make([]byte, 64)
	src := &source{data: frames(CmdHeader, "A\x00b\x00", "C\x00d\x00")}
	r := NewReader(src, buf)
	for _, at := range []int{5, 14} {
		if f := must(t, r); &f.Payload[0] != &buf[at] || !src.stays(f.Payload, at) {
			t.Errorf("not at %d", at)
		}
	}
}

// A loose buffer is used again from its front, for as long as frames fit: the
// Reader asks for no other and makes none.
func TestALooseBufferIsUsedAgain(t *testing.T) {
	buf := make([]byte, 32)
	stream := bytes.Repeat(frames(CmdHeader, "Subject\x00hello\x00", "X\x00\x00"), 50)
	want, _ := plain(stream)
	r := NewReader(&source{data: stream, next: func(int) int { return 7 }}, buf)
	r.Replace = func(need int) []byte { t.Errorf("asked for %d bytes", need); return nil }
	got, err := readAll(t, r, func(f Frame) {
		if !within(f.Payload, buf) {
			t.Error("a payload outside of the buffer")
		}
	})
	if err != io.EOF || !slices.Equal(got, want) {
		t.Errorf("%d frames of %d, %v", len(got), len(want), err)
	}
}

// What is pinned is neither moved nor written over, whatever is read behind it;
// when the buffer is full only the rest of a frame goes to the next one.
func TestPinnedBytesStay(t *testing.T) {
	stream := bytes.Repeat(frames(CmdHeader, "Subject\x00hello\x00", "X\x00\x00"), 50)
	var kept [][]byte
	var is []string
	asked := 0
	r := NewReader(&source{data: stream, next: func(int) int { return 7 }}, make([]byte, 40))
	r.Replace = func(need int) []byte {
		if asked++; need > headerSize+14 {
			t.Errorf("asked for %d bytes", need)
		}
		return make([]byte, 0, 40)
	}
	_, err := readAll(t, r, func(f Frame) {
		r.Pin()
		kept, is = append(kept, f.Payload), append(is, string(f.Payload))
	})
	if err != io.EOF || asked < 30 {
		t.Errorf("asked for %d buffers, %v", asked, err)
	}
	for i := range kept {
		if string(kept[i]) != is[i] {
			t.Errorf("frame %d was %q and is %q", i, is[i], kept[i])
		}
	}
}

// Reading goes on behind what is pinned, in the same buffer, and a view that is
// pinned there is the memory that was read into.
func TestReadingGoesOnBehindThePin(t *testing.T) {
	buf := make([]byte, 64)
	src := &source{data: frames(CmdBody, "one", "two", "three"), next: func(int) int { return 4 }}
	r := NewReader(src, buf)
	r.Split = CmdBody
	for _, at := range []int{5, 13, 21} {
		if f := must(t, r); &f.Payload[0] != &buf[at] || !src.stays(f.Payload, at) {
			t.Errorf("%q is not at %d", f.Payload, at)
		}
		r.Pin()
	}
}

// A Split frame that fits into the room there is comes whole, however slowly.
func TestASplitFrameThatFitsComesWhole(t *testing.T) {
	src := &source{data: frames(CmdBody, strings.Repeat("x", 59)), next: func(int) int { return 1 }}
	r := NewReader(src, make([]byte, 64))
	r.Split = CmdBody
	if f := must(t, r); len(f.Payload) != 59 || r.Rest() != 0 {
		t.Errorf("%d bytes, %d to come", len(f.Payload), r.Rest())
	}
}

// A Split frame that does not fit comes in parts, each where it was read: not
// one of its bytes is moved, in a loose buffer or a pinned one.
func TestBodyBytesAreNeverMoved(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 1000)
	stream := slices.Concat(frames(CmdMacros, "B"), frames(CmdBody, body), frames(CmdMacros, "B"), frames(CmdBody, body, "", "x"), frames(CmdEOM, ""))
	for _, pin := range []bool{false, true} {
		for _, step := range []int{1, 5, 1000, 1 << 20} {
			src := &source{data: stream, next: func(int) int { return step }}
			r := NewReader(src, make([]byte, 600))
			r.Split = CmdBody
			r.Replace = func(need int) []byte { return make([]byte, 3000) }
			want, _ := plain(stream)
			at, left := 0, 0
			got, err := readAll(t, r, func(f Frame) {
				if left == 0 {
					at += headerSize
				}
				if left = r.Rest(); f.Code == CmdBody && !src.stays(f.Payload, at) {
					t.Errorf("pin %v, reads of %d: the part at %d was moved", pin, step, at)
				}
				if at += len(f.Payload); pin {
					r.Pin()
				}
			})
			if err != io.EOF || !slices.Equal(got, want) {
				t.Errorf("pin %v, reads of %d: %v", pin, step, err)
			}
		}
	}
}

// Rest is what is to come of a frame that was handed out in parts, and 0 with
// the last of them.
func TestRestSaysWhatIsToCome(t *testing.T) {
	r := NewReader(&source{data: frames(CmdBody, strings.Repeat("x", 100))}, make([]byte, 45))
	r.Split = CmdBody
	r.Replace = func(need int) []byte {
		if need != 60 {
			t.Errorf("asked for %d bytes, want 60", need)
		}
		return make([]byte, 50)
	}
	for _, want := range []int{60, 10, 0} {
		if must(t, r); r.Rest() != want {
			t.Errorf("%d bytes to come, want %d", r.Rest(), want)
		}
	}
}

// A frame longer than MaxBody never has Replace asked for more than that, if it
// may be split; else for all of it.
func TestWhatReplaceIsAskedFor(t *testing.T) {
	for split, want := range map[byte]int{CmdBody: MaxBody, 0: 300000 + headerSize} {
		r := NewReader(&source{data: frames(CmdBody, strings.Repeat("x", 300000))}, make([]byte, headerSize))
		r.Split = split
		asked := 0
		r.Replace = func(need int) []byte { asked = need; return nil }
		if must(t, r); asked != want {
			t.Errorf("split %q: asked for %d bytes, want %d", split, asked, want)
		}
	}
}

// A Replace that gives too little, or nothing, costs an allocation and no frame.
func TestAReplaceThatGivesTooLittle(t *testing.T) {
	stream := frames(CmdBody, strings.Repeat("x", 5000), "y", strings.Repeat("z", 100))
	want, _ := plain(stream)
	for _, split := range []byte{0, CmdBody} {
		for _, size := range []int{0, 1, 5, 99, 4999} {
			r := NewReader(&source{data: stream}, nil)
			r.Split = split
			r.Replace = func(int) []byte { return make([]byte, size) }
			got, err := readAll(t, r, func(Frame) { r.Pin() })
			if err != io.EOF || !slices.Equal(got, want) {
				t.Errorf("split %q, %d bytes: %d frames, %v", split, size, len(got), err)
			}
		}
	}
}

// A time-out before the first byte of a new buffer does not cost another buffer.
func TestATimeOutCostsNoBuffer(t *testing.T) {
	src := &source{data: frames(CmdBody, strings.Repeat("x", 100)), next: steps(50, -1, -1, -1, 50, -1, 50, 50)}
	r := NewReader(src, make([]byte, 50))
	r.Split = CmdBody
	asked := 0
	r.Replace = func(int) []byte { asked++; return make([]byte, 20) }
	if _, err := readAll(t, r, nil); err != io.EOF || asked != 2 {
		t.Errorf("%d buffers of 20 for 55 bytes, %v", asked, err)
	}
}

// The end of a pinned buffer is used for a part, unless it is too short for one
// that is worth it.
func TestTheEndOfAPinnedBufferIsUsed(t *testing.T) {
	for room, want := range map[int]int{minPart: minPart, minPart - 1: 5000} {
		first := frames(CmdMacros, "B")
		src := &source{data: slices.Concat(first, frames(CmdBody, strings.Repeat("x", 5000))), next: steps(len(first), headerSize, 1<<20, 1<<20)}
		r := NewReader(src, make([]byte, len(first)+headerSize+room))
		r.Split = CmdBody
		must(t, r)
		r.Pin()
		if f := must(t, r); len(f.Payload) != want {
			t.Errorf("room for %d: a part of %d bytes, want %d", room, len(f.Payload), want)
		}
	}
}

// SetBuffer carries over what was read ahead, also in the middle of a frame, and
// leaves the old buffer alone.
func TestSetBuffer(t *testing.T) {
	stream := frames(CmdBody, "one", strings.Repeat("x", 100), "three")
	want, _ := plain(stream)
	for _, split := range []byte{0, CmdBody} {
		old := make([]byte, 40)
		r := NewReader(&source{data: stream}, old)
		r.Split = split
		first := must(t, r)
		r.Pin()
		was := bytes.Clone(old)
		ahead := r.Buffered()
		if r.SetBuffer(make([]byte, ahead-1)) || r.Buffered() != ahead {
			t.Fatal("a buffer that is too short is taken")
		}
		if !r.SetBuffer(make([]byte, 0, ahead)) || r.Buffered() != ahead {
			t.Fatal("a buffer that is long enough is not taken")
		}
		rest, err := readAll(t, r, func(Frame) {
			if n := r.Buffered(); !r.SetBuffer(make([]byte, n+10)) || r.Buffered() != n {
				t.Error("bytes were lost")
			}
		})
		got := append([]seen{{first.Code, string(first.Payload)}}, rest...)
		if err != io.EOF || !slices.Equal(got, want) || !bytes.Equal(old, was) {
			t.Errorf("split %q: %d frames, %v", split, len(got), err)
		}
	}
}

// A Reader without a buffer is good until the next frame: an idle session needs
// none.
func TestSetBufferToNothing(t *testing.T) {
	r := NewReader(&source{data: frames(CmdHelo, "a\x00", "b\x00"), next: steps(7, 7)}, nil)
	must(t, r)
	if !r.SetBuffer(nil) {
		t.Error("there is nothing to carry over, and yet it is not taken")
	}
	if f := must(t, r); string(f.Payload) != "b\x00" {
		t.Errorf("got %q", f.Payload)
	}
}
