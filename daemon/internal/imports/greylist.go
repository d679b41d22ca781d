package imports

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// A statement is one of greylist.conf: its words, up to the end of the line. Lists in
// braces are words of their own; what stood in quotes or slashes begins with the sign.
type statement struct {
	setting
	words []string
}

// statementsOf splits greylist.conf. What stands in quotes keeps the first of them, and
// a regular expression its first slash, so that they are known.
func statementsOf(text string) []statement {
	var all []statement
	var s statement
	line, braces := 1, 0
	lines := strings.Split(text, "\n")
	end := func() {
		if len(s.words) > 0 {
			s.key = strings.ToLower(s.words[0])
			s.text = shortened(lines[min(s.line, len(lines))-1])
			all = append(all, s)
		}
		s = statement{}
	}
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '\\' && blankToEnd(text[i+1:]):
			i = nextLine(text, i)
			line++
			continue
		case c == '\n':
			if braces == 0 {
				end()
			}
			line++
			i++
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case c == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		default:
			if len(s.words) == 0 {
				s.line = line
			}
			word, next := greylistWord(text, i)
			line += strings.Count(text[i:next], "\n")
			i = next
			switch word {
			case "{":
				braces++
			case "}":
				braces = max(braces-1, 0)
			}
			s.words = append(s.words, word)
		}
	}
	end()
	return all
}

// blankToEnd reports whether nothing but a comment stands in the rest of the line.
func blankToEnd(s string) bool {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[:i]
	}
	s = strings.TrimSpace(s)
	return s == "" || s[0] == '#'
}

func nextLine(text string, i int) int {
	if j := strings.IndexByte(text[i:], '\n'); j >= 0 {
		return i + j + 1
	}
	return len(text)
}

// greylistWord returns the word that begins at i, and where it ends.
func greylistWord(text string, i int) (string, int) {
	if c := text[i]; c == '"' || c == '/' && (i+1 >= len(text) || text[i+1] < '0' || text[i+1] > '9') {
		for j := i + 1; j < len(text) && text[j] != '\n'; j++ {
			if text[j] == '\\' {
				j++
			} else if text[j] == c {
				return text[i:j], j + 1
			}
		}
	} else if c == '{' || c == '}' {
		return text[i : i+1], i + 1
	}
	j := i
	for j < len(text) && !strings.ContainsRune(" \t\r\n{}\"", rune(text[j])) {
		j++
	}
	return text[i:max(j, i+1)], max(j, i+1)
}

// bareWord is a word without its quote.
func bareWord(w string) string { return strings.TrimPrefix(w, `"`) }

var greylistNeedless = wordsOf(`pidfile dumpfile dumpfreq user verbose nodetach logfac stat report domainexact extendedregex maxpeek
	backupdir syncaddr syncsrcaddr syncmaxqlen noaccessdb delayedreject multiracl logexpired timeout_reply ldapconf fixldapcheck nospf unbracket
	dump_no_time_translation`)

// greylistWhy says of statements without a counterpart why.
var greylistWhy = map[string]string{
	"quiet":    "the reply tells for how long, which mail servers do not go by, nor do senders of spam",
	"noauth":   "who has authenticated is never put off",
	"lazyaw":   "a triplet that has passed passes, and not all mail of its network",
	"peer":     "servers share what they remember by one Redis: redis",
	"dacl":     "mail is put off at RCPT; headers has rules on the header",
	"dnsrbl":   `say in when which clients are put off`,
	"urlcheck": "no URL is asked", "geoipdb": "countries are not looked up", "geoipv6db": "countries are not looked up",
	"ldapcheck": "no directory is asked", "p0fsock": "systems are not looked at", "spamdsock": "spamd is a milter of its own",
	"clamdsock": "clamd is a milter of its own", "drac": "authenticated is what is known of logins", "dkimcheck": "dkim-verify is a milter of its own",
	"ratelimit": "there are no limits of rate", "testmode": "shadow = true tries a milter out", "prop": "no URL is asked",
	"tarpit": "nobody is kept waiting: a session would be held for it", "tarpit_scope": "nobody is kept waiting",
}

// greylist is what greylist.conf has said.
type greylist struct {
	*service
	*milter
	delay, autowhite, timeout time.Duration
	v4, v6                    int
	delaySet, timeoutSet      setting
	extended, exact           bool
	lists                     map[string]cond
	networks                  map[string]hosts // lists of networks alone
	macros                    map[string]macro
	rules                     []rule
	trusted                   bool
}

