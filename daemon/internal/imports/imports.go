// Package imports reads the settings of the programs whose place milterkit takes
// and writes the configuration that does the same. What has no counterpart is
// told with its place, and stands as a comment where it would have been. In
// reading order:
//
//	imports.go    what is read, what comes of it
//	kinds.go      which program's settings a file has
//	lines.go      settings of one line each; words of a shell
//	plan.go       the milters, their order, what belongs together
//	write.go      the configuration file
//	mend.go       what is written is checked, and what is wrong is commented out
//	cond.go       conditions
//	network.go    networks, sockets, and lists of them in files
//
// and one file for each program; milter-manager's Ruby is read by ruby.go.
package imports

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxSize is the longest file that is read, in bytes: no such file has more.
const MaxSize = 1 << 20

// A File is one that is imported.
type File struct {
	Name string // as it is called in messages
	Kind Kind
	Text string
}

// Options are what an import is told, and how it looks at the machine.
type Options struct {
	// Remote keeps the daemons: each is a milter on its socket.
	Remote bool

	// ReadFile reads a file that the imported ones name, such as a list of hosts.
	ReadFile func(path string) ([]byte, error)

	// Exists reports whether a file or folder is there.
	Exists func(path string) bool

	// Check returns what is wrong with a configuration that was written. Nil: it is
	// not asked.
	Check func(text []byte) []Fault
}

// A Fault is something wrong with a configuration, in a line of it.
type Fault struct {
	Line    int
	Message string
}

// A Finding is what has no counterpart, or cannot be read.
type Finding struct {
	File string
	Line int
	Text string // as it stands there
	Why  string
}

// String is the finding on one line.
func (f Finding) String() string {
	return printable(fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Text, f.Why))
}

// A Result is the configuration, and all that it does not do.
type Result struct {
	Text     []byte
	Findings []Finding
}

// Import reads the files and writes the configuration that does the same. It never
// fails: what cannot be imported is a finding.
func Import(files []File, o Options) *Result {
	p := &plan{options: o}
	for _, f := range files {
		if len(f.Text) > MaxSize {
			p.server.findings = append(p.server.findings, Finding{f.Name, 1, "…", fmt.Sprintf("has more than %d bytes, which no such file has; it is not read", MaxSize)})
			continue
		}
		p.read(f)
	}
	p.arrange()
	text, findings := p.written()
	return &Result{Text: text, Findings: findings}
}

// maxText bounds what a message repeats of a line.
const maxText = 200

// printable is a text for a comment or a message: on one line, without control
// characters, and not too long.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return '?'
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// shortened is a line as messages repeat it.
func shortened(s string) string {
	s = strings.Join(strings.Fields(printable(s)), " ")
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
