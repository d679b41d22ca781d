package imports

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// manager is milter-manager's configuration, from one file or several.
type manager struct {
	*plan
	file    File        // that is being read
	current *definition // the define_milter that is being read
	inside  int         // how deep in a block that is passed over
	of      string      // the name of the define_milter or define_applicable_condition
	defined []*definition
	s25r    cond     // s25r, with what has been added
	stress  cond     // stress, or what has been set in its place
	trusted []string // the domains that are trusted, where they are not its own
}

// A definition is a define_milter.
type definition struct {
	*milter
	id, file   string
	line       int
	conditions []reference
}

// A reference is the name of a condition, and where it stands.
type reference struct {
	setting
	file string
}

// readManager reads what milter-manager --show-config prints, and the same statements
// in milter-manager.local.conf.
func (p *plan) readManager(f File) {
	if p.manager == nil {
		p.manager = &manager{plan: p, s25r: atom("s25r"), stress: atom("stress")}
		p.server.note("milter-manager's user was in the groups of the milters' sockets (id milter-manager says which); the user of milterkit must be, too")
	}
	m := p.manager
	m.file, m.current, m.inside, m.of = f, nil, 0, ""
	for _, c := range callsOf(f.Text) {
		m.statement(c)
	}
}

// milters are those that are defined, with their conditions, when all files are read.
func (m *manager) milters() []*milter {
	var milters []*milter
	for _, d := range m.defined {
		for _, r := range d.conditions {
			m.condition(d.milter, r)
		}
		if d.socket == "" {
			m.server.findings = append(m.server.findings, d.findings...)
			m.server.findings = append(m.server.findings, Finding{d.file, d.line, "define_milter(" + d.id + ")", "it has no connection_spec, and is left out"})
			continue
		}
		milters = append(milters, d.milter)
	}
	if m.plan.socket != "" {
		set(&m.plan.keys, "listen", list([]string{m.plan.socket}))
	}
	return milters
}

func (m *manager) none(c call, why string) {
	f := Finding{m.file.Name, c.line, c.text, why}
	if m.current != nil {
		m.current.findings = append(m.current.findings, f)
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
		m.current, m.of = nil, ""
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
	case m.current != nil:
		m.field(c)
	case m.of != "": // a description
	default:
		m.global(c)
	}
}

// define begins a milter. One that is there is changed, and becomes the last, as
// milter-manager does it; in another file, whose order --show-config has, it stays.
func (m *manager) define(c call) {
	name := c.args[0].text
	m.of = name
	i := slices.IndexFunc(m.defined, func(d *definition) bool { return d.id == name })
	if i < 0 {
		d := &definition{milter: &milter{name: name, kind: kindOfName(name), from: m.file.Name + ":" + number(c.line)}, id: name, file: m.file.Name, line: c.line}
		d.key("default_action", text("accept"))
		m.defined = append(m.defined, d)
		m.current = d
		return
	}
	m.current = m.defined[i]
	if m.current.file == m.file.Name {
		m.defined = append(slices.Delete(m.defined, i, i+1), m.current)
	}
}

var statuses = map[string]string{"accept": "accept", "temporary-failure": "tempfail", "reject": "reject", "discard": "discard"}

// field takes in what a milter has.
func (m *manager) field(c call) {
	_, field, _ := strings.Cut(c.name, ".")
	one, v := m.current, value{kind: 'w', text: "nil"}
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
			if item.kind == 's' && !slices.ContainsFunc(one.conditions, func(r reference) bool { return r.value == item.text }) {
				at := c.setting
				at.value = item.text
				one.conditions = append(one.conditions, reference{at, m.file.Name})
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
	set(&m.current.keys, key, text(timeText(time.Duration(seconds*1000)*time.Millisecond)))
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
func (m *manager) condition(one *milter, set reference) {
	c, known := m.conditionOf(set.value)
	switch {
	case known:
		one.when = both(one.when, c)
	case macroConditions[set.value]:
		m.macro(one, set.value)
	default:
		one.findings = append(one.findings, Finding{set.file, set.line, set.value, "there is no such condition: the milter is asked about this mail, too, unless you say so in when"})
	}
}

// dnsblServices are the DNS lists of milter-manager that are still there.
const dnsblServices = `dnsbl("zen.spamhaus.org=127.0.0.10/31", "bl.spamcop.net=127.0.0.2", "b.barracudacentral.org=127.0.0.2")`

// macro takes in a condition that makes macros, which native children do not need.
func (m *manager) macro(one *milter, condition string) {
	macro := func(name string, when cond) {
		set(&one.macros, text("{"+name+"}"), `{ value = "yes", when = `+conditionText(when)+" }")
	}
	switch condition {
	case "Sendmail Compatible":
		one.key("sendmail_macros", "true")
	case "Stress Notify":
		if !m.stress.never {
			macro("stress", m.stress)
		}
	case "Trust":
		domains := m.trusted
		if domains == nil {
			domains = trustedDomains
		}
		quotedDomains := make([]string, len(domains))
		for i, d := range domains {
			quotedDomains[i] = quoted(strings.ToLower(d))
		}
		if len(domains) > 0 {
			macro("trusted_domain", atom("mail_from.domain in ["+strings.Join(quotedDomains, ", ")+"]"))
		}
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
		m.defined = slices.DeleteFunc(m.defined, func(d *definition) bool { return d.id == arg })
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
