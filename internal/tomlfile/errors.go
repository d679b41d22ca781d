package tomlfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An Error is something wrong at one place of a file.
type Error struct {
	File    string
	Line    int // the first is 1; 0: no place in the file, such as a default
	Column  int // in bytes, the first is 1
	Message string
}

// Error writes the place, as compilers do, and the message.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// Errors is all that is wrong with a file, by place.
type Errors []*Error

// Error writes one line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Sort puts the errors in the order of the file; those of one place stay as
// they were found.
func (e Errors) Sort() {
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
