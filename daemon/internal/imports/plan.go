package imports

import (
	"path"
	"slices"
	"strings"
)

// An entry is a key of the configuration file with its value, as it is written there.
type entry struct {
	key, value string
}

// A table is a [[milter.options.NAME]].
type table struct {
	name    string
	entries []entry
}

// A milter is a [[milter]] that is to be written.
type milter struct {
	name    string
	from    string // where it was found, for a comment
	use     string // a native child, or ...
	socket  string // ... where the milter is found, as the configuration file has it
	when    cond
	keys    []entry
	macros  []entry // of a milter on a socket
	options []entry
	tables  []table
	sections

	kind Kind // of the program that it is, "" where that is not known
	last bool // behind all others: it signs
}

// sections are the comments of a section.
type sections struct {
	notes    []string
	findings []Finding
}

func (s *sections) note(text string) {
	if !slices.Contains(s.notes, text) {
		s.notes = append(s.notes, text)
	}
}

// set sets a key, in place of what it was.
func set(list *[]entry, key, value string) {
	for i := range *list {
		if (*list)[i].key == key {
			(*list)[i].value = value
			return
		}
	}
	*list = append(*list, entry{key, value})
}

func (m *milter) key(key, value string)    { set(&m.keys, key, value) }
func (m *milter) option(key, value string) { set(&m.options, key, value) }

// A service is a daemon whose own settings were read, and the native children that
// do the same.
type service struct {
	kind    Kind
	file    File
	options Options
	socket  string // "" where its settings do not say
	natives []*milter
	paths   []string // files and folders that the natives need
	sections
	noSocket []Finding // where it listens cannot be made out
	used     bool
}

// none is a setting that has no counterpart.
func (s *service) none(set setting, why string) {
	s.findings = append(s.findings, Finding{s.file.Name, set.line, set.text, why})
}

// listens notes where the daemon listens.
func (s *service) listens(set setting) {
	spec, ok := dialed(set.value)
	if !ok {
		s.noSocket = append(s.noSocket, Finding{s.file.Name, set.line, set.text, "this is no socket of a milter"})
		return
	}
	s.socket = spec
}

// readFile reads a file that the settings name.
func (s *service) readFile(path string) (string, bool) {
	if s.options.ReadFile == nil {
		return "", false
	}
	text, err := s.options.ReadFile(path)
	return string(text), err == nil && len(text) <= MaxSize
}

// native adds a native child.
func (s *service) native(use string) *milter {
	m := &milter{name: use, use: use, kind: s.kind, from: string(s.kind) + ", " + s.file.Name}
	s.natives = append(s.natives, m)
	return m
}

// A plan is all that is to be written.
type plan struct {
	options  Options
	files    []string
	server   sections
	keys     []entry   // of [server]
	socket   string    // where the MTA finds milterkit, as milter-manager or main.cf has it
	manager  *manager  // nil where there is no milter-manager
	postfix  []*milter // those of main.cf
	queue    string    // Postfix's queue_directory
	services []*service
	milters  []*milter // in the end
}

// read takes in a file.
func (p *plan) read(f File) {
	p.files = append(p.files, f.Name)
	switch f.Kind {
	case MilterManager:
		p.readManager(f)
		return
	case MainCF:
		p.readMainCF(f)
		return
	}
	readers := map[Kind]func(*service){
		Greylist: readGreylist, PySPF: readPySPF, OpenDKIM: readOpenDKIM, OpenDMARC: readOpenDMARC, ClamAV: readClamAV, SpamAss: readSpamAss,
	}
	read := readers[f.Kind]
	if read == nil {
		p.server.findings = append(p.server.findings, Finding{f.Name, 1, string(f.Kind), "there is no such kind of settings"})
		return
	}
	s := &service{kind: f.Kind, file: f, options: p.options}
	read(s)
	if p.options.Remote { // the daemon does what it did
		s.sections, s.natives, s.paths = sections{}, nil, nil
	}
	s.findings = append(s.findings, s.noSocket...)
	p.services = append(p.services, s)
}

// arrange puts the milters in order: that of milter-manager, else of main.cf, else
// of their kinds. What signs comes last.
func (p *plan) arrange() {
	slots := p.postfix
	if p.manager != nil {
		slots = p.behindManager()
	}
	slices.SortStableFunc(p.services, func(a, b *service) int { return rank(a.kind) - rank(b.kind) })
	for _, slot := range slots {
		if s := p.serviceOf(slot); s != nil {
			s.used = true
			p.place(len(p.milters), s, slot)
			continue
		}
		if p.manager == nil && strings.Contains(slot.socket, "milter-manager") {
			slot.note("this is milter-manager: with what milter-manager --show-config prints among the FILEs its milters stand here")
		}
		if slot.kind != "" && !p.options.Remote && hasNative[slot.kind] != "" {
			slot.note("with the settings of " + string(slot.kind) + " among the FILEs it would be " + hasNative[slot.kind] + ", without the daemon")
		}
		p.milters = append(p.milters, slot)
	}
	for _, s := range p.services {
		if !s.used {
			at := slices.IndexFunc(p.milters, func(m *milter) bool { return rank(m.kind) > rank(s.kind) && m.kind != "" })
			if at < 0 {
				at = len(p.milters)
			}
			p.place(at, s, nil)
		}
	}
	slices.SortStableFunc(p.milters, func(a, b *milter) int {
		switch {
		case a.last == b.last:
			return 0
		case a.last:
			return 1
		}
		return -1
	})
	for _, m := range p.milters {
		m.settle()
		if m.use == "greylist" && p.manager != nil && p.manager.trusted != nil && slices.ContainsFunc(m.options, func(e entry) bool { return e.key == "trusted" }) {
			m.option("trusted", list(p.manager.trusted))
		}
		if m.use == "greylist" && p.manager == nil {
			m.note(`milter-manager would have asked it about clients that look like end users' lines only: s25r && !authenticated && !local`)
		}
	}
	p.unique()
}

