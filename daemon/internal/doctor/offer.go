package doctor

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/internal/socket"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// FullOffer is what milterkit offers a milter where the MTA can do everything.
var FullOffer = wire.Negotiation{Version: wire.MaxVersion, Actions: wire.AllActions, Steps: wire.AllSteps}

// Child tells what a milter on a socket has answered to FullOffer. W is the user that
// milterkit runs as.
func (r *Report) Child(root string, c *config.Config, m *config.Milter, a Answer, w Who) {
	at := m.Socket.V
	switch f := (Finding{About: m.Name.V}); {
	case a.Stranger != "":
		f.Rule, f.Message = "not-a-milter", fmt.Sprintf("what answers on %s is %s, not a milter", at, a.Stranger)
		f.Mend = instead(c, m, a.Stranger)
		r.wrong(f)
	case a.Denied:
		f.Rule, f.Message = "child-denied", fmt.Sprintf("the user that milterkit runs as (%s) may not connect to %s", w.Name, at)
		f.Mend = []Mend{command("getfacl -p %s", at.Addr)}
		if b, err := barrierTo(w, "/", at.Addr); err == nil && b != nil {
			f.Message += fmt.Sprintf(": %s keeps it out", b)
			f.Mend = []Mend{b.join(w)}
			if strings.HasPrefix(f.Mend[0].Line, "usermod") {
				f.Mend = append(f.Mend, command("systemctl restart milterkit"))
			}
		} else if me := Myself(); me.UID != w.UID {
			r.Note("%s: %s may not connect to %s; whether %s may was not tried out", m.Name.V, me.Name, at, w.Name)
			return
		}
		r.wrong(f)
	case a.Gone:
		f.Rule, f.Message = "dead-child", fmt.Sprintf("nobody listens on %s: %s", at, a.Error)
		f.Mend = r.revive(root, c, m)
		r.wrong(f)
	case a.Error != "":
		f.Rule, f.Message = "no-agreement", fmt.Sprintf("who answers on %s does not speak milter: %s", at, a.Error)
		f.Mend = []Mend{milterKey(c, m, "enabled = false")}
		r.wrong(f)
	case a.Actions&^wire.AllActions != 0 || a.Version < wire.MinVersion || a.Version > wire.MaxVersion:
		r.tooMuch(c, m, a, "any mail server offers")
	case r.Running[m.Name.V] != "":
		f.Rule, f.Message = "old-groups", fmt.Sprintf("it answers on %s, but not the milterkit that runs, which says: %s", at, r.Running[m.Name.V])
		f.Mend = []Mend{command("systemctl restart milterkit")}
		r.wrong(f)
	default:
		r.right(m.Name.V, "answers on %s: version %d, is shown %s, may %s", at, a.Version, stages(a.Steps), actions(a.Actions))
	}
}

// instead are the mends for a socket that is not a milter's.
func instead(c *config.Config, m *config.Milter, who string) []Mend {
	native := ""
	switch {
	case who == "clamd", who == "spamd":
		native = who
	case strings.Contains(who, "rspamd"):
		native = "rspamd"
	}
	if native == "" {
		return []Mend{milterKey(c, m, "socket = \"unix:/THE/SOCKET/OF/ITS/MILTER\"  # and not that of %s", who)}
	}
	return []Mend{
		milterKey(c, m, "use = %q  # in place of socket", native),
		optionKey(c, m, "addresses = [%q]", m.Socket.V),
	}
}

// revive are the mends for a milter that is not there.
func (r *Report) revive(root string, c *config.Config, m *config.Milter) []Mend {
	one := member{Milter: m}
	one.remote(root)
	if f := filterOf(root, one.kind, nil); f != nil && f.socket != (socket.Addr{}) && f.socket != m.Socket.V {
		return []Mend{milterKey(c, m, "socket = %q  # as %s has it", f.socket, f.file)}
	}
	if one.kind != "" {
		return []Mend{command("systemctl enable --now %s", one.kind)}
	}
	return []Mend{milterKey(c, m, "enabled = false  # until it is started")}
}

