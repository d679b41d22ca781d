package config

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// This file makes a tree of a TOML document in which each key and value knows
// its place. The decoder of go-toml would stop at the first wrong value, and
// forget where the right ones stood.

// A place is where something stands in the file; both count from 1.
type place struct{ line, column int }

// A kind is what a value is, in the words of an error message.
type kind string

const (
	isString  kind = "a string"
	isInteger kind = "a whole number"
	isFloat   kind = "a number"
	isBool    kind = "true or false"
	isDate    kind = "a date or a time"
	isArray   kind = "a list"
	isTable   kind = "a table"
	isTables  kind = "a list of tables"
)

// A value is one value of the document. Of a table fields holds the content,
// of lists items.
type value struct {
	kind   kind
	at     place
	text   string
	raw    []byte // as it stands in the file, where it is a string
	items  []*value
	fields []*field

	header bool // has a [header] of its own, so it cannot have a second one
	closed bool // written in one piece: {…} or […]
}

// A field is a key and its value.
type field struct {
	name string
	at   place
	val  *value
}

func (v *value) field(name string) *field {
	for _, f := range v.fields {
		if f.name == name {
			return f
		}
	}
	return nil
}

// document is the state of reading one.
type document struct {
	parser unstable.Parser
	lines  []int // offset of the first byte of each line
	report func(place, string)
	root   *value
}

