// Package fieldname is about the names of header fields.
package fieldname

import "github.com/milterkit/sdk/milterkit"

// Is reports whether a field has that name, as MTAs compare names and as edits count
// fields: without regard to the case of ASCII letters. (strings.EqualFold takes "ſ" for
// an s, so that a stranger's field of such a name would be counted too, and an edit
// meant for the one behind it would go astray.)
func Is(f milterkit.Field, name string) bool { return Same(f.Name, name) }

// Same is Is for the name alone.
func Same(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
