package options

import (
	"errors"
	"reflect"

	"github.com/milterkit/sdk/internal/tomlfile"
)

// Options are the options of one child, as the file has them.
type Options struct {
	schema *Schema
	value  reflect.Value             // the struct
	places map[string]tomlfile.Place // where those stand that the file sets

	missing []Fault
}

// Value returns the struct.
func (o *Options) Value() any { return o.value.Interface() }

// Missing tells of the options that the file must set and does not, each in the
// place of its section, which is zero where there is no [milter.options]. One that
// the file seems to have under a wrong name is not among them.
func (o *Options) Missing() []Fault { return o.missing }

// Validate asks the struct itself, where it has a method for that.
func (o *Options) Validate() error {
	if v, ok := o.value.Addr().Interface().(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// A Fault is something wrong with options that could be read.
type Fault struct {
	Option  string         // "" where it is about none of them alone
	At      tomlfile.Place // zero where the file has no such place
	Message string
}

// Faults takes apart an error of the child's. Those within it that have a method
// Option are about the option of that name.
func (o *Options) Faults(err error) []Fault {
	if several := joined(err); several != nil {
		var all []Fault
		for _, e := range several {
			all = append(all, o.Faults(e)...)
		}
		return all
	}
	var about interface {
		error
		Option() string
	}
	message := oneLine(err)
	if !errors.As(err, &about) || !known(about.Option(), "", o.schema.fields, o.value) {
		return []Fault{{Message: message}}
	}
	at, set := o.placeOf(about.Option())
	if !set {
		message += " (this is the default)"
	}
	return []Fault{{about.Option(), at, message}}
}

// joined returns the errors of which errors.Join has made err, or nil.
func joined(err error) []error {
	several, ok := err.(interface{ Unwrap() []error })
	if !ok || err.Error() != errors.Join(several.Unwrap()...).Error() {
		return nil
	}
	return several.Unwrap()
}
