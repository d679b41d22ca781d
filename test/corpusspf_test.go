package test

import (
	"fmt"
	"strings"

	"github.com/milterkit/sdk/test/stack"
)

// spfRecords are what domains say about their clients.
func spfRecords() []string {
	txt := map[string]string{
		"hard":     "v=spf1 ip4:" + goodClient + " ip6:" + goodIPv6 + " -all",
		"soft":     "v=spf1 ip4:" + goodClient + " ~all",
		"neutral":  "v=spf1 ip4:" + goodClient + " ?all",
		"silent":   "v=spf1 ip4:" + goodClient,
		"include":  "v=spf1 include:hard.example -all",
		"redirect": "v=spf1 redirect=hard.example",
		"ofa":      "v=spf1 a -all",
		"ofmx":     "v=spf1 mx -all",
		"ofptr":    "v=spf1 ptr:good.example -all",
		"exists":   "v=spf1 exists:%{ir}.allowed.example -all",
		"net":      "v=spf1 ip4:192.0.2.0/28 -all",
		"never":    "v=spf1 -all",
		"why":      "v=spf1 -all exp=because.why.example",
		"syntax":   "v=spf1 ip4:192.0.2.999 -all",
		"unknown":  "v=spf1 frobnicate:x -all",
		"toobroad": "v=spf1 include:nothing.example -all",
		"temp":     "v=spf1 include:" + refusedDomain + " -all",
		"void":     "v=spf1 a:v1.void.example a:v2.void.example a:v3.void.example a:v4.void.example ip4:" + goodClient + " -all",
		"lookups":  "v=spf1" + elevenIncludes() + " ip4:" + goodClient + " -all",
		"later":    "v=spf1 ip4:" + goodClient + elevenIncludes() + " -all",
		"spf2":     "spf2.0/mfrom ip4:" + goodClient + " -all",
		"client":   "v=spf1 ip4:" + goodClient + " -all",
	}
	records := []string{
		stack.TXT("because.why.example", "%{i} is not one of ours"),
		"good.example. 60 IN A " + goodClient,
		"1.2.0.192.in-addr.arpa. 60 IN PTR good.example.",
		"ofa.example. 60 IN A " + goodClient,
		"ofmx.example. 60 IN MX 10 good.example.",
		"1.2.0.192.allowed.example. 60 IN A 127.0.0.2",
		stack.TXT("two.example", "v=spf1 ip4:"+goodClient+" -all"),
		stack.TXT("two.example", "v=spf1 -all"),
		stack.TXT("among.example", "some other text"),
		stack.TXT("among.example", "v=spf1 ip4:"+goodClient+" -all"),
	}
	for i := range 11 {
		txt[fmt.Sprintf("i%d", i)] = "v=spf1 ip4:203.0.113." + fmt.Sprint(i) + " -all"
	}
	for name, text := range txt {
		records = append(records, stack.TXT(name+".example", text))
	}
	return records
}

// elevenIncludes are one look-up more than a record may need.
func elevenIncludes() string {
	var b strings.Builder
	for i := range 11 {
		fmt.Fprintf(&b, " include:i%d.example", i)
	}
	return b.String()
}

// spfMessages are messages from clients that the sender's domain has an opinion
// on.
func spfMessages() []specimen {
	by := func(name, domain string) specimen {
		return specimen{name: name, sender: "alice@" + domain}
	}
	other := func(s specimen) specimen {
		s.addr = otherOne
		return s
	}
	ipv6 := func(s specimen, addr string) specimen {
		s.addr = addr
		return s
	}
	helo := func(name, helo string) specimen {
		return specimen{name: name, sender: nullSender, helo: helo, host: helo}
	}
	all := []specimen{
		by("SPF pass", "hard.example"),
		other(by("SPF fail", "hard.example")),
		other(by("SPF softfail", "soft.example")),
		other(by("SPF neutral", "neutral.example")),
		other(by("SPF with no word on others", "silent.example")),
		by("SPF none", "nothing.example"),
		by("SPF pass, in a network", "net.example"),
		ipv6(by("SPF pass, IPv6", "hard.example"), goodIPv6),
		ipv6(by("SPF fail, IPv6", "hard.example"), "2001:db8::2"),
		by("SPF pass, in capitals", "HARD.Example"),
		by("SPF pass, by include", "include.example"),
		other(by("SPF fail, by include", "include.example")),
		by("SPF pass, by redirect", "redirect.example"),
		other(by("SPF fail, by redirect", "redirect.example")),
		by("SPF pass, by A", "ofa.example"),
		by("SPF pass, by MX", "ofmx.example"),
		by("SPF pass, by PTR", "ofptr.example"),
		by("SPF pass, by a macro", "exists.example"),
		other(by("SPF fail, by a macro", "exists.example")),
		by("SPF fail, no client at all", "never.example"),
		by("SPF fail, with an explanation", "why.example"),
		by("SPF with a syntax error", "syntax.example"),
		by("SPF with an unknown mechanism", "unknown.example"),
		by("SPF with two records", "two.example"),
		by("SPF record among others", "among.example"),
		by("SPF include of nothing", "toobroad.example"),
		by("SPF with too many look-ups", "lookups.example"),
		by("SPF pass, before too many look-ups", "later.example"),
		by("SPF with too many names that do not exist", "void.example"),
		by("SPF of the time before RFC 7208", "spf2.example"),
		by("SPF with a name server that refuses", refusedDomain),
		by("SPF with an include that cannot be looked up", "temp.example"),
		helo("SPF null sender, HELO pass", "client.example"),
		other(helo("SPF null sender, HELO fail", "client.example")),
		helo("SPF null sender, HELO none", "nothing.example"),
		{name: "SPF null sender, HELO of another name pass", sender: nullSender, helo: "client.example"},
		{name: "SPF null sender, HELO no name", sender: nullSender, helo: "[192.0.2.1]"},
		{name: "SPF none, HELO fail", sender: "alice@nothing.example", helo: "never.example", host: "never.example"},
		{name: "SPF pass, HELO fail", sender: "alice@hard.example", helo: "never.example", host: "never.example"},
		{name: "SPF with a quoted local part", sender: `"al ice"@hard.example`},
		{name: "SPF forged Authentication-Results", sender: "alice@hard.example", message: append([]byte(forgedResults(spfID)), from("alice@hard.example", "forged")...)},
	}
	for i := range all {
		if all[i].message == nil {
			all[i].message = from("Alice <alice@nothing.example>", "about spf")
		}
	}
	return about(all, spfPair)
}
