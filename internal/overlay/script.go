package overlay

import (
	"bytes"
	"slices"
)

// Script returns the edits that turn the original header into the present one,
// when they are applied in order. It is the shortest telling of what happened: a
// field that has its old name and value again is not mentioned, nor is a new one
// that was deleted.
//
// The order suits both kinds of MTA. Changes and deletes of original fields come
// first, from the last field to the first, so that an index is the same whether
// the MTA renumbers behind a delete (Postfix) or not (Sendmail). Then come the
// inserts, from the top down, at the positions they have in the end. New fields
// behind which nothing of the original follows are added at the end, which needs
// no position at all.
func (h *Header) Script() []Edit {
	if len(h.nodes) == 0 {
		return nil
	}
	return append(h.corrections(), h.additions()...)
}

// corrections returns the changes and deletes of original fields, the last field
// first.
func (h *Header) corrections() []Edit {
	end := len(h.orig) // behind the last one to correct; mostly there is none
	for end > 0 && !h.corrected(end-1) {
		end--
	}
	if end == 0 {
		return nil
	}
	// Counted in one pass: a client may send tens of thousands of tiny fields, and
	// a filter delete them all. A change keeps the name but for its case, so the
	// original names will do.
	var edits []Edit
	counts := make(map[string]int)
	for i := range h.orig[:end] {
		key := asciiLower(h.orig[i].Name)
		counts[key]++
		n := &h.nodes[first+i]
		switch {
		case !h.corrected(i):
			continue
		case n.deleted:
			edits = append(edits, Edit{Kind: Delete, Index: counts[key], Name: string(h.orig[i].Name)})
		default:
			edits = append(edits, Edit{Change, counts[key], string(n.field.Name), string(n.field.Value)})
		}
	}
	slices.Reverse(edits)
	return edits
}

// corrected reports whether original field i is not what it was.
func (h *Header) corrected(i int) bool {
	was, n := &h.orig[i], &h.nodes[first+i]
	return n.deleted || !bytes.Equal(n.field.Value, was.Value) || !bytes.Equal(n.field.Name, was.Name)
}

// additions returns the inserts and adds of new fields.
func (h *Header) additions() []Edit {
	var edits []Edit
	settled := 0  // edits before which are inserts: an old field follows them
	position := 0 // among all that is left, the hidden one included
	for id := h.nodes[top].next; id != none; id = h.nodes[id].next {
		n := &h.nodes[id]
		if n.deleted {
			continue
		}
		if int(id) < first+len(h.orig) {
			settled = len(edits)
		} else {
			edits = append(edits, Edit{Insert, position, string(n.field.Name), string(n.field.Value)})
		}
		position++
	}
	for i := range edits[settled:] {
		e := &edits[settled+i]
		e.Kind, e.Index = Add, 0
	}
	return edits
}
