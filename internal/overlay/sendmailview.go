package overlay

import (
	"iter"
	"math"
	"slices"
)

// A sendmailView is the list as one filter has made it.
type sendmailView struct {
	top   *entry
	list  []*viewed
	names map[string]*namesakes
	steps []sendmailStep
}

// namesakes are the entries of one name, as they stand in the list.
type namesakes struct {
	list  []*viewed
	users int // of them count for changes
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
	v := sendmailView{top: &h.top, list: make([]*viewed, len(all)), names: make(map[string]*namesakes)}
	for i := range all {
		x := &all[i]
		v.list[i] = x
		same := v.named(x.name)
		same.list = append(same.list, x)
		if x.user {
			same.users++
		}
	}
	return v
}

// named returns the entries of a name, which is in small letters.
func (v *sendmailView) named(name string) *namesakes {
	same := v.names[name]
	if same == nil {
		same = &namesakes{}
		v.names[name] = same
	}
	return same
}

func (v *sendmailView) apply(e Edit) {
	same := v.named(asciiLower([]byte(e.Name)))
	switch remove := e.Kind == Delete || e.Value == ""; e.Kind {
	case Insert:
		v.insert(e, same)
	case Add:
		if x := same.own(slices.Values(same.list)); x != nil {
			v.change(x, e, same)
			return
		}
		v.add(e, same)
	default:
		x := same.numbered(e.Index)
		switch {
		case x != nil && remove:
			v.steps = append(v.steps, sendmailStep{kind: Delete, entry: x.entry})
		case x != nil:
			v.change(x, e, same)
		case !remove:
			v.add(e, same)
		}
	}
}

// own returns the first entry, in an order, that is treated as one of Sendmail's
// own, or nil.
func (n *namesakes) own(order iter.Seq[*viewed]) *viewed {
	if n.users == len(n.list) {
		return nil
	}
	for x := range order {
		if !x.user && !slices.Contains(traces, x.name) {
			return x
		}
	}
	return nil
}

// numbered returns the entry that a change means, or nil.
func (n *namesakes) numbered(number int) *viewed {
	if number = max(number, 1); number <= n.users {
		for _, x := range n.list {
			if x.user {
				if number--; number == 0 {
					return x
				}
			}
		}
	}
	return n.own(func(yield func(*viewed) bool) {
		for _, x := range slices.Backward(n.list) {
			if !yield(x) {
				return
			}
		}
	})
}

// change gives a field a value.
func (v *sendmailView) change(x *viewed, e Edit, same *namesakes) {
	if !x.user {
		x.user = true
		same.users++
	}
	v.steps = append(v.steps, sendmailStep{kind: Change, entry: x.entry, value: e.field().Value})
}

// add puts a new field before the first of its name, or at the end.
func (v *sendmailView) add(e Edit, same *namesakes) {
	at := len(v.list)
	if len(same.list) > 0 {
		at = slices.Index(v.list, same.list[0])
	}
	v.put(at, e, same, 0, sendmailStep{kind: Add})
}

// insert puts a new field before the one at a position.
func (v *sendmailView) insert(e Edit, same *namesakes) {
	e.Index = min(max(e.Index, 0), math.MaxInt32)
	at := e.Index
	switch {
	case at == 0:
		v.put(0, e, same, 0, sendmailStep{kind: Insert, behind: v.top})
	case at < len(v.list):
		v.put(at, e, same, v.rank(at, same), sendmailStep{kind: Insert, behind: v.list[at-1].entry})
	default:
		v.put(len(v.list), e, same, len(same.list), sendmailStep{kind: Insert})
	}
}

// rank returns how many of the namesakes stand before a position.
func (v *sendmailView) rank(at int, same *namesakes) int {
	if len(same.list) > 0 {
		name := same.list[0].name
		for _, x := range v.list[at:] {
			if x.name == name {
				return slices.Index(same.list, x)
			}
		}
	}
	return len(same.list)
}

// put makes the step that puts a new field at a position; rank is how many of its
// namesakes are before it.
func (v *sendmailView) put(at int, e Edit, same *namesakes, rank int, s sendmailStep) {
	s.entry = &entry{field: e.field(), kind: added}
	s.entry.name = asciiLower(s.entry.field.Name)
	if e.Kind == Insert {
		s.entry.kind, s.entry.beyond = inserted, e.Index-at
	}
	x := &viewed{s.entry, true}
	v.list = slices.Insert(v.list, at, x)
	same.list = slices.Insert(same.list, rank, x)
	same.users++
	v.steps = append(v.steps, s)
}
