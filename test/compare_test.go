package test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// deliveryLimit is how long the delivery of a message may take.
const deliveryLimit = 2 * time.Minute

// outcome is all that can be seen of a dialogue from outside.
type outcome struct {
	// words are those of the MTA.
	words *wording

	// dialogue is what the client said and what it was told.
	dialogue []smtpclient.Exchange

	// mails are the messages that the MTA took, in order.
	mails []mail
}

// mail is what became of one message.
type mail struct {
	fate   stack.Fate
	copies []stack.Copy
}

// testcase is a dialogue and what must come of it, on any route.
type testcase struct {
	// name says what is sent.
	name string

	// talk is the dialogue, after the greeting. QUIT is added.
	talk func(c *smtpclient.Client)

	// check looks at the outcome.
	check func(t *testing.T, o *outcome)

	// sendmail is what looks at it behind Sendmail, where that differs.
	sendmail func(t *testing.T, o *outcome)

	// apart is for what depends on a milter seeing the edits of the one before
	// it, which those that run together do not.
	apart bool

	// departs says in which way milterkit is meant to differ from Postfix.
	// The dialogue is then had, and checked, only through milterkit.
	departs string
}

// run plays cases on routes to a chain: each must end as it says, and on each
// route as on the first.
func run(t *testing.T, chain string, routes []route, cases []testcase) {
	b := start(t)
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var measure *outcome
			for _, r := range routes {
				if r.direct && tc.departs != "" || r.together && tc.apart {
					continue
				}
				t.Run(r.name, func(t *testing.T) {
					o := b.play(t, chain, r, tc.talk)
					if check := tc.checkOf(r); check != nil {
						check(t, o)
					}
					if r.direct {
						measure = o
					} else if measure != nil {
						sameOutcome(t, measure, o)
					}
				})
			}
		})
	}
}

// checkOf looks at the outcome on a route.
func (tc *testcase) checkOf(r route) func(*testing.T, *outcome) {
	if r.sendmail && tc.sendmail != nil {
		return tc.sendmail
	}
	return tc.check
}

// play has the dialogue on one route and waits for the end of its mails.
func (b *bench) play(t *testing.T, chain string, r route, talk func(*smtpclient.Client)) *outcome {
	t.Helper()
	o, err := b.exchange(chain, r, talk)
	if err != nil {
		t.Fatal(err)
	}
	b.settle(t, chain, r, o)
	return o
}

// exchange has the dialogue.
func (b *bench) exchange(chain string, r route, talk func(*smtpclient.Client)) (*outcome, error) {
	return b.exchangeFrom("", chain, r, talk)
}

// exchangeFrom has the dialogue, from an address that the client chooses.
func (b *bench) exchangeFrom(local, chain string, r route, talk func(*smtpclient.Client)) (*outcome, error) {
	if !r.direct && b.kitErr != nil {
		return nil, fmt.Errorf("there is no milterkit to send through: %w", b.kitErr)
	}
	c, err := smtpclient.DialFrom(local, b.mta(r).Addr(chain+"/"+r.name))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	talk(c)
	c.Quit()
	return &outcome{words: wordsOf(r), dialogue: c.Exchanges}, nil
}

// settle waits for the end of the mails that were taken in a dialogue.
func (b *bench) settle(t *testing.T, chain string, r route, o *outcome) {
	t.Helper()
	listener := chain + "/" + r.name
	ctx, cancel := context.WithTimeout(t.Context(), deliveryLimit)
	defer cancel()
	var ids []string
	t.Cleanup(func() { b.explain(t, chain, r, ids, o) })
	for i, e := range o.dialogue {
		id := o.words.queuedAs.FindStringSubmatch(e.Reply.String())
		if e.Command != "." || id == nil {
			continue
		}
		ids = append(ids, id[1])
		fate, copies, err := b.mta(r).Await(ctx, id[1])
		if err != nil {
			t.Fatal(err)
		}
		for j := range copies {
			copies[j].Content = o.words.normalise(copies[j].Content, id[1])
		}
		o.mails = append(o.mails, mail{fate, copies})
		o.dialogue[i].Reply = smtpclient.Reply{Lines: []string{strings.ReplaceAll(e.Reply.String(), id[1], "QUEUE-ID")}}
	}
	if kit := b.kits[listener]; kit != nil {
		if err := kit.Trouble(); err != nil {
			t.Error(err)
		}
	}
}

// explain adds to a failed test what the daemons have to say.
func (b *bench) explain(t *testing.T, chain string, r route, ids []string, o *outcome) {
	if !t.Failed() {
		return
	}
	listener := chain + "/" + r.name
	t.Logf("the dialogue on %s:\n%s", listener, o)
	if len(ids) == 0 {
		t.Log(b.mta(r).Log())
	}
	for _, id := range ids {
		t.Logf("the MTA's log:\n%s", b.mta(r).LogOf(id))
	}
	if kit := b.kits[listener]; kit != nil {
		t.Log(kit.Log())
	}
}

