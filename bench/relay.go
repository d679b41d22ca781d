package bench

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
)

// A relay hands on what an MTA and a milter say to each other, and looks at
// nothing but the lengths of frames. No multiplexer that hands on each command
// as it comes can cost less than that; one that sends content ahead can.
type relay struct {
	to   Addr
	bufs sync.Pool // of *[relayBuffer]byte
}

// relayBuffer is what a relay reads at one time, at most.
const relayBuffer = 128 << 10

func (r *relay) serve(ln net.Listener) error { return acceptAll(ln, r.session) }

// session hands on what one MTA and the milter say.
func (r *relay) session(nc net.Conn) {
	defer nc.Close()
	milter, err := net.Dial(r.to.Network, r.to.Addr)
	if err != nil {
		return
	}
	go func() {
		defer nc.Close()
		handOn(nc, milter, make([]byte, 1<<10))
	}()
	defer milter.Close()
	buf, ok := r.bufs.Get().(*[relayBuffer]byte)
	if !ok {
		buf = new([relayBuffer]byte)
	}
	defer r.bufs.Put(buf)
	handOn(milter, nc, buf[:])
}

// handOn writes to dst what it reads from src, as it comes, and counts frames by
// their lengths. It ends with either of them, or with a frame of no length.
func handOn(dst, src net.Conn, buf []byte) error {
	var length [4]byte // of the next frame, as far as it is there
	have, rest := 0, 0
	for {
		n, err := src.Read(buf)
		for p := buf[:n]; len(p) > 0; {
			if rest > 0 {
				skip := min(rest, len(p))
				rest, p = rest-skip, p[skip:]
				continue
			}
			k := copy(length[have:], p)
			have, p = have+k, p[k:]
			if have == len(length) {
				if rest = int(binary.BigEndian.Uint32(length[:])); rest == 0 {
					return errors.New("a frame of no length")
				}
				have = 0
			}
		}
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}
