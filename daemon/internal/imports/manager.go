package imports

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// manager is milter-manager's configuration.
type manager struct {
	*plan
	file   File
	milter *milter // of the define_milter that is being read
	names  map[*milter]string
	inside int    // how deep in a block that is passed over
	of     string // the name of the define_milter or define_applicable_condition
	s25r   cond   // s25r, with what has been added
	stress cond   // stress, or what has been set in its place
	conds  map[*milter][]setting
}

// readManager reads what milter-manager --show-config prints, and the same statements
// in milter-manager.local.conf.
func (p *plan) readManager(f File) {
	m := &manager{plan: p, file: f, names: map[*milter]string{}, s25r: atom("s25r"), stress: atom("stress"), conds: map[*milter][]setting{}}
	p.managed = true
	for _, c := range callsOf(f.Text) {
		m.statement(c)
	}
	for _, one := range p.manager {
		for _, set := range m.conds[one] {
			m.condition(one, set)
		}
		if one.socket == "" {
			one.findings = append(one.findings, Finding{f.Name, 1, "define_milter(" + one.name + ")", "it has no connection_spec"})
		}
	}
	p.manager = slices.DeleteFunc(p.manager, func(one *milter) bool {
		if one.socket == "" {
			p.server.findings = append(p.server.findings, one.findings...)
		}
		return one.socket == ""
	})
	p.keys = append(p.keys, m.listen()...)
	p.server.note("milter-manager's user was in the groups of the milters' sockets (id milter-manager says which); the user of milterkit must be, too")
}

func (m *manager) none(c call, why string) {
	f := Finding{m.file.Name, c.line, c.text, why}
	if m.milter != nil {
		m.milter.findings = append(m.milter.findings, f)
		return
	}
	m.server.findings = append(m.server.findings, f)
}

// statement takes in one statement.
func (m *manager) statement(c call) {
	switch {
	case m.inside > 0: // of a block that is passed over
		m.inside = max(m.inside+c.opens, 0)
	case c.other:
		m.none(c, "this is Ruby that is not run; only what --show-config prints is read")
		m.inside = max(c.opens, 0)
	case c.end:
		m.milter, m.of = nil, ""
	case c.block && c.name == "define_milter" && len(c.args) == 1:
		m.define(c)
	case c.block && c.name == "define_applicable_condition" && len(c.args) == 1:
		m.of = c.args[0].text
		if _, known := m.conditionOf(m.of); !known && !macroConditions[m.of] {
			m.none(c, "a condition of your own: say it as when of the milters that have it")
		}
	case c.block:
		m.none(c, "this is Ruby that is not run; only what --show-config prints is read")
		m.inside = 1
	case m.milter != nil:
		m.field(c)
	case m.of != "": // a description
	default:
		m.global(c)
	}
}

// define begins a milter. One that is there is changed, and becomes the last, as
// milter-manager does it.
func (m *manager) define(c call) {
	name := c.args[0].text
	m.of = name
	i := slices.IndexFunc(m.plan.manager, func(one *milter) bool { return m.names[one] == name })
	one := &milter{name: name, kind: kindOfName(name), from: m.file.Name + ":" + number(c.line)}
	if i >= 0 {
		one = m.plan.manager[i]
		m.plan.manager = slices.Delete(m.plan.manager, i, i+1)
	} else {
		one.key("default_action", text("accept"))
	}
	m.plan.manager = append(m.plan.manager, one)
	m.milter, m.names[one] = one, name
}

var statuses = map[string]string{"accept": "accept", "temporary-failure": "tempfail", "reject": "reject", "discard": "discard"}

