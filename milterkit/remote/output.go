package remote

import "net"

// An output is what is to be written to a milter: frames, and between them pieces
// of the body, which are written from where they stand.
type output struct {
	out    []byte  // the frames, one after the other
	pieces []piece // in order
	size   int     // bytes of the pieces

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
