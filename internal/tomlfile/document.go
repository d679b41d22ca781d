// Package tomlfile reads TOML files that people write, so that what is wrong with
// one can be told: each key and value knows its place, mistakes are collected,
// and a word that is misspelt has the nearest one that there is.
package tomlfile

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

// A Place is where something stands in the file; both count from 1.
type Place struct{ Line, Column int }

// A Kind is what a value is, in the words of an error message.
type Kind string

// The kinds there are.
const (
	IsString  Kind = "a string"
	IsInteger Kind = "a whole number"
	IsFloat   Kind = "a number"
	IsBool    Kind = "true or false"
	IsDate    Kind = "a date or a time"
	IsArray   Kind = "a list"
	IsTable   Kind = "a table"
	IsTables  Kind = "a list of tables"
)

// A Value is one value of the document. Of a table Fields holds the content,
// of lists Items.
type Value struct {
	Kind   Kind
	At     Place
	Text   string
	Items  []*Value
	Fields []*Field

	raw    []byte // as it stands in the file, where it is a string
	header bool   // has a [header] of its own, so it cannot have a second one
	closed bool   // written in one piece: {…} or […]
}

// A Field is a key and its value.
type Field struct {
	Name string
	At   Place
	Val  *Value
}

// Field returns the field of that name of a table, or nil.
func (v *Value) Field(name string) *Field {
	for _, f := range v.Fields {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// document is the state of reading one.
type document struct {
	parser unstable.Parser
	lines  []int // offset of the first byte of each line
	report func(Place, string)
	root   *Value
}

// Parse reads data. It reports each mistake in the form of the document. The
// tree is nil where the syntax is wrong, since what then is missing is not the
// writer's fault.
func Parse(data []byte, report func(Place, string)) *Value {
	d := &document{root: &Value{Kind: IsTable, At: Place{1, 1}}, lines: []int{0}, report: report}
	for i, c := range data {
		if c == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	faults := 0
	d.report = func(at Place, message string) {
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
		at := Place{1, 1}
		var de *toml.DecodeError
		if errors.As(err, &de) {
			at.Line, at.Column = de.Position()
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
func (d *document) syntax(err error) Place {
	var pe *unstable.ParserError
	if !errors.As(err, &pe) || cap(pe.Highlight) == 0 {
		return d.at(max(0, len(d.parser.Data())-1))
	}
	offset := cap(d.parser.Data()) - cap(pe.Highlight)
	return d.at(min(max(0, offset), len(d.parser.Data())))
}

func (d *document) at(offset int) Place {
	line := sort.SearchInts(d.lines, offset+1)
	return Place{line, offset - d.lines[line-1] + 1}
}

// expression takes in one line of the document, and returns the table that the
// next key belongs to.
func (d *document) expression(section *Value, n *unstable.Node) *Value {
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
func (d *document) keys(n *unstable.Node) []Field {
	var parts []Field
	for it := n.Key(); it.Next(); {
		k := it.Node()
		parts = append(parts, Field{Name: string(k.Data), At: d.at(int(k.Raw.Offset))})
	}
	return parts
}

// header opens [path] or [[path]].
func (d *document) header(path []Field, list bool) *Value {
	last := path[len(path)-1]
	parent := d.descend(d.root, path[:len(path)-1])
	f := parent.Field(last.Name)
	if f == nil {
		f = &Field{last.Name, last.At, &Value{Kind: IsTable, At: last.At}}
		if list {
			f.Val.Kind = IsTables
		}
		parent.Fields = append(parent.Fields, f)
	}
	switch {
	case list && f.Val.Kind == IsTables && !f.Val.closed:
		item := &Value{Kind: IsTable, At: last.At, header: true}
		f.Val.Items = append(f.Val.Items, item)
		return item
	case !list && f.Val.Kind == IsTable && !f.Val.closed && !f.Val.header:
		f.Val.header = true
		return f.Val
	case !list && f.Val.Kind == IsTable && f.Val.header:
		d.report(last.At, fmt.Sprintf("[%s] is here a second time; the first is in line %d", dotted(path), f.At.Line))
		return f.Val
	}
	d.report(last.At, fmt.Sprintf("%s is %s since line %d", dotted(path), f.Val.Kind, f.At.Line))
	return &Value{Kind: IsTable, At: last.At}
}

// descend walks down path, making the tables that are missing.
func (d *document) descend(t *Value, path []Field) *Value {
	for i, k := range path {
		f := t.Field(k.Name)
		if f == nil {
			f = &Field{k.Name, k.At, &Value{Kind: IsTable, At: k.At}}
			t.Fields = append(t.Fields, f)
		}
		switch {
		case f.Val.Kind == IsTable && !f.Val.closed:
			t = f.Val
		case f.Val.Kind == IsTables && len(f.Val.Items) > 0 && !f.Val.closed:
			t = f.Val.Items[len(f.Val.Items)-1]
		default:
			d.report(k.At, fmt.Sprintf("%s is %s since line %d", dotted(path[:i+1]), f.Val.Kind, f.At.Line))
			return &Value{Kind: IsTable, At: k.At}
		}
	}
	return t
}

// assign takes in key = value.
func (d *document) assign(section *Value, n *unstable.Node) {
	path := d.keys(n)
	last := path[len(path)-1]
	parent := d.descend(section, path[:len(path)-1])
	if f := parent.Field(last.Name); f != nil {
		d.report(last.At, fmt.Sprintf("%s is set a second time; the first is in line %d", dotted(path), f.At.Line))
		return
	}
	parent.Fields = append(parent.Fields, &Field{last.Name, last.At, d.value(n.Value(), last.At)})
}

// value takes in a value; key is the place of its key, for values that do not
// know their own.
func (d *document) value(n *unstable.Node, key Place) *Value {
	v := &Value{At: key, Text: string(n.Data)}
	if n.Raw.Length > 0 {
		v.At = d.at(int(n.Raw.Offset))
		v.raw = d.parser.Raw(n.Raw)
	}
	switch n.Kind {
	case unstable.String:
		v.Kind = IsString
	case unstable.Integer:
		v.Kind = IsInteger
	case unstable.Float:
		v.Kind = IsFloat
	case unstable.Bool:
		v.Kind = IsBool
	case unstable.Array:
		v.Kind, v.closed = IsArray, true
		tables := 0
		for it := n.Children(); it.Next(); {
			item := d.value(it.Node(), key)
			v.Items = append(v.Items, item)
			if item.Kind == IsTable {
				tables++
			}
		}
		if tables > 0 && tables == len(v.Items) {
			v.Kind = IsTables
		}
	case unstable.InlineTable:
		v.Kind = IsTable
		for it := n.Children(); it.Next(); {
			d.assign(v, it.Node())
		}
		v.closed = true
	default:
		v.Kind = IsDate
	}
	return v
}

func dotted(path []Field) string {
	names := make([]string, len(path))
	for i := range path {
		names[i] = path[i].Name
		if names[i] == "" || strings.ContainsFunc(names[i], isControl) {
			names[i] = strconv.Quote(names[i])
		}
	}
	return strings.Join(names, ".")
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }
