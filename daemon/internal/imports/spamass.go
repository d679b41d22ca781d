package imports

import (
	"strconv"
	"strings"
)

// readSpamAss reads spamass-milter's flags: a command line, or the file with its
// variables that the start script reads.
func readSpamAss(s *service) {
	f := &spamass{service: s, milter: s.native("spamd"), line: setting{line: 1, text: "spamass-milter"}, host: "127.0.0.1", port: "783"}
	f.key("default_action", text("accept")) // it lets mail pass where spamc fails
	f.variables()
	for _, c := range f.commands {
		f.line = c.at
		f.flags(c.words)
	}
	f.finish()
}

// spamass is what spamass-milter's flags have said.
type spamass struct {
	*service
	*milter
	line       setting // that is read
	commands   []command
	keepsBody  bool
	text, code string
	user       string
	whole      bool // -e
	hosts      []string
	host, port string
	named      bool // -d or -p of spamc
	socketPath string
}

// A command is the words of one line, without the name of the program.
type command struct {
	at    setting
	words []string
}

// flagVariables hold flags, in the start scripts of Debian, Red Hat and FreeBSD.
var flagVariables = wordsOf("OPTIONS EXTRA_FLAGS spamass_milter_flags")

// socketVariables hold the socket.
var socketVariables = wordsOf("SOCKET spamass_milter_socket")

var spamassNeedless = wordsOf(`SOCKETOWNER SOCKETMODE SOCKETGROUP spamass_milter_enable spamass_milter_user spamass_milter_group
	spamass_milter_socket_owner spamass_milter_socket_group spamass_milter_socket_mode spamass_milter_localflags ENABLED PIDFILE`)

// variables reads the lines: assignments, or a command. Of a variable the last value
// counts.
func (f *spamass) variables() {
	vars := map[string]string{}
	last := map[string]command{}
	var order []string
	room := MaxSize // for variables, whatever they grow to
	for _, set := range settingsOf(strings.ReplaceAll(f.file.Text, "\\\n", " "), "", true) {
		raw := strings.TrimPrefix(strings.TrimSpace(set.key+" "+set.value), "export ")
		name, value, assigned := strings.Cut(raw, "=")
		assigned = assigned && !strings.ContainsAny(name, " -/\"'")
		words, closed := shellWords(raw, vars)
		if assigned {
			words, closed = shellWords(value, vars)
		}
		if !closed {
			f.none(set, "a quote has no end; the line is passed over")
			continue
		}
		switch key := strings.ToLower(name); {
		case !assigned:
			f.commands = append(f.commands, command{set, program(words)})
			continue
		case flagVariables[key]:
			words, _ = shellWords(strings.Join(words, " "), vars)
			order = append(order, name)
			last[name] = command{set, words}
		case socketVariables[key]:
			set.value = strings.Join(words, " ")
			f.listens(set)
		case !spamassNeedless[key]:
			f.none(set, "spamass-milter's start scripts have no such variable that is known here")
		}
		if value := strings.Join(words, " "); len(value) < room {
			vars[name] = value
			room -= len(value)
		}
	}
	seen := map[string]bool{}
	for _, name := range order {
		if !seen[name] {
			f.commands = append(f.commands, last[name])
		}
		seen[name] = true
	}
}

// program leaves out of a command line the name of the program.
func program(words []string) []string {
	if len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		return words[1:]
	}
	return words
}

// flags reads spamass-milter's flags.
func (f *spamass) flags(words []string) {
	const withValue = "bBCdDegipPrRSu"
	for i := 0; i < len(words); i++ {
		w := words[i]
		if w == "--" {
			f.spamc(words[i+1:])
			return
		}
		if len(w) < 2 || w[0] != '-' {
			f.refuse(w, "this is no flag")
			continue
		}
		for j := 1; j < len(w); j++ {
			if strings.IndexByte(withValue, w[j]) < 0 {
				f.flag(w[j])
				continue
			}
			value := w[j+1:]
			if value == "" && i+1 < len(words) {
				i++
				value = words[i]
			}
			f.valued(w[j], value)
			break
		}
	}
}

// refuse is none of one word of the line.
func (f *spamass) refuse(word, why string) {
	at := f.line
	at.text = shortened(word)
	f.none(at, why)
}

func (f *spamass) flag(c byte) {
	switch c {
	case 'm':
		f.keepsBody = true
	case 'M':
		f.keepsBody = true
		f.option("tag", text("none"))
	case 'I', 'a':
		f.when = both(f.when, not(atom("authenticated")))
	case 'f':
	case 'x':
		f.refuse("-x", "aliases are not looked up; the user is that of the recipient's address")
	default:
		f.refuse("-"+string(rune(c)), "spamass-milter has no such flag that is known here")
	}
}

