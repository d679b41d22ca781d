package miltertest

import (
	"bytes"
	"io"
	"slices"
	"strings"
)

// A Message is an RFC 5322 message as a milter is shown it. Its zero value has
// neither header nor body.
type Message struct {
	Fields []Field
	Body   []byte // lines end in CRLF; nil: there is none
}

// A Field is a field of the header. Value is what stands after the colon, as it
// stands there, with folds as bare LFs.
type Field struct {
	Name, Value string

	// Is it the Received field that the MTA itself has put there, which filters
	// are not shown?
	Own bool
}

// ParseMessage takes a message apart. It takes any text: lines may end in LF or
// CRLF, an mbox "From " line at the top is left out, and the first line that is
// no field of a header begins the body. A last line without an end gets one.
func ParseMessage(text []byte) *Message {
	m := &Message{}
	if bytes.HasPrefix(text, []byte("From ")) {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	for len(text) > 0 {
		line, rest := cutLine(text)
		if line == "" {
			text = rest
			break
		}
		last := len(m.Fields) - 1
		if line[0] == ' ' || line[0] == '\t' {
			if last < 0 {
				break
			}
			m.Fields[last].Value += "\n" + line
			text = rest
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name = strings.TrimRight(name, " \t")
		if !ok || !isName(name) {
			break
		}
		m.Fields = append(m.Fields, Field{Name: name, Value: value})
		text = rest
	}
	m.Body = crlf(text)
	return m
}

// ReadMessage reads a message to the end of r and takes it apart.
func ReadMessage(r io.Reader) (*Message, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return ParseMessage(text), nil
}

// cutLine returns the first line of text without its end.
func cutLine(text []byte) (line string, rest []byte) {
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	return string(bytes.TrimSuffix(first, []byte("\r"))), rest
}

// isName reports whether s can be the name of a field.
// Source: is_header in Postfix; RFC 5322 section 2.2.
func isName(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return s != ""
}

// crlf has all lines end in CRLF, the last one too. A CR elsewhere stays.
func crlf(text []byte) []byte {
	if len(text) == 0 {
		return nil
	}
	out := make([]byte, 0, len(text)+len(text)/32+2)
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		out = append(out, bytes.TrimSuffix(line, []byte("\r"))...)
		out = append(out, '\r', '\n')
		text = rest
	}
	return out
}

// AddReceived puts the MTA's own Received field at the top.
func (m *Message) AddReceived(value string) {
	m.Fields = slices.Insert(m.Fields, 0, Field{Name: "Received", Value: value, Own: true})
}

// Shown returns the fields that filters are shown.
func (m *Message) Shown() []Field {
	return slices.DeleteFunc(slices.Clone(m.Fields), func(f Field) bool { return f.Own })
}

// Get returns the first value of the field, without the space around it, or "".
func (m *Message) Get(name string) string {
	for _, f := range m.Shown() {
		if strings.EqualFold(f.Name, name) {
			return strings.TrimSpace(f.Value)
		}
	}
	return ""
}

// Bytes returns the message as it goes over SMTP: lines end in CRLF, and an
// empty line stands between header and body, also where there is no body.
func (m *Message) Bytes() []byte {
	var out []byte
	for _, f := range m.Fields {
		out = append(out, f.Name...)
		out = append(out, ':')
		out = append(out, strings.ReplaceAll(f.Value, "\n", "\r\n")...)
		out = append(out, '\r', '\n')
	}
	out = append(out, '\r', '\n')
	return append(out, m.Body...)
}

// String returns the message with lines that end in LF.
func (m *Message) String() string { return strings.ReplaceAll(string(m.Bytes()), "\r\n", "\n") }