// settle says so where a condition cannot be written.
func (m *milter) settle() {
	switch {
	case m.when.long:
		m.findings = append(m.findings, Finding{"milterkit", 1, m.name, "its conditions are too long for one when, and it is asked about all mail"})
	case m.when.never:
		m.note("by its conditions it was never asked")
		m.key("enabled", "false")
	}
}

// hasNative are the native children, by the kinds whose place they take.
var hasNative = map[Kind]string{
	Greylist: "greylist", PySPF: "spf", OpenDKIM: "dkim-verify and dkim-sign", OpenDMARC: "dmarc", ClamAV: "clamd", SpamAss: "spamd",
}

// behindManager are the milters of main.cf with those of milter-manager in the place
// of milter-manager.
func (p *plan) behindManager() []*milter {
	i := slices.IndexFunc(p.postfix, func(m *milter) bool {
		return p.same(m.socket, p.socket) || strings.Contains(m.socket, "milter-manager")
	})
	if i < 0 {
		return append(slices.Clone(p.postfix), p.manager.milters()...)
	}
	return slices.Concat(p.postfix[:i], p.manager.milters(), p.postfix[i+1:])
}

// same reports whether two sockets are one; Postfix may see a path from within its
// queue.
func (p *plan) same(a, b string) bool {
	inQueue := func(s string) string {
		if path, ok := strings.CutPrefix(s, "unix:"); ok {
			return "unix:" + strings.TrimPrefix(strings.TrimPrefix(path, p.queueDirectory()), "/var")
		}
		return strings.ReplaceAll(s, "@localhost", "@127.0.0.1")
	}
	return a != "" && b != "" && (a == b || inQueue(a) == inQueue(b))
}

func (p *plan) queueDirectory() string {
	if p.queue == "" {
		return "/var/spool/postfix"
	}
	return p.queue
}

// serviceOf is the daemon that a milter is, by its name or its socket.
func (p *plan) serviceOf(m *milter) *service {
	i := slices.IndexFunc(p.services, func(s *service) bool { return !s.used && (s.kind == m.kind || p.same(s.socket, m.socket)) })
	if i < 0 {
		return nil
	}
	return p.services[i]
}

// place puts a daemon's children at a place; slot is what is known of it from
// elsewhere, or nil.
func (p *plan) place(at int, s *service, slot *milter) {
	children := s.natives
	if p.options.Remote {
		if slot == nil {
			slot = &milter{name: string(s.kind), kind: s.kind, from: string(s.kind) + ", " + s.file.Name, socket: s.socket}
		}
		if slot.socket == "" {
			slot.socket = s.socket
		}
		slot.findings = append(slot.findings, s.findings...)
		if slot.socket == "" {
			p.server.findings = append(p.server.findings, slot.findings...)
			p.server.findings = append(p.server.findings, Finding{s.file.Name, 1, string(s.kind), "nothing says on which socket it listens, so it is left out"})
			return
		}
		children = []*milter{slot}
	} else if slot != nil {
		for _, m := range children {
			m.from += "; " + slot.from
			m.when = both(slot.when, m.when)
			for _, e := range slot.keys {
				if e.key != "connect_timeout" && e.key != "sendmail_macros" && !slices.ContainsFunc(m.keys, func(own entry) bool { return own.key == e.key }) {
					m.keys = append(m.keys, e)
				}
			}
		}
	}
	if len(children) == 0 {
		p.server.findings = append(p.server.findings, s.findings...)
		p.server.notes = append(p.server.notes, s.notes...)
		return
	}
	if !p.options.Remote {
		first := children[0]
		if slot != nil {
			first.findings = append(first.findings, slot.findings...)
		}
		first.findings = append(first.findings, s.findings...)
		for _, n := range s.notes {
			first.note(n)
		}
	}
	p.milters = slices.Insert(p.milters, at, children...)
}

// unique gives milters of one name others.
func (p *plan) unique() {
	taken := map[string]bool{}
	for _, m := range p.milters {
		m.name = nameOf(m.name)
		for base, n := m.name, 2; taken[m.name]; n++ {
			m.name = base + "-" + number(n)
		}
		taken[m.name] = true
	}
}

// nameOf makes a name of a text that is to be one.
func nameOf(s string) string {
	s = strings.Join(strings.Fields(printable(s)), " ")
	if s == "" {
		return "milter"
	}
	return shortened(s)
}

// nameOfSocket is what a milter is called of which nothing else is known: the last
// of its path, or the port.
func nameOfSocket(spec string) string {
	_, rest, _ := strings.Cut(spec, ":")
	if strings.HasPrefix(spec, "unix:") {
		name := strings.TrimSuffix(strings.TrimSuffix(path.Base(rest), path.Ext(rest)), "-")
		if folder := path.Base(path.Dir(rest)); (name == "sock" || name == "milter" || name == "socket") && folder != "/" {
			return folder
		}
		return name
	}
	port, _, _ := strings.Cut(rest, "@") // dialed has written it so
	return "milter-" + port
}
