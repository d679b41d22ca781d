package imports

import (
	"strconv"
	"strings"
)

// clamavNeedless are settings of clamav-milter's that are about how it runs.
var clamavNeedless = wordsOf(`FixStaleSocket User Foreground PidFile Chroot TemporaryDirectory MilterSocketGroup MilterSocketMode
	AllowSupplementaryGroups LogFile LogFileUnlock LogFileMaxSize LogTime LogSyslog LogFacility LogVerbose LogRotate LogInfected LogClean
	SupportMultipleRecipients`)

// wordsOf is a set of words, without regard to case.
func wordsOf(s string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(s) {
		set[strings.ToLower(w)] = true
	}
	return set
}

// readClamAV reads clamav-milter.conf.
func readClamAV(s *service) {
	m := s.native("clamd")
	m.key("default_action", text("tempfail")) // clamav-milter's own default
	c := clamav{service: s, milter: m, infected: "quarantine"}
	for _, set := range settingsOf(s.file.Text, "", true) {
		set.value = unquoted(set.value)
		c.setting(set)
	}
	if len(c.addresses) > 0 {
		m.option("addresses", list(c.addresses))
	}
	if c.infected == "header" && !c.headers {
		c.headers = true
		s.none(c.accepts, `without AddHeader viruses would pass unmarked; here they are marked`)
	}
	m.option("infected", text(c.infected))
	m.option("headers", strconv.FormatBool(c.headers))
}

type clamav struct {
	*service
	*milter
	addresses []string
	infected  string
	headers   bool
	accepts   setting // OnInfected Accept
}

func (c *clamav) setting(set setting) {
	switch key := strings.ToLower(set.key); {
	case key == "miltersocket":
		c.listens(set)
	case key == "clamdsocket":
		c.address(set)
	case key == "oninfected":
		c.onInfected(set)
	case key == "onfail":
		action, ok := map[string]string{"accept": "accept", "reject": "reject", "defer": "tempfail"}[strings.ToLower(set.value)]
		if !ok {
			c.none(set, "there are Accept, Reject and Defer; it is tempfail")
			action = "tempfail"
		}
		c.key("default_action", text(action))
	case key == "onclean":
		if !strings.EqualFold(set.value, "accept") {
			c.none(set, "clean mail goes on; clamav-milter has this for tests")
		}
	case key == "rejectmsg":
		c.option("text", text(set.value))
	case key == "addheader":
		c.headers = !strings.EqualFold(set.value, "no") && !strings.EqualFold(set.value, "false")
		if strings.EqualFold(set.value, "add") {
			c.none(set, "fields of these names are replaced, so that no forged one stands beside")
		}
	case key == "maxfilesize":
		c.maxSize(set)
	case key == "readtimeout":
		c.timeout(set)
	case key == "localnet":
		c.localNet(set)
	case key == "skipauthenticated":
		c.skipAuthenticated(set)
	case key == "reporthostname":
		c.none(set, "X-Virus-Scanned has the name by which the mail server calls itself")
	case key == "virusaction":
		c.none(set, "no program is run; the log has a line for each virus")
	case key == "allowlist" || key == "whitelist":
		c.none(set, `say who is not looked at in when, such as when = 'mail_from not in ["a@example.org"]'`)
	case key == "example":
		c.none(set, "with this line clamav-milter does not start; the rest is imported")
	case !clamavNeedless[key]:
		c.none(set, "clamav-milter has no such setting that is known here")
	}
}

// address takes in where clamd listens.
func (c *clamav) address(set setting) {
	spec := set.value
	if rest, ok := strings.CutPrefix(spec, "tcp:"); ok {
		host, port := rest, "3310"
		if i := strings.LastIndexByte(rest, ':'); i >= 0 && (strings.Count(rest, ":") == 1 || strings.Contains(rest, "]:") || !strings.HasPrefix(rest, "[")) {
			host, port = rest[:i], rest[i+1:]
		}
		if host = strings.Trim(host, "[]"); strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		spec = "inet:" + port + "@" + host
	}
	address, ok := dialed(spec)
	if !ok {
		c.none(set, "this is no socket of clamd's; there are unix:PATH and tcp:HOST:PORT")
		return
	}
	c.addresses = append(c.addresses, address)
	if len(c.addresses) == 2 {
		c.none(set, "of several clamd the first one that works is asked, not each in turn")
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		c.paths = append(c.paths, path)
	}
}

func (c *clamav) onInfected(set setting) {
	switch strings.ToLower(set.value) {
	case "reject":
		c.infected = "reject"
	case "blackhole":
		c.infected = "discard"
	case "quarantine":
		c.infected = "quarantine"
	case "accept":
		c.infected, c.accepts = "header", set
	case "defer":
		c.infected = "reject"
		c.none(set, "a virus does not go away; it is refused")
	default:
		c.none(set, "there are Accept, Reject, Defer, Blackhole and Quarantine; it is Quarantine, clamav-milter's default")
	}
}

// maxSize takes in 25M, 100K or a number of bytes.
func (c *clamav) maxSize(set setting) {
	digits, unit := set.value, ""
	if n := len(digits); n > 0 {
		switch digits[n-1] {
		case 'k', 'K':
			digits, unit = digits[:n-1], "KiB"
		case 'm', 'M':
			digits, unit = digits[:n-1], "MiB"
		}
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	switch {
	case err != nil || n == 0:
		c.none(set, "this is no size that messages could have; it is 25MiB")
	case unit == "":
		c.option("max_size", digits)
	default:
		c.option("max_size", text(strconv.FormatUint(n, 10)+unit))
	}
}

func (c *clamav) timeout(set setting) {
	d, ok := durationOf(set.value)
	switch {
	case !ok:
		c.none(set, "this is no number of seconds; it is 2m")
	case d == 0:
		c.option("timeout", text("4m")) // no limit but the milter's own
	default:
		c.option("timeout", text(timeText(d)))
	}
}

func (c *clamav) localNet(set setting) {
	if strings.EqualFold(set.value, "local") {
		c.when = both(c.when, not(atom("local")))
		return
	}
	var h hosts
	h.add(set.value)
	if len(h.others) > 0 {
		c.none(set, `the name of a host; say in when which mail is not looked at, such as when = 'client.name != "mail.example.org"'`)
		return
	}
	c.when = both(c.when, not(inNetworks(h.networks)))
}

func (c *clamav) skipAuthenticated(set setting) {
	const user = `macro("auth_authen")`
	if file, ok := strings.CutPrefix(set.value, "file:"); ok {
		text, ok := c.readFile(file)
		if !ok {
			c.none(set, "the file cannot be read")
			return
		}
		var names []string
		for _, line := range settingsOf(text, "", true) {
			names = append(names, quoted(line.text))
		}
		c.when = both(c.when, not(atom(user+" in ["+strings.Join(names, ", ")+"]")))
		return
	}
	pattern, ok := patternOf(set.value, true)
	if !ok {
		c.none(set, "this regular expression is none of RE2's")
		return
	}
	c.when = both(c.when, not(both(atom("authenticated"), matching(user, pattern))))
}
