package options

import (
	"cmp"
	"encoding"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"time"

	"github.com/milterkit/sdk/internal/tomlfile"
)

// A Setting is an option and its value: a string, bool, int64, uint64, float64,
// or a []any or map[string]any of these. That of a list of tables is a [][]Setting.
type Setting struct {
	Option string         // a dot stands before the name of one in a section
	At     tomlfile.Place // zero where it is the default
	Value  any
	Secret bool // a string that nobody may be shown
}

// Settings returns all options, in the order of the struct, but for pointers that
// are nil: those are not set. In a table, where the default is always zero, it
// leaves out what nobody has set.
func (o *Options) Settings() []Setting { return o.settings("", "", o.schema.fields, o.value) }

// settings returns those of a struct. table is the path of the table that it
// stands in, section the rest of its own.
func (o *Options) settings(table, section string, fields []field, v reflect.Value) []Setting {
	var all []Setting
	for _, known := range fields {
		name, at := section+known.name, v.Field(known.index)
		place, set := o.places[table+name]
		switch {
		case known.section:
			all = append(all, o.settings(table, name+".", known.fields, at)...)
		case at.Kind() == reflect.Pointer && at.IsNil(), table != "" && !set && at.IsZero():
		case known.tables:
			tables := make([][]Setting, at.Len())
			for i := range tables {
				tables[i] = o.settings(item(table+name, i)+".", "", known.fields, at.Index(i))
			}
			all = append(all, Setting{Option: name, At: place, Value: tables})
		default:
			all = append(all, Setting{name, place, plain(at, known.size), known.secret})
		}
	}
	return all
}

// eachOption calls f for each option of a struct, and of the sections and tables
// in it.
func eachOption(path string, fields []field, v reflect.Value, f func(path string, v reflect.Value, size bool)) {
	for _, known := range fields {
		at, full := v.Field(known.index), path+known.name
		switch {
		case known.section:
			eachOption(full+".", known.fields, at, f)
		case known.tables:
			for i := range at.Len() {
				eachOption(item(full, i)+".", known.fields, at.Index(i), f)
			}
		default:
			f(full, at, known.size)
		}
	}
}

// plain is a value in the types of a Setting.
func plain(v reflect.Value, size bool) any {
	switch t := v.Type(); {
	case isText(t):
		return textOf(v)
	case t == durationType:
		d, _ := reflect.TypeAssert[time.Duration](v)
		return tomlfile.FormatDuration(d)
	case t.Kind() == reflect.Slice:
		items := make([]any, v.Len())
		for i := range items {
			items[i] = plain(v.Index(i), size)
		}
		return items
	case t.Kind() == reflect.Map:
		table := make(map[string]any, v.Len())
		for key, item := range v.Seq2() {
			table[key.String()] = plain(item, size)
		}
		return table
	case size && v.CanInt():
		return tomlfile.Size(v.Int()).String()
	case size:
		return tomlfile.Size(min(v.Uint(), math.MaxInt64)).String()
	case v.CanInt():
		return v.Int()
	case v.CanUint():
		return v.Uint()
	case t.Kind() == reflect.Float32: // 0.1, not 0.10000000149011612
		x, _ := strconv.ParseFloat(strconv.FormatFloat(v.Float(), 'g', -1, 32), 64)
		return x
	case v.CanFloat():
		return v.Float()
	case t.Kind() == reflect.Bool:
		return v.Bool()
	}
	return v.String()
}

// textOf is the text of a value that has one, "" where it cannot tell.
func textOf(v reflect.Value) string {
	p := v
	switch {
	case v.Kind() != reflect.Pointer:
		p = reflect.New(v.Type())
		p.Elem().Set(v)
	case v.IsNil():
		return ""
	}
	text, err := p.Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return ""
	}
	return string(text)
}

// samples are right values of types whose own messages do not say what would be.
var samples = map[reflect.Type]string{
	reflect.TypeFor[netip.Prefix]():   "192.0.2.0/24",
	reflect.TypeFor[netip.AddrPort](): "127.0.0.1:53",
	reflect.TypeFor[netip.Addr]():     "192.0.2.1",
}

// example is a right value, as a message names it: the default, where that is
// something, else one of the kind. It is "" where there is none.
func example(like reflect.Value, size bool) string {
	switch t := like.Type(); {
	case isText(t):
		if text := cmp.Or(textOf(like), samples[t]); text != "" {
			return tomlfile.Literal(text)
		}
		return ""
	case !like.IsZero():
		return tomlfile.Literal(plain(like, size))
	case t == durationType:
		return `"10s"`
	case size:
		return `"10MiB"`
	case t.Kind() == reflect.String:
		return `"text"`
	case t.Kind() == reflect.Bool:
		return "true"
	case like.CanFloat():
		return "0.5"
	}
	return "10"
}

// anyExample is example for an option of any type, and never "".
func anyExample(like reflect.Value, size bool) string {
	single := isText(like.Type())
	switch k := like.Kind(); {
	case k == reflect.Slice && !single:
		return listExample(like, size)
	case k == reflect.Map && !single:
		return tableExample(like, size)
	}
	return cmp.Or(example(like, size), `"…"`)
}

// listExample is example for lists.
func listExample(like reflect.Value, size bool) string {
	if like.Len() > 0 && like.Len() <= 3 {
		return tomlfile.Literal(plain(like, size))
	}
	if item := example(reflect.New(like.Type().Elem()).Elem(), size); item != "" {
		return "[" + item + "]"
	}
	return `["…"]`
}

// tableExample is example for tables.
func tableExample(like reflect.Value, size bool) string {
	if like.Len() > 0 && like.Len() <= 3 {
		return tomlfile.Literal(plain(like, size))
	}
	e := reflect.New(like.Type().Elem()).Elem()
	item := cmp.Or(example(e, size), `"…"`)
	if e.Kind() == reflect.Slice && !isText(e.Type()) {
		item = listExample(e, size)
	}
	return `{"key" = ` + item + "}"
}
