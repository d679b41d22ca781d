package imports

import (
	"strings"
)

// maxExpand bounds how deep parameters of main.cf name each other, and how long what
// comes of it is.
const (
	maxExpand     = 20
	maxLookups    = 10000
	maxExpandText = 64 << 10
)

// mainCF is main.cf.
type mainCF struct {
	*plan
	file    File
	params  map[string]setting
	endless bool // they name each other without end
	work    int  // how many more parameters are looked up
}

// readMainCF reads the milters of main.cf: a parameter may go on in lines that begin
// with a blank, and the last of one name counts.
func (p *plan) readMainCF(f File) {
	m := &mainCF{p, f, map[string]setting{}, false, maxLookups}
	n := 0
	last := ""
	for line := range strings.Lines(f.Text) {
		n++
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#':
		case (line[0] == ' ' || line[0] == '\t') && last != "":
			set := m.params[last]
			set.value += " " + trimmed
			m.params[last] = set
		default:
			name, value, ok := strings.Cut(trimmed, "=")
			last = strings.TrimSpace(name)
			m.params[last] = setting{key: last, value: strings.TrimSpace(value), line: n, text: shortened(trimmed)}
			if !ok && strings.Contains(last, "milter") {
				m.none(m.params[last], "this is no parameter: NAME = VALUE")
			}
		}
	}
	m.take()
}

func (m *mainCF) none(set setting, why string) {
	m.server.findings = append(m.server.findings, Finding{m.file.Name, set.line, set.text, why})
}

// value is a parameter with those that it names.
func (m *mainCF) value(name string) string { return m.expand(m.params[name].value, maxExpand) }

func (m *mainCF) expand(s string, depth int) string {
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() < maxExpandText; i++ {
		if s[i] != '$' {
			b.WriteByte(s[i])
			continue
		}
		if depth == 0 || m.work == 0 {
			m.endless = true
			return b.String()
		}
		m.work--
		if i+1 < len(s) && s[i+1] == '(' {
			s = s[:i+1] + strings.Replace(strings.Replace(s[i+1:], "(", "{", 1), ")", "}", 1)
		}
		name, end := variable(s, i+1)
		if value := m.expand(m.params[name].value, depth-1); b.Len()+len(value) < maxExpandText {
			b.WriteString(value)
		}
		i = end - 1
	}
	return b.String()
}

// take makes milters of it.
func (m *mainCF) take() {
	m.queue = m.value("queue_directory")
	smtpd, others := m.milters("smtpd_milters"), m.milters("non_smtpd_milters")
	for _, o := range others {
		if !contains(smtpd, o) {
			o.note("it was for mail of the sendmail command alone (non_smtpd_milters); here it is for all")
			m.finding(o, "non_smtpd_milters", "a milter is asked about all mail; say when with local")
			smtpd = append(smtpd, o)
		}
	}
	var without []string
	for _, s := range smtpd {
		if !contains(others, s) {
			without = append(without, s.name)
		}
	}
	if len(others) > 0 && len(without) > 0 {
		m.none(m.params["non_smtpd_milters"], "here mail of the sendmail command passes all milters, also "+strings.Join(without, ", ")+", unless their when says !local")
	}
	if m.endless {
		m.none(setting{line: 1, text: "smtpd_milters"}, "parameters name each other without end; what could be made out is taken")
	}
	m.postfix = append(m.postfix, smtpd...)
	for _, name := range []string{"smtpd_milter_maps", "milter_macro_defaults"} {
		if set, ok := m.params[name]; ok && m.value(name) != "" {
			m.none(set, map[string]string{"smtpd_milter_maps": "say in when for which clients a milter is; as long as this stands in main.cf milterkit is not asked about these clients",
				"milter_macro_defaults": "it stays in main.cf, for milterkit"}[name])
		}
	}
}

func (m *mainCF) finding(to *milter, parameter, why string) {
	set := m.params[parameter]
	to.findings = append(to.findings, Finding{m.file.Name, set.line, set.text, why})
}

func contains(list []*milter, m *milter) bool {
	for _, other := range list {
		if other.socket == m.socket {
			return true
		}
	}
	return false
}

// milters are those of a list, in order.
func (m *mainCF) milters(parameter string) []*milter {
	set, ok := m.params[parameter]
	if !ok {
		return nil
	}
	var list []*milter
	seen := map[string]bool{}
	for _, item := range milterList(m.value(parameter)) {
		if seen[item] {
			continue
		}
		seen[item] = true
		one := m.milter(set, item)
		if one != nil && !contains(list, one) {
			list = append(list, one)
		}
	}
	return list
}

// milterList splits a list at commas and blanks, but not within braces.
func milterList(s string) []string {
	var list []string
	depth, start := 0, -1
	for i := 0; i <= len(s); i++ {
		end := i == len(s) || depth == 0 && (s[i] == ',' || s[i] == ' ' || s[i] == '\t')
		if end {
			if start >= 0 {
				list = append(list, s[start:i])
			}
			start = -1
			continue
		}
		if start < 0 {
			start = i
		}
		switch s[i] {
		case '{':
			depth++
		case '}':
			depth = max(depth-1, 0)
		}
	}
	return list
}

// milter is one of the list: a socket, or { socket, name=value, … }.
func (m *mainCF) milter(set setting, item string) *milter {
	own := map[string]string{}
	spec := item
	if inner, ok := strings.CutPrefix(item, "{"); ok {
		parts := strings.FieldsFunc(strings.TrimSuffix(inner, "}"), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '{' || r == '}' })
		parts = strings.Fields(strings.ReplaceAll(strings.Join(parts, " "), " = ", "="))
		if len(parts) == 0 {
			return nil
		}
		spec = parts[0]
		for _, p := range parts[1:] {
			name, value, _ := strings.Cut(p, "=")
			own[name] = value
		}
	}
	scheme, rest, _ := strings.Cut(spec, ":")
	inQueue := (scheme == "unix" || scheme == "local") && !strings.HasPrefix(rest, "/")
	if inQueue {
		spec = "unix:" + m.queueDirectory() + "/" + rest
	}
	socket, ok := dialed(spec)
	if !ok {
		m.none(set, shortened(item)+": this is no socket of a milter")
		return nil
	}
	one := &milter{name: nameOfSocket(socket), socket: socket, from: m.file.Name + ":" + number(set.line)}
	if k := kindOfName(one.name); k != "" {
		one.kind = k
	}
	m.terms(one, set, own)
	return one
}

// terms are the timeouts and the default action of a milter, its own or those of all.
func (m *mainCF) terms(one *milter, set setting, own map[string]string) {
	for _, name := range []string{"connect_timeout", "command_timeout", "content_timeout", "default_action"} {
		value, at := own[name], set
		if value == "" {
			value, at = m.value("milter_"+name), m.params["milter_"+name]
		}
		if value == "" {
			continue
		}
		if name == "default_action" {
			switch value {
			case "accept", "reject", "tempfail", "quarantine":
				one.key(name, text(value))
			default:
				one.findings = append(one.findings, Finding{m.file.Name, at.line, at.text, value + ": there are accept, reject, tempfail, discard and quarantine; it is tempfail"})
			}
			continue
		}
		d, ok := durationOf(value)
		if !ok || d == 0 {
			one.findings = append(one.findings, Finding{m.file.Name, at.line, at.text, value + ": this is no time, such as 30s"})
			continue
		}
		one.key(name, text(timeText(d)))
	}
}