// readGreylist reads greylist.conf, of milter-greylist 4. The defaults are its own.
func readGreylist(s *service) {
	g := &greylist{service: s, milter: s.native("greylist"), delay: 30 * time.Minute, autowhite: 24 * time.Hour, timeout: 5 * 24 * time.Hour,
		v4: 32, v6: 64, lists: map[string]cond{}, networks: map[string]hosts{}, macros: map[string]macro{}}
	all := statementsOf(s.file.Text)
	for _, st := range all {
		g.extended = g.extended || st.key == "extendedregex"
		g.exact = g.exact || st.key == "domainexact"
	}
	for _, st := range all {
		g.statement(st)
	}
	g.conclude()
	g.key("default_action", text("accept"))
	g.option("delay", text(timeText(max(g.delay, time.Second))))
	if g.timeout <= g.delay {
		s.none(g.timeoutSet, "who is forgotten before the delay is over never passes; it is two days more than the delay")
		g.timeout = g.delay + 48*time.Hour
	}
	g.option("retry_window", text(timeText(g.timeout)))
	g.option("lifetime", text(timeText(max(g.autowhite, time.Second))))
	g.option("ipv4_prefix", number(g.v4))
	g.option("ipv6_prefix", number(g.v6))
	if g.trusted {
		g.option("trusted", list(trustedDomains))
	}
	s.paths = append(s.paths, folderOf(greylistDatabase)+", to be written")
}

// greylistDatabase is where the native child remembers by default.
const greylistDatabase = "/var/lib/milterkit/greylist.db"

// trustedDomains are those of milter-manager, unless it is told others.
var trustedDomains = []string{"gmail.com", "hotmail.com", "msn.com", "yahoo.co.jp", "softbank.ne.jp", "ezweb.ne.jp", "docomo.ne.jp", "clear-code.com"}

func (g *greylist) statement(st statement) {
	arg := ""
	if len(st.words) > 1 {
		arg = bareWord(st.words[1])
	}
	switch st.key {
	case "socket":
		st.value = arg
		g.listens(st.setting)
	case "greylist":
		g.duration(st, arg, &g.delay)
	case "autowhite":
		g.duration(st, arg, &g.autowhite)
	case "timeout":
		g.timeoutSet = st.setting
		g.duration(st, arg, &g.timeout)
	case "subnetmatch":
		g.prefix(st, arg, &g.v4, 8, 32)
	case "subnetmatch6":
		g.prefix(st, arg, &g.v6, 16, 128)
	case "sm_macro":
		g.macro(st)
	case "list":
		g.list(st)
	case "racl", "acl":
		g.rule(st)
	default:
		switch why := greylistWhy[st.key]; {
		case greylistNeedless[st.key]:
		case why != "":
			g.none(st.setting, why)
		default:
			g.none(st.setting, "milter-greylist has no such clause that is known here")
		}
	}
}

func (g *greylist) duration(st statement, arg string, into *time.Duration) {
	d, ok := durationOf(arg)
	if !ok {
		g.none(st.setting, "this is no time, such as 10m; it is "+timeText(*into))
		return
	}
	*into = d
}

// prefix takes in the length of a network, as /24 or 255.255.255.0.
func (g *greylist) prefix(st statement, arg string, into *int, least, most int) {
	n, err := strconv.Atoi(strings.TrimPrefix(arg, "/"))
	if err != nil {
		if p, ok := prefixOf("255.255.255.255/" + arg); ok {
			n, err = p.Bits(), nil
		}
	}
	if err != nil || n < least || n > most {
		g.none(st.setting, "this is no length of a network from "+number(least)+" to "+number(most)+"; it is "+number(*into))
		return
	}
	*into = n
}

// list takes in a list, which rules name.
func (g *greylist) list(st statement) {
	if len(st.words) < 5 || st.words[3] != "{" || !slices.Contains(st.words, "}") {
		g.none(st.setting, `this is no list: list "NAME" addr { … }`)
		return
	}
	name, kind := bareWord(st.words[1]), strings.ToLower(st.words[2])
	any, complete := never, true
	var nets hosts
	for _, w := range st.words[4:] {
		if w == "}" {
			break
		}
		if p, ok := prefixOf(bareWord(w)); kind == "addr" && ok {
			nets.networks = append(nets.networks, p)
			continue
		}
		c, ok := g.clause(kind, w)
		complete = complete && ok
		if ok {
			any = either(any, c)
		}
	}
	if !complete {
		g.none(st.setting, "not all of this list can be a condition; the rest of it is")
	}
	if len(nets.networks) > 0 {
		if any.never {
			g.networks[name] = nets
		}
		any = either(inNetworks(nets.networks), any)
	}
	g.lists[name] = any
}
