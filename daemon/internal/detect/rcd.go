package detect

import (
	"path"
	"strings"
)

// rcFolders are those of rc.d: ports of FreeBSD, packages of pkgsrc, the system,
// and scripts of pkgsrc that nobody has put in their place yet.
var rcFolders = []string{"/usr/local/etc/rc.d", "/usr/pkg/etc/rc.d", "/etc/rc.d", pkgsrcExamples}

const pkgsrcExamples = "/usr/pkg/share/examples/rc.d"

// rcd finds the services of rc.d.
func (f *finder) rcd() {
	seen := map[string]bool{}
	for _, folder := range rcFolders {
		for _, name := range f.names(folder) {
			file := path.Join(folder, name)
			if seen[name] || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".sample") || !f.files.isFile(file) {
				continue
			}
			seen[name] = true
			text, ok := f.read(file)
			if !ok || !promising(name, text) {
				continue
			}
			for _, s := range f.rcServices(name, file, text) {
				if folder == pkgsrcExamples {
					s.off("the script is not in /etc/rc.d yet")
				}
				f.add(s)
			}
		}
	}
}

// An rcScript is a script of rc.d that was followed.
type rcScript struct {
	shell *shell
	calls int // of run_rc_command
	flags string
}

// rcServices follows a script, and once more for each of its profiles.
func (f *finder) rcServices(name, file, text string) []*service {
	plain := f.followRC(file, text, "start")
	profiles := strings.Fields(plain.shell.get(plain.shell.get("name") + "_profiles"))
	if len(profiles) == 0 {
		return []*service{plain.service(name, file, "")}
	}
	var all []*service
	for _, profile := range profiles[:min(len(profiles), 100)] {
		one := f.followRC(file, text, "start", profile)
		all = append(all, one.service(name, file, profile))
	}
	return all
}

func (f *finder) followRC(file, text string, args ...string) *rcScript {
	rc := &rcScript{}
	sh := newShell(f.files, f.skipLine)
	rc.shell = sh
	sh.args = append([]string{file}, args...)
	sh.file = file
	sh.own = map[string]func(*shell, []string) truth{
		"load_rc_config": func(sh *shell, args []string) truth {
			if len(args) > 0 {
				loadRCConfig(sh, args[0], path.Dir(path.Dir(file)))
			}
			return yes
		},
		"checkyesno": func(sh *shell, args []string) truth {
			return truthOf(len(args) > 0 && checkYes(sh.get(args[0])))
		},
		"run_rc_command": func(sh *shell, _ []string) truth {
			rc.run()
			return yes
		},
	}
	sh.follow(text)
	return rc
}

// loadRCConfig reads what rc.subr would. Source: load_rc_config of FreeBSD's and
// NetBSD's /etc/rc.subr.
func loadRCConfig(sh *shell, name, prefix string) {
	for _, file := range []string{"/etc/rc.conf", "/etc/rc.conf.local"} {
		sh.source(file)
	}
	for _, etc := range []string{"/etc", prefix} {
		if etc == "/etc" || strings.HasPrefix(etc, "/usr/") {
			sourceAll(sh, path.Join(etc, "rc.conf.d", name))
		}
	}
}

// sourceAll follows a file, or those of a folder.
func sourceAll(sh *shell, file string) {
	if strings.Contains(file, unknown) {
		return
	}
	sh.source(file)
	if !sh.files.isFolder(file) {
		return
	}
	names, _ := sh.files.names(file)
	for _, name := range names {
		sh.source(path.Join(file, name))
	}
}

// run is run_rc_command, up to where it would start the program.
func (rc *rcScript) run() {
	sh := rc.shell
	rc.calls++
	name := sh.get("name")
	flags, given := sh.vars["flags"]
	if !given || flags.text == "" {
		flags = sh.vars[name+"_flags"]
	}
	before := sh.get("rc_flags")
	if before == "" {
		sh.vars["rc_flags"] = flags
	}
	if body, ok := sh.funcs[sh.get("start_precmd")]; ok {
		sh.callFunction(body, []string{"start_precmd"})
	}
	rc.flags = sh.get("rc_flags")
}

// service is what the script would start.
func (rc *rcScript) service(script, file, profile string) *service {
	sh := rc.shell
	name := sh.get("name")
	s := &service{name: script, base: script, title: sh.get("desc"), file: file, at: Place{File: file}}
	rcvar := sh.get("rcvar")
	if strings.Contains(rcvar, unknown) {
		rcvar = name + "_enable"
	}
	enable, set := sh.vars[rcvar]
	if profile != "" {
		s.name += "-" + profile
		if own, ok := sh.vars[name+"_"+profile+"_enable"]; ok {
			rcvar, enable, set = name+"_"+profile+"_enable", own, true
		}
	}
	switch {
	case rcvar == "":
		s.enabled, s.why = true, "its script has no rcvar, so it is started in any case"
	case set && checkYes(enable.text):
		s.enabled, s.why = true, rcvar+"="+enable.text+" in "+enable.at.String()
	case set:
		s.why = rcvar + "=" + enable.text + " in " + enable.at.String()
	default:
		s.why = rcvar + " is not set in /etc/rc.conf"
	}
	program := sh.get("command")
	if own := sh.get(name + "_program"); own != "" {
		program = own
	}
	if s.fromCalls(sh.ran); rc.calls > 0 || s.program == "" { // else it starts the program by itself
		s.take(append([]string{program}, splitWords(rc.flags+" "+sh.get("command_args"))...))
	}
	s.vars = sh.variables()
	s.prefix = name + "_"
	if profile != "" {
		s.profile = name + "_" + profile + "_"
	}
	return s
}
