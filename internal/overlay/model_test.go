package overlay

import (
	"slices"
	"strings"
)

// The model: a header as plain strings in a plain slice, edited in place as an
// MTA does it. What the package answers must agree with this.

type modelField struct {
	name, value string
	hidden      bool // the MTA's own Received
	gone        bool // deleted, but still counted: Sendmail only
}

type model struct {
	fields   []modelField
	sendmail bool // deletes do not renumber
}

func newModel(fields []Field) *model {
	m := &model{fields: []modelField{{name: "Received", value: " by the MTA", hidden: true}}}
	for _, f := range fields {
		m.fields = append(m.fields, modelField{name: string(f.Name), value: string(f.Value)})
	}
	return m
}

func (m *model) apply(e Edit) {
	added := modelField{name: e.Name, value: e.Value}
	switch {
	case e.Kind == Add:
		m.fields = append(m.fields, added)
	case e.Kind == Insert:
		at := min(max(e.Index, 0), len(m.present()))
		for i := range m.fields { // step over the tombstones of Sendmail
			if at == 0 {
				m.fields = slices.Insert(m.fields, i, added)
				return
			}
			if !m.fields[i].gone {
				at--
			}
		}
		m.fields = append(m.fields, added)
	default:
		remove := e.Kind == Delete || e.Value == ""
		left := max(e.Index, 1)
		for i, f := range m.fields {
			if f.hidden || modelName(f.name) != modelName(e.Name) {
				continue
			}
			if left--; left > 0 {
				continue
			}
			switch {
			case !remove:
				m.fields[i] = added
			case m.sendmail:
				m.fields[i].gone = true
			default:
				m.fields = slices.Delete(m.fields, i, i+1)
			}
			return
		}
		if !remove {
			m.fields = append(m.fields, added)
		}
	}
}

func (m *model) present() []modelField {
	return slices.DeleteFunc(slices.Clone(m.fields), func(f modelField) bool { return f.gone })
}

// text is what a filter is shown, a line a field.
func (m *model) text() string {
	var b strings.Builder
	for _, f := range m.present() {
		if !f.hidden {
			b.WriteString(f.name + ":" + f.value + "\n")
		}
	}
	return b.String()
}

// full is the same with the place of the hidden Received marked.
func (m *model) full() string {
	var b strings.Builder
	for _, f := range m.present() {
		if f.hidden {
			b.WriteString("[hidden]\n")
		} else {
			b.WriteString(f.name + ":" + f.value + "\n")
		}
	}
	return b.String()
}

func modelName(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func text(fields []Field) string {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(string(f.Name) + ":" + string(f.Value) + "\n")
	}
	return b.String()
}

// fullText is what Header holds, with the place of the hidden Received marked.
func fullText(h *Header) string {
	h.refresh()
	if h.now.ids == nil {
		return "[hidden]\n" + text(h.now.fields)
	}
	var b strings.Builder
	for _, id := range h.now.ids {
		if id == hidden {
			b.WriteString("[hidden]\n")
		} else {
			b.WriteString(text([]Field{h.nodes[id].field}))
		}
	}
	return b.String()
}

// header makes fields of lines "Name: value".
func header(lines ...string) []Field {
	var fields []Field
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		fields = append(fields, Field{Name: []byte(name), Value: []byte(value)})
	}
	return fields
}
