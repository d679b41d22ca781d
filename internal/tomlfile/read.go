package tomlfile

import "fmt"

// Text returns the reader of a string, of which parse makes the value; example
// is a right one.
func Text[T any](example string, parse func(string) (T, error)) func(*Value) (T, error) {
	return func(v *Value) (T, error) {
		if v.Kind != IsString {
			var none T
			return none, fmt.Errorf("this is %s; write text in quotes, such as %q", v.Kind, example)
		}
		return parse(v.Text)
	}
}

// Bool reads true or false.
func Bool(v *Value) (bool, error) {
	if v.Kind != IsBool {
		return false, fmt.Errorf("this is %s; write true or false, without quotes", v.Kind)
	}
	return v.Text == "true", nil
}
