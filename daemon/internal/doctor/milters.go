package doctor

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/milterkit/sdk/internal/socket"
)

// An entry is a milter that a service of Postfix's asks.
type entry struct {
	service   *service
	parameter string // smtpd_milters or non_smtpd_milters
	text      string // the item as it stands
	spec      string // its socket as it stands
	addr      socket.Addr
	from      string // the folder from which Postfix finds its way to a unix socket
}

// entries are all milters that smtpd and cleanup ask.
func (p *Postfix) entries() (all []entry) {
	for i := range p.services {
		s := &p.services[i]
		if parameter := parameterOf(s); parameter != "" {
			for _, item := range split(p.value(s, parameter), ", \t") {
				all = append(all, p.entry(s, parameter, item))
			}
		}
	}
	return all
}

// parameterOf is where the milters stand that a service asks.
func parameterOf(s *service) string {
	switch s.program {
	case "smtpd":
		return "smtpd_milters"
	case "cleanup":
		return "non_smtpd_milters"
	}
	return ""
}

// entry reads an item: a socket, or { socket, name=value, … }.
func (p *Postfix) entry(s *service, parameter, item string) entry {
	e := entry{service: s, parameter: parameter, text: item, spec: item}
	if inner, ok := strings.CutPrefix(item, "{"); ok {
		e.spec = ""
		if parts := split(strings.TrimSuffix(inner, "}"), ", \t"); len(parts) > 0 {
			e.spec = parts[0]
		}
	}
	scheme, rest, _ := strings.Cut(e.spec, ":")
	if scheme != "unix" && scheme != "local" {
		e.addr, _ = socket.Parse(e.spec)
		return e
	}
	queue := p.queue(s)
	switch {
	case !strings.HasPrefix(rest, "/"):
		e.addr, e.from = socket.Addr{Network: "unix", Addr: path.Join(queue, rest)}, queue
	case s.chroot:
		e.addr, e.from = socket.Addr{Network: "unix", Addr: path.Join(queue, rest)}, queue
	default:
		e.addr, e.from = socket.Addr{Network: "unix", Addr: path.Clean(rest)}, "/"
	}
	return e
}

func (p *Postfix) queue(s *service) string { return path.Clean(p.value(s, "queue_directory")) }

// own is a setting of this milter alone, or of all: connect_timeout, protocol, ….
// The mend sets it to a value, where it is set now.
func (p *Postfix) own(e entry, name string) (value string, mend func(value string) Mend) {
	if strings.HasPrefix(e.text, "{") {
		for _, part := range split(strings.Trim(e.text, "{}"), ",") {
			key, v, ok := strings.Cut(part, "=")
			if ok && strings.TrimSpace(key) == name {
				old := strings.TrimSpace(part)
				return strings.Trim(strings.TrimSpace(v), "{}"), func(to string) Mend {
					return p.replaced(e, strings.Replace(e.text, old, name+"="+to, 1))
				}
			}
		}
	}
	name = "milter_" + name
	return p.value(e.service, name), func(to string) Mend { return p.set(e.service, name, to) }
}

// duration is own for a time.
func (p *Postfix) duration(e entry, name string) (time.Duration, func(value string) Mend) {
	text, mend := p.own(e, name)
	d, ok := durationOf(text)
	if !ok {
		d, _ = durationOf(defaults["milter_"+name])
	}
	return d, mend
}

// replaced is the mend that has another item in place of an entry.
func (p *Postfix) replaced(e entry, item string) Mend {
	items := split(p.value(e.service, e.parameter), ", \t")
	for i := range items {
		if items[i] == e.text {
			items[i] = item
		}
	}
	return p.set(e.service, e.parameter, strings.Join(items, ", "))
}

// set is the mend that gives a parameter a value, where the service has it from.
func (p *Postfix) set(s *service, name, value string) Mend {
	if s != nil {
		if _, own := s.own[name]; own {
			option := fmt.Sprintf("-o %s=%s", name, value)
			if strings.ContainsAny(value, " \t{") {
				option = fmt.Sprintf("-o { %s = %s }", name, value)
			}
			return Mend{File: p.masterCF(), Section: s.name + " " + s.kind, Line: option}
		}
	}
	return Mend{File: p.mainCF(), Line: name + " = " + value}
}
