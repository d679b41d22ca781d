package test

import (
	"strings"
	"testing"

	"github.com/milterkit/sdk/test/stack"
)

// upstream is what the spam filter of a provider has left in a message: some of it
// has the names that ours uses, one twice.
const upstream = "X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=20.0, by upstream\r\nx-spam-status: Yes, again, by upstream\r\n" +
	"X-Spam-Score: 20.0, by upstream\r\nX-Spam-Report: by\r\n\tupstream\r\nX-Spammer: none\r\n"

// addHeaders adds the chains in which header rules stand behind a spam filter, and
// before it. The rules are those of docs/children/headers.md.
func (b *bench) addHeaders(spamass stack.Child) {
	rule := func(lines string) stack.Child {
		return stack.Child{Name: "headers", Use: "headers", Options: "[[milter.options.rule]]\n" + lines}
	}
	after := rule("header = \"X-Spam-*\"\nfrom = \"message\"\naction = \"remove\"\n")
	before := rule("header = \"X-Spam-*\"\naction = \"remove\"\n")
	ways := []route{routes[1], sendmailRoutes[1]}
	b.addChain(chain{"spam-twice", []stack.Child{spamass}}, routes[1])
	b.addChain(chain{"spam-once-after", []stack.Child{spamass, after}}, ways...)
	b.addChain(chain{"spam-once-before", []stack.Child{before, spamass}}, ways...)
}

// Without rules the fields of a spam filter upstream arrive beside our own.
func TestSpamFieldsArriveTwice(t *testing.T) {
	run(t, "spam-twice", routes[1:2], []testcase{{name: "mail marked upstream", talk: send(letter("marked", upstream, "Hello.")),
		check: func(t *testing.T, o *outcome) {
			message := delivered(t, o)
			wantText(t, message, "by upstream", "\nX-Spam-Checker-Version: ")
			if n := spamStatus(message); n != 2 {
				t.Errorf("X-Spam-Status is there %d times, want 2:\n%s", n, message)
			}
		}}})
}

// With a rule they do not, whether it stands behind our filter or before it: what is
// delivered has our own fields, once.
func TestSpamFieldsArriveOnce(t *testing.T) {
	marked := testcase{name: "mail marked upstream", talk: send(letter("marked", upstream, "Hello.")),
		check: func(t *testing.T, o *outcome) {
			message := delivered(t, o)
			wantText(t, message, "\nX-Spam-Status: No, ", "\nX-Spam-Checker-Version: ", "\nX-Spammer: none\n", "\nSubject: marked\n")
			wantNoText(t, message, "upstream", "X-Spam-Flag", "X-Spam-Score", "X-Spam-Report")
			if n := spamStatus(message); n != 1 {
				t.Errorf("X-Spam-Status is there %d times, want 1:\n%s", n, message)
			}
		}}
	unmarked := testcase{name: "other mail", talk: send(letter("figures", trickyFields, "Hello.")),
		check: func(t *testing.T, o *outcome) {
			message := delivered(t, o)
			wantText(t, message, "\nX-Spam-Status: No, ", "\nX-Folded: one\n\ttwo\n   three\n")
			if n := spamStatus(message); n != 1 {
				t.Errorf("X-Spam-Status is there %d times, want 1:\n%s", n, message)
			}
		}}
	for _, way := range []route{routes[1], sendmailRoutes[1]} {
		for _, chain := range []string{"spam-once-after", "spam-once-before"} {
			t.Run(chain+map[bool]string{true: ", Sendmail"}[way.sendmail], func(t *testing.T) {
				run(t, chain, []route{way}, []testcase{marked, unmarked})
			})
		}
	}
}

// spamStatus counts the fields of that name.
func spamStatus(message string) int {
	header, _, _ := strings.Cut(message, "\n\n")
	return strings.Count(strings.ToLower(header), "\nx-spam-status:")
}
