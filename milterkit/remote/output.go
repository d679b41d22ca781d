package remote

import (
	"net"
	"sync"
)

// An output is what is to be written to a milter: frames, and between them pieces
// of the body, which are written from where they stand.
type output struct {
	out    []byte  // the frames, one after the other
	pieces []piece // in order
	size   int     // bytes of the pieces
	spare  []byte  // what out is between messages

	vec  net.Buffers // what is written, made of out and pieces
	left net.Buffers // of it, while it is written
}

// A piece stands between two frames.
type piece struct {
	at    int // in out
	bytes []byte
}

func (o *output) len() int { return len(o.out) + o.size }

// appendPiece appends the payload of the frame whose header was appended last.
func (o *output) appendPiece(p []byte) {
	o.pieces = append(o.pieces, piece{len(o.out), p})
	o.size += len(p)
}

// writeTo writes all of it, in one vectored write as far as the system takes it.
func (o *output) writeTo(nc net.Conn) error {
	if len(o.pieces) == 0 {
		_, err := nc.Write(o.out)
		o.clear()
		return err
	}
	vec, from := o.vec[:0], 0
	for _, p := range o.pieces {
		vec = append(vec, o.out[from:p.at], p.bytes)
		from = p.at
	}
	if from < len(o.out) {
		vec = append(vec, o.out[from:])
	}
	o.left = vec
	_, err := o.left.WriteTo(nc)
	clear(vec)
	o.vec, o.left = vec[:0], nil
	o.clear()
	return err
}

func (o *output) clear() {
	clear(o.pieces)
	o.out, o.pieces, o.size = o.out[:0], o.pieces[:0], 0
}

// grow takes more memory for frames than there is between messages.
func (o *output) grow() {
	if cap(o.out) >= largeOutput {
		return
	}
	large, ok := outputs.Get().(*[largeOutput]byte)
	if !ok {
		large = new([largeOutput]byte)
	}
	o.spare, o.out = o.out[:0], append(large[:0], o.out...)
}

// shrink leaves what is to be written, which is little, and gives back the memory
// that is not needed for it.
func (o *output) shrink() {
	if cap(o.out) > idleBuffer {
		large := o.out
		o.out, o.spare = append(o.spare[:0], o.out...), nil
		if cap(large) == largeOutput {
			outputs.Put((*[largeOutput]byte)(large[:largeOutput]))
		}
	}
	if cap(o.pieces) > idlePieces {
		o.pieces, o.vec = nil, nil
	}
}

// largeOutput is room for the header of most messages, and idlePieces how long the
// lists of pieces may be between messages.
const (
	largeOutput = 16 << 10
	idlePieces  = 8
)

// outputs holds *[largeOutput]byte, for all connections.
var outputs sync.Pool
