package overlay

import (
	"fmt"
	"testing"
)

// BenchmarkSendmailManyEdits is what the most edits that a filter may ask for
// cost on the longest header: well below the 10 s that Sendmail waits, since
// nobody tells it to wait on meanwhile.
func BenchmarkSendmailManyEdits(b *testing.B) {
	const fields, edits = 10_000, 30_000
	var header []Field
	for i := range fields {
		header = append(header, Field{Name: fmt.Appendf(nil, "X-%d", i%100), Value: []byte(" v")})
	}
	for _, kind := range []struct {
		name string
		edit func(i int) Edit
	}{
		{"change a missing number", func(i int) Edit { return Edit{Change, 1_000_000, "X-1", " new"} }},
		{"insert and change", func(i int) Edit { return Edit{[]Kind{Insert, Change}[i%2], 5000 + i%7, "X-1", " new"} }},
		{"add another name", func(i int) Edit { return Edit{Add, 0, fmt.Sprintf("Y-%d", i), " new"} }},
		{"add a name", func(i int) Edit { return Edit{Add, 0, "X-99", " new"} }},
		{"delete a missing number", func(i int) Edit { return Edit{Kind: Delete, Index: 1_000_000, Name: "X-1"} }},
		{"delete all names", func(i int) Edit { return Edit{Kind: Delete, Index: 1 + i/100%100, Name: fmt.Sprintf("X-%d", i%100)} }},
		{"insert at the top", func(i int) Edit { return Edit{Insert, 0, "X-1", " new"} }},
		{"insert at the end", func(i int) Edit { return Edit{Insert, 1_000_000, "X-1", " new"} }},
	} {
		b.Run(kind.name, func(b *testing.B) {
			list := make([]Edit, edits)
			for i := range list {
				list[i] = kind.edit(i)
			}
			for b.Loop() {
				var h SendmailHeader
				h.Reset(header)
				h.Apply(list)
				h.Script()
			}
		})
	}
}
