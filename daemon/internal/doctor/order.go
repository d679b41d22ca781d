package doctor

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/options"
)

// Milters are those of a configuration, as far as they are known.
type Milters struct {
	c    *config.Config
	list []member
}

// Known tells what the milters of a configuration are: by what they are called, where
// their sockets are, and the files of filters below root.
func Known(root string, c *config.Config) *Milters { return &Milters{c, members(root, c)} }

// Order finds what is wrong with which milters there are, and in which order. The
// answers are those of remote milters by their names, and may be nil.
func (m *Milters) Order(answers map[string]Answer) []Finding {
	list := slices.Clone(m.list)
	for i := range list {
		list[i].answered(answers[list[i].Name.V])
	}
	o := &order{c: m.c}
	for i := range list {
		o.placed(list, i)
		for j := range i {
			o.twice(&list[j], &list[i])
		}
	}
	return o.findings
}

type order struct {
	c        *config.Config
	findings []Finding
}

// rules say of a milter, a, that is to be done before another one, b, begins, what is
// wrong where it is not. The others are either those before it or those behind it.
var rules = []struct {
	name    string
	holds   func(a, b *member) bool
	moved   bool // the milter at hand is a, and moved up; else it is b, and moved down
	message string
}{
	{"edits-after-signing", func(a, b *member) bool { return b.role&signs != 0 && a.role&signs == 0 && changesSigned(a, b) },
		false, "it signs messages before %[1]s may edit them, which breaks the signature"},
	{"dmarc-first", func(a, b *member) bool { return a.role&(checksDKIM|checksSPF) != 0 && b.role&checksDMARC != 0 },
		false, "it goes by the results of %[1]s, which are not there yet when it is asked"},
	{"forged-headers", func(a, b *member) bool { return a.role&cleans != 0 && b.role&scansSpam != 0 },
		true, "it removes header fields that came with the message, and %[1]s has been shown them by then"},
	{"forged-headers", func(a, b *member) bool {
		return a.group != b.group && a.role&(checksDKIM|checksDMARC) != 0 && b.role&scansSpam != 0 && !aboutOwn(a.When.V)
	}, false, "it is shown Authentication-Results that came with the message, not yet those of %[1]s"},
	{"late-greylist", func(a, b *member) bool {
		return a.group != b.group && a.role&greylists != 0 && b.role&(scansViruses|scansSpam) != 0
	}, true, "it puts off mail that %[1]s has been asked about already: each try costs a session with that"},
}

// placed looks whether a milter is in the right place.
func (o *order) placed(list []member, i int) {
	m := &list[i]
	for _, rule := range rules {
		var against []*member
		for j := range list {
			a, b := &list[j], m
			if rule.moved {
				a, b = m, &list[j]
			}
			if i != j && a.group >= b.group && rule.holds(a, b) {
				against = append(against, &list[j])
			}
		}
		if len(against) == 0 {
			continue
		}
		f := Finding{Rule: rule.name, About: m.Name.V, Message: fmt.Sprintf(rule.message, names(against))}
		last := against[len(against)-1]
		switch {
		case rule.moved:
			f.Mend = o.sooner(m, against[0])
		case m.role&signs != 0 && m.role&checksDKIM != 0 && rule.name == "edits-after-signing":
			f.Mend = o.splitSigner(last, m)
		default:
			f.Mend = o.later(last, m)
		}
		o.findings = append(o.findings, f)
	}
}

func names(list []*member) string {
	all := make([]string, len(list))
	for i, m := range list {
		all[i] = m.Name.V
	}
	return strings.Join(all, ", ")
}

// changesSigned reports whether a, which does not run before b, may break what b signs.
func changesSigned(a, b *member) bool {
	switch {
	case aboutForeign(a.When.V):
		return false // b signs what is our own
	case a.role&edits != 0:
		return true
	}
	return b.sure && a.role&scansViruses != 0
}

