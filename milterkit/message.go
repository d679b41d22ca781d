package milterkit

import (
	"bytes"
	"io"
	"iter"
	"net"
	"slices"

	"github.com/milterkit/sdk/internal/overlay"
)

// A Message is an Envelope with content. Its methods return views of memory
// that all children share: read it, do not write to it, and do not keep it
// past Reset.
type Message struct {
	*Envelope
	fields   []overlay.Field
	body     net.Buffers
	complete bool
}

// A Field is one header field.
type Field struct {
	Name, Value []byte // the value has its leading space, and folds as a bare LF and the space after it
	Added       bool   // or changed, by a child before this one; else it came with the message
}

// Header yields the fields of the header in order, numbered from 0. The MTA's
// own Received field is not among them.
func (m *Message) Header() iter.Seq2[int, Field] {
	return func(yield func(int, Field) bool) {
		for i, f := range m.fields {
			if !yield(i, Field(f)) {
				return
			}
		}
	}
}

// Get returns a copy of the first value of the named field, without the space
// around it, or "".
func (m *Message) Get(name string) string {
	for _, f := range m.fields {
		if overlay.SameName(f.Name, name) {
			return string(bytes.TrimSpace(f.Value))
		}
	}
	return ""
}

// Values returns copies of all values of the named field, as Get has the first.
func (m *Message) Values(name string) []string {
	var values []string
	for _, f := range m.fields {
		if overlay.SameName(f.Name, name) {
			values = append(values, string(bytes.TrimSpace(f.Value)))
		}
	}
	return values
}

// Complete reports whether the whole message has arrived. The pieces that a Body
// hook is shown then stay until Reset, and a child that sends them elsewhere need
// not hurry; before, they stay for the call only.
func (m *Message) Complete() bool { return m.complete }

// Body returns the pieces of the body, ready for one vectored write. The slice
// is the caller's; the bytes are shared. It is empty for a child that has a
// Body hook, and before the end of the message.
func (m *Message) Body() net.Buffers { return slices.Clone(m.body) }

// Reader reads the whole message, with lines of the header that end in CRLF. Of
// the body it has what Body has.
func (m *Message) Reader() io.Reader {
	body := m.Body()
	return io.MultiReader(bytes.NewReader(headerText(m.fields)), &body)
}

// headerText returns the header as it stands in a message, with the empty line
// after it.
func headerText(fields []overlay.Field) []byte {
	size := 2
	for _, f := range fields {
		size += len(f.Name) + len(f.Value) + bytes.Count(f.Value, lf) + 3
	}
	text := make([]byte, 0, size)
	for _, f := range fields {
		text = append(append(text, f.Name...), ':')
		for line := range bytes.Lines(f.Value) {
			if text[len(text)-1] == '\n' && line[0] != ' ' && line[0] != '\t' {
				text = append(text, '\t') // a continuation, as Postfix and Sendmail write it
			}
			text = append(text, bytes.TrimSuffix(line, lf)...)
			if line[len(line)-1] == '\n' {
				text = append(text, "\r\n"...)
			}
		}
		text = append(text, "\r\n"...)
	}
	return append(text, "\r\n"...)
}

// Size returns the length of the body in bytes, as far as Body has it.
func (m *Message) Size() int64 { return size(m.body) }

func size(pieces net.Buffers) int64 {
	var n int64
	for _, p := range pieces {
		n += int64(len(p))
	}
	return n
}
