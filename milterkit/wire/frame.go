package wire

import "encoding/binary"

// The parts of a frame, in bytes.
const (
	lengthSize = 4              // the length; it does not count itself
	headerSize = lengthSize + 1 // the length and the code
)

// A Frame is one command or one reply, or a part of one where the Reader was
// told to hand it out in parts (see Reader.Split).
type Frame struct {
	Code    byte   // Cmd... from the MTA, Rep... from the filter
	Payload []byte // a view into the Reader's buffer; see Reader.Next for how long it lives
}

// AppendFrame appends a whole frame: length, code, payload. It does not look at
// the payload, which may be nil.
func AppendFrame(dst []byte, code byte, payload []byte) []byte {
	return append(AppendFrameHeader(dst, code, len(payload)), payload...)
}

// AppendFrameHeader appends the five bytes that stand before a payload of
// payloadLen bytes. It is for vectored writes, where the payload itself is
// written from where it lies.
func AppendFrameHeader(dst []byte, code byte, payloadLen int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(payloadLen+1))
	return append(dst, code)
}

// begin appends the header of a frame whose length is not known yet; end puts
// it in. at is where the frame starts.
func begin(dst []byte, code byte) (frame []byte, at int) {
	return AppendFrameHeader(dst, code, 0), len(dst)
}

// end puts the length into the frame that starts at dst[at] and goes to the
// end of dst.
func end(dst []byte, at int) []byte {
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-lengthSize))
	return dst
}
