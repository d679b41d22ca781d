//go:build !race

package overlay

import "testing"

// Most messages are not edited: for them the overlay must cost no memory.
func TestUneditedHeaderAllocatesNothing(t *testing.T) {
	fields := header("A: 1", "B: 2", "C: 3")
	h := New(nil)
	if n := testing.AllocsPerRun(100, func() {
		h.Reset(fields)
		if len(h.Fields()) != len(fields) || h.Script() != nil {
			t.Error("edited")
		}
	}); n != 0 {
		t.Errorf("Reset, Fields and Script: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		f := h.Fork()
		_ = f.Fields()
		h.Merge(f)
	}); n > 1 {
		t.Errorf("a fork without edits: %v allocations", n)
	}
}

func BenchmarkOneFieldAdded(b *testing.B) {
	fields := header("Received: 1", "From: 2", "To: 3", "Subject: 4", "Date: 5", "Message-Id: 6")
	h := New(nil)
	b.ReportAllocs()
	for b.Loop() {
		h.Reset(fields)
		f := h.Fork()
		f.Apply(Edit{Add, 0, "X-Checked", " yes"})
		h.Merge(f)
		_ = h.Script()
	}
}
