package detect

import (
	"path"
	"strconv"
	"strings"
)

// rspamd finds the socket of rspamd's proxy worker, in rspamd's own configuration.
func (f *finder) rspamd(s *service) clue {
	file, ok := s.flag("-c")
	if !ok || !strings.HasPrefix(file, "/") {
		file = "/etc/rspamd/rspamd.conf"
		if _, port := strings.CutPrefix(s.program, "/usr/local/"); port {
			file = "/usr/local/etc/rspamd/rspamd.conf"
		} else if _, pkgsrc := strings.CutPrefix(s.program, "/usr/pkg/"); pkgsrc {
			file = "/usr/pkg/etc/rspamd/rspamd.conf"
		}
	}
	text, ok := f.read(file)
	if !ok {
		return clue{problem: file + " cannot be read"}
	}
	folder := path.Dir(file)
	u := &ucl{read: f.read, broken: f.skipLine, vars: map[string]string{"CONFDIR": folder, "LOCAL_CONFDIR": folder}}
	u.follow(file, text, "", 0)

	var c clue
	worker := "worker.rspamd_proxy"
	if !u.has(worker) && u.has("worker.proxy") {
		worker = "worker.proxy"
	}
	for _, bind := range u.get(worker + ".bind_socket") {
		if c.take(rspamdSocket(bind.text), bind.at) {
			break
		}
	}
	milter, set := u.last(worker + ".milter")
	switch enabled, given := u.last(worker + ".enabled"); {
	case !u.has(worker):
		c.off = "it has no proxy worker"
	case given && !checkYes(enabled.text):
		c.off = "its proxy worker is off in " + enabled.at.String()
	case !set:
		c.off = "its proxy worker does not have milter = yes"
	case !checkYes(milter.text):
		c.off = "milter = " + milter.text + " in " + milter.at.String()
	}
	if count, ok := u.last(worker + ".count"); ok && strings.HasPrefix(count.text, "-") {
		c.off = "its proxy worker is off in " + count.at.String()
	}
	c.verifies, c.signs = true, f.rspamdSigns(folder)
	return c
}

// rspamdSigns reports whether rspamd seems to sign mail: somebody has given it keys
// or told it how.
func (f *finder) rspamdSigns(folder string) bool {
	for _, name := range []string{"local.d/dkim_signing.conf", "override.d/dkim_signing.conf"} {
		file := path.Join(folder, name)
		text, ok := f.read(file)
		if !ok {
			continue
		}
		u := &ucl{read: f.read, broken: func(Place, string) {}}
		u.follow(file, text, "", 0)
		if enabled, set := u.last("enabled"); len(u.settings) > 0 && (!set || checkYes(enabled.text)) {
			return true
		}
	}
	names, _ := f.files.names("/var/lib/rspamd/dkim")
	for _, name := range names {
		if path.Ext(name) == ".key" {
			return true
		}
	}
	return false
}

// rspamdSocket makes a socket of bind_socket: /PATH mode=…, HOST:PORT, *:PORT,
// [ADDRESS]:PORT, PORT.
func rspamdSocket(text string) string {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return ""
	}
	text = fields[0]
	if strings.HasPrefix(text, "/") {
		return "unix:" + text
	}
	i := strings.LastIndexByte(text, ':')
	host, port := "", text
	if i >= 0 {
		host, port = text[:i], text[i+1:]
	} else if _, err := strconv.Atoi(text); err != nil {
		host, port = text, "11332"
	}
	switch host {
	case "", "*", "*v4":
		host = "127.0.0.1"
	case "*v6":
		host = "[::1]"
	case "systemd":
		return text
	}
	if strings.HasPrefix(host, "[") {
		return "inet6:" + port + "@" + host
	}
	return "inet:" + port + "@" + host
}
