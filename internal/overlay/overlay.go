// Package overlay lays header edits over a message's header without copying
// the fields.
//
// The header stays where it was read; a [Header] is a list of nodes that point
// at it. A filter's edits are laid on a [Fork], a private view, and merged when
// its verdict counts, or dropped with the fork when it does not. Several filters
// that run at the same time each get a fork of the same state, and their forks
// are merged one after the other.
//
// Three rules carry the package:
//
//   - An edit speaks of a field by its index, but an index means something only
//     in the view of who wrote it. So each edit is resolved to the node that it
//     concerns at once, in its fork's own view, and a merge works on nodes alone.
//   - A node is never taken out of the list. A deleted one stays as a tombstone,
//     so that an edit of another fork still finds its place, and can bring the
//     field back.
//   - What is told to the MTA in the end is not the edits of the filters but the
//     difference between the first header and the last one: see [Header.Script].
//
// Indices and their limits follow Postfix, which applies each edit as it comes. A
// [SendmailHeader] follows Sendmail.
package overlay

import "slices"

// A Field is one field of a message's header. Both slices are views of memory
// that belongs to someone else: they are never written to, neither here nor by
// who is given a Field, and they live as long as the memory they were cut from.
type Field struct {
	// Name is the name of the field, without the colon, as it was spelt.
	Name []byte

	// Value is what stands after the colon: leading space and the LF of each
	// fold are kept, the end of line is not. It may be empty.
	Value []byte

	// Added tells a field that an edit has added or changed from one that came
	// with the message.
	Added bool
}

// A Kind says what an [Edit] does.
type Kind uint8

// The kinds of edit.
const (
	Add    Kind = iota // put a field at the end (SMFIR_ADDHEADER)
	Insert             // put a field before the one at a position (SMFIR_INSHEADER)
	Change             // give a field a new value (SMFIR_CHGHEADER)
	Delete             // take a field away (SMFIR_CHGHEADER with no value)
)

// An Edit is one change to a header, as data. It holds strings, which are safe
// to keep.
type Edit struct {
	Kind Kind

	// Index is not used by Add.
	//
	// Of an Insert it is a position in the list of all fields, the MTA's own
	// hidden Received among them: the field is put before the one that stands
	// there now, 0 is the top. Beyond the end it is put at the end; below 0 is 0.
	//
	// Of a Change or a Delete it says which field of that name, from 1; anything
	// below 1 is 1. The hidden Received is not counted, nor is what was deleted.
	Index int

	// Name is the field's name. To find a field, names are compared without
	// regard to the case of ASCII letters; a field that is changed takes over
	// this spelling.
	Name string

	// Value is the new value, as in [Field]. Delete does not use it. A Change
	// with an empty one is a Delete; Add and Insert take it as it is.
	Value string
}

// The nodes that every header has. Node i of the original header is first+i;
// new fields follow in the order in which they were merged.
const (
	top    = 0 // stands before all others and is no field: "after top" is position 0
	hidden = 1 // the MTA's own Received, which filters are not shown but have to count
	first  = 2
)

// none ends the list of nodes.
const none = -1

// A node is a field in its place. Nodes are linked by their numbers, so that
// putting one in between moves no other.
type node struct {
	field   Field // as it is now; for a deleted one, as it was last
	next    int32
	deleted bool // a tombstone: keeps its place, is not seen and not counted
}

// A view is the header as a filter sees it. It is never written to once it was
// handed to a fork or to a caller.
type view struct {
	fields []Field
	ids    []int32 // the node of each position, the hidden one included; nil: nothing was ever edited
	hidden int     // the position of the hidden one in ids
}

// A Header is the header of one message and all edits that were merged into it.
// It is used by one goroutine at a time; its forks are independent of it and of
// each other. The zero value is an empty header.
type Header struct {
	orig  []Field // as the MTA showed them; the caller's slice, never written to
	nodes []node  // nil until the first merge: most messages are never edited
	last  int32   // the node at the end of the list
	now   view    // what Fields returns; valid unless stale
	stale bool    // something was merged since now was built

	// generation counts the messages, so that a fork of the one before, which an
	// abandoned filter may still hold, cannot be merged into this one.
	generation uint64
}

// New returns the header of a message as the MTA showed it to its filters. The
// MTA's hidden Received is taken to stand before fields. The slice is kept, but
// not written to.
func New(fields []Field) *Header {
	h := &Header{}
	h.Reset(fields)
	return h
}

