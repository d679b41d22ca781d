package test

import (
	"fmt"

	"github.com/milterkit/sdk/test/stack"
)

// pairsOf are the native children, with the options that have them do what the
// daemons are told to do. They are given the addresses of the servers that they ask.
func pairsOf(nameserver, clamd, spamd string) []pair {
	asking := fmt.Sprintf("nameserver = %q\n", nameserver)
	options := map[string]string{
		spamPair: fmt.Sprintf("addresses = [%q]\nmax_size = %q\nreject_score = 15.0\n", "unix:"+spamd, "500KiB"),
		spfPair:  asking + fmt.Sprintf("authserv_id = %q\n", spfID),
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
	return []pair{
		{name: spamPair, replaces: []string{"spamass-milter"}, ours: children(spamPair), read: spamFields, text: true, messages: concerns(spamPair)},
		{name: spfPair, replaces: []string{"pyspf-milter"}, ours: children(spfPair), read: resultsBy("spf"), messages: concerns(spfPair)},
	}
}
