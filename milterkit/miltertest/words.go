package miltertest

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/milterkit/sdk/milterkit/wire"
)

// words are the commands as they stand in scripts, records and on command
// lines, in the order of an SMTP session.
var words = []struct {
	cmd  byte
	word string
}{
	{wire.CmdNegotiate, "negotiate"},
	{wire.CmdMacros, "macros"},
	{wire.CmdConnect, "connect"},
	{wire.CmdHelo, "helo"},
	{wire.CmdMail, "mail"},
	{wire.CmdRcpt, "rcpt"},
	{wire.CmdData, "data"},
	{wire.CmdHeader, "header"},
	{wire.CmdEOH, "eoh"},
	{wire.CmdBody, "body"},
	{wire.CmdEOM, "eom"},
	{wire.CmdUnknown, "unknown"},
	{wire.CmdAbort, "abort"},
	{wire.CmdQuit, "quit"},
	{wire.CmdQuitNew, "quit_nc"},
}

// Word returns the short name of a command: "connect", "eoh", "eom".
func Word(cmd byte) string {
	for _, w := range words {
		if w.cmd == cmd {
			return w.word
		}
	}
	return wire.CmdName(cmd)
}

// Command returns the command of that short name, or 0.
func Command(word string) byte {
	for _, w := range words {
		if w.word == word {
			return w.cmd
		}
	}
	return 0
}

// Escape makes text fit for a terminal and for one line of a log: what does
// not print is shown as Go would write it in a string, "\n", "\x1b". Backslashes
// stay as they are.
func Escape(s string) string {
	if clean(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[0])|0x100, 16)[1:])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String()
}

// clean reports whether all of s prints.
func clean(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
