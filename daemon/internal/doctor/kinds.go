package doctor

import (
	"path"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/options"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A role is what a milter does that its place in the order matters for.
type role uint

const (
	greylists role = 1 << iota
	checksSPF
	checksDKIM
	checksDMARC
	signs
	scansViruses
	scansSpam
	cleans // removes fields that came with a message and that others believe
	edits  // what a signature covers, or may
)

// A member is a milter that takes part, and what is known of it.
type member struct {
	*config.Milter
	kind   string // of a remote one: "opendkim", or "" where it is not known
	role   role
	sure   bool    // that it signs, where it does
	group  int     // those of one group run together
	filter *filter // its own configuration; nil: not known
}

// kinds are the filters that are known by a word in their name, or in the path of
// their socket, in the order in which that is tried.
var kinds = []struct {
	word, kind string
	role       role
}{
	{"greylist", "milter-greylist", greylists}, {"postgrey", "postgrey", greylists},
	{"opendmarc", "opendmarc", checksDMARC}, {"dmarc", "opendmarc", checksDMARC},
	{"opendkim", "opendkim", checksDKIM | signs}, {"dkimpy", "dkimpy-milter", checksDKIM | signs}, {"dkim", "opendkim", checksDKIM | signs},
	{"pyspf", "pyspf-milter", checksSPF}, {"spf", "smf-spf", checksSPF}, {"sid-milter", "sid-milter", checksSPF}, {"enma", "enma", checksSPF | checksDKIM},
	{"clamav", "clamav-milter", scansViruses}, {"clamd", "clamav-milter", scansViruses}, {"clamsmtp", "clamav-milter", scansViruses},
	{"spamass", "spamass-milter", scansSpam | edits}, {"rspamd", "rspamd", scansSpam | edits},
	{"amavis", "amavisd-milter", scansViruses | scansSpam | edits}, {"mimedefang", "mimedefang", scansViruses | scansSpam | edits},
}

// ports are those that filters have by convention.
var ports = map[string]string{"8891": "opendkim", "8893": "opendmarc", "11332": "rspamd", "7357": "clamav-milter"}

// uses are the native children.
var uses = map[string]role{
	"greylist": greylists, "spf": checksSPF, "dkim-verify": checksDKIM, "dmarc": checksDMARC, "dkim-sign": signs,
	"clamd": scansViruses, "spamd": scansSpam | edits, "rspamd": scansSpam | edits,
}

// members are the milters that take part and count: a shadow changes nothing.
func members(root string, c *config.Config) []member {
	var all []member
	group, grouped := -1, false
	for i := range c.Milters {
		m := &c.Milters[i]
		together := m.Together.V && grouped
		grouped = together || m.Enabled.V
		if !m.Enabled.V {
			continue
		}
		if !together {
			group++
		}
		if m.Shadow.V {
			continue
		}
		one := member{Milter: m, group: group}
		if m.Use.V != "" {
			one.role, one.sure = uses[m.Use.V], true
			if m.Use.V == "headers" {
				one.role = headerRole(m)
			}
		} else {
			one.remote(root)
		}
		all = append(all, one)
	}
	for i := range all {
		all[i].second(all[:i])
	}
	return all
}

// second takes a filter that may verify or sign, which is not known, for one that signs
// where another has verified before it: those are often two instances of one.
func (m *member) second(before []member) {
	if m.sure || m.role&signs == 0 {
		return
	}
	for _, b := range before {
		if b.role&checksDKIM != 0 && b.role&signs == 0 {
			m.role &^= checksDKIM
		}
	}
}

// remote tells what a milter at a socket is.
func (m *member) remote(root string) {
	name := strings.ToLower(m.Name.V)
	at := strings.ToLower(m.Socket.V.Addr)
	where := ""
	if m.Socket.V.Network == "unix" {
		where = path.Base(path.Dir(at)) + "/" + path.Base(at)
	} else if i := strings.LastIndexByte(at, ':'); i >= 0 {
		where = ports[at[i+1:]]
	}
	for _, text := range []string{name, where} {
		for _, k := range kinds {
			if m.kind == "" && strings.Contains(text, k.word) {
				m.kind, m.role = k.kind, k.role
			}
		}
	}
	m.filter = filterOf(root, m.kind, &m.Socket.V)
	if m.role&signs != 0 {
		m.signing(name)
	}
}

// answered takes in what a milter that is not known by name may change.
func (m *member) answered(a Answer) {
	if m.Use.V == "" && m.kind == "" && a.Actions&(wire.ActChangeBody|wire.ActChangeHeader|wire.ActAddHeader) != 0 {
		m.role |= edits
	}
}

// signing tells whether a filter that can verify and sign does both: by its Mode, by
// what it is called, or by the mail that it is asked about.
func (m *member) signing(name string) {
	mode := "sv" // that of OpenDKIM, where nothing is said
	if m.filter != nil {
		if set := m.filter.settings["mode"]; set != "" {
			mode = strings.ToLower(set)
		}
		m.sure = true
	}
	foreign, own := aboutForeign(m.When.V), aboutOwn(m.When.V)
	if foreign || strings.Contains(name, "verif") || !strings.Contains(mode, "s") {
		m.role &^= signs
	}
	named := strings.Contains(name, "sign")
	if own || named || !strings.Contains(mode, "v") {
		m.role &^= checksDKIM
	}
	m.sure = m.sure || own || named
}

// aboutForeign reports whether a condition holds for mail of others only.
func aboutForeign(when string) bool {
	s := strings.ReplaceAll(when, " ", "")
	return strings.Contains(s, "!authenticated") && strings.Contains(s, "!local") && !strings.Contains(s, "||") ||
		s == "!(authenticated||local)" || s == "!(local||authenticated)"
}

// aboutOwn reports whether a condition holds for mail of our own only.
func aboutOwn(when string) bool {
	switch strings.ReplaceAll(when, " ", "") {
	case "authenticated||local", "local||authenticated", "authenticated", "local":
		return true
	}
	return false
}

// headerRole is what the rules of a child headers do.
func headerRole(m *config.Milter) (is role) {
	if m.Options == nil {
		return edits
	}
	for _, set := range m.Options.Settings() {
		tables, ok := set.Value.([][]options.Setting)
		if !ok {
			continue
		}
		for _, rule := range tables {
			is |= ruleRole(rule)
		}
	}
	return is
}

// ruleRole is what one rule does. Fields that the filters of this host write may be
// removed after these, where only those go that came with the message.
func ruleRole(rule []options.Setting) role {
	text := map[string]string{}
	for _, s := range rule {
		text[s.Option], _ = s.Value.(string)
	}
	switch text["action"] {
	case "replace", "prepend":
		return edits
	case "remove":
	default:
		return 0
	}
	name := strings.ToLower(text["header"])
	for _, believed := range []string{"authentication-results", "arc-authentication-results", "received-spf"} {
		if fits, err := path.Match(name, believed); err == nil && fits && text["from"] != "children" {
			return cleans | edits
		}
	}
	if text["from"] == "" && (strings.HasPrefix(name, "x-spam") || strings.HasPrefix(name, "x-rspam")) {
		return cleans | edits
	}
	return edits
}

// option is the text of an option of a native child.
func option(m *config.Milter, name string) string {
	if m.Options == nil {
		return ""
	}
	for _, set := range m.Options.Settings() {
		if set.Option == name {
			text, _ := set.Value.(string)
			return text
		}
	}
	return ""
}
