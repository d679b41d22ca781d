package test

// difference is one that is known between what a native child answers and what the
// daemons answer that it replaces.
type difference struct {
	pair     string
	messages []string // by their names

	daemon, ours string
	why          string
}

// knownDifferences are those of a pair, by the names of the messages.
func knownDifferences(pair string) map[string]*difference {
	known := make(map[string]*difference)
	for i := range differences {
		if d := &differences[i]; d.pair == pair {
			for _, name := range d.messages {
				known[name] = d
			}
		}
	}
	return known
}

// differences are those of all pairs, in the order of the page that lists them.
var differences = []difference{
	{
		pair:     spamPair,
		messages: []string{"forged X-Spam fields"},
		daemon:   "delivered, 1 X-Spam-Flag (1 forged), 1 X-Spam-Status, No, score=1.3, again forged",
		ours:     "delivered, 0 X-Spam-Flag, 1 X-Spam-Status, No, score=1.3",
		why:      "spamass-milter removes the first of several fields of a name; a filter behind it would find the client's own verdict in the second",
	},
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
