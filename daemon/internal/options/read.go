package options

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/milterkit/sdk/internal/nearest"
	"github.com/milterkit/sdk/internal/tomlfile"
)

// A reader reads one section [milter.options].
type reader struct {
	out    *Options
	report func(tomlfile.Place, string)
	home   func(key string) string
}

// Read reads the section; t is nil where the file has none. What is wrong is
// reported. home returns the section that a key belongs to which is none of the
// options, or "".
func (s *Schema) Read(t *tomlfile.Value, home func(key string) string, report func(tomlfile.Place, string)) *Options {
	o := &Options{schema: s, value: reflect.New(s.defaults.Type()).Elem(), places: make(map[string]tomlfile.Place)}
	o.value.Set(s.defaults)
	if t == nil {
		t = &tomlfile.Value{Kind: tomlfile.IsTable}
	}
	r := &reader{o, report, home}
	r.section("", t, s.fields, o.value)
	return o
}

// Has reports whether there is an option of that name.
func (s *Schema) Has(name string) bool {
	return slices.ContainsFunc(s.fields, func(f field) bool { return f.name == name })
}

// section reads the fields of a struct, and notes what is missing; path is where
// it stands, with a dot behind it.
func (r *reader) section(path string, t *tomlfile.Value, fields []field, into reflect.Value) {
	title := heading(path)
	var there []string
	for _, f := range t.Fields {
		i := slices.IndexFunc(fields, func(known field) bool { return known.name == f.Name })
		if i < 0 {
			r.report(f.At, r.unknown(title, f.Name, fields))
			there = append(there, nearest.To(f.Name, names(fields)))
			continue
		}
		there = append(there, f.Name)
		known, full := fields[i], path+f.Name
		r.out.places[full] = f.At
		switch {
		case known.tables:
			r.tables(full, f.Val, known.fields, into.Field(known.index))
		case !known.section:
			r.value(full, f.Val, into.Field(known.index), known.size)
		case f.Val.Kind == tomlfile.IsTable:
			r.section(full+".", f.Val, known.fields, into.Field(known.index))
		default:
			r.report(f.Val.At, fmt.Sprintf("%s: this is %s; write a section of its own, %s", full, f.Val.Kind, heading(full)))
		}
	}
	for _, known := range fields {
		full, like := path+known.name, into.Field(known.index)
		switch {
		case slices.Contains(there, known.name):
		case known.section: // as if it were there, and empty
			r.section(full+".", &tomlfile.Value{Kind: tomlfile.IsTable, At: t.At}, known.fields, like)
		case known.needed && known.tables:
			r.out.missing = append(r.out.missing, Fault{full, t.At, fmt.Sprintf("%s needs %q; %s", title, known.name, writeTables(full))})
		case known.needed:
			r.out.missing = append(r.out.missing, Fault{full, t.At,
				fmt.Sprintf("%s needs %q, for example %s = %s", title, known.name, known.name, anyExample(like, known.size))})
		}
	}
}

func names(fields []field) []string {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].name
	}
	return names
}

// unknown is the message for a key that is none of the fields.
func (r *reader) unknown(section, key string, fields []field) string {
	if home := r.home(key); home != "" {
		return fmt.Sprintf("%q does not belong in %s, it belongs under %s", key, section, home)
	}
	names := names(fields)
	message := fmt.Sprintf("unknown key %q in %s", key, section)
	switch near := nearest.DidYouMean(key, names); {
	case near != "":
		return message + near
	case len(names) == 0:
		return message + ", which has none"
	case len(names) == 1:
		return message + "; there is " + names[0]
	}
	return message + "; there are " + strings.Join(names, ", ")
}

// value reads one option, or an item of one. into holds the default.
func (r *reader) value(path string, v *tomlfile.Value, into reflect.Value, size bool) {
	var err error
	switch t := into.Type(); {
	case isText(t):
		err = readText(v, into)
	case size && t.Kind() != reflect.Slice && t.Kind() != reflect.Map:
		err = readSize(v, into)
	case t == durationType:
		err = readDuration(v, into)
	default:
		switch t.Kind() {
		case reflect.Slice:
			err = r.list(path, v, into, size)
		case reflect.Map:
			err = r.table(path, v, into, size)
		case reflect.String:
			err = readString(v, into)
		case reflect.Bool:
			var b bool
			if b, err = tomlfile.Bool(v); err == nil {
				into.SetBool(b)
			}
		case reflect.Float32, reflect.Float64:
			err = readFloat(v, into)
		default:
			err = readInteger(v, into)
		}
	}
	if err != nil {
		r.report(v.At, path+": "+oneLine(err))
	}
}

