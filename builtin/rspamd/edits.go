package rspamd

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/milterkit/sdk/builtin/internal/fieldname"
	"github.com/milterkit/sdk/milterkit"
)

// spamField is the field that marks spam.
const spamField = "X-Spam"

// An editor makes the changes that rspamd asks for, as its own milter would. They
// are collected first, since it counts the fields of the message as it was shown it.
type editor struct {
	m     *milterkit.Message
	e     *milterkit.Edits
	gone  map[string][]int // the fields to be removed, by their name in small letters
	count int              // fields of the header
}

func newEditor(m *milterkit.Message, e *milterkit.Edits) *editor {
	d := &editor{m: m, e: e, gone: make(map[string][]int)}
	nth := 0
	for _, f := range m.Header() {
		d.count++
		// A mark that came with the message is forged.
		if fieldname.Is(f, spamField) {
			if nth++; !f.Added {
				d.remove(spamField, nth)
			}
		}
	}
	return d
}

// block does what the milter block says about header and envelope. Values of another
// type than they should be mean nothing to rspamd's own milter, nor here.
func (d *editor) block(b *milterBlock) {
	for _, r := range b.Remove {
		for _, value := range r.values() {
			var n float64
			if json.Unmarshal(value, &n) == nil {
				d.removeNth(r.name, place(n))
			}
		}
	}
	d.removeAll()
	for _, a := range b.Add {
		for _, value := range a.values() {
			d.add(a.name, value)
		}
	}
	if b.ChangeFrom != "" {
		d.e.ChangeSender(bare(b.ChangeFrom))
	}
	for _, to := range b.AddRcpt {
		d.e.AddRecipient(bare(to))
	}
	for _, to := range b.DelRcpt {
		d.e.DeleteRecipient(d.asItCame(to))
	}
}

// place is a number of a field, which no header has more than a million of.
func place(n float64) int { return int(max(-1e6, min(1e6, n))) }

// bare is an address without its angle brackets.
func bare(addr string) string { return milterkit.NewAddress(addr).Addr }

// asItCame returns a recipient as the mail server has it.
func (d *editor) asItCame(addr string) string {
	for _, to := range d.m.Recipients {
		if to.Addr == bare(addr) {
			return to.Raw
		}
	}
	return addr
}

// removeNth notes that a field goes: the nth of that name, 0 for all, below zero
// counted from the last.
func (d *editor) removeNth(name string, n int) {
	there := 0
	for _, f := range d.m.Header() {
		if fieldname.Is(f, name) {
			there++
		}
	}
	switch {
	case n == 0:
		for i := range there {
			d.remove(name, i+1)
		}
	case n < 0:
		n += there + 1
	}
	if n > 0 && n <= there {
		d.remove(name, n)
	}
}

func (d *editor) remove(name string, nth int) {
	key := strings.ToLower(name)
	d.gone[key] = append(d.gone[key], nth)
}

// removeAll removes what is noted, of each name from the last to the first.
func (d *editor) removeAll() {
	for _, name := range slices.Sorted(maps.Keys(d.gone)) {
		list := d.gone[name]
		slices.Sort(list)
		list = slices.Compact(list) // noted twice, it goes once
		for _, nth := range slices.Backward(list) {
			d.e.DeleteHeader(name, nth)
		}
		d.count -= len(list)
	}
	clear(d.gone)
}

// add adds a field: a text at the end, or a value with a place. Below zero that is
// counted from the end; the mail server's own Received counts as 0.
func (d *editor) add(name string, value json.RawMessage) {
	var field struct {
		Value        *string
		Order, Index *float64
	}
	var text string
	if json.Unmarshal(value, &text) == nil {
		field.Value = &text
	} else if json.Unmarshal(value, &field) != nil || field.Value == nil {
		return
	}
	at := -1
	if order := cmp.Or(field.Order, field.Index); order != nil {
		at = place(*order)
	}
	switch {
	case at == -1:
		d.e.AddHeader(name, lines(*field.Value))
	case at >= 0:
		d.e.InsertHeader(at, name, lines(*field.Value))
	default:
		d.e.InsertHeader(max(0, d.count+at+2), name, lines(*field.Value))
	}
	d.count++
}

// lines is a value with line ends as milters have them.
func lines(value string) string { return strings.ReplaceAll(value, "\r\n", "\n") }

// set has one field of that name, with that value.
func (d *editor) set(name, value string) { d.e.SetHeader(name, lines(value)) }
