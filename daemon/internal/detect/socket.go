package detect

import (
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/milterkit/sdk/internal/socket"
)

// A clue is what is known of a filter's socket and of what it does.
type clue struct {
	socket   socket.Addr
	at       Place
	off      string // why it does not run, although it is started
	problem  string // what was in the way of a socket
	verifies bool
	signs    bool
	tarpit   int
}

// locate finds the socket of a milter: on its command line, in its configuration,
// in the variables of its service, in its socket unit, or where it is by itself.
func (f *finder) locate(s *service, k *kind) clue {
	if k.name == "rspamd" {
		return f.rspamd(s)
	}
	var c clue
	file, settings, text := f.configuration(s, k, &c)
	c.about(s, k, file, settings, text)
	flags := []string{k.flag}
	if k == generic {
		flags = []string{"-p", "-s", "--socket", "--connection-spec"}
	}
	for _, flag := range flags {
		if text, ok := s.flag(flag); ok && flag != "" && c.take(text, s.placeOf(text, s.at)) {
			return c
		}
	}
	for _, key := range k.keys {
		if l, ok := last(settings, key); ok && c.take(l.text, l.at) {
			return c
		}
	}
	if s.fromVariables(&c) {
		return c
	}
	for _, l := range s.listens {
		text := l.text
		if _, err := strconv.Atoi(text); err == nil {
			text = "inet:" + text
		}
		if c.take(text, l.at) {
			return c
		}
	}
	if k.socket != "" {
		c.take(k.socket, Place{File: s.file})
	}
	return c
}

// take takes a socket, if the text is one.
func (c *clue) take(text string, at Place) bool {
	addr, problem := socketOf(text)
	if problem != "" {
		if c.problem == "" {
			c.problem = at.String() + ": " + problem
		}
		return false
	}
	c.socket, c.at, c.problem = addr, at, ""
	return true
}

// socketOf reads a socket as filters have it. One that listens on all addresses is
// asked on loopback.
func socketOf(text string) (addr socket.Addr, problem string) {
	text = strings.Trim(strings.TrimSpace(text), `"'`)
	if strings.Contains(text, unknown) {
		return addr, "the socket is what a program says"
	}
	for _, scheme := range []string{"unix:", "local:", "inet:", "inet6:"} {
		for strings.HasPrefix(text, scheme) && socket.IsScheme(strings.SplitN(text[len(scheme):], ":", 2)[0]) && strings.Contains(text[len(scheme):], ":") {
			text = text[len(scheme):]
		}
	}
	addr, err := socket.Parse(text)
	if err != nil || addr.Network == "systemd" {
		if err == nil {
			return socket.Addr{}, "systemd: names no socket that could be dialled"
		}
		return socket.Addr{}, err.Error()
	}
	host, port, err := net.SplitHostPort(addr.Addr)
	if addr.Network == "unix" || err != nil {
		return addr, ""
	}
	switch host {
	case "0.0.0.0", "*":
		addr.Addr = net.JoinHostPort("127.0.0.1", port)
	case "::":
		addr.Addr = net.JoinHostPort("::1", port)
	}
	return addr, ""
}

// placeOf returns where a text was set that stands on a command line: in the first
// variable that is it, else in the last that has it, else there.
func (s *service) placeOf(text string, otherwise Place) Place {
	for _, v := range s.vars {
		if v.text == text && v.at.File != "" {
			return v.at
		}
	}
	for _, v := range slices.Backward(s.vars) {
		if v.at.File != "" && slices.Contains(splitWords(v.text), text) {
			return v.at
		}
	}
	return otherwise
}

// Variables that hold a socket, or the flags of a program.
var (
	socketVariables = []string{"SOCKET", "SOCKET_ADDRESS", "MILTER_SOCKET", "MILTERSOCKET", "SOCKFILE", "CONNECTION_SPEC"}
	flagVariables   = []string{"OPTIONS", "OPTARGS", "DAEMON_ARGS", "DAEMON_OPTS", "PARAMS"}
)

// fromVariables looks for a socket in the variables of the service.
func (s *service) fromVariables(c *clue) bool {
	names := slices.Clone(socketVariables)
	for _, prefix := range []string{s.profile, s.prefix} {
		if prefix != "" {
			names = append(names, prefix+"socket", prefix+"socketspec", prefix+"sockfile", prefix+"connection_spec")
		}
	}
	for _, name := range names {
		for _, v := range slices.Backward(s.vars) {
			if v.name == name && v.text != "" && c.take(v.text, v.at) {
				return true
			}
		}
	}
	for _, v := range slices.Backward(s.vars) {
		if !slices.Contains(flagVariables, v.name) {
			continue
		}
		inner := service{args: splitWords(v.text)}
		if text, ok := inner.flag("-p"); ok && c.take(text, v.at) {
			return true
		}
	}
	return false
}

// configuration reads the file that a filter is configured by.
func (f *finder) configuration(s *service, k *kind, c *clue) (file string, settings []line, text string) {
	var files []string
	for _, flag := range k.conf {
		if name, ok := s.flag(flag); ok && strings.HasPrefix(name, "/") {
			files = append(files, name)
		}
	}
	for i, a := range s.args { // as the python ones have it, without a flag
		if strings.HasPrefix(a, "/") && path.Ext(a) == ".conf" && (i == 0 || !strings.HasPrefix(s.args[i-1], "-")) {
			files = append(files, a)
		}
	}
	if len(files) == 0 {
		for _, name := range slices.Backward(k.files) {
			if f.files.stat(name) != nil {
				files = []string{name}
			}
		}
	}
	if len(files) == 0 || k.keys == nil {
		return "", nil, ""
	}
	file = files[len(files)-1]
	text, ok := f.read(file)
	if !ok {
		c.problem = file + " cannot be read"
		return file, nil, ""
	}
	return file, readSettings(file, text), text
}

var tarpit = regexp.MustCompile(`(?m)^\s*r?acl\s.*\btarpit\s+([0-9]+)([smhdw]?)\b`)

// about finds out what a filter does from its configuration.
func (c *clue) about(s *service, k *kind, file string, settings []line, text string) {
	if l, ok := last(settings, "example"); ok && k.name == "clamav-milter" {
		c.off = "the line Example is still in " + l.at.String()
	}
	if k.name == "milter-greylist" {
		for _, m := range tarpit.FindAllStringSubmatch(text, -1) {
			n, _ := strconv.Atoi(m[1])
			unit := map[string]int{"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}[m[2]]
			c.tarpit = max(c.tarpit, min(n, 7*86400)*unit)
		}
	}
	if !k.dkim {
		return
	}
	mode, _ := last(settings, "mode")
	if text, ok := s.flag("-b"); ok && k.flag != "" {
		mode.text = text
	}
	// Both where nothing is said. Keys do not matter: they may come later.
	c.signs = mode.text == "" || strings.Contains(mode.text, "s")
	c.verifies = mode.text == "" || strings.Contains(mode.text, "v")
}