// field takes in what a milter has.
func (m *manager) field(c call) {
	_, field, _ := strings.Cut(c.name, ".")
	one, v := m.milter, value{kind: 'w', text: "nil"}
	if len(c.args) > 0 {
		v = c.args[0]
	}
	unset := v.kind == 'w' && v.text == "nil"
	switch field {
	case "connection_spec":
		if unset {
			return
		}
		spec, ok := dialed(v.text)
		if !ok {
			m.none(c, "this is no socket of a milter")
			return
		}
		one.socket = spec
	case "description":
		if !unset && v.text != "" {
			one.note(v.text)
		}
	case "enabled":
		if v.text == "false" {
			one.key("enabled", "false")
		}
	case "fallback_status":
		action, ok := statuses[v.text]
		if !ok {
			m.none(c, "there are accept, temporary-failure, reject and discard; it is accept")
			action = "accept"
		}
		one.key("default_action", text(action))
	case "evaluation_mode":
		if v.text == "true" {
			one.key("shadow", "true")
		}
	case "applicable_conditions", "add_applicable_condition":
		for _, item := range append(v.items, v) {
			if item.kind == 's' && !slices.ContainsFunc(m.conds[one], func(s setting) bool { return s.value == item.text }) {
				set := c.setting
				set.value = item.text
				m.conds[one] = append(m.conds[one], set)
			}
		}
	case "command", "command_options", "user_name":
		if !unset {
			m.server.note("milter-manager started milters that were down; milterkit starts none: let the system do it")
		}
	case "connection_timeout", "writing_timeout", "reading_timeout", "end_of_message_timeout":
		m.timeout(c, field, v)
	default:
		m.none(c, "milter-manager has no such field of a milter that is known here")
	}
}

// timeout takes in a time where it is not milter-manager's default, which leaves 3 s
// of what Postfix waits.
func (m *manager) timeout(c call, field string, v value) {
	key := map[string]string{"connection_timeout": "connect_timeout", "writing_timeout": "command_timeout", "reading_timeout": "command_timeout",
		"end_of_message_timeout": "content_timeout"}[field]
	seconds, err := strconv.ParseFloat(v.text, 64)
	if err != nil || !(seconds >= 0.001 && seconds < 1e6) {
		m.none(c, "this is no number of seconds")
		return
	}
	if seconds == 297 || seconds == 7 {
		return
	}
	set(&m.milter.keys, key, text(timeText(time.Duration(seconds*1000)*time.Millisecond)))
}

// macroConditions only make macros, and never stop a milter.
var macroConditions = map[string]bool{"Sendmail Compatible": true, "Stress Notify": true, "Trust": true}

// privateNetworks are those that Remote Network takes for near, besides this machine.
var privateNetworks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fe80::/10")}

// conditionOf is what a condition of milter-manager's is here.
func (m *manager) conditionOf(name string) (cond, bool) {
	switch name {
	case "S25R":
		return m.s25r, true
	case "Remote Network":
		return both(not(atom("local")), not(inNetworks(privateNetworks))), true
	case "Authenticated":
		return atom("authenticated"), true
	case "Unauthenticated":
		return not(atom("authenticated")), true
	case "No Stress":
		return not(m.stress), true
	case "DNSBL Listed":
		return atom(dnsblServices), true
	case "Not DNSBL Listed":
		return not(atom(dnsblServices)), true
	}
	return always, false
}

// condition takes in a condition of a milter.
func (m *manager) condition(one *milter, set setting) {
	c, known := m.conditionOf(set.value)
	switch {
	case known:
		one.when = both(one.when, c)
	case macroConditions[set.value]:
		m.macro(one, set)
	default:
		one.findings = append(one.findings, Finding{m.file.Name, set.line, set.value, "there is no such condition: the milter is asked about this mail, too, unless you say so in when"})
	}
}

// dnsblServices are the DNS lists of milter-manager that are still there.
const dnsblServices = `dnsbl("zen.spamhaus.org=127.0.0.10/31", "bl.spamcop.net=127.0.0.2", "b.barracudacentral.org=127.0.0.2")`

// macro takes in a condition that makes macros, which native children need not.
func (m *manager) macro(one *milter, set setting) {
	switch set.value {
	case "Sendmail Compatible":
		one.note("Sendmail Compatible gave it if_addr, if_name, daemon_port and i, which Postfix does not send")
	case "Stress Notify":
		one.note("Stress Notify gave it the macro stress; here stress is a condition for when")
	case "Trust":
		one.note("Trust gave it the macro trusted_domain, for mail that passes SPF; here it is not asked about such mail (trusted)")
		one.trusts = true
	}
}

