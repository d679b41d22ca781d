package doctor

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/config"
)

// Asked tells what a native child has said of those that it asks.
func (r *Report) Asked(c *config.Config, name string, err error) {
	if err == nil {
		r.right(name, "has answers from all that it asks")
		return
	}
	i := slices.IndexFunc(c.Milters, func(m config.Milter) bool { return m.Name.V == name })
	m := &c.Milters[i]
	f := Finding{Rule: "no-answer", About: name, Message: "it has no answer: " + err.Error(), Mend: []Mend{milterKey(c, m, "enabled = false  # until it answers")}}
	if start := starts[m.Use.V]; start != "" {
		f.Mend = []Mend{command("systemctl enable --now %s", start)}
	}
	if addresses := listOption(m, "addresses"); addresses != "" && f.Mend[0].File == "" {
		f.Mend = append(f.Mend, optionKey(c, m, "addresses = %s  # as they are now; or where it listens", addresses))
	}
	r.wrong(f)
}

// starts are the services that native children ask, as Debian calls them.
var starts = map[string]string{"clamd": "clamav-daemon", "spamd": "spamd", "rspamd": "rspamd"}

func listOption(m *config.Milter, name string) string {
	if m.Options == nil {
		return ""
	}
	for _, set := range m.Options.Settings() {
		if list, ok := set.Value.([]any); ok && set.Option == name {
			var quoted []string
			for _, item := range list {
				quoted = append(quoted, fmt.Sprintf("%q", item))
			}
			return "[" + strings.Join(quoted, ", ") + "]"
		}
	}
	return ""
}

// A NameServer is one that native children ask; the zero Addr is that of the system.
type NameServer struct {
	Addr netip.AddrPort
	For  *config.Milter // the first of those who ask it
}

// asksDNS are the native children that ask name servers.
var asksDNS = []string{"spf", "dkim-verify", "dmarc"}

// asksInWhen are the words of a condition that ask them.
var asksInWhen = regexp.MustCompile(`\b(dnsbl\(|spf\b|trusted\b)`)

// NameServers are those that the milters of a configuration ask.
func NameServers(c *config.Config) (all []NameServer) {
	for i := range c.Milters {
		m := &c.Milters[i]
		if !m.Enabled.V || !slices.Contains(asksDNS, m.Use.V) && !asksInWhen.MatchString(m.When.V) {
			continue
		}
		addr, _ := netip.ParseAddrPort(option(m, "nameserver")) // zero where it is not set
		if !slices.ContainsFunc(all, func(s NameServer) bool { return s.Addr == addr }) {
			all = append(all, NameServer{addr, m})
		}
	}
	return all
}

// NameServer tells whether a name server has answered.
func (r *Report) NameServer(c *config.Config, s NameServer, err error) {
	where := "the name server of the system (/etc/resolv.conf)"
	mend := Mend{File: "/etc/resolv.conf", Line: "nameserver 127.0.0.1  # or one that answers"}
	if s.Addr.IsValid() {
		where = "the name server " + s.Addr.String()
		mend = optionKey(c, s.For, "nameserver = %q  # or one that answers", cmp.Or(s.Addr.String(), "127.0.0.1:53"))
	}
	if err != nil {
		r.wrong(Finding{"no-dns", s.For.Name.V, fmt.Sprintf("%s does not answer: %v", where, err), []Mend{mend}})
		return
	}
	r.right(s.For.Name.V, "%s answers", where)
}
