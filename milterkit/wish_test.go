package milterkit

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/milterkit/sdk/internal/overlay"
)

// A wish is made of the edits that make it come true behind either MTA, whatever
// the child has asked for before.
func TestWishesComeTrue(t *testing.T) {
	names := []string{"Subject", "subject", "X-Spam", "Date", "Received"}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 3))
		name := func() string { return names[r.IntN(len(names))] }
		var fields []overlay.Field
		for i := range r.IntN(6) {
			fields = append(fields, overlay.Field{Name: []byte(name()), Value: fmt.Appendf(nil, " old %d", i)})
		}
		for _, m := range []mta{postfix, sendmail} {
			h := m.header(overlay.New(nil))
			h.Reset(fields)
			var e Edits
			e.reset(AllActions, m, h.Fields())
			for range r.IntN(5) {
				switch r.IntN(6) {
				case 0:
					e.AddHeader(name(), "added")
				case 1:
					e.InsertHeader(r.IntN(4), name(), "inserted")
				case 2:
					e.ChangeHeader(name(), r.IntN(4), "changed")
				case 3:
					e.DeleteHeader(name(), r.IntN(4))
				case 4:
					e.SetHeader(name(), "set before")
				default:
					e.DeleteHeaders(name())
				}
			}
			set, deleted := "X-Spam", "SUBJECT"
			e.SetHeader(set, "yes")
			e.DeleteHeaders(deleted)
			var edits []overlay.Edit
			for x := range e.All() {
				kind, _ := headerKind(x.Op)
				edits = append(edits, overlay.Edit{Kind: kind, Index: x.Index, Name: x.Name, Value: x.Value})
			}
			h.Apply(edits)
			var got []string
			for _, f := range h.Fields() {
				if strings.EqualFold(string(f.Name), set) || strings.EqualFold(string(f.Name), deleted) {
					got = append(got, string(f.Name)+":"+string(f.Value))
				}
			}
			if len(got) != 1 || got[0] != "X-Spam: yes" {
				t.Fatalf("seed %d, behind %v: %q\nof %v\nby %+v", seed, m, got, fields, edits)
			}
		}
	}
}
