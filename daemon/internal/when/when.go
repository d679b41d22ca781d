// Package when compiles the conditions of the configuration file: under which
// of them a milter is asked at all.
//
// A condition is written in a small part of the language of
// github.com/expr-lang/expr. There are true and false, text, lists of text, and
// numbers to compare; names for what is known of a message; a few functions;
// operators. Everything else is refused when it is compiled, so that the whole
// language fits on one page and no condition can fail later. The parser is that of
// expr; what it has read becomes a function of Go for each part, so that to ask a
// condition allocates nothing. In reading order:
//
//	syntax.go    what is no word of the language, and what is out of place
//	words.go     the names, and what they are
//	check.go     operators and types, and at which stage all is known
//	calls.go     the functions
//	children.go  what milters before this one have said
//	macro.go     at which stage MTAs tell a macro
//	never.go     what a name is never equal to
//	env.go       what conditions know besides the message
package when

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/expr-lang/expr/file"

	"github.com/milterkit/sdk/milterkit"
)

// An Error is what is wrong at one place of a condition. Its message fits on a
// line.
type Error struct {
	Offset  int // in bytes, of the condition's text
	Message string

	// Unknown is the word that the message is about, where that might be a
	// misspelling of one of Known.
	Unknown string
	Known   []string
}

// maxLength bounds a condition in bytes, so that the parser, which calls itself
// for each parenthesis, cannot run out of stack.
const maxLength = 64 << 10

// Compile compiles a condition, or tells all that is wrong with it, in the
// order of the text. The condition's name is its text. Files that it names are
// read. before are the milters that are asked before the one that it is of; nil
// where it is of no milter.
func (e *Env) Compile(text string, before []Milter) (milterkit.Condition, []Error) {
	c := &compiler{env: e, text: text, before: before, at: milterkit.StageConnect}
	var whole part
	if tree := c.parse(); tree != nil {
		whole = c.condition(tree)
	}
	if len(c.errs) > 0 {
		slices.SortStableFunc(c.errs, func(a, b Error) int { return cmp.Compare(a.Offset, b.Offset) })
		return milterkit.Condition{}, c.errs
	}
	return milterkit.Condition{Name: text, At: c.at, Holds: whole.truth, Macros: c.macros}, nil
}

// compiler is the state of compiling one condition.
type compiler struct {
	env    *Env
	text   string
	before []Milter
	at     milterkit.Stage // the first stage at which all that was met is known
	macros map[milterkit.Stage][]string
	errs   []Error
}

// report notes what is wrong at a place, which expr counts in characters.
func (c *compiler) report(at file.Location, format string, args ...any) {
	c.errs = append(c.errs, Error{Offset: c.offset(at.From), Message: fmt.Sprintf(format, args...)})
}

// reportWord is report of a word that might be a misspelling of one of known.
func (c *compiler) reportWord(at file.Location, word string, known []string, message string) {
	c.errs = append(c.errs, Error{Offset: c.offset(at.From), Message: message, Unknown: word, Known: known})
}

// foreign notes an error that expr has found.
func (c *compiler) foreign(err error) {
	var fe *file.Error
	if !errors.As(err, &fe) {
		fe = &file.Error{Message: err.Error()}
	}
	c.report(fe.Location, "%q", fe.Message)
}

// offset returns where a character begins.
func (c *compiler) offset(characters int) int {
	i := 0
	for ; characters > 0 && i < len(c.text); characters-- {
		_, n := utf8.DecodeRuneInString(c.text[i:])
		i += n
	}
	return i
}