// global takes in a setting of milter-manager itself.
func (m *manager) global(c call) {
	section, name, _ := strings.Cut(c.name, ".")
	unset := len(c.args) == 0 || c.args[0].kind == 'w' && (c.args[0].text == "nil" || c.args[0].text == "0" || c.args[0].text == "false")
	arg := ""
	if len(c.args) > 0 {
		arg = c.args[0].text
	}
	switch {
	case c.name == "remove_milter":
		m.plan.manager = slices.DeleteFunc(m.plan.manager, func(one *milter) bool { return m.names[one] == arg })
	case section == "s25r":
		m.changeS25R(c, name)
	case section == "trust":
		m.trust(c, name)
	case section == "stress" && name == "threshold_n_connections":
		switch n, err := strconv.ParseUint(arg, 10, 31); {
		case err != nil:
			m.none(c, "this is no number of sessions")
		case n == 0:
			m.stress = never
		default:
			m.stress = atom("sessions >= " + strconv.FormatUint(n, 10))
		}
	case section == "manager":
		m.setting(c, name, arg, unset)
	case section == "controller" || section == "database":
		if name == "connection_spec" && !unset || name == "type" && !unset {
			m.none(c, map[string]string{"controller": "there is no control socket; the signals and status do its work", "database": "conditions ask no database"}[section])
		}
	case section == "package" || section == "security" || section == "log":
	case strings.HasPrefix(c.name, "load"):
		m.none(c, "what milter-manager --show-config prints has all that is loaded; give that")
	default:
		m.none(c, "milter-manager has no such setting that is known here")
	}
}

// setting takes in one of manager.
func (m *manager) setting(c call, name, arg string, unset bool) {
	switch name {
	case "connection_spec":
		if unset {
			return
		}
		spec, ok := dialed(arg)
		if !ok {
			m.none(c, "this is no socket to listen on")
			return
		}
		if strings.HasPrefix(arg, "inet") && !strings.Contains(arg, "@") && strings.Count(arg, ":") == 1 {
			m.none(c, "it listened on all addresses; for that write @0.0.0.0 in place of the address")
		}
		m.plan.socket = spec
	case "unix_socket_mode":
		if mode, err := strconv.ParseUint(arg, 8, 32); err == nil && mode <= 0o777 {
			set(&m.plan.keys, "socket_mode", text("0"+strconv.FormatUint(mode, 8)))
		} else {
			m.none(c, "this is no mode")
		}
	case "unix_socket_group":
		if !unset {
			set(&m.plan.keys, "socket_group", text(arg))
		}
	case "max_connections":
		if !unset {
			set(&m.plan.keys, "max_sessions", arg)
		}
	case "fallback_status":
		if arg != "accept" {
			m.none(c, "each milter has a default_action; where there is no milter mail passes")
		}
	case "define_connection_checker", "use_netstat_connection_checker", "connection_check_interval":
		if !unset {
			m.none(c, "whether the client is still there is not looked at")
		}
	case "maintained", "event_loop_created", "report_memory_statistics":
		m.none(c, "there are no hooks; the log and status tell what happens")
	}
}

// trust takes in a domain that is trusted.
func (m *manager) trust(c call, name string) {
	if m.trusted == nil {
		m.trusted = slices.Clone(trustedDomains)
	}
	switch {
	case name == "clear":
		m.trusted = []string{}
	case name == "add_envelope_from_domain" && len(c.args) == 1 && c.args[0].kind == 's':
		m.trusted = append(m.trusted, c.args[0].text)
	default:
		m.none(c, "name the domains one by one in trusted of greylist")
	}
}

// listen are the keys of [server] that say where milterkit listens: where
// milter-manager did.
func (m *manager) listen() []entry {
	if m.plan.socket == "" {
		return nil
	}
	return []entry{{"listen", list([]string{m.plan.socket})}}
}

// changeS25R takes in names beside S25R's own.
func (m *manager) changeS25R(c call, name string) {
	if len(c.args) != 1 || name != "add_whitelist" && name != "add_blacklist" {
		m.none(c, "say beside s25r in when for which clients it is not")
		return
	}
	v := c.args[0]
	pattern, ok := "(?i)^"+regexp.QuoteMeta(v.text)+"$", v.kind == 's'
	if v.kind == 'r' {
		pattern, ok = patternOf(v.text, true)
	}
	if !ok {
		m.none(c, "this is neither a name nor a regular expression of RE2's")
		return
	}
	if is := matching("client.name", pattern); name == "add_whitelist" {
		m.s25r = both(m.s25r, not(is))
	} else {
		m.s25r = either(m.s25r, is)
	}
}
