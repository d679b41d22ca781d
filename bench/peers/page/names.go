package page

import (
	"slices"
	"strconv"
	"strings"

	"github.com/milterkit/sdk/bench"
)

// keys name the colours, one for each kind of contestant. A contestant has the
// same one in all plots.
var keys = []string{"milterkit", "direct", "relay", "native", "emersion", "dj", "libmilter", "delay", "other"}

// marks tell contestants by a part of their name; the first that is in it counts.
var marks = []struct{ part, key string }{
	{"native", "native"}, {"emersion", "emersion"}, {"d--j", "dj"}, {"libmilter", "libmilter"},
	{"direct", "direct"}, {"+milters", "direct"}, {"relay", "relay"}, {"milterkit", "milterkit"}, {"delay", "delay"},
}

// keyOf returns the colour of a contestant.
func keyOf(name string) string {
	for _, m := range marks {
		if strings.Contains(name, m.part) {
			return m.key
		}
	}
	return "other"
}

// meanings say what contestants are, for who reads of them for the first time.
var meanings = []struct{ Name, Text string }{
	{bench.Direct, "The mail server asks the filters itself, one after another, as Postfix does with several smtpd_milters."},
	{bench.Relay, "A program that passes on what it gets and looks at nothing but lengths: the least that standing between costs, where every answer is passed on. milterkit can take less with filters that answer each header and each piece of the body, as it spares the mail server those answers."},
	{bench.Milterkit, "The mail server asks milterkit, and milterkit asks the filters."},
}

// isPostfix reports whether a contest is about mail that comes by SMTP.
func isPostfix(t *bench.Taken) bool {
	return strings.HasPrefix(t.Point.Scenario, "postfix") ||
		slices.ContainsFunc(t.Names, func(n string) bool { return strings.HasPrefix(n, "postfix") })
}

// isPeers reports whether a contest compares libraries that filters are made with.
func isPeers(t *bench.Taken) bool { return slices.ContainsFunc(t.Names, isAdded) && !isPostfix(t) }

// isAdded reports whether a contestant is one with a filter more than the base
// of its contest has.
func isAdded(name string) bool {
	return strings.HasPrefix(name, bench.Milterkit+"+") || strings.HasPrefix(name, "and ")
}

// added returns what is added there, and how many of it.
func added(name string) (what string, n int) {
	what = strings.TrimPrefix(strings.TrimPrefix(name, bench.Milterkit+"+"), "and ")
	if before, after, ok := strings.Cut(what, " "); ok {
		if n, err := strconv.Atoi(before); err == nil && n > 0 {
			return after, n
		}
	}
	return what, 1
}

// asked reports whether a contestant has the mail server ask the filters itself.
func asked(name string) bool { return keyOf(name) == "direct" }

// plays reports whether a contest has samples of all the names.
func plays(t *bench.Taken, names ...string) bool {
	for _, n := range names {
		if len(t.Results[n]) == 0 {
			return false
		}
	}
	return true
}
