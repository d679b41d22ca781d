package overlay

import (
	"strings"
	"testing"
)

// What an edit has added or changed is told from what came with the message: whoever
// reads results of filters before it believes the one and not the other.
func TestAdded(t *testing.T) {
	fields := []Field{{Name: []byte("A"), Value: []byte(" came")}, {Name: []byte("B"), Value: []byte(" came")}, {Name: []byte("A"), Value: []byte(" again")}}
	edits := []Edit{
		{Kind: Change, Index: 1, Name: "B", Value: " edited"},
		{Kind: Insert, Index: 0, Name: "A", Value: " edited, on top"},
		{Kind: Add, Name: "C", Value: " edited, added"},
		{Kind: Change, Index: 1, Name: "D", Value: " edited, was not there"},
	}
	headers := map[string]interface {
		Reset([]Field)
		Apply(...[]Edit)
		Fields() []Field
	}{"Postfix": &Header{}, "Sendmail": &SendmailHeader{}}
	for mta, h := range headers {
		h.Reset(fields)
		h.Apply(edits)
		if n := len(h.Fields()); n != 6 {
			t.Errorf("%s: %d fields", mta, n)
		}
		for _, f := range h.Fields() {
			edited := strings.HasPrefix(string(f.Value), " edited")
			if f.Added != edited {
				t.Errorf("%s: %s:%s: added: %v", mta, f.Name, f.Value, f.Added)
			}
		}
	}
	for _, f := range fields {
		if f.Added {
			t.Errorf("%s:%s, which came with the message, was written to", f.Name, f.Value)
		}
	}
}
