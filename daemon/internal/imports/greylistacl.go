package imports

import (
	"net/netip"
	"regexp"
	"strings"
)

// A macro is a sm_macro: a name for a value that a macro has.
type macro struct {
	holds   cond
	trusted bool // it says that milter-manager trusts the sender's domain
}

// A rule is a racl. The first that fits decides.
type rule struct {
	statement
	whitelist bool
	holds     cond
	networks  []netip.Prefix // where these are all of its condition
	spf       string         // "pass", "fail": SPF must say so, too
	trusted   bool           // and the sender's domain be trusted
	bad       string         // what cannot be a condition
}

func (g *greylist) macro(st statement) {
	if len(st.words) < 4 {
		g.none(st.setting, `this is no macro: sm_macro "NAME" "{MACRO}" "VALUE"`)
		return
	}
	name := strings.Trim(bareWord(st.words[2]), "{}")
	what, value := `macro(`+quoted(name)+`)`, st.words[3]
	m := macro{holds: atom(what + " == " + quoted(bareWord(value))), trusted: name == "trusted_domain" && bareWord(value) == "yes"}
	switch {
	case value == "unset":
		m.holds = atom(what + ` == ""`)
		if name == "stress" {
			m.holds = not(atom("stress"))
		}
	case strings.HasPrefix(value, "/"):
		pattern, ok := patternOf(value[1:], g.extended)
		if !ok {
			g.none(st.setting, "this regular expression is none of RE2's")
			return
		}
		m.holds = matching(what, pattern)
	case name == "stress" && bareWord(value) == "yes":
		m.holds = atom("stress")
	}
	g.macros[bareWord(st.words[1])] = m
}

// clause is one part of a rule, or an entry of a list, as a condition.
func (g *greylist) clause(kind, word string) (cond, bool) {
	what := map[string]string{"from": "mail_from", "rcpt": "rcpt_to", "domain": "client.name", "helo": "helo", "auth": `macro("auth_authen")`}[kind]
	value := bareWord(word)
	switch {
	case kind == "addr":
		p, ok := prefixOf(value)
		return inNetworks([]netip.Prefix{p}), ok
	case what == "":
		return never, false
	case strings.HasPrefix(word, "/"):
		pattern, ok := patternOf(unbracketed(word[1:]), g.extended)
		return matching(what, pattern), ok && !(kind == "from" || kind == "rcpt") || ok && !strings.ContainsAny(pattern, "<>")
	case printable(value) != value || value == "":
		return never, false
	case kind == "domain" && !g.exact:
		return matching(what, "(?i)"+regexp.QuoteMeta(value)+"$"), true
	case kind == "helo":
		return matching(what, "(?i)"+regexp.QuoteMeta(value)), true
	}
	return matching(what, "(?i)^"+regexp.QuoteMeta(strings.Trim(value, "<>"))+"$"), true
}

// unbracketed leaves the angle brackets out of a pattern, which addresses here do not
// have.
func unbracketed(pattern string) string {
	pattern = strings.TrimSuffix(strings.TrimSuffix(pattern, ">$"), ">")
	if strings.HasPrefix(pattern, "^<") {
		pattern = "^" + pattern[2:]
	}
	return strings.TrimPrefix(pattern, "<")
}

