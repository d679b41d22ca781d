// Package detect finds the milters that a system has, and what is known of them
// from files alone: no program is run, and nothing is asked.
//
// Services are read as the system reads them: units of systemd with their
// drop-ins (systemd.go), scripts of init.d (initd.go) and of rc.d (rcd.go). Scripts
// are followed by a shell that knows assignments and conditions and runs nothing
// (lex.go, parse.go, shell.go, shelltest.go, expand.go). From what a service would start, and from the
// configuration of the filter that it starts (kinds.go, conf.go, rspamd.go), comes
// the socket (socket.go). plan.go puts what was found in order, write.go makes a
// configuration of it.
package detect

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/milterkit/sdk/internal/socket"
)

// Found is a milter that the system has.
type Found struct {
	Name    string      // of its service
	Kind    string      // the filter it is: "opendkim", …, or "" for one that is not known
	Service string      // the file that starts it
	Socket  socket.Addr // zero: none was found
	At      Place       // where the socket stands
	Enabled bool        // whether the system starts it
	Why     string      // it is enabled, or is not
	Unread  string      // why no socket was found though the system starts it: a file that was not read; "" otherwise

	kind     *kind
	verifies bool // of a filter that can do both: which it does
	signs    bool
	tarpit   int // seconds by which it may delay an answer on purpose
}

// A Note is something that was not read, and why.
type Note struct {
	At      Place
	Message string
}

// String returns FILE:LINE: MESSAGE.
func (n Note) String() string { return n.At.String() + ": " + n.Message }

// String returns FILE:LINE, or the file where it is about the whole of it.
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Result is all that was found, in the order in which milters are best asked.
type Result struct {
	Milters []Found
	Skipped []Note // what could not be read, in the order of files and lines
}

// A finder looks through one tree.
type finder struct {
	files   tree
	found   []Found
	skipped []Note
}

// Find looks through the files below root, "/" for those of this machine.
func Find(root string) (*Result, error) {
	f := &finder{files: tree{root}}
	if !f.files.isFolder("/") {
		return nil, fmt.Errorf("%s is not a folder that can be read", root)
	}
	units := f.systemd()
	f.initd(units)
	f.rcd()
	slices.SortStableFunc(f.found, func(a, b Found) int {
		return cmp.Or(a.rank()-b.rank(), strings.Compare(a.Name, b.Name))
	})
	f.sameSocket()
	slices.SortFunc(f.skipped, func(a, b Note) int {
		return cmp.Or(strings.Compare(a.At.File, b.At.File), a.At.Line-b.At.Line, strings.Compare(a.Message, b.Message))
	})
	return &Result{f.found, slices.Compact(f.skipped)}, nil
}

// sameSocket leaves one of those that would be on the same socket.
func (f *finder) sameSocket() {
	first := map[socket.Addr]string{}
	for i := range f.found {
		m := &f.found[i]
		if !m.Enabled || m.Socket == (socket.Addr{}) {
			continue
		}
		if other, taken := first[m.Socket]; taken {
			m.Enabled, m.Why = false, other+" is on the same socket"
			continue
		}
		first[m.Socket] = m.Name
	}
}

func (f *finder) skip(at Place, message string) {
	f.skipped = append(f.skipped, Note{at, message})
}

// read returns the text of a file, and whether it is there and can be read.
func (f *finder) read(name string) (string, bool) {
	text, err := f.files.read(name)
	switch {
	case err == nil:
		return text, true
	case !errors.Is(err, fs.ErrNotExist):
		f.skip(Place{File: name}, "skipped: "+reason(err))
	}
	return "", false
}

// reason is what is wrong without the path on this machine.
func reason(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}

// names lists a folder.
func (f *finder) names(folder string) []string {
	names, err := f.files.names(folder)
	if err != nil {
		f.skip(Place{File: folder}, "skipped: "+reason(err))
	}
	return names
}

// A variable of a service.
type variable struct {
	name string
	value
}

// A service is what a system may start.
type service struct {
	name    string // without suffix, with the profile
	base    string // without profile
	title   string // what it says of itself
	file    string
	program string
	args    []string
	at      Place // of the command line
	vars    []variable
	prefix  string // of its variables in rc.conf, and those of its profile
	profile string
	listens []line // ListenStream of its socket unit
	enabled bool
	why     string
}

// off says that the service is not started after all.
func (s *service) off(why string, args ...any) {
	s.enabled, s.why = false, fmt.Sprintf(why, args...)
}

// add takes in what a service turned out to be, if it is a milter.
func (f *finder) add(s *service) {
	k := kindOf(s)
	if k == nil {
		return
	}
	m := Found{Name: properName(s.name), Kind: k.name, Service: s.file, kind: k}
	before := len(f.skipped)
	c := f.locate(s, k)
	if len(f.skipped) > before && s.enabled && c.socket == (socket.Addr{}) {
		m.Unread = f.skipped[before].String()
	}
	if c.socket == (socket.Addr{}) && k == generic {
		return // it may be anything
	}
	m.Socket, m.At, m.verifies, m.signs, m.tarpit = c.socket, c.at, c.verifies, c.signs, c.tarpit
	switch {
	case s.program != "" && strings.HasPrefix(s.program, "/") && !f.files.isFile(s.program) && s.enabled:
		s.off("%s is not there", s.program)
	case c.off != "" && s.enabled:
		s.off("%s", c.off)
	case m.Socket == (socket.Addr{}) && s.enabled:
		s.off("no socket was found: %s", cmp.Or(c.problem, "neither its service nor its configuration names one"))
	}
	m.Enabled, m.Why = s.enabled, s.why
	f.found = append(f.found, m)
}

// properName makes a name that a configuration can have.
func properName(name string) string {
	return cmp.Or(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, name[:min(len(name), 50)]), "milter")
}
