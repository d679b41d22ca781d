// Package letter writes a message as servers that children ask want to have it: as
// it would stand in a mailbox, and of a size that is known before the first byte is
// sent.
package letter

import (
	"bytes"
	"io"
	"net"
	"strings"

	"github.com/milterkit/sdk/milterkit"
)

// A Letter is a message to be sent to a server, maybe more than once. It holds the
// header; of the body it has the message's own memory, until Reset.
type Letter struct {
	header []byte
	body   net.Buffers
	size   int64
}

// New makes the letter of a message that is complete. above stands on top of the
// header: whole fields with their CRLF, or nothing. Fields for which skip holds are
// left out; nil: none.
func New(m *milterkit.Message, above string, skip func(name []byte) bool) *Letter {
	l := &Letter{header: []byte(above), body: m.Body()}
	for _, f := range m.Header() {
		if skip == nil || !skip(f.Name) {
			l.field(f)
		}
	}
	l.header = append(l.header, "\r\n"...)
	l.size = int64(len(l.header)) + m.Size()
	return l
}

// field writes a field, with the lines of its value as Postfix and Sendmail do.
func (l *Letter) field(f milterkit.Field) {
	l.header = append(append(l.header, f.Name...), ':')
	for i, line := range bytes.Split(f.Value, []byte("\n")) {
		if i > 0 {
			l.header = append(l.header, "\r\n"...)
			if len(line) == 0 || line[0] != ' ' && line[0] != '\t' {
				l.header = append(l.header, '\t')
			}
		}
		l.header = append(l.header, bytes.TrimSuffix(line, []byte("\r"))...)
	}
	l.header = append(l.header, "\r\n"...)
}

// Size returns how many bytes there are to read.
func (l *Letter) Size() int64 { return l.size }

// Reader reads the letter from its beginning. Written to a socket by its WriteTo,
// the body is not copied.
func (l *Letter) Reader() io.Reader {
	body := append(net.Buffers(nil), l.body...)
	return io.MultiReader(bytes.NewReader(l.header), &body)
}

// Clean makes text from outside fit for one line: what does not print becomes "?",
// and what is longer than limit bytes is cut off. 8-bit characters stay.
func Clean(text string, limit int) string {
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "")
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}