// String is the dialogue, for a reader.
func (o *outcome) String() string {
	var s strings.Builder
	for _, e := range o.dialogue {
		fmt.Fprintf(&s, "C: %s\nS: %s\n", e.Command, strings.Join(e.Reply.Lines, "\nS: "))
	}
	return s.String()
}

// sameOutcome reports the first difference in each thing that can differ.
func sameOutcome(t *testing.T, want, got *outcome) {
	t.Helper()
	for i := range min(len(want.dialogue), len(got.dialogue)) {
		w, g := want.dialogue[i], got.dialogue[i]
		if w.Command != g.Command || w.Reply.String() != g.Reply.String() {
			t.Errorf("the dialogue differs\ndirect: %q: %q\nhere:   %q: %q", w.Command, w.Reply, g.Command, g.Reply)
			return
		}
	}
	if len(want.dialogue) != len(got.dialogue) {
		t.Errorf("a dialogue of %d commands, direct of %d", len(got.dialogue), len(want.dialogue))
	}
	if len(want.mails) != len(got.mails) {
		t.Fatalf("%d messages were taken, direct %d", len(got.mails), len(want.mails))
	}
	for i, w := range want.mails {
		g := got.mails[i]
		if w.fate != g.fate || len(w.copies) != len(g.copies) {
			t.Errorf("message %d: %s, %d copies; direct: %s, %d copies", i, g.fate, len(g.copies), w.fate, len(w.copies))
			continue
		}
		for j := range w.copies {
			if !sameCopy(t, w.copies[j], g.copies[j]) {
				break
			}
		}
	}
}

// sameCopy reports whether two copies are the same, and shows the place where
// they differ.
func sameCopy(t *testing.T, want, got stack.Copy) bool {
	t.Helper()
	w, g := want.To+"\n"+want.Params+"\n"+string(want.Content), got.To+"\n"+got.Params+"\n"+string(got.Content)
	if w == g {
		return true
	}
	at := 0
	for at < min(len(w), len(g)) && w[at] == g[at] {
		at++
	}
	around := func(s string) string { return s[max(0, at-300):min(len(s), at+200)] }
	t.Errorf("the message delivered to %s (%d bytes, direct %d) differs from byte %d on\ndirect: %q\nhere:   %q",
		got.To, len(got.Content), len(want.Content), at, around(w), around(g))
	return false
}

// replyTo is the reply to the n-th command that starts with a prefix, from 0.
func (o *outcome) replyTo(t *testing.T, prefix string, n int) string {
	t.Helper()
	return o.exchange(t, prefix, n).Reply.String()
}

// exchange is the n-th command that starts with a prefix, from 0, with its
// reply.
func (o *outcome) exchange(t *testing.T, prefix string, n int) smtpclient.Exchange {
	t.Helper()
	for _, e := range o.dialogue[1:] {
		if strings.HasPrefix(e.Command, prefix) {
			if n == 0 {
				return e
			}
			n--
		}
	}
	t.Fatalf("the dialogue has no such command %s", prefix)
	return smtpclient.Exchange{}
}

// wantReply checks the reply to the first command that starts with a prefix;
// "." is the end of the data. The reply is given as Postfix words it.
func wantReply(t *testing.T, o *outcome, prefix, want string) {
	t.Helper()
	e := o.exchange(t, prefix, 0)
	if want = o.words.reply(e.Command, want); e.Reply.String() != want {
		t.Errorf("reply to %s: %q, want %q", prefix, e.Reply, want)
	}
}

// delivered is the one copy of the one message that was to be delivered.
func delivered(t *testing.T, o *outcome) string {
	t.Helper()
	return string(copies(t, o, 0, 1)[0].Content)
}

// copies are the n copies of the i-th message that the MTA took.
func copies(t *testing.T, o *outcome, i, n int) []stack.Copy {
	t.Helper()
	if i >= len(o.mails) {
		t.Fatalf("%d messages were taken, want at least %d", len(o.mails), i+1)
	}
	m := o.mails[i]
	if m.fate != stack.Delivered || len(m.copies) != n {
		t.Fatalf("message %d was %s, %d copies; want it delivered, %d copies", i, m.fate, len(m.copies), n)
	}
	return m.copies
}

// wantNoMail checks that no message was taken.
func wantNoMail(t *testing.T, o *outcome) {
	t.Helper()
	if len(o.mails) > 0 {
		t.Errorf("%d messages were taken, want none", len(o.mails))
	}
}

// wantText checks that a delivered message has a text, with "\n" as its
// lines' ends.
func wantText(t *testing.T, message string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(message, text) {
			t.Errorf("the message has no %q:\n%s", text, message[:min(len(message), 4000)])
		}
	}
}

// wantNoText checks that a delivered message does not have a text.
func wantNoText(t *testing.T, message string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(message, text) {
			t.Errorf("the message has %q:\n%s", text, message[:min(len(message), 4000)])
		}
	}
}
