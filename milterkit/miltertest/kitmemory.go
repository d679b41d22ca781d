package miltertest

import (
	"bytes"
	"fmt"
)

// poison is what stands in memory of a message that is over.
const poison = 0xDB

// memory is where the bytes of one message stand, piece behind piece, as in
// milterkit's own.
type memory struct {
	bytes []byte
	was   []byte // what they are to be
	spans []span
}

// A span is one piece of it.
type span struct {
	what     string // for a person: "the value of Subject"
	from, to int
}

func newMemory(size int) *memory { return &memory{bytes: make([]byte, 0, size)} }

// put puts text behind what there is. It may be written to beyond its end, as a
// child may that appends to it.
func (m *memory) put(what, text string) []byte {
	from := len(m.bytes)
	m.bytes = append(m.bytes, text...)
	m.was = append(m.was, text...)
	m.spans = append(m.spans, span{what, from, len(m.bytes)})
	return m.bytes[from:len(m.bytes):cap(m.bytes)]
}

// damage tells what was written into it; "": nothing.
func (m *memory) damage() string {
	if bytes.Equal(m.bytes, m.was) {
		return ""
	}
	at := 0
	for m.bytes[at] == m.was[at] {
		at++
	}
	for _, s := range m.spans {
		if at >= s.from && at < s.to {
			return fmt.Sprintf("%s: %q at byte %d, where %q stood", s.what,
				excerpt(m.bytes[at:s.to]), at-s.from, excerpt(m.was[at:s.to]))
		}
	}
	return ""
}

// poison ends the life of the message.
func (m *memory) poison() {
	for i := range m.bytes {
		m.bytes[i], m.was[i] = poison, poison
	}
}

// excerpt returns the beginning of b.
func excerpt[T string | []byte](b T) string {
	if len(b) > 40 {
		return string(b[:40]) + "…"
	}
	return string(b)
}
