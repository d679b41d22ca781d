package detect

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// unitFolders are those of systemd, the first before the next.
// Source: systemd.unit(5).
var unitFolders = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// systemdUnits is what there is of systemd.
type systemdUnits struct {
	names  map[string]string // of units, and their files
	wanted map[string]string // by what a unit is started: a path in a .wants folder
	masked map[string]bool
	alias  map[string]bool // other names of units
}

// systemd finds the services, and returns what it knows of all units.
func (f *finder) systemd() *systemdUnits {
	u := f.listUnits()
	var names []string
	for name := range u.names {
		if strings.HasSuffix(name, ".service") && !strings.HasSuffix(name, "@.service") {
			names = append(names, name)
		}
	}
	for name := range u.wanted { // instances of templates have no file of their own
		if template, ok := templateOf(name); ok && strings.HasSuffix(name, ".service") && u.names[name] == "" && u.names[template] != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !u.alias[name] {
			if s := f.unitService(u, name); s != nil {
				f.add(s)
			}
		}
	}
	return u
}

// templateOf returns name@.service for name@instance.service.
func templateOf(name string) (string, bool) {
	at := strings.IndexByte(name, '@')
	if at < 0 || strings.HasPrefix(name[at+1:], ".") {
		return "", false
	}
	return name[:at+1] + path.Ext(name), true
}

func (f *finder) listUnits() *systemdUnits {
	u := &systemdUnits{map[string]string{}, map[string]string{}, map[string]bool{}, map[string]bool{}}
	for _, folder := range unitFolders {
		if folder == "/lib/systemd/system" && f.merged() {
			continue
		}
		for _, name := range f.names(folder) {
			file := path.Join(folder, name)
			switch ext := path.Ext(name); ext {
			case ".wants", ".requires":
				for _, wanted := range f.names(file) {
					if u.wanted[wanted] == "" {
						u.wanted[wanted] = path.Join(file, wanted)
					}
				}
			case ".service", ".socket":
				if u.names[name] != "" {
					continue
				}
				u.names[name] = file
				to, linked := f.files.link(file)
				fi := f.files.stat(file)
				u.masked[name] = linked && to == "/dev/null" || fi != nil && fi.Mode().IsRegular() && fi.Size() == 0
				template, _ := templateOf(name)
				u.alias[name] = linked && !u.masked[name] && path.Base(to) != name && path.Base(to) != template
			}
		}
	}
	for name, other := range u.alias { // who is wanted by another name is wanted
		if other && u.wanted[name] != "" {
			to, _ := f.files.link(u.names[name])
			if u.wanted[path.Base(to)] == "" {
				u.wanted[path.Base(to)] = u.wanted[name]
			}
		}
	}
	return u
}

// merged reports whether /lib is /usr/lib.
func (f *finder) merged() bool {
	a, err := f.files.host("/lib/systemd/system")
	b, other := f.files.host("/usr/lib/systemd/system")
	return err == nil && other == nil && a == b
}

// loadUnit reads a unit with its drop-ins; nil where it cannot be used.
func (f *finder) loadUnit(u *systemdUnits, name string) *unit {
	file := u.names[name]
	template, instance := templateOf(name)
	if file == "" && instance {
		file = u.names[template]
	}
	one := &unit{name: name, file: file}
	text, ok := f.read(file)
	if !ok || !f.takeUnit(one, file, text) {
		return nil
	}
	kinds := []string{strings.TrimPrefix(path.Ext(name), ".") + ".d"}
	if instance {
		kinds = append(kinds, template+".d")
	}
	kinds = append(kinds, name+".d")
	dropins := map[string]string{} // by name; the first folder counts
	for _, kind := range slices.Backward(kinds) {
		for _, folder := range unitFolders {
			for _, dropin := range f.names(path.Join(folder, kind)) {
				if strings.HasSuffix(dropin, ".conf") && dropins[dropin] == "" {
					dropins[dropin] = path.Join(folder, kind, dropin)
				}
			}
		}
	}
	var order []string
	for dropin := range dropins {
		order = append(order, dropin)
	}
	slices.Sort(order)
	for _, dropin := range order {
		file := dropins[dropin]
		if to, linked := f.files.link(file); linked && to == "/dev/null" {
			continue
		}
		if text, ok := f.read(file); ok {
			f.takeUnit(one, file, text)
		}
	}
	return one
}

