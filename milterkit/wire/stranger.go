package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// strangers are the first bytes of other protocols that answer on a port which
// was taken for that of a milter. Letters match in either case. It is only read.
// None of them is the length of a frame: read as one, it is far above MaxFrame.
var strangers = []struct{ prefix, name string }{
	{"220", "SMTP"}, {"421", "SMTP"}, {"554", "SMTP"}, // a mail server's greeting
	{"EHLO", "SMTP"}, {"HELO", "SMTP"}, {"LHLO", "SMTP"}, {"MAIL", "SMTP"}, {"QUIT", "SMTP"},
	{"HTTP/", "HTTP"}, {"GET ", "HTTP"}, {"POST ", "HTTP"}, {"HEAD ", "HTTP"}, {"PUT ", "HTTP"},
	{"\x16\x03", "TLS"}, {"\x15\x03", "TLS"}, // a handshake, an alert
	{"UNKN", "clamd's answer"}, // "UNKNOWN COMMAND"
	{"SPAMD", "spamd's answer"},
}

// badLength is the error for a frame whose length cannot be. Where it is the
// first of its stream, the peer is most likely no milter peer at all, and the
// error says what its bytes look like. start is at least the frame's length.
func badLength(start []byte, longest uint32, first bool) error {
	n := binary.BigEndian.Uint32(start)
	if first && n != 0 {
		for _, s := range strangers {
			if len(start) >= len(s.prefix) && bytes.EqualFold(start[:len(s.prefix)], []byte(s.prefix)) {
				return fault(0, "this is not a milter peer: first bytes look like "+s.name)
			}
		}
	}
	return fault(0, fmt.Sprintf("frame of %d bytes, want 1 to %d: starts with %q", n, longest, start[:min(len(start), headerSize)]))
}
