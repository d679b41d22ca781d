package overlay

import (
	"bytes"
	"math"
	"slices"
)

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
	top    entry   // stands before the list; its next is nil until something was edited
	fields []Field // what Fields returns; valid unless stale
	stale  bool
}

// An entry is a place in Sendmail's list.
type entry struct {
	next  *entry
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
	last := &h.top
	for i := range entries {
		last.next = &entries[i]
		last = last.next
	}
}

// commit makes one edit that was resolved in a filter's view.
func (h *SendmailHeader) commit(s sendmailStep) {
	e, prev := s.entry, s.behind
	switch s.kind {
	case Change:
		e.field.Value, e.gone, e.set = s.value, false, true
		return
	case Delete:
		e.field.Value, e.gone, e.set = nil, true, true
		return
	case Add:
		name := string(e.field.Name)
		for prev = &h.top; prev.next != nil && !sameName(prev.next.field.Name, name); {
			prev = prev.next
		}
	case Insert:
		if prev == nil {
			for prev = &h.top; prev.next != nil; {
				prev = prev.next
			}
		}
	}
	prev.next, e.next = e, prev.next
}

// A sendmailView is the list as one filter has made it.
type sendmailView struct {
	top   *entry
	list  []*viewed
	users map[string][]*viewed // those that count for changes, by name, as they were asked for
	steps []sendmailStep
}

// viewed is an entry as one filter has made it.
type viewed struct {
	*entry
	user bool // counts for changes: Sendmail's H_USER
}

// A sendmailStep is an edit resolved to entries.
type sendmailStep struct {
	kind   Kind
	entry  *entry // that is new, or changes
	behind *entry // of an insert: where it goes; nil is the end
	value  []byte // of a change
}

func (h *SendmailHeader) view() sendmailView {
	var all []viewed
	for e := h.top.next; e != nil; e = e.next {
		all = append(all, viewed{e, e.shown()})
	}
	v := sendmailView{top: &h.top, list: make([]*viewed, len(all)), users: make(map[string][]*viewed)}
	for i := range all {
		v.list[i] = &all[i]
	}
	return v
}

func (v *sendmailView) apply(e Edit) {
	switch remove := e.Kind == Delete || e.Value == ""; e.Kind {
	case Insert:
		v.insert(e)
	case Add:
		if i := v.index(e.Name, (*viewed).own); i < len(v.list) {
			v.change(v.list[i], e)
			return
		}
		v.add(e)
	default:
		x := v.numbered(e.Name, e.Index)
		switch {
		case x != nil && remove:
			v.steps = append(v.steps, sendmailStep{kind: Delete, entry: x.entry})
		case x != nil:
			v.change(x, e)
		case !remove:
			v.add(e)
		}
	}
}

// own reports whether the field is treated as one of Sendmail's own.
func (x *viewed) own() bool {
	return !x.user && !slices.Contains(traces, asciiLower(x.field.Name))
}

// index returns where the first field of that name is of which is holds.
func (v *sendmailView) index(name string, is func(*viewed) bool) int {
	for i, x := range v.list {
		if sameName(x.field.Name, name) && is(x) {
			return i
		}
	}
	return len(v.list)
}

// numbered returns the field that a change means, or nil.
func (v *sendmailView) numbered(name string, number int) *viewed {
	key := asciiLower([]byte(name))
	users, known := v.users[key]
	if !known {
		for _, x := range v.list {
			if x.user && sameName(x.field.Name, name) {
				users = append(users, x)
			}
		}
		v.users[key] = users
	}
	if number = max(number, 1); number <= len(users) {
		return users[number-1]
	}
	for _, x := range slices.Backward(v.list) {
		if sameName(x.field.Name, name) && x.own() {
			return x
		}
	}
	return nil
}

// change gives a field a value.
func (v *sendmailView) change(x *viewed, e Edit) {
	if !x.user {
		x.user = true
		delete(v.users, asciiLower(x.field.Name))
	}
	v.steps = append(v.steps, sendmailStep{kind: Change, entry: x.entry, value: e.field().Value})
}

// add puts a new field before the first of its name, or at the end.
func (v *sendmailView) add(e Edit) {
	at := v.index(e.Name, func(*viewed) bool { return true })
	v.put(at, e, sendmailStep{kind: Add})
}

// insert puts a new field before the one at a position.
func (v *sendmailView) insert(e Edit) {
	e.Index = min(max(e.Index, 0), math.MaxInt32)
	at := e.Index
	switch {
	case at == 0:
		v.put(at, e, sendmailStep{kind: Insert, behind: v.top})
	case at < len(v.list):
		v.put(at, e, sendmailStep{kind: Insert, behind: v.list[at-1].entry})
	default:
		v.put(len(v.list), e, sendmailStep{kind: Insert})
	}
}

func (v *sendmailView) put(at int, e Edit, s sendmailStep) {
	s.entry = &entry{field: e.field(), kind: added}
	if e.Kind == Insert {
		s.entry.kind, s.entry.beyond = inserted, e.Index-at
	}
	v.list = slices.Insert(v.list, at, &viewed{s.entry, true})
	delete(v.users, asciiLower(s.entry.field.Name))
	v.steps = append(v.steps, s)
}

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
		name := asciiLower(e.field.Name)
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
				x = Edit{Kind: Delete, Index: numbers[asciiLower(e.field.Name)] + 1, Name: name}
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
		name := asciiLower(e.field.Name)
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
				list = append(list, &entry{field: e.field, kind: inserted})
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
		name := asciiLower(e.field.Name)
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
		case names[name] == 0 && !open[name] && (next == nil || asciiLower(next.field.Name) == name):
			x.Kind, x.Index = Add, 0
		case next == nil:
			x.Index = math.MaxInt32 // wherever that is
		}
		edits = append(edits, x)
		next = e
	}
	return edits
}
