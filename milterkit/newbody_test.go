package milterkit

import (
	"bytes"
	"net"
	"strings"
	"testing"
)

// naiveLines is asLines for the whole text at once.
func naiveLines(text string) string {
	if text == "" {
		return ""
	}
	text = strings.TrimSuffix(text, "\n")
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(strings.TrimSuffix(line, "\r") + "\r\n")
	}
	return b.String()
}

// The children after one that replaces the body see lines with CRLF.
func FuzzNewBodyAsLines(f *testing.F) {
	for _, s := range []string{"", "a", "a\r", "a\n", "a\r\n", "a\r\r\n", "\n", "\r\n\r\n", "a\rb\nc", "one\r\ntwo\nthree"} {
		for cut := range byte(3) {
			f.Add(s, cut)
		}
	}
	f.Fuzz(func(t *testing.T, text string, cut byte) {
		var pieces net.Buffers
		for rest := []byte(text); len(rest) > 0; {
			n := min(len(rest), 1+int(cut))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		got := string(bytes.Join(asLines(pieces), nil))
		if want := naiveLines(text); got != want {
			t.Fatalf("%q in pieces of %d: %q, want %q", text, 1+int(cut), got, want)
		}
	})
}

// A body that has lines with CRLF is not copied.
func TestNewBodyOfLinesIsNotCopied(t *testing.T) {
	pieces := net.Buffers{[]byte("one\r"), []byte("\ntwo\r\n")}
	if got := asLines(pieces); len(got) != 2 || &got[0][0] != &pieces[0][0] {
		t.Errorf("asLines made a copy: %q", got)
	}
}
