package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Of a Reader's buffers, in bytes.
const (
	minBuffer = 4096 // the least that a Reader makes for itself
	minPart   = 512  // less room than this at the end of a pinned buffer is not worth a part of its own
)

// maxEmptyReads is how often in a row the source may give neither bytes nor an
// error, as in bufio.
const maxEmptyReads = 100

// A Reader cuts a stream into frames, in place: the bytes stay where they were
// read. It reads ahead as far as its buffer has room, so one read can bring many
// frames.
//
// A Reader has one buffer at a time, all of its capacity. A buffer is either
// loose, then its bytes are moved to the front and written over as room is
// needed, or pinned, then it is only ever added to at its end, and left for
// another one when it is full. See Pin.
//
// A Reader is not safe for use by several goroutines at once.
type Reader struct {
	// Split is the code of the frames that may be handed out in parts: CmdBody
	// from an MTA, RepReplaceBody from a filter. 0: none. The bytes of their
	// payload are never moved or copied (but by SetBuffer). Set it before the
	// first Next.
	Split byte

	// Max returns the longest frame of a code that is taken, in bytes without its
	// length; it is never more than MaxFrame. Nil: MaxFrame for all.
	Max func(code byte) int

	// Replace gives the next buffer when the one at hand cannot hold need more
	// bytes: those of the frame under way, or of a Split frame what is still to
	// come, at most MaxBody. It must share no memory with the one at hand,
	// and may be shorter for a Split frame, which then comes in more parts. Where
	// Replace is nil, or its result is empty, or too short for another frame, the
	// Reader makes a buffer.
	Replace func(need int) []byte

	src    io.Reader
	buf    []byte // all of the buffer; len(buf) == cap(buf)
	r, w   int    // buf[r:w] has been read from src and not been handed out
	pinned bool   // whether buf[:w] must stay as it is
	rest   int    // bytes of a Split frame's payload that have not been handed out
	begun  bool   // whether a first frame has been seen
	unused bool   // whether the buffer came from Replace and nothing was read into it yet
	err    error  // came from src together with bytes; to be returned when they are used up
}

// NewReader returns a Reader that reads from src into buf, of which it uses the
// whole capacity. buf may be nil; then the first buffer comes from Replace.
func NewReader(src io.Reader, buf []byte) *Reader {
	return &Reader{src: src, buf: buf[:cap(buf)]}
}

// Next returns the next frame. Its payload is a view of the buffer, never nil,
// without spare capacity; it is valid until the following Next or SetBuffer, or,
// where Pin is called before that, as long as the buffer is left alone.
//
// A Split frame that does not fit into the buffer comes as several Frames of
// its code, none of them empty; Rest says how much is still to come. One that
// fits is waited for and comes whole. A Split frame without a payload is one
// Frame.
//
// Errors: io.EOF where the stream ends between frames; io.ErrUnexpectedEOF,
// wrapped, where it ends within one; a *ProtocolError where the length of a
// frame is 0 or above Max. Other errors are those of the source, as they
// came. After a temporary one (os.ErrDeadlineExceeded) nothing is lost: Next can
// be called again and goes on where it was.
func (r *Reader) Next() (Frame, error) {
	if r.rest > 0 {
		return r.part()
	}
	if r.r == r.w && !r.pinned {
		r.r, r.w = 0, 0
	}
	if err := r.have(lengthSize); err != nil {
		return Frame{}, err
	}
	n := binary.BigEndian.Uint32(r.buf[r.r:])
	if n > 0 { // after a length of 0 nothing more may come
		if err := r.have(headerSize); err != nil {
			return Frame{}, err
		}
	}
	if longest := r.max(); n == 0 || n > longest {
		return Frame{}, badLength(r.buf[r.r:r.w], longest, !r.begun)
	}
	r.begun = true
	code, size := r.buf[r.r+lengthSize], lengthSize+int(n)
	if code == r.Split && r.Split != 0 && size > headerSize {
		r.r, r.rest = r.r+headerSize, size-headerSize
		return r.part()
	}
	if err := r.have(size); err != nil {
		return Frame{}, err
	}
	return Frame{Code: code, Payload: r.take(headerSize, size)}, nil
}

