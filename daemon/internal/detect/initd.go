package detect

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// initFolders are those of the scripts, linkFolders those of the links to them by
// which they are started. The ones with rc.d are those of the Red Hat family.
var (
	initFolders = []string{"/etc/init.d", "/etc/rc.d/init.d"}
	linkFolders = []string{"/etc", "/etc/rc.d"}
)

// initd finds services of init.d that have no unit, which systemd would prefer.
func (f *finder) initd(units *systemdUnits) {
	seen := map[string]bool{}
	for _, folder := range initFolders {
		for _, name := range f.names(folder) {
			unit := name + ".service"
			file := path.Join(folder, name)
			if seen[name] || units.names[unit] != "" && !units.masked[unit] || !f.files.isFile(file) {
				continue
			}
			seen[name] = true
			text, ok := f.read(file)
			if !ok || !promising(name, text) {
				continue
			}
			s := f.initService(name, file, text)
			if link := f.initLink(name); link == "" {
				s.off("no link to it in /etc/rc2.d to rc5.d")
			} else if s.why == "" {
				s.enabled, s.why = true, link
			}
			if units.masked[unit] {
				s.off("masked: %s", units.names[unit])
				f.found = slices.DeleteFunc(f.found, func(m Found) bool { return m.Service == units.names[unit] })
			}
			f.add(s)
		}
	}
}

// promising reports whether it is worth to follow a script.
func promising(name, text string) bool {
	return named(name) != nil || strings.Contains(name+text, "milter")
}

// initLink returns the link by which a script is started, or "".
func (f *finder) initLink(name string) string {
	for _, folder := range linkFolders {
		for _, level := range []string{"rc2.d", "rc3.d", "rc4.d", "rc5.d"} {
			for _, link := range f.names(path.Join(folder, level)) {
				if len(link) == len(name)+3 && link[0] == 'S' && link[3:] == name {
					return path.Join(folder, level, link)
				}
			}
		}
	}
	return ""
}

var lsbTitle = regexp.MustCompile(`(?m)^#\s*Short-Description:\s*(.*)$`)

// initService follows a script as if it was called to start its service.
func (f *finder) initService(name, file, text string) *service {
	s := &service{name: name, file: file}
	if m := lsbTitle.FindStringSubmatch(text); m != nil {
		s.title = m[1]
	}
	sh := newShell(f.files, f.skipLine)
	sh.args = []string{file, "start"}
	sh.file = file
	sh.follow(text)
	s.vars = sh.variables()
	s.fromCalls(sh.ran)
	if s.program == "" {
		s.program = sh.get("DAEMON")
	}
	if v, set := sh.vars["ENABLED"]; set && !checkYes(v.text) {
		s.off("ENABLED=%s in %s", v.text, v.at)
	}
	return s
}

func (f *finder) skipLine(at Place, message string) {
	f.skip(at, "skipped from here on: "+message)
}

// variables returns those that are set and known, in the order in which they were set.
func (s *shell) variables() []variable {
	var all []variable
	seen := map[string]bool{}
	for _, name := range s.order {
		if v, set := s.vars[name]; set && !seen[name] {
			seen[name] = true
			all = append(all, variable{name, v})
		}
	}
	return all
}

// fromCalls looks for the command that starts the program.
func (s *service) fromCalls(ran []call) {
	for _, c := range ran {
		words := started(c.words)
		if len(words) == 0 || slices.Contains(c.words, "--test") {
			continue
		}
		known := named(path.Base(words[0])) != nil || strings.Contains(path.Base(words[0]), "milter")
		if s.program == "" || known {
			s.at = c.at
			s.take(words)
		}
		if known {
			return
		}
	}
}

// started returns the command line of the program that a command starts, if it
// does.
func started(words []string) []string {
	switch name := path.Base(words[0]); {
	case name == "start-stop-daemon":
		return startStopDaemon(words[1:])
	case name == "daemon" || name == "start_daemon" || name == "runuser" || name == "startproc":
		for i := 1; i < len(words); i++ {
			if strings.HasPrefix(words[i], "/") {
				return words[i:]
			}
		}
	case name == "nohup" && len(words) > 1:
		return started(words[1:])
	case strings.HasPrefix(words[0], "/") && strings.Contains(words[0], "bin/") && (named(name) != nil || strings.Contains(name, "milter")):
		return words
	}
	return nil
}

func startStopDaemon(args []string) []string {
	program := ""
	for i, a := range args {
		if a == "--stop" || a == "-K" {
			return nil
		}
		if a == "--" && program != "" {
			return append([]string{program}, args[i+1:]...)
		}
		if i > 0 && slices.Contains([]string{"--exec", "-x", "--startas", "-a"}, args[i-1]) {
			program = a
		}
		for _, long := range []string{"--exec=", "--startas="} {
			if text, ok := strings.CutPrefix(a, long); ok {
				program = text
			}
		}
	}
	if program == "" {
		return nil
	}
	return []string{program}
}

// checkYes is checkyesno of rc.subr, with the 1 and true that others write.
func checkYes(text string) bool {
	switch strings.ToLower(text) {
	case "yes", "true", "on", "1":
		return true
	}
	return false
}
