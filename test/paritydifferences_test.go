package test

import (
	"slices"
	"strings"

	"github.com/milterkit/sdk/test/stack"
)

// difference is one that is known between what a native child answers and what the
// daemons answer that it replaces.
type difference struct {
	pair     string
	messages []string // by their names

	daemon, ours string
	why          string
}

// known are the differences of a pair, by the names of the messages. Those of a chain
// are those of its children, as far as they show in what becomes of a message.
func (p *pair) known() map[string]difference {
	known := make(map[string]difference)
	for _, d := range differences {
		if d.pair != p.name {
			named := func(c stack.Child) bool { return c.Name == d.pair }
			d.daemon, d.ours = verdictOf(d.daemon), verdictOf(d.ours)
			if !slices.ContainsFunc(p.ours, named) || d.daemon == d.ours {
				continue
			}
		}
		for _, name := range d.messages {
			known[name] = d
		}
	}
	return known
}

// verdictOf is an answer without what the header says.
func verdictOf(answer string) string {
	verdict, _, _ := strings.Cut(answer, ", ")
	return verdict
}

// differences are those of all pairs, in the order of the page that lists them.
var differences = slices.Concat(scannerDifferences, dkimDifferences, spfDifferences, dmarcDifferences)

var scannerDifferences = []difference{
	{
		pair:     virusPair,
		messages: []string{"nothing at all"},
		daemon:   "delivered, 0 X-Virus-Scanned, 0 X-Virus-Status",
		ours:     "delivered, 1 X-Virus-Scanned, 1 X-Virus-Status, Clean",
		why:      "clamav-milter asks clamd nothing where there is nothing; here each message that was let through says so",
	},
	{
		pair:     spamPair,
		messages: []string{"forged X-Spam fields"},
		daemon:   "delivered, 1 X-Spam-Flag (1 forged), 1 X-Spam-Status, No, again forged",
		ours:     "delivered, 0 X-Spam-Flag, 1 X-Spam-Status, No",
		why:      "spamass-milter removes the first of several fields of a name; a filter behind it would find the client's own verdict in the second",
	},
}

var spfDifferences = []difference{
	{
		pair:     spfPair,
		messages: []string{"SPF null sender, HELO of another name pass"},
		daemon:   "delivered, spf=none",
		ours:     "delivered, spf=pass",
		why:      "pyspf-milter takes the client's name in the DNS for what it has said in HELO; the identity is what it has said: RFC 7208 section 2.3",
	},
	{
		pair:     spfPair,
		messages: []string{"SPF forged Authentication-Results"},
		daemon:   "delivered, spf=pass, 3 forged",
		ours:     "delivered, spf=pass",
		why:      "pyspf-milter leaves forged results in its own name where they are; they must be removed: RFC 8601 section 5",
	},
}
