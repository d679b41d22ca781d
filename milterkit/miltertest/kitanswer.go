package miltertest

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/milterkit/sdk/milterkit"
)

// A line is one thing that a child has said, for a person to read.
type line struct {
	exact string // "rcpt <bob@example.net>: reject 550 5.1.1 no such user"
	shape string // without what may depend on clock and chance: "rcpt <bob@example.net>: reject"
}

// answer is what a child has said to one message, or of one session.
type answer []line

func said(what string, v milterkit.Verdict) line {
	return line{what + ": " + v.String(), what + ": " + v.Kind().String()}
}

// asks is the line of an edit.
func asks(e milterkit.Edit) line {
	shape := fmt.Sprintf("  %s %q", e.Op, excerpt(e.Name))
	exact := fmt.Sprintf("  %s %d %q %q", e.Op, e.Index, excerpt(e.Name), excerpt(e.Value))
	if len(e.Value) > 40 {
		exact += fmt.Sprintf(" (%d bytes, checksum %08x)", len(e.Value), checksum([]byte(e.Value)))
	}
	if e.Op == milterkit.OpReplaceBody {
		body := slices.Concat(e.Body...)
		exact = fmt.Sprintf("  %s: %q (%d bytes, checksum %08x)", e.Op, excerpt(body), len(body), checksum(body))
	}
	return line{exact, shape}
}

func checksum(b []byte) uint32 {
	h := fnv.New32a()
	h.Write(b)
	return h.Sum32()
}

// An expectation is an answer, and how far it is always the same.
type expectation struct {
	answer
	exact bool // word for word
	shape bool // in kind
}

// expect makes one of two answers to the same.
func (k *kit) expect(what string, a, b answer) expectation {
	e := expectation{a, slices.Equal(a, b), slices.EqualFunc(a, b, func(x, y line) bool { return x.shape == y.shape })}
	if !e.shape {
		k.hint("chance "+what, "The child answers otherwise each time to %q, as if by chance or by the clock, so those answers are not compared. Give it a clock and a random source of your own in the test.", what)
	}
	return e
}

// differs tells where an answer is not the one expected; "": nowhere. before says
// when the one was given, after when the other.
func (e expectation) differs(got answer, before, after string) string {
	same := func(x, y line) bool { return e.exact && x.exact == y.exact || !e.exact && x.shape == y.shape }
	if !e.shape || slices.EqualFunc(e.answer, got, same) {
		return ""
	}
	i := 0
	for i < len(got) && i < len(e.answer) && same(got[i], e.answer[i]) {
		i++
	}
	return before + " it answers\n" + some(e.answer[i:]) + "\nand " + after + "\n" + some(got[i:])
}

// some returns the first few lines.
func some(a answer) string {
	const few = 4
	var b strings.Builder
	for i, l := range a {
		if i == few {
			b.WriteString("\n\t…")
			break
		}
		b.WriteString("\n\t" + l.exact)
	}
	if len(a) == 0 {
		b.WriteString("\n\t(nothing more)")
	}
	return b.String()[1:]
}

// poisoned reports whether an answer has bytes of a message that is over.
func (a answer) poisoned() bool {
	return slices.ContainsFunc(a, func(l line) bool {
		return strings.Contains(l.exact, "\\xdb") || strings.Contains(l.exact, "\xdb")
	})
}
