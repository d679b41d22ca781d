package test

import (
	"fmt"

	"github.com/milterkit/sdk/test/stack"
)

// pairsOf are the native children, with the options that have them do what the
// daemons are told to do. They are given the addresses of the servers that they ask.
func pairsOf(nameserver, clamd, spamd string) []pair {
	asking := fmt.Sprintf("nameserver = %q\n", nameserver)
	named := fmt.Sprintf("authserv_id = %q\n", stack.AuthservID)
	options := map[string]string{
		virusPair: fmt.Sprintf("addresses = [%q]\n", "unix:"+clamd),
		spamPair:  fmt.Sprintf("addresses = [%q]\nmax_size = %q\nreject_score = 15.0\n", "unix:"+spamd, "500KiB"),
		dkimPair:  asking + named,
		spfPair:   asking + fmt.Sprintf("authserv_id = %q\n", spfID),
		dmarcPair: asking + named,
	}
	children := func(names ...string) []stack.Child {
		var list []stack.Child
		for _, name := range names {
			list = append(list, stack.Child{Name: name, Use: name, Options: options[name]})
		}
		return list
	}
	concerns := func(name string) func(*specimen) bool {
		return func(s *specimen) bool { return s.goes(name) }
	}
	hasSpam := concerns(spamPair)
	// A tolerant pyspf-milter leaves it to OpenDMARC what becomes of a message.
	senders := []string{"pyspf-milter, which refuses nothing", "opendkim", "opendmarc"}
	return []pair{
		{name: virusPair, replaces: []string{"clamav-milter"}, ours: children(virusPair), read: virusFields, text: true, messages: concerns(virusPair)},
		{name: spamPair, replaces: []string{"spamass-milter"}, ours: children(spamPair), read: spamFields, same: scores, text: true, messages: hasSpam},
		{name: dkimPair, replaces: []string{"opendkim"}, ours: children(dkimPair), read: resultsBy("dkim"), messages: concerns(dkimPair)},
		{name: spfPair, replaces: []string{"pyspf-milter"}, ours: children(spfPair), read: resultsBy("spf"), messages: concerns(spfPair)},
		{name: dmarcPair, replaces: senders, ours: children(dmarcPair), read: resultsBy("dmarc"), messages: concerns(dmarcPair)},
		{name: "dmarc and clamd", replaces: append(senders[:3:3], "clamav-milter"), ours: children(dmarcPair, virusPair),
			messages: func(s *specimen) bool { return !hasSpam(s) }},
		// Spamd takes half a second of processor time for a message.
		{name: "dmarc, clamd and spamd", replaces: append(senders[:3:3], "clamav-milter", "spamass-milter"), ours: children(dmarcPair, virusPair, spamPair),
			messages: hasSpam},
	}
}
