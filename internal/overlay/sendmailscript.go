package overlay

import (
	"bytes"
	"math"
	"slices"
)

// Script returns the edits that have Sendmail turn the original header into the
// present one, when one filter asks for them in order: changes and deletes of
// original fields, then of its own, then new fields, from the last to the first,
// so that what is above each of them is still as it came.
func (h *SendmailHeader) Script() []Edit {
	if h.top.next == nil {
		return nil
	}
	numbers := make(map[string]int) // of the original fields
	var corrections, own []Edit
	i := 0
	for e := h.top.next; e != nil; e = e.next {
		name := e.name
		if e.kind == original {
			numbers[name]++
			if x, changed := e.correction(h.orig[i], numbers[name]); changed {
				corrections = append(corrections, x)
			}
			i++
		}
	}
	for e := h.top.next; e != nil; e = e.next {
		if name := string(e.field.Name); e.kind == preset && e.set {
			x := Edit{Add, 0, name, string(e.field.Value)}
			if e.gone {
				x = Edit{Kind: Delete, Index: numbers[e.name] + 1, Name: name}
			}
			own = append(own, x)
		}
	}
	return slices.Concat(corrections, own, h.additions())
}

// correction returns the change that makes the original field of that number
// what it is now. A change cannot make it empty: that is a new field.
func (e *entry) correction(was Field, number int) (x Edit, changed bool) {
	if e.gone || e.emptied(was) {
		return Edit{Kind: Delete, Index: number, Name: string(e.field.Name)}, true
	}
	return Edit{Change, number, string(e.field.Name), string(e.field.Value)}, !bytes.Equal(e.field.Value, was.Value)
}

// emptied reports whether the field was deleted, and then added with no value.
func (e *entry) emptied(was Field) bool {
	return !e.gone && len(e.field.Value) == 0 && len(was.Value) > 0
}

// additions returns the adds and inserts of new fields, the last one first. An
// add is used where it leads to the right place, because positions are only as
// good as the knowledge of Sendmail's own fields. What was inserted is inserted,
// at the position that the filter gave, but for the new fields above.
func (h *SendmailHeader) additions() []Edit {
	var list []*entry // all that is to be in Sendmail's list
	above := 0        // of them that are in it already
	names := make(map[string]int)
	open := make(map[string]bool) // names of which an add would fill a field of Sendmail's own
	i := 0
	for e := h.top.next; e != nil; e = e.next {
		name := e.name
		switch {
		case e.there():
			above++
			names[name]++
			open[name] = open[name] || e.kind == preset && (e.gone || !e.set)
		case e.gone:
			continue
		}
		list = append(list, e)
		if e.kind == original {
			if e.emptied(h.orig[i]) {
				list = append(list, &entry{name: e.name, field: e.field, kind: inserted})
			}
			i++
		}
	}
	if above == len(list) {
		return nil
	}
	var edits []Edit
	var next *entry
	for _, e := range slices.Backward(list) {
		name := e.name
		if e.there() {
			above--
			names[name]--
			next = e
			continue
		}
		x := Edit{Insert, above, string(e.field.Name), string(e.field.Value)}
		switch {
		case e.kind == inserted && next == nil:
			x.Index += e.beyond
		case e.kind == inserted:
		case names[name] == 0 && !open[name] && (next == nil || next.name == name):
			x.Kind, x.Index = Add, 0
		case next == nil:
			x.Index = math.MaxInt32 // wherever that is
		}
		edits = append(edits, x)
		next = e
	}
	return edits
}
