// Package when compiles the conditions of the configuration file: under which
// of them a milter is asked at all.
//
// A condition is written in a small part of the language of
// github.com/expr-lang/expr. There are true and false, text, and lists of text;
// names for what is known of a message; two functions; operators. Everything
// else is refused when it is compiled, so that the whole language fits on one
// page and no condition can fail later. The package works in three steps, one
// file each:
//
//	syntax.go    what is no word of the language, and what is out of place
//	check.go     names, functions and types, and at which stage all is known
//	when.go      the compiled condition, and what it is asked about
//	macro.go     at which stage MTAs tell a macro
//	network.go   networks, and who is local
package when

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/milterkit/sdk/builtin/s25r"
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
// order of the text. The condition's name is its text.
func Compile(text string) (milterkit.Condition, []Error) {
	c := &compiler{text: text, at: milterkit.StageConnect, networks: networks{}}
	if tree := c.parse(); tree != nil {
		c.condition(tree)
	}
	if len(c.errs) > 0 {
		slices.SortStableFunc(c.errs, func(a, b Error) int { return cmp.Compare(a.Offset, b.Offset) })
		return milterkit.Condition{}, c.errs
	}
	program, err := expr.Compile(text, expr.Env(env{}), expr.AsBool(), expr.WarnOnAny(), expr.DisableAllBuiltins(),
		expr.Function("cidr", c.networks.cidr, new(func(string, ...string) bool)))
	if err != nil {
		// What has been checked is compiled; this is the net below it.
		c.foreign(err)
		return milterkit.Condition{}, c.errs
	}
	return milterkit.Condition{Name: text, At: c.at, Holds: test{program, c.s25r}.holds, Macros: c.macros}, nil
}

// compiler is the state of compiling one condition.
type compiler struct {
	text     string
	at       milterkit.Stage // the first stage at which all that was met is known
	macros   map[milterkit.Stage][]string
	networks networks
	s25r     bool // the condition names it
	errs     []Error
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

// env is what a condition is asked about, by the names it has there.
type env struct {
	Authenticated bool                     `expr:"authenticated"`
	Local         bool                     `expr:"local"`
	S25R          bool                     `expr:"s25r"`
	Client        client                   `expr:"client"`
	Helo          string                   `expr:"helo"`
	MailFrom      string                   `expr:"mail_from"`
	RcptTo        string                   `expr:"rcpt_to"`
	Macro         func(name string) string `expr:"macro"`
}

type client struct {
	Addr string `expr:"addr"`
	Name string `expr:"name"`
}

// test is a compiled condition. Many sessions may ask it at the same time.
type test struct {
	program *vm.Program
	s25r    bool // whether it is asked for, since the rules are many
}

// holds is the test of a milterkit.Condition. Nothing that is compiled can fail;
// if it did, that would be the failure of the child, whose default action
// decides: a guess could let mail pass by a filter.
func (t test) holds(_ context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
	s := e.Session
	endUser := false
	if t.s25r {
		_, endUser = s25r.Default.EndUser(s)
	}
	result, err := expr.Run(t.program, env{
		Authenticated: s.Macro("auth_authen") != "",
		Local:         local(s),
		S25R:          endUser,
		Client:        client{Addr: clientAddr(s), Name: s.Host},
		Helo:          s.Helo,
		MailFrom:      e.Sender.Addr,
		RcptTo:        to.Addr,
		Macro:         s.Macro,
	})
	if err != nil {
		panic(err)
	}
	return result.(bool)
}

// clientAddr returns the client's address as Postfix writes it, whichever MTA
// asks, or what the MTA has said where that is none.
func clientAddr(s *milterkit.Session) string {
	if addr := s.Client().Addr(); addr != (netip.Addr{}) {
		return addr.String()
	}
	return s.Addr
}