func (f *spamass) valued(c byte, value string) {
	word := "-" + string(rune(c)) + " " + value
	switch c {
	case 'r':
		f.reject(word, value)
	case 'R':
		f.text = value
	case 'C':
		f.code = value
	case 'u':
		f.user = value
	case 'e':
		f.whole = true
	case 'i':
		f.ignored(word, value)
	case 'p':
		set := f.line
		set.value = value
		f.listens(set)
	case 'D':
		f.spamcFlag('d', value)
	case 'b', 'B':
		f.refuse(word, "spam is not sent to another address; let the mail server do it by the field X-Spam-Flag")
	case 'd', 'P', 'g', 'S':
	}
}

func (f *spamass) reject(word, value string) {
	score, err := strconv.ParseFloat(value, 64)
	switch {
	case err != nil || !(score > -1e6 && score < 1e6):
		f.refuse(word, "this is no score")
	case score < 0:
		f.refuse(word, "what is refused is told by its score alone; this is SpamAssassin's own required_score")
		f.option("reject_score", "5.0")
	case score == 0:
		f.refuse(word, "a score of 0 would refuse nearly all mail; none is refused")
	default:
		f.option("reject_score", floatText(score))
	}
}

func (f *spamass) ignored(word, value string) {
	var h hosts
	for _, entry := range (setting{value: value}).list() {
		h.add(entry)
	}
	if len(h.others) > 0 {
		f.refuse(word, "this is no network: "+strings.Join(h.others, ", "))
	}
	f.when = both(f.when, not(inNetworks(h.networks)))
}

// spamc reads the flags that are passed to spamc.
func (f *spamass) spamc(words []string) {
	for i := 0; i < len(words); i++ {
		name, value, inline := strings.Cut(words[i], "=")
		c := map[string]byte{"--dest": 'd', "--port": 'p', "--socket": 'U', "--max-size": 's', "--timeout": 't', "--username": 'u'}[name]
		if c == 0 && len(name) >= 2 && name[0] == '-' && strings.IndexByte("dpUstu", name[1]) >= 0 {
			c, value, inline = name[1], words[i][2:], len(words[i]) > 2
		}
		if c == 0 {
			f.refuse(words[i], "this flag of spamc's has none here")
			continue
		}
		if !inline && i+1 < len(words) {
			i++
			value = words[i]
		}
		f.spamcFlag(c, value)
	}
}

func (f *spamass) spamcFlag(c byte, value string) {
	word := "-" + string(rune(c)) + " " + value
	switch c {
	case 'd':
		f.hosts, f.named = (setting{value: value}).list(), true
	case 'p':
		f.port, f.named = value, true
	case 'U':
		f.socketPath = value
	case 'u':
		f.option("user", text(value))
	case 's':
		if n, err := strconv.ParseUint(value, 10, 32); err != nil {
			f.refuse(word, "this is no size")
		} else {
			f.option("max_size", strconv.FormatUint(n, 10))
		}
	case 't':
		if d, ok := durationOf(value); !ok {
			f.refuse(word, "this is no number of seconds")
		} else {
			f.option("timeout", text(timeText(d)))
		}
	}
}

// finish makes options of what several flags say together.
func (f *spamass) finish() {
	var addresses []string
	if f.socketPath != "" {
		addresses = append(addresses, "unix:"+f.socketPath)
		f.paths = append(f.paths, f.socketPath)
	}
	if f.named {
		if len(f.hosts) == 0 {
			f.hosts = []string{f.host}
		}
		for _, h := range f.hosts {
			if bare := strings.Trim(h, "[]"); strings.Contains(bare, ":") {
				h = "[" + bare + "]"
			}
			addresses = append(addresses, "inet:"+f.port+"@"+h)
		}
	}
	for i, a := range addresses {
		spec, ok := dialed(a)
		if !ok {
			f.refuse(a, "this is no address of spamd's; it is the default one")
			addresses = nil
			break
		}
		addresses[i] = spec
	}
	if addresses != nil {
		f.option("addresses", list(addresses))
	}
	if f.text != "" || f.code != "" {
		if f.text == "" {
			f.text = "Blocked by SpamAssassin"
		}
		if f.code == "" {
			f.code = "5.7.1"
		}
		f.option("reject_text", text(f.code+" "+f.text))
	}
	if f.user != "" {
		if f.whole {
			f.option("user", text("recipient"))
		} else {
			f.option("user", text("local-part"))
		}
		f.option("default_user", text(f.user))
	}
	if !f.keepsBody {
		f.refuse("no -m", `subject and body stay as they are; subject = "[SPAM]" marks the subject of spam`)
	}
	if f.service.socket == "" {
		f.service.socket = "unix:/var/spool/postfix/spamass/spamass.sock" // of Debian's start script
	}
}
