// Package options reads the section [milter.options] of a native child into a
// struct that is the child's own, and shows what came of it.
package options

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/milterkit/sdk/internal/tomlfile"
)

// A Schema is what options a child has: the fields of a struct.
type Schema struct {
	defaults reflect.Value
	fields   []field
}

// A field is one option, or a section of more, or a list of such sections.
type field struct {
	name    string
	index   int
	size    bool // an integer that is written as a size, or some of them
	needed  bool // the file must set it; the default is only an example
	secret  bool // a string that nobody is shown
	section bool
	tables  bool
	fields  []field // of the section, or of each table
}

// New returns the Schema of a struct, whose values are the defaults. An error
// says which field cannot be an option; it is the fault of whoever wrote the
// struct.
func New(defaults any) (*Schema, error) {
	v := reflect.ValueOf(defaults)
	if v.Kind() != reflect.Struct {
		return nil, fmt.Errorf("options are a struct; %T is none", defaults)
	}
	fields, err := fieldsOf(v.Type(), nil)
	if err != nil {
		return nil, err
	}
	s := &Schema{v, fields}
	return s, s.checkDefaults()
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// fieldsOf returns the options that a struct has, which stands within the others.
func fieldsOf(t reflect.Type, within []reflect.Type) ([]field, error) {
	if slices.Contains(within, t) {
		return nil, fmt.Errorf("%s has tables of its own kind within it, which would never end", t)
	}
	within = append(slices.Clip(within), t)
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("toml")
		if tag == "-" || !f.IsExported() && !tagged && !f.Anonymous {
			continue
		}
		made, err := fieldOf(f, tag, within)
		made.index = i
		if err == nil && slices.ContainsFunc(fields, func(other field) bool { return other.name == made.name }) {
			err = fmt.Errorf("another field is the option %q already", made.name)
		}
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t, f.Name, err)
		}
		fields = append(fields, made)
	}
	return fields, nil
}

func fieldOf(f reflect.StructField, tag string, within []reflect.Type) (field, error) {
	name, extra, more := strings.Cut(tag, ",")
	if name == "" {
		name = snake(f.Name)
	}
	made := field{name: name}
	for word := ""; more; {
		word, extra, more = strings.Cut(extra, ",")
		switch word {
		case "size":
			made.size = true
		case "required":
			made.needed = true
		case "secret":
			made.secret = true
		default:
			return made, fmt.Errorf(`the tag "%s" has %q, which means nothing here; there are "size", "required" and "secret"`, tag, word)
		}
	}
	switch {
	case f.Anonymous:
		return made, errors.New("an embedded field is no option; give it a name")
	case !f.IsExported():
		return made, errors.New("a field that is not exported cannot be set; begin its name with a capital letter")
	case !bareKey.MatchString(name):
		return made, fmt.Errorf("%q is not the name of an option; it has letters, digits, _ and -", name)
	case isSection(f.Type) && made.needed:
		return made, errors.New("a section is not required, but each of its options can be")
	case made.secret && (f.Type.Kind() != reflect.String || isText(f.Type)):
		return made, errors.New("a secret is a string")
	case (isSection(f.Type) || isTables(f.Type)) && made.size:
		return made, errSize
	}
	var err error
	switch {
	case isSection(f.Type):
		made.section = true
		made.fields, err = fieldsOf(f.Type, within)
	case isTables(f.Type):
		made.tables = true
		made.fields, err = fieldsOf(f.Type.Elem(), within)
	default:
		err = checkType(f.Type, made.size)
	}
	return made, err
}

// isSection reports whether a type is a struct of options.
func isSection(t reflect.Type) bool { return t.Kind() == reflect.Struct && !isText(t) }

// isTables reports whether a type is a list of such structs.
func isTables(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && !isText(t) && isSection(t.Elem())
}

// snake writes MaxRcpt as max_rcpt, and UseTLSFor as use_tls_for.
func snake(name string) string {
	var b strings.Builder
	letters := []rune(name)
	for i, r := range letters {
		afterSmall := i > 0 && !unicode.IsUpper(letters[i-1])
		beforeSmall := i > 0 && i+1 < len(letters) && unicode.IsLower(letters[i+1])
		if unicode.IsUpper(r) && (afterSmall || beforeSmall) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

var (
	durationType    = reflect.TypeFor[time.Duration]()
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
	marshalerType   = reflect.TypeFor[encoding.TextMarshaler]()
)

// isText reports whether a type reads itself from text. A pointer to one does,
// too, and is nil where the option is not set.
func isText(t reflect.Type) bool {
	if t.Kind() != reflect.Pointer {
		t = reflect.PointerTo(t)
	}
	return t.Implements(unmarshalerType)
}

var errSize = errors.New("a size is an integer, or several")

// checkType says why there can be no option of a type.
func checkType(t reflect.Type, size bool) error {
	if isText(t) {
		return checkSingle(t, size)
	}
	switch t.Kind() {
	case reflect.Slice:
		return checkSingle(t.Elem(), size)
	case reflect.Map:
		if t.Key().Kind() != reflect.String || isText(t.Key()) {
			return fmt.Errorf("the keys of a table are strings, not %s", t.Key())
		}
		if e := t.Elem(); e.Kind() == reflect.Slice && !isText(e) {
			return checkSingle(e.Elem(), size)
		}
		return checkSingle(t.Elem(), size)
	}
	return checkSingle(t, size)
}

// checkSingle is checkType for what is neither a list nor a table.
func checkSingle(t reflect.Type, size bool) error {
	integer := t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64 && !isText(t) && t != durationType
	switch {
	case size && !integer:
		return errSize
	case isText(t):
		p := t
		if t.Kind() != reflect.Pointer {
			p = reflect.PointerTo(t)
		}
		if !p.Implements(marshalerType) {
			return fmt.Errorf("%s has UnmarshalText; give it MarshalText too, for show-config", t)
		}
		return nil
	case integer, slices.Contains([]reflect.Kind{reflect.String, reflect.Bool, reflect.Float32, reflect.Float64}, t.Kind()), t == durationType:
		return nil
	}
	return fmt.Errorf("%s cannot be read from the file; an option is a string, bool, number, time.Duration, a type with UnmarshalText, "+
		"a list of these, a map from string to these, a struct, or a list of structs", t)
}

// checkDefaults says which of the defaults, as show-config would print it, could
// not be read again.
func (s *Schema) checkDefaults() (err error) {
	eachOption("", s.fields, s.defaults, func(path string, v reflect.Value, size bool) {
		if err != nil || v.Kind() == reflect.Pointer && v.IsNil() {
			return
		}
		shown := plain(v, size)
		text := "v = " + tomlfile.Literal(shown)
		fault := func(_ tomlfile.Place, message string) {
			if err == nil {
				err = fmt.Errorf("the default of the option %s could not be written into the file: %s", path, strings.TrimPrefix(message, path+": "))
			}
		}
		again := reflect.New(v.Type()).Elem()
		if root := tomlfile.Parse([]byte(text), fault); root != nil {
			r := &reader{report: fault}
			r.value(path, root.Fields[0].Val, again, size)
		}
		if err == nil && !reflect.DeepEqual(plain(again, size), shown) {
			fault(tomlfile.Place{}, fmt.Sprintf("%s would be read as %s", text[4:], tomlfile.Literal(plain(again, size))))
		}
	})
	return err
}
