package options

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/milterkit/sdk/internal/tomlfile"
)

// This file has lists of tables, and how their options are called. The path of an
// option is its name, behind that of its section and a dot: "quota.mail". The
// tables of a list are counted from 1: "rule[2].match".

// item is the path of the table at index i, which counts from 0.
func item(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i+1) }

var indices = regexp.MustCompile(`\[[0-9]+\]`)

// heading is how the file begins a section, or a table of a list.
func heading(path string) string {
	path = strings.TrimSuffix(path, ".")
	name := strings.TrimSuffix("milter.options."+indices.ReplaceAllString(path, ""), ".")
	if strings.HasSuffix(path, "]") {
		return "[[" + name + "]]"
	}
	return "[" + name + "]"
}

// writeTables says what would be right in place of a list's value.
func writeTables(list string) string {
	return "write a table for each, which begins with " + heading(item(list, 0))
}

// tables reads a list of tables into a slice of structs. It takes the place of the
// default; what a table does not set is zero.
func (r *reader) tables(path string, v *tomlfile.Value, fields []field, into reflect.Value) {
	switch {
	case v.Kind == tomlfile.IsTable:
		r.report(v.At, fmt.Sprintf("%s: there can be several; begin each with %s, in double brackets", path, heading(item(path, 0))))
		return
	case v.Kind != tomlfile.IsTables && v.Kind != tomlfile.IsArray:
		r.report(v.At, fmt.Sprintf("%s: this is %s; %s", path, v.Kind, writeTables(path)))
		return
	}
	items := reflect.MakeSlice(into.Type(), len(v.Items), len(v.Items))
	for i, t := range v.Items {
		full := item(path, i)
		if t.Kind != tomlfile.IsTable {
			r.report(t.At, fmt.Sprintf("%s: this is %s; %s", full, t.Kind, writeTables(path)))
			continue
		}
		r.out.places[full] = t.At
		r.section(full+".", t, fields, items.Index(i))
	}
	into.Set(items)
}

// placeOf returns where an option stands, and else the table that it would stand
// in, where the file has that.
func (o *Options) placeOf(path string) (at tomlfile.Place, set bool) {
	at, set = o.places[path]
	for table := path; !set && strings.Contains(table, "]"); {
		table = table[:strings.LastIndexByte(table, ']')]
		at, set = o.places[table+"]"]
	}
	return at, set
}

// known reports whether path is one of the fields of a struct, or of their fields.
func known(path, prefix string, fields []field, v reflect.Value) bool {
	for _, f := range fields {
		full, at := prefix+f.name, v.Field(f.index)
		if path == full || f.section && known(path, full+".", f.fields, at) {
			return true
		}
		for i := 0; f.tables && i < at.Len(); i++ {
			table := item(full, i)
			if path == table || known(path, table+".", f.fields, at.Index(i)) {
				return true
			}
		}
	}
	return false
}
