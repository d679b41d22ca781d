// Package doctor finds what goes wrong on installations: between the mail server
// and milterkit, between milterkit and its milters, and in the order of these. Each
// thing that is wrong comes with the lines that mend it.
//
// Postfix is known from its files alone (postfix.go, milters.go). listen.go looks
// whether it finds milterkit's socket and may connect (reach.go says who is stopped
// where), timeouts.go who waits for whom, offer.go what the milters want of it.
// ask.go talks to a milter, and says who answers in its place. kinds.go knows
// milters by their names, filters.go reads their own configurations; order.go and
// authserv.go look at what they are to each other.
package doctor

import (
	"fmt"
	"slices"

	"github.com/milterkit/sdk/daemon/internal/config"
)

// A Finding is one thing that is wrong.
type Finding struct {
	Rule    string `json:"rule"`  // its name, for programs: "socket-mode"
	About   string `json:"about"` // "Postfix", or the name of a milter
	Message string `json:"message"`
	Mend    []Mend `json:"mend"` // all of them are to be done, in their order
}

// A Mend is a line to set, or a command to run as root.
type Mend struct {
	File    string `json:"file,omitempty"`    // that the line belongs into; "" for a command
	Section string `json:"section,omitempty"` // of the file, where it has sections
	Line    string `json:"line"`
}

// A Fine is one thing that was looked at and is right.
type Fine struct {
	About   string `json:"about"`
	Message string `json:"message"`
}

// A Report is all that was looked at.
type Report struct {
	Findings []Finding `json:"findings"`
	Right    []Fine    `json:"right"`
	Notes    []string  `json:"notes"` // what could not be looked at, and what is worth knowing

	// Running has why the daemon that runs may not connect to milters, by their names.
	// Who has come into a group since its start has not the rights of that group yet.
	Running map[string]string `json:"-"`
}

func (r *Report) wrong(f Finding) { r.Findings = append(r.Findings, f) }

// Right notes that something is as it should be.
func (r *Report) right(about, format string, args ...any) {
	r.Right = append(r.Right, Fine{about, fmt.Sprintf(format, args...)})
}

// Note notes what is neither right nor wrong, once.
func (r *Report) Note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(r.Notes, text) {
		r.Notes = append(r.Notes, text)
	}
}

// command is a mend that is run as root.
func command(format string, args ...any) Mend { return Mend{Line: fmt.Sprintf(format, args...)} }

// serverKey is a mend in the section [server].
func serverKey(c *config.Config, format string, args ...any) Mend {
	return Mend{File: c.File, Section: "[server]", Line: fmt.Sprintf(format, args...)}
}

// milterKey is a mend in the section of a milter.
func milterKey(c *config.Config, m *config.Milter, format string, args ...any) Mend {
	return Mend{File: c.File, Section: fmt.Sprintf("[[milter]] %s", m.Name.V), Line: fmt.Sprintf(format, args...)}
}

// optionKey is a mend in the options of a native child.
func optionKey(c *config.Config, m *config.Milter, format string, args ...any) Mend {
	return Mend{File: c.File, Section: fmt.Sprintf("[milter.options] of %s", m.Name.V), Line: fmt.Sprintf(format, args...)}
}