// takeUnit adds the lines of a file, and tells what is wrong with it.
func (f *finder) takeUnit(u *unit, file, text string) bool {
	lines, ignored, err := parseUnit(file, text)
	if err != nil {
		f.skip(Place{file, err.line}, "skipped, and with it the whole file: "+err.message)
		return false
	}
	for _, e := range ignored {
		f.skip(Place{file, e.line}, "skipped: "+e.message)
	}
	u.lines = append(u.lines, lines...)
	return true
}

// unitService makes a service of a unit.
func (f *finder) unitService(u *systemdUnits, name string) *service {
	s := &service{name: strings.TrimSuffix(name, ".service"), file: u.names[name]}
	if u.masked[name] {
		return f.maskedService(u, s, name)
	}
	one := f.loadUnit(u, name)
	if one == nil {
		return nil
	}
	s.file, s.title = one.file, one.last("Unit", "Description")
	f.environment(one, s)
	get := func(name string) string {
		for _, v := range slices.Backward(s.vars) {
			if v.name == name {
				return v.text
			}
		}
		return ""
	}
	if starts := one.all("Service", "ExecStart"); len(starts) > 0 {
		start := starts[len(starts)-1]
		s.at = start.at
		s.take(commandLine(one.specifiers(start.text), get))
	}
	socketName := s.name + ".socket"
	if u.names[socketName] != "" && !u.masked[socketName] {
		if sock := f.loadUnit(u, socketName); sock != nil {
			s.listens = sock.all("Socket", "ListenStream")
		}
	}
	switch {
	case u.wanted[name] != "":
		s.enabled, s.why = true, u.wanted[name]
	case u.wanted[socketName] != "":
		s.enabled, s.why = true, u.wanted[socketName]
	default:
		s.why = "no link in a .wants folder: systemctl enable " + s.name
	}
	return s
}

// maskedService is what can be said of a unit that is masked: what its name says,
// and what the file that it hides would start.
func (f *finder) maskedService(u *systemdUnits, s *service, name string) *service {
	for _, folder := range unitFolders {
		file := path.Join(folder, name)
		if file == u.names[name] || !f.files.isFile(file) {
			continue
		}
		hidden := *u
		hidden.names = map[string]string{name: file}
		hidden.masked = map[string]bool{}
		if below := f.unitService(&hidden, name); below != nil {
			s = below
		}
		break
	}
	s.off("masked: %s", u.names[name])
	return s
}

// take takes a command line in, without what starts other programs.
func (s *service) take(words []string) {
	if len(words) >= 3 && words[1] == "-c" && slices.Contains([]string{"sh", "bash", "dash"}, path.Base(words[0])) {
		words = splitWords(words[2])
	}
	for len(words) > 1 && (words[0] == "exec" || path.Base(words[0]) == "env" || path.Base(words[0]) == "nice") {
		words = words[1:]
	}
	if len(words) > 0 {
		s.program, s.args = words[0], words[1:]
	}
}

// environment reads what a unit sets for its program.
func (f *finder) environment(one *unit, s *service) {
	for _, l := range one.all("Service", "Environment") {
		for _, word := range splitWords(one.specifiers(l.text)) {
			if name, text, ok := strings.Cut(word, "="); ok {
				s.vars = append(s.vars, variable{name, value{text, l.at}})
			}
		}
	}
	for _, l := range one.all("Service", "EnvironmentFile") { // these come over those above
		file := one.specifiers(strings.TrimPrefix(l.text, "-"))
		text, err := f.files.read(file)
		switch {
		case err == nil:
		case errors.Is(err, fs.ErrNotExist):
			continue
		default:
			f.skip(Place{File: file}, "skipped: "+reason(err))
			continue
		}
		vars, ignored := parseEnvironment(file, text)
		s.vars = append(s.vars, vars...)
		for _, e := range ignored {
			f.skip(Place{file, e.line}, "skipped: "+e.message)
		}
	}
}
