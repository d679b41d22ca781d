package overlay

import "fmt"

// A Fork is one filter's private view of a header: the state of the header when
// the fork was made, and the fork's own edits. It is used by one goroutine at a
// time, and needs nothing of the header but in [Header.Merge]. A fork that is
// not merged is simply dropped.
type Fork struct {
	of         *Header // only to be recognised by Merge; never read through
	generation uint64
	merged     bool

	fields    gapped[Field] // as this fork sees them now
	ids       gapped[int32] // the node of each position, the hidden one included; of none before the first edit
	hidden    int           // the position of the hidden one in ids
	ownIDs    bool          // ids is this fork's own and may be written to
	ownFields bool          // fields is this fork's own and was not handed out since
	made      int32         // new nodes so far

	mark  mark   // zero: counts the empty name from the top, which is true as well
	steps []step // the edits, for Merge
}

// A step is an edit resolved to the node it concerns.
type step struct {
	kind Kind

	// id is, of a Change or a Delete, the node; of an Insert, the node behind
	// which the new one goes; of an Add, nothing. Nodes that the fork itself made
	// are -1, -2 and so on, in the order of their steps.
	id int32

	field Field
}

// Fork returns a private view of h as it is now.
func (h *Header) Fork() *Fork {
	h.refresh()
	return &Fork{of: h, generation: h.generation, fields: gappedOf(h.now.fields), ids: gappedOf(h.now.ids), hidden: h.now.hidden}
}

// Fields returns the header as the fork's edits have left it, under the same
// rules as [Header.Fields].
func (f *Fork) Fields() []Field {
	flat := f.fields.flat()
	f.fields, f.ownFields = gappedOf(flat), false // from here on it belongs to the caller as well
	return flat
}

// Apply lays one edit on the view, as Postfix would: at once, and each edit on
// the outcome of the one before. A Change of a field that does not exist adds it;
// a Delete of one does nothing. An edit of an unknown kind panics.
func (f *Fork) Apply(e Edit) {
	switch e.Kind {
	case Add:
		f.add(e)
	case Insert:
		f.insert(e)
	case Change:
		if e.Value == "" {
			f.remove(e)
			return
		}
		f.change(e)
	case Delete:
		f.remove(e)
	default:
		panic(fmt.Sprintf("overlay: edit of unknown kind %d", e.Kind))
	}
}

// add puts a field at the end.
func (f *Fork) add(e Edit) {
	f.own()
	field := e.field()
	f.ids.insert(f.ids.len(), f.newID())
	f.fields.insert(f.fields.len(), field)
	f.steps = append(f.steps, step{kind: Add, field: field})
}

// insert puts a field before the one at a position. For the merge it notes the
// field that stands above, not the one below: then of two forks that insert at
// the same place the later one's field is the higher, as if they had run in order.
func (f *Fork) insert(e Edit) {
	f.own()
	at := max(e.Index, 0)
	if at >= f.ids.len() {
		f.add(e) // the end moves when another fork adds, so this is no place behind a node
		return
	}
	prev := int32(top)
	if at > 0 {
		prev = *f.ids.at(at - 1)
	}
	field := e.field()
	f.mark = mark{} // the new field may stand before it
	f.fields.insert(f.seen(at), field)
	f.ids.insert(at, f.newID())
	if at <= f.hidden {
		f.hidden++
	}
	f.steps = append(f.steps, step{kind: Insert, id: prev, field: field})
}

// change gives a field a new name and value, in place.
func (f *Fork) change(e Edit) {
	i := f.find(e.Name, e.Index)
	if i < 0 {
		f.add(e)
		return
	}
	f.own()
	field := e.field()
	*f.fields.at(i) = field
	f.steps = append(f.steps, step{kind: Change, id: *f.ids.at(f.position(i)), field: field})
}

// remove takes a field out of the fork's view, so that it does not count any more.
// In the header it becomes a tombstone.
func (f *Fork) remove(e Edit) {
	i := f.find(e.Name, e.Index)
	if i < 0 {
		return
	}
	f.own()
	at := f.position(i)
	f.steps = append(f.steps, step{kind: Delete, id: *f.ids.at(at)})
	f.fields.remove(i)
	f.ids.remove(at)
	if at < f.hidden {
		f.hidden--
	}
}

// own makes the view the fork's own before it is written to: the header, other
// forks and callers of Fields may hold the same slices.
func (f *Fork) own() {
	// A filter that edits at all mostly adds a few fields: room for them saves
	// growing the slices at once.
	const room = 8
	if !f.ownFields {
		f.fields.own(room)
		f.ownFields = true
	}
	if f.ownIDs {
		return
	}
	f.ownIDs = true
	if f.ids.len() > 0 {
		f.ids.own(room)
		return
	}
	// The header was never edited, so its nodes are in the order of their numbers.
	n := f.fields.len() + 1 // 1: the hidden one
	ids := make([]int32, n+room)
	for i := range n {
		ids[i] = int32(hidden + i)
	}
	f.ids = gapped[int32]{ids, n, n + room}
}

// newID returns a number for a new node: see step.id.
func (f *Fork) newID() int32 {
	f.made++
	return -f.made
}

// position returns where in ids the field stands that is number i of fields.
func (f *Fork) position(i int) int {
	if i >= f.hidden {
		return i + 1
	}
	return i
}

// seen returns where in fields something goes that is put at position at of ids.
func (f *Fork) seen(at int) int {
	if at > f.hidden {
		return at - 1
	}
	return at
}

// A mark is where the last search for a field ended. A filter that removes forged
// fields asks for each in turn, mostly from the last one up; a client may have
// sent tens of thousands of them, and counting from the top for each would take
// minutes.
type mark struct {
	name  string
	at    int // an index of fields
	count int // how many fields of that name stand before at
}

// find returns where in fields the index-th field of that name is, or -1. It
// leaves the mark there, so that the mark still holds when that field is deleted.
func (f *Fork) find(name string, index int) int {
	if f.mark.name != name {
		f.mark = mark{name: name}
	}
	before := max(index, 1) - 1 // this many of the name stand before the one looked for
	m := &f.mark
	for m.count > before {
		m.at--
		if SameName(f.fields.at(m.at).Name, name) {
			m.count--
		}
	}
	for ; m.at < f.fields.len(); m.at++ {
		if !SameName(f.fields.at(m.at).Name, name) {
			continue
		}
		if m.count == before {
			return m.at
		}
		m.count++
	}
	return -1
}

// field returns the edit's field in memory of its own.
func (e *Edit) field() Field {
	return Field{Name: []byte(e.Name), Value: []byte(e.Value), Added: true}
}

// SameName compares names without regard to the case of ASCII letters. The
// library's EqualFold would take more for equal than an MTA does: the Kelvin sign
// for a k.
func SameName(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// asciiLower returns the spelling that all names have which SameName takes for
// the same.
func asciiLower(name []byte) string {
	b := make([]byte, len(name))
	for i, c := range name {
		b[i] = lower(c)
	}
	return string(b)
}

// lower is the only case rule there is for field names: RFC 5322 §2.2 has them in
// ASCII, and other bytes are compared as they are.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}
