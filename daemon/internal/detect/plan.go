package detect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/milterkit/sdk/internal/socket"
	"github.com/milterkit/sdk/milterkit"
)

// Planned is a milter of a configuration that is made of what was found.
type Planned struct {
	Name    string
	Socket  socket.Addr
	When    string // "": always
	Action  milterkit.DefaultAction
	Command time.Duration // command_timeout; 0: as it is by itself
	Enabled bool
	Found   *Found
	Notes   []string // for whoever reads the configuration
}

// Plan puts what was found in the order in which it is to be asked, with the
// conditions that fit. A filter that both verifies and signs is in it twice.
func (r *Result) Plan() []Planned {
	var all []Planned
	for i := range r.Milters {
		m := &r.Milters[i]
		if m.Socket == (socket.Addr{}) {
			continue
		}
		all = append(all, r.planned(m)...)
	}
	slices.SortStableFunc(all, func(a, b Planned) int { return cmp.Compare(a.place(), b.place()) })
	taken := map[string]bool{}
	for i := range all {
		name := all[i].Name
		for n := 2; taken[all[i].Name]; n++ {
			all[i].Name = fmt.Sprintf("%s-%d", name, n)
		}
		taken[all[i].Name] = true
	}
	return all
}

// place is the rank of a planned milter.
func (p *Planned) place() int {
	if p.signing() {
		return rankSign
	}
	return p.Found.rank()
}

func (p *Planned) signing() bool { return p.When == whenOwn }

func (r *Result) planned(m *Found) []Planned {
	p := Planned{Name: m.Name, Socket: m.Socket, When: m.kind.when, Action: m.kind.action, Enabled: m.Enabled, Found: m}
	if !m.Enabled {
		p.Notes = append(p.Notes, "Not enabled: "+m.Why)
	}
	if m.tarpit > 0 {
		p.Command = 30*time.Second + time.Duration(m.tarpit)*time.Second
		p.Notes = append(p.Notes, fmt.Sprintf("It holds clients for up to %ds (tarpit): stage_timeout here, and milter_command_timeout of Postfix, must be above that for it to count.", m.tarpit))
	}
	if m.Kind == "rspamd" && m.signs {
		p.When, p.Action = "", milterkit.DefaultTempFail
		p.Notes = append(p.Notes, "It signs mail as well, so it is asked about all of it.")
	}
	if !m.kind.dkim {
		return []Planned{p}
	}
	if !m.signs && !r.has(rankDMARC) {
		p.Action = milterkit.DefaultAccept
	}
	sign := p
	if m.verifies {
		p.When = whenForeign
	}
	if !m.signs || !m.verifies {
		return []Planned{p}
	}
	p.Notes = append(slices.Clone(p.Notes), "Mail of others: verified here, before it is judged and edited.")
	sign.Name, sign.When = m.Name+"-sign", whenOwn
	sign.Notes = append(slices.Clone(sign.Notes), "The same filter for mail of our own: signed here, after all that may edit it.")
	return []Planned{p, sign}
}

// has reports whether a milter of that rank takes part.
func (r *Result) has(rank int) bool {
	return slices.ContainsFunc(r.Milters, func(m Found) bool { return m.Enabled && m.rank() == rank })
}

// oneLine makes a comment's text of anything.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, text)
}