// max is how long the frame at hand may be.
func (r *Reader) max() uint32 {
	if r.Max == nil || r.Buffered() < headerSize {
		return MaxFrame
	}
	return uint32(min(r.Max(r.buf[r.r+lengthSize]), MaxFrame))
}

// take hands out buf[r+from:r+to] and moves on behind it.
func (r *Reader) take(from, to int) []byte {
	p := r.buf[r.r+from : r.r+to : r.r+to]
	r.r += to
	return p
}

// Pin says that the bytes in the current buffer, all that were read so far, must
// stay where and as they are: somebody keeps a view of the frame just returned,
// or of one before it. Reading goes on behind them in the same buffer; when that
// is full the Reader asks Replace for another, which is not pinned, and knows
// nothing of the old one any more. To take back the memory of a buffer is up to
// whoever gave it.
func (r *Reader) Pin() { r.pinned = true }

// SetBuffer has the Reader go on in buf, all of its capacity, not pinned. The
// bytes that were read ahead are copied to it, those of a Split frame too, so
// the time for it is when there are none. Where buf is too small for them it is
// not used, the Reader keeps the buffer it has, and the result is false.
func (r *Reader) SetBuffer(buf []byte) bool {
	if cap(buf) < r.Buffered() {
		return false
	}
	r.moveTo(buf[:cap(buf)])
	return true
}

// Buffered is the number of bytes that were read and not handed out yet.
func (r *Reader) Buffered() int { return r.w - r.r }

// Rest is the number of payload bytes that are still to come of the Split frame
// of which Next returned a part; 0 where what it returned was a whole frame, or
// the last part of one.
func (r *Reader) Rest() int { return r.rest }

// have reads until size unread bytes lie in a row in the buffer, where the frame
// at its head begins with them. It makes room for them first.
func (r *Reader) have(size int) error {
	if len(r.buf)-r.r < size {
		if !r.pinned && size <= len(r.buf) {
			r.moveTo(r.buf)
		} else {
			r.replace(size, size)
		}
	}
	for r.Buffered() < size {
		if err := r.fill(); err != nil {
			return r.ended(err, size)
		}
	}
	return nil
}

// replace goes on in another buffer: what Replace gives for need bytes, or one
// made here where that has less than least.
func (r *Reader) replace(need, least int) {
	var buf []byte
	if r.Replace != nil {
		buf = r.Replace(need)
		buf = buf[:cap(buf)]
	}
	if len(buf) < least {
		buf = make([]byte, max(need, minBuffer))
	}
	r.moveTo(buf)
	r.unused = true
}

// moveTo copies the unread bytes to the front of buf, which may be the buffer at
// hand, and goes on there.
func (r *Reader) moveTo(buf []byte) {
	n := copy(buf, r.buf[r.r:r.w])
	r.buf, r.r, r.w = buf, 0, n
	r.pinned, r.unused = false, false
}

// fill reads once into the room at the end of the buffer. It returns nil exactly
// where that has brought bytes. The caller sees to it that there is room.
func (r *Reader) fill() error {
	if err := r.err; err != nil {
		r.err = nil
		return err
	}
	for range maxEmptyReads {
		n, err := r.src.Read(r.buf[r.w:])
		r.w += n
		if n > 0 {
			r.err, r.unused = err, false
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// ended is the error for a frame of size bytes that fill could not complete. An
// end of the stream is a good one only where nothing of the frame is there.
func (r *Reader) ended(err error, size int) error {
	have := r.Buffered()
	switch {
	case !errors.Is(err, io.EOF) || have == 0 && r.rest == 0:
		return err
	case have < headerSize && r.rest == 0:
		return fmt.Errorf("milter protocol: stream ends within the length and code of a frame: %w", io.ErrUnexpectedEOF)
	}
	code := r.Split
	if r.rest == 0 {
		code = r.buf[r.r+lengthSize]
	}
	return fmt.Errorf("milter protocol: %s: stream ends %d bytes before its end: %w",
		frameName(code), size-have, io.ErrUnexpectedEOF)
}