// parse reads data. It reports each mistake in the form of the document. The
// tree is nil where the syntax is wrong, since what then is missing is not the
// administrator's fault.
func parse(data []byte, report func(place, string)) *value {
	d := &document{root: &value{kind: isTable, at: place{1, 1}}, lines: []int{0}, report: report}
	for i, c := range data {
		if c == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	faults := 0
	d.report = func(at place, message string) {
		faults++
		report(at, message)
	}
	d.parser.Reset(data)
	section := d.root
	for d.parser.NextExpression() {
		section = d.expression(section, d.parser.Expression())
	}
	if err := d.parser.Error(); err != nil {
		d.report(d.syntax(err), syntaxMessage(err))
		return nil
	}
	// Whatever the tree takes and TOML does not (2026-02-31, say) is found by
	// the decoder proper.
	if err := toml.Unmarshal(data, new(map[string]any)); err != nil && faults == 0 {
		at := place{1, 1}
		var de *toml.DecodeError
		if errors.As(err, &de) {
			at.line, at.column = de.Position()
		}
		d.report(at, syntaxMessage(err))
		return nil
	}
	return d.root
}

func syntaxMessage(err error) string {
	message := strings.TrimPrefix(err.Error(), "toml: ")
	if strings.Contains(message, "start of value") {
		message += ` (text stands in quotes: "…")`
	}
	return "this is not TOML: " + message
}

// syntax is the place of a parser's error.
func (d *document) syntax(err error) place {
	var pe *unstable.ParserError
	if !errors.As(err, &pe) || cap(pe.Highlight) == 0 {
		return d.at(max(0, len(d.parser.Data())-1))
	}
	offset := cap(d.parser.Data()) - cap(pe.Highlight)
	return d.at(min(max(0, offset), len(d.parser.Data())))
}

func (d *document) at(offset int) place {
	line := sort.SearchInts(d.lines, offset+1)
	return place{line, offset - d.lines[line-1] + 1}
}

// expression takes in one line of the document, and returns the table that the
// next key belongs to.
func (d *document) expression(section *value, n *unstable.Node) *value {
	switch n.Kind {
	case unstable.Table:
		return d.header(d.keys(n), false)
	case unstable.ArrayTable:
		return d.header(d.keys(n), true)
	case unstable.KeyValue:
		d.assign(section, n)
	}
	return section
}

// keys returns the parts of a dotted key, as fields without values.
func (d *document) keys(n *unstable.Node) []field {
	var parts []field
	for it := n.Key(); it.Next(); {
		k := it.Node()
		parts = append(parts, field{name: string(k.Data), at: d.at(int(k.Raw.Offset))})
	}
	return parts
}

// header opens [path] or [[path]].
func (d *document) header(path []field, list bool) *value {
	last := path[len(path)-1]
	parent := d.descend(d.root, path[:len(path)-1])
	f := parent.field(last.name)
	if f == nil {
		f = &field{last.name, last.at, &value{kind: isTable, at: last.at}}
		if list {
			f.val.kind = isTables
		}
		parent.fields = append(parent.fields, f)
	}
	switch {
	case list && f.val.kind == isTables && !f.val.closed:
		item := &value{kind: isTable, at: last.at, header: true}
		f.val.items = append(f.val.items, item)
		return item
	case !list && f.val.kind == isTable && !f.val.closed && !f.val.header:
		f.val.header = true
		return f.val
	case !list && f.val.kind == isTable && f.val.header:
		d.report(last.at, fmt.Sprintf("[%s] is here a second time; the first is in line %d", dotted(path), f.at.line))
		return f.val
	}
	d.report(last.at, fmt.Sprintf("%s is %s since line %d", dotted(path), f.val.kind, f.at.line))
	return &value{kind: isTable, at: last.at}
}

// descend walks down path, making the tables that are missing.
func (d *document) descend(t *value, path []field) *value {
	for i, k := range path {
		f := t.field(k.name)
		if f == nil {
			f = &field{k.name, k.at, &value{kind: isTable, at: k.at}}
			t.fields = append(t.fields, f)
		}
		switch {
		case f.val.kind == isTable && !f.val.closed:
			t = f.val
		case f.val.kind == isTables && len(f.val.items) > 0 && !f.val.closed:
			t = f.val.items[len(f.val.items)-1]
		default:
			d.report(k.at, fmt.Sprintf("%s is %s since line %d", dotted(path[:i+1]), f.val.kind, f.at.line))
			return &value{kind: isTable, at: k.at}
		}
	}
	return t
}

// assign takes in key = value.
func (d *document) assign(section *value, n *unstable.Node) {
	path := d.keys(n)
	last := path[len(path)-1]
	parent := d.descend(section, path[:len(path)-1])
	if f := parent.field(last.name); f != nil {
		d.report(last.at, fmt.Sprintf("%s is set a second time; the first is in line %d", dotted(path), f.at.line))
		return
	}
	parent.fields = append(parent.fields, &field{last.name, last.at, d.value(n.Value(), last.at)})
}

// value takes in a value; key is the place of its key, for values that do not
// know their own.
func (d *document) value(n *unstable.Node, key place) *value {
	v := &value{at: key, text: string(n.Data)}
	if n.Raw.Length > 0 {
		v.at = d.at(int(n.Raw.Offset))
		v.raw = d.parser.Raw(n.Raw)
	}
	switch n.Kind {
	case unstable.String:
		v.kind = isString
	case unstable.Integer:
		v.kind = isInteger
	case unstable.Float:
		v.kind = isFloat
	case unstable.Bool:
		v.kind = isBool
	case unstable.Array:
		v.kind, v.closed = isArray, true
		tables := 0
		for it := n.Children(); it.Next(); {
			item := d.value(it.Node(), key)
			v.items = append(v.items, item)
			if item.kind == isTable {
				tables++
			}
		}
		if tables > 0 && tables == len(v.items) {
			v.kind = isTables
		}
	case unstable.InlineTable:
		v.kind = isTable
		for it := n.Children(); it.Next(); {
			d.assign(v, it.Node())
		}
		v.closed = true
	default:
		v.kind = isDate
	}
	return v
}

func dotted(path []field) string {
	names := make([]string, len(path))
	for i := range path {
		names[i] = path[i].name
		if names[i] == "" || strings.ContainsFunc(names[i], isControl) {
			names[i] = strconv.Quote(names[i])
		}
	}
	return strings.Join(names, ".")
}