// list reads a list into a slice. It takes the place of the default.
func (r *reader) list(path string, v *tomlfile.Value, into reflect.Value, size bool) error {
	if v.Kind != tomlfile.IsArray && v.Kind != tomlfile.IsTables {
		return fmt.Errorf("this is %s; write a list, such as %s", v.Kind, listExample(into, size))
	}
	items := reflect.MakeSlice(into.Type(), len(v.Items), len(v.Items))
	for i, item := range v.Items {
		r.value(path, item, items.Index(i), size)
	}
	into.Set(items)
	return nil
}

// table reads a table into a map. It takes the place of the default.
func (r *reader) table(path string, v *tomlfile.Value, into reflect.Value, size bool) error {
	t := into.Type()
	if v.Kind != tomlfile.IsTable {
		return fmt.Errorf("this is %s; write a table, such as %s", v.Kind, tableExample(into, size))
	}
	table := reflect.MakeMap(t)
	for _, f := range v.Fields {
		item := reflect.New(t.Elem()).Elem()
		r.value(path, f.Val, item, size)
		table.SetMapIndex(reflect.ValueOf(f.Name).Convert(t.Key()), item)
	}
	into.Set(table)
	return nil
}

// readText has a value read itself.
func readText(v *tomlfile.Value, into reflect.Value) error {
	such := example(into, false)
	if such != "" {
		such = " such as " + such
	}
	if v.Kind != tomlfile.IsString {
		return fmt.Errorf("this is %s; write text in quotes%s", v.Kind, strings.Replace(such, " ", ", ", 1))
	}
	t := into.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	made := reflect.New(t)
	if err := made.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(v.Text)); err != nil {
		if such != "" {
			such = "; write text" + such
		}
		return fmt.Errorf("%q is wrong: %w%s", v.Text, err, such)
	}
	if into.Kind() != reflect.Pointer {
		made = made.Elem()
	}
	into.Set(made)
	return nil
}

func readString(v *tomlfile.Value, into reflect.Value) error {
	if v.Kind != tomlfile.IsString {
		return fmt.Errorf("this is %s; write text in quotes, such as %s", v.Kind, example(into, false))
	}
	into.SetString(v.Text)
	return nil
}

func readDuration(v *tomlfile.Value, into reflect.Value) error {
	if v.Kind != tomlfile.IsString {
		return fmt.Errorf("this is %s; write text in quotes, such as %s", v.Kind, example(into, false))
	}
	d, err := tomlfile.ParseDuration(v.Text)
	if err == nil {
		into.SetInt(int64(d))
	}
	return err
}

func readSize(v *tomlfile.Value, into reflect.Value) error {
	n, err := tomlfile.ReadSize(v)
	if err == nil && n < 0 {
		err = fmt.Errorf("%d is less than 0; write a size such as %s", n, example(into, true))
	}
	if err == nil {
		err = setInteger(int64(n), into)
	}
	return err
}

func readInteger(v *tomlfile.Value, into reflect.Value) error {
	if v.Kind != tomlfile.IsInteger {
		return fmt.Errorf("this is %s; write a whole number, without quotes, such as %s", v.Kind, example(into, false))
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(v.Text, "_", ""), 0, 64)
	if err != nil {
		return fmt.Errorf("%s is too large", v.Text)
	}
	return setInteger(n, into)
}

// setInteger puts n where there is room for it.
func setInteger(n int64, into reflect.Value) error {
	bits := into.Type().Bits()
	if into.CanInt() {
		least, most := int64(math.MinInt64)>>(64-bits), int64(math.MaxInt64)>>(64-bits)
		if n < least || n > most {
			return fmt.Errorf("%d is not between %d and %d", n, least, most)
		}
		into.SetInt(n)
		return nil
	}
	if n < 0 {
		return fmt.Errorf("%d is less than 0; write a whole number such as %s", n, example(into, false))
	}
	if most := uint64(math.MaxUint64) >> (64 - bits); uint64(n) > most {
		return fmt.Errorf("%d is not between 0 and %d", n, most)
	}
	into.SetUint(uint64(n))
	return nil
}

func readFloat(v *tomlfile.Value, into reflect.Value) error {
	if v.Kind != tomlfile.IsFloat && v.Kind != tomlfile.IsInteger {
		return fmt.Errorf("this is %s; write a number, without quotes, such as %s", v.Kind, example(into, false))
	}
	text := strings.ReplaceAll(v.Text, "_", "")
	x, err := strconv.ParseFloat(text, 64)
	if n, whole := strconv.ParseInt(text, 0, 64); whole == nil && v.Kind == tomlfile.IsInteger {
		x, err = float64(n), nil // of other bases, too
	}
	if err != nil || math.IsInf(x, 0) || math.IsNaN(x) || into.OverflowFloat(x) {
		return fmt.Errorf("%s is no number to work with; write one such as %s", v.Text, example(into, false))
	}
	into.SetFloat(x)
	return nil
}

// oneLine is what an error says, fit for a message that has a line to itself.
func oneLine(err error) string {
	text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}
