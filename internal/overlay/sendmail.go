package overlay

import "slices"

// A SendmailHeader is what a [Header] is, with edits applied as Sendmail does. It
// keeps fields in a list of its own kind, and every one of these rules differs
// from Postfix:
//
//   - A deleted field stays in the list without a value. It counts for positions
//     for ever, and for the numbers of its name until the next filter; after that
//     it is like one of Sendmail's own.
//   - Sendmail's own fields stand before those of the message, whether it will
//     write them or not, and count for positions. No filter is shown them.
//   - An add fills a field of that name that is Sendmail's own or was deleted
//     before this filter; failing that it goes before the first field of that
//     name, and only then to the end.
//   - A change that finds no field of that number does the same with the last
//     one of Sendmail's own. A changed field keeps the spelling of its name.
//
// Sources: sendmail/milter.c, milter_headers, milter_addheader, milter_insheader,
// milter_changeheader; sendmail/headers.c, addheader, insheader.
type SendmailHeader struct {
	orig   []Field
	top    entry // stands before the list; its next is nil until something was edited
	last   *entry
	first  map[string]*entry // of each name
	fields []Field           // what Fields returns; valid unless stale
	stale  bool
}

// An entry is a place in Sendmail's list.
type entry struct {
	prev  *entry
	next  *entry
	name  string // of the field, in small letters
	field Field
	kind  entryKind
	gone  bool // without a value
	set   bool // a preset that a filter has given a value or taken it from

	// beyond is how far behind the end an insert was to go: only Sendmail
	// knows where that is.
	beyond int
}

type entryKind uint8

const (
	original entryKind = iota // of the message as it came
	added                     // of a filter, by an add
	inserted                  // of a filter, by an insert
	preset                    // Sendmail's own
	received                  // Sendmail's own, which no filter can change
)

// presets are Sendmail's own fields, in order. There is one more before the
// Received, Return-Path: behind the first of its fields is Sendmail's position 0.
// Source: sendmail's cf/m4/proto.m4, "Format of headers".
var presets = []string{"Resent-Date", "Date", "Resent-From", "From", "Full-Name", "Resent-Message-Id", "Message-Id"}

// traces are the names of fields that an add or a change never fills in that way.
// Source: sendmail/conf.c, HdrInfo, H_TRACE.
var traces = []string{"received", "x400-received", "via", "mail-from"}

// Reset makes h the unedited header of another message.
func (h *SendmailHeader) Reset(fields []Field) {
	*h = SendmailHeader{orig: fields, fields: fields}
}

// Fields returns the header as a filter would see it now, under the rules of
// [Header.Fields].
func (h *SendmailHeader) Fields() []Field {
	if h.stale {
		h.fields, h.stale = nil, false
		for e := h.top.next; e != nil; e = e.next {
			if e.shown() {
				h.fields = append(h.fields, e.field)
			}
		}
		h.fields = slices.Clip(h.fields)
	}
	return h.fields
}

// Above returns how many of Fields stand above Sendmail's Received.
func (h *SendmailHeader) Above() (n int) {
	for e := h.top.next; e != nil && e.kind != received; e = e.next {
		if e.shown() {
			n++
		}
	}
	return n
}

// there reports whether the field has a place in Sendmail's list from the start.
func (e *entry) there() bool { return e.kind != added && e.kind != inserted }

// shown reports whether filters see the field.
func (e *entry) shown() bool {
	return !e.gone && e.kind != received && (e.kind != preset || e.set)
}

// Apply lays the edits of filters on h, under the rules of [Header.Apply].
func (h *SendmailHeader) Apply(group ...[]Edit) {
	if h.top.next == nil {
		h.materialise()
	}
	h.stale = true
	views := make([]sendmailView, len(group))
	for i, edits := range group {
		views[i] = h.view()
		for _, e := range edits {
			views[i].apply(e)
		}
	}
	for i := range views {
		for _, commit := range views[i].steps {
			h.commit(commit)
		}
	}
}

// materialise makes the list.
func (h *SendmailHeader) materialise() {
	entries := make([]entry, 1, 1+len(presets)+len(h.orig))
	entries[0] = entry{field: Field{Name: []byte("Received")}, kind: received}
	for _, name := range presets {
		entries = append(entries, entry{field: Field{Name: []byte(name)}, kind: preset})
	}
	for _, f := range h.orig {
		entries = append(entries, entry{field: f})
	}
	h.last, h.first = &h.top, make(map[string]*entry)
	for i := range entries {
		e := &entries[i]
		e.name = asciiLower(e.field.Name)
		h.put(e, h.last)
		if h.first[e.name] == nil {
			h.first[e.name] = e
		}
	}
}

// put puts an entry behind another one.
func (h *SendmailHeader) put(e, prev *entry) {
	e.prev, e.next = prev, prev.next
	prev.next = e
	if e.next != nil {
		e.next.prev = e
	} else {
		h.last = e
	}
}

// commit makes one edit that was resolved in a filter's view.
func (h *SendmailHeader) commit(s sendmailStep) {
	e := s.entry
	switch s.kind {
	case Change:
		e.field.Value, e.field.Added, e.gone, e.set = s.value, true, false, true
	case Delete:
		e.field.Value, e.gone, e.set = nil, true, true
	case Add:
		if first := h.first[e.name]; first != nil {
			h.put(e, first.prev)
		} else {
			h.put(e, h.last)
		}
		h.first[e.name] = e
	case Insert:
		h.insert(e, s.behind)
	}
}

// insert puts a new entry behind another one; nil is the end.
func (h *SendmailHeader) insert(e, behind *entry) {
	first := h.first[e.name]
	switch {
	case behind == nil:
		h.put(e, h.last)
	case behind == &h.top || first == nil:
		h.put(e, behind)
		first = nil
	default:
		h.put(e, behind)
		next := e.next
		for next != nil && next.name != e.name {
			next = next.next
		}
		if next == first {
			first = nil // it stands before what was the first
		}
	}
	if first == nil {
		h.first[e.name] = e
	}
}