// rule takes in a racl: an action, clauses that must all hold, and how it is done.
func (g *greylist) rule(st statement) {
	words := st.words[1:]
	if len(words) > 0 && strings.HasPrefix(words[0], `"`) { // its name
		words = words[1:]
	}
	if len(words) < 2 {
		g.none(st.setting, "this is no rule: racl whitelist|greylist CLAUSE …")
		return
	}
	r := rule{statement: st, whitelist: words[0] == "whitelist"}
	if words[0] != "whitelist" && words[0] != "greylist" {
		g.none(st.setting, "there are rules that let mail pass and that put it off; others are not taken")
		return
	}
	negated, nets := false, 0
	for i := 1; i < len(words); i++ {
		w, arg := strings.ToLower(words[i]), ""
		if i+1 < len(words) {
			arg = words[i+1]
		}
		switch w {
		case "not":
			negated = !negated
			continue
		case "default":
		case "spf":
			r.spf = "pass"
			if arg == "pass" || arg == "fail" || arg == "softfail" || arg == "neutral" || arg == "none" || arg == "error" || arg == "unknown" || arg == "self" {
				r.spf = arg
				i++
			}
			if negated {
				r.spf = "not " + r.spf
			}
		case "delay", "autowhite", "code", "ecode", "msg", "report", "nolog", "flushaddr", "tarpit", "addheader", "addfooter":
			if w != "nolog" && w != "flushaddr" {
				i++
			}
			g.parameter(&r, w, arg)
		default:
			i++
			c, ok := g.part(&r, w, arg, negated)
			if !ok {
				r.bad = w + " " + bareWord(arg)
			}
			if p, isNet := g.networksOf(w, arg); isNet && !negated {
				r.networks = append(r.networks, p...)
			}
			nets++
			if negated {
				c = not(c)
			}
			r.holds = both(r.holds, c)
		}
		negated = false
	}
	if nets != 1 || r.spf != "" {
		r.networks = nil
	}
	if r.bad != "" {
		g.none(st.setting, "this rule is left out; there is no condition "+shortened(r.bad))
		return
	}
	g.rules = append(g.rules, r)
}

// part is a clause of a rule, be it a list or a macro that has been named before.
func (g *greylist) part(r *rule, w, arg string, negated bool) (cond, bool) {
	switch name := bareWord(arg); w {
	case "list":
		c, ok := g.lists[name]
		return c, ok
	case "sm_macro":
		m, ok := g.macros[name]
		if m.trusted && !negated {
			r.trusted = true
			return always, true
		}
		return m.holds, ok && !m.trusted
	}
	return g.clause(w, arg)
}

// networksOf are the networks that a clause is about, where it is about networks.
func (g *greylist) networksOf(w, arg string) ([]netip.Prefix, bool) {
	switch w {
	case "list":
		h, ok := g.networks[bareWord(arg)]
		return h.networks, ok
	case "addr":
		p, ok := prefixOf(bareWord(arg))
		return []netip.Prefix{p}, ok
	}
	return nil, false
}

// parameter takes in how a rule is done. All mail is put off alike, so the last of
// them counts.
func (g *greylist) parameter(r *rule, w, arg string) {
	switch w {
	case "delay", "autowhite":
		into, name := &g.delay, "delay"
		if w == "autowhite" {
			into, name = &g.autowhite, "lifetime"
		}
		d, ok := durationOf(bareWord(arg))
		if !ok {
			g.none(r.setting, w+": this is no time")
			return
		}
		if g.delaySet.line > 0 && g.delaySet.line != r.line && *into != d {
			g.none(r.setting, name+" is the same for all mail, that of the last rule; for others add a milter with a when of its own")
		}
		g.delaySet, *into = r.setting, d
	case "msg", "code", "ecode", "addheader", "addfooter":
		g.none(r.setting, w+": replies are 451 4.7.1, and messages stay as they are")
	case "tarpit":
		g.none(r.setting, greylistWhy["tarpit"])
	}
}

// conclude makes of the rules who is never put off, whose mail is not where SPF
// passes, and a condition: the first rule that fits decides, and without one mail is
// put off.
func (g *greylist) conclude() {
	rules := g.rules
	var allow []string
	for len(rules) > 0 && rules[0].whitelist && len(rules[0].networks) > 0 {
		allow = append(allow, texts(rules[0].networks)...)
		rules = rules[1:]
	}
	if len(allow) > 0 {
		g.option("allow", list(allow))
	}
	puts := always
	for i := len(rules) - 1; i >= 0; i-- {
		r := rules[i]
		switch {
		case r.whitelist && r.spf == "pass" && r.trusted && r.holds.always():
			g.trusted = true
		case r.spf != "" || r.trusted:
			if r.whitelist || !puts.always() {
				g.none(r.setting, "SPF lets only mail of domains pass that are trusted; this rule is left out")
			}
		case r.whitelist:
			puts = both(not(r.holds), puts)
		default:
			puts = either(r.holds, puts)
		}
	}
	if puts.never {
		g.none(g.lastRule(), "nothing is ever put off by these rules")
	}
	g.when = both(g.when, puts)
}

func (g *greylist) lastRule() setting {
	if len(g.rules) == 0 {
		return setting{line: 1}
	}
	return g.rules[len(g.rules)-1].setting
}