// Reset makes h the unedited header of another message, and uses the memory of
// the last one again. Slices that h has handed out stay as they are. Forks of
// the last message may still be used by their holders, but not merged.
func (h *Header) Reset(fields []Field) {
	clear(h.nodes) // or the views of the last message would be kept alive
	h.orig = fields
	h.nodes = h.nodes[:0]
	h.now = view{fields: fields}
	h.stale = false
	h.generation++
}

// Fields returns the header as a filter would see it now: in order, without
// what was deleted and without the hidden Received. As long as nothing was
// edited that is the slice given to New or Reset. The result must not be written
// to; h never changes a slice that it has returned.
func (h *Header) Fields() []Field {
	h.refresh()
	return h.now.fields
}

// Above returns how many of Fields stand above the MTA's hidden Received.
func (h *Header) Above() int {
	h.refresh()
	return h.now.hidden
}

// Edited reports whether an edit was merged. The header may be the original one
// all the same, when edits undid each other; then Script is empty.
func (h *Header) Edited() bool { return len(h.nodes) > 0 }

// refresh builds the present view, in new memory, because the old view may be in
// the hands of forks and callers.
func (h *Header) refresh() {
	if !h.stale {
		return
	}
	v := view{
		fields: make([]Field, 0, len(h.nodes)),
		ids:    make([]int32, 0, len(h.nodes)),
	}
	for id := h.nodes[top].next; id != none; id = h.nodes[id].next {
		n := &h.nodes[id]
		switch {
		case n.deleted:
			continue
		case id == hidden:
			v.hidden = len(v.ids)
		default:
			v.fields = append(v.fields, n.field)
		}
		v.ids = append(v.ids, id)
	}
	v.fields = slices.Clip(v.fields) // a caller that appends gets a slice of its own
	h.now, h.stale = v, false
}

// Merge lays the edits of f on h. It panics when f is not a fork of this
// message's header, or was merged before.
//
// Forks of the same state of h may be merged one after the other, and it is as
// if their filters had run in that order, on that state: of two edits of one
// field the later counts, whether it changes or deletes (a change brings a
// deleted field back to its place); an inserted field goes right behind the one
// that it followed in its own fork, so of two at the same place the later comes
// first; added ones come at the end in order.
//
// A fork that was made after all other merges has the same outcome as its edits
// applied by index.
func (h *Header) Merge(f *Fork) {
	switch {
	case f.of != h || f.generation != h.generation:
		panic("overlay: merge of a fork of another header")
	case f.merged:
		panic("overlay: fork merged twice")
	}
	f.merged = true
	if len(f.steps) == 0 {
		return
	}
	if len(h.nodes) == 0 {
		h.materialise()
	}
	h.stale = true

	// A fork numbers its new nodes from -1 downwards: here they get numbers of
	// their own, behind those of the forks that were merged before.
	base := int32(len(h.nodes))
	global := func(id int32) int32 {
		if id < 0 {
			return base - 1 - id
		}
		return id
	}
	for _, s := range f.steps {
		switch s.kind {
		case Add:
			h.link(h.last, s.field)
		case Insert:
			h.link(global(s.id), s.field)
		case Change:
			n := &h.nodes[global(s.id)]
			n.field, n.deleted = s.field, false
		case Delete:
			h.nodes[global(s.id)].deleted = true
		}
	}
}

// Apply lays the edits of filters on h: those of each on the present state, one
// after the other, then merged in order.
func (h *Header) Apply(group ...[]Edit) {
	forks := make([]*Fork, len(group))
	for i, edits := range group {
		forks[i] = h.Fork()
		for _, e := range edits {
			forks[i].Apply(e)
		}
	}
	for _, fork := range forks {
		h.Merge(fork)
	}
}

// materialise makes the nodes of the original header.
func (h *Header) materialise() {
	h.nodes = append(h.nodes, node{next: hidden}, node{next: first})
	for i, field := range h.orig {
		h.nodes = append(h.nodes, node{field: field, next: int32(first + i + 1)})
	}
	h.last = int32(len(h.nodes) - 1)
	h.nodes[h.last].next = none
}

// link makes a node for a new field and puts it directly behind node prev, which
// may be a tombstone.
func (h *Header) link(prev int32, field Field) {
	id := int32(len(h.nodes))
	h.nodes = append(h.nodes, node{field: field, next: h.nodes[prev].next})
	h.nodes[prev].next = id
	if prev == h.last {
		h.last = id
	}
}