// later are the mends that have b begin when a is done: b is moved.
func (o *order) later(a, b *member) (mends []Mend) {
	if a.group != b.group || o.at(b) < o.at(a) {
		mends = append(mends, o.move("move [[milter]] %q%s below [[milter]] %q%s", b, a))
	}
	if a.group == b.group {
		mends = append(mends, milterKey(o.c, b.Milter, "together = false"))
	}
	return mends
}

// sooner is later, where a is moved.
func (o *order) sooner(a, b *member) (mends []Mend) {
	if a.group == b.group {
		return o.later(a, b)
	}
	return []Mend{o.move("move [[milter]] %q%s above [[milter]] %q%s", a, b)}
}

func (o *order) move(format string, one, other *member) Mend {
	return Mend{File: o.c.File, Line: fmt.Sprintf(format, one.Name.V, o.place(one), other.Name.V, o.place(other))}
}

// at is the place of a milter in the file.
func (o *order) at(m *member) int {
	return slices.IndexFunc(o.c.Milters, func(other config.Milter) bool { return other.Name.V == m.Name.V })
}

// splitSigner are the mends for a filter that verifies and signs in one place: it is
// asked twice, about mail of others before it is judged, and about our own at the end.
func (o *order) splitSigner(editor, s *member) []Mend {
	return []Mend{
		milterKey(o.c, s.Milter, `when = "!authenticated && !local"`),
		{File: o.c.File, Section: "[[milter]] below " + editor.Name.V, Line: fmt.Sprintf(`name = "%s-sign"`, s.Name.V)},
		{File: o.c.File, Section: "[[milter]] below " + editor.Name.V, Line: fmt.Sprintf("socket = %q", s.Socket.V)},
		{File: o.c.File, Section: "[[milter]] below " + editor.Name.V, Line: `when = "authenticated || local"`},
	}
}

// place is the line of a milter in the file, as a remark.
func (o *order) place(m *member) string {
	if m.From.File != o.c.File || m.From.Line == 0 {
		return "" // it was detected
	}
	return fmt.Sprintf(" (line %d)", m.From.Line)
}

// twice looks whether two milters are the same.
func (o *order) twice(a, b *member) {
	if a.When.V != b.When.V && a.When.V != "" && b.When.V != "" {
		return // they may never be asked about the same mail
	}
	f := Finding{Rule: "twice", About: b.Name.V, Mend: []Mend{milterKey(o.c, b.Milter, "enabled = false")}}
	switch {
	case a.Use.V == "" && b.Use.V == "" && a.Socket.V == b.Socket.V:
		f.Message = fmt.Sprintf("%s and %s are the same milter, on %s: it is asked about each message twice", a.Name.V, b.Name.V, a.Socket.V)
	case a.Use.V != "" && a.Use.V == b.Use.V && (onlyOnce[a.Use.V] || sameOptions(a.Milter, b.Milter)):
		f.Message = fmt.Sprintf("%s and %s are both %s, and do the same for each message", a.Name.V, b.Name.V, a.Use.V)
	default:
		return
	}
	o.findings = append(o.findings, f)
}

// onlyOnce are native children of which two make no sense, whatever their options.
var onlyOnce = map[string]bool{"greylist": true, "spf": true, "dkim-verify": true, "dmarc": true}

func sameOptions(a, b *config.Milter) bool {
	if a.Options == nil || b.Options == nil {
		return false
	}
	mine, other := a.Options.Settings(), b.Options.Settings()
	return slices.EqualFunc(mine, other, func(x, y options.Setting) bool { return x.Option == y.Option && reflect.DeepEqual(x.Value, y.Value) })
}

// Line is a finding on one line, with what mends it.
func (f Finding) Line() string {
	mends, section := "", ""
	for i, m := range f.Mend {
		switch {
		case i > 0 && m.Section == section:
			mends += ", "
		case i > 0:
			mends += "; "
		}
		if m.Section != "" && (i == 0 || m.Section != section) {
			mends += "under " + m.Section + ": "
		}
		mends, section = mends+m.Line, m.Section
	}
	return f.About + ": " + f.Message + "; to mend it, " + mends
}