// tooMuch tells of a milter that wants what is not offered.
func (r *Report) tooMuch(c *config.Config, m *config.Milter, a Answer, than string) {
	f := Finding{Rule: "wants-too-much", About: m.Name.V, Mend: []Mend{milterKey(c, m, "enabled = false  # it would fail for each message")}}
	f.Message = fmt.Sprintf("it answers version %d and asks for %s, which is more than %s", a.Version, actions(a.Actions&^wire.AllActions), than)
	r.wrong(f)
}

// Offered compares what a milter wants with what Postfix offers milterkit.
func (r *Report) Offered(p *Postfix, c *config.Config, m *config.Milter, a Answer) {
	if a.Error != "" {
		return
	}
	for _, e := range p.entries() {
		if !asksUs(c, e) {
			continue
		}
		text, set := p.own(e, "protocol")
		version, _, _ := strings.Cut(text, "+")
		n, err := strconv.ParseUint(strings.TrimSpace(version), 10, 8)
		if err != nil || n >= wire.MaxVersion {
			continue
		}
		offer := miltertest.VersionOffer(uint32(n))
		var lost []string
		if more := a.Actions &^ offer.Actions; more&wire.AllActions != 0 {
			lost = append(lost, "to "+actions(more))
		}
		if unseen := unseen(a.Steps, offer); unseen != "" {
			lost = append(lost, "to be shown "+unseen)
		}
		if missing := a.Steps &^ offer.Steps; missing&wire.RefusedRcpts != 0 {
			lost = append(lost, "refused recipients")
		}
		if missing := a.Steps &^ offer.Steps; missing&wire.LeadingSpace != 0 {
			lost = append(lost, "the space at the beginning of header values as it was")
		}
		if len(lost) > 0 {
			r.wrong(Finding{"not-offered", m.Name.V, fmt.Sprintf("it wants %s, which Postfix does not offer with milter_protocol = %d", strings.Join(lost, ", and "), n),
				[]Mend{set("6")}})
			return
		}
	}
}

// asksUs reports whether an entry leads to milterkit.
func asksUs(c *config.Config, e entry) bool {
	return (&listening{c: c}).ours(e)
}

// unseen are the commands that a milter has not declined and an old MTA never shows.
func unseen(steps wire.Steps, offer miltertest.Offer) string {
	var names []string
	if offer.Version < 3 && steps&wire.NoUnknown == 0 {
		names = append(names, "unknown commands")
	}
	if offer.Version < 4 && steps&wire.NoData == 0 {
		names = append(names, "DATA")
	}
	return strings.Join(names, " and ")
}

// stages are those that a milter is shown.
func stages(steps wire.Steps) string {
	var names []string
	for _, cmd := range []byte{wire.CmdConnect, wire.CmdHelo, wire.CmdMail, wire.CmdRcpt, wire.CmdData, wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdUnknown} {
		if steps&wire.NoStep(cmd) == 0 {
			names = append(names, miltertest.Word(cmd))
		}
	}
	if len(names) == 0 {
		return "nothing but the end of messages"
	}
	return strings.Join(names, ", ")
}

// actions are what a milter may do.
func actions(a wire.Actions) string {
	var names []string
	a &^= wire.ActSetMacros
	for op := milterkit.OpAddHeader; op <= milterkit.OpReplaceBody; op++ {
		if op.Action()&a != 0 {
			names = append(names, op.String())
			a &^= op.Action()
		}
	}
	if a&wire.ActAddRcptArgs != 0 {
		names = append(names, "add recipient with arguments")
		a &^= wire.ActAddRcptArgs
	}
	if a != 0 {
		names = append(names, fmt.Sprintf("actions %#x", uint32(a)))
	}
	if len(names) == 0 {
		return "change nothing"
	}
	return strings.Join(names, ", ")
}
