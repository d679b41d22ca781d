package test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// addSendmail adds Sendmail, with the chains that Postfix has too.
func (b *bench) addSendmail(real []stack.Child, relaxed, simple stack.Child) {
	b.sendmail = &stack.Sendmail{Root: b.root, Hosts: make(map[string]string)}
	for i, v := range allVerdicts {
		b.sendmail.Hosts[connectsFrom(i)] = "connect-" + v.name + ".example.org"
	}
	b.addChain(chain{"real", real}, sendmailRoutes...)
	b.addChain(chain{"refuser", append(slices.Clone(real), b.child(refuserName))}, sendmailRoutes...)
	b.addChain(chain{"actions", []stack.Child{b.child(firstName)}}, sendmailRoutes[:2]...)
	b.addChain(chain{"leadspace", []stack.Child{b.child(leadspaceName)}}, sendmailRoutes[:2]...)
	b.addChain(chain{"two", []stack.Child{b.child(firstName), b.child(secondName)}}, sendmailRoutes...)
	b.addChain(chain{"silent", []stack.Child{b.child(silentName), b.child(secondName)}}, sendmailRoutes[:2]...)
	b.addChain(chain{"sign-relaxed", []stack.Child{relaxed}}, sendmailRoutes[:2]...)
	b.addChain(chain{"sign-simple", []stack.Child{simple}}, sendmailRoutes[:2]...)
	b.addChain(chain{"slow", []stack.Child{b.child(firstName)}}, sendmailRoutes[:2]...)
	b.addChain(chain{"macros", []stack.Child{b.child(listerName), b.child(secondName)}}, sendmailRoutes[:2]...)
}

// The tests of this file are those of the same names without Sendmail, behind
// Sendmail.

func TestSendmailSameOutcome(t *testing.T) {
	t.Parallel()
	run(t, "real", sendmailRoutes, verdicts(t))
	run(t, "real", sendmailRoutes[:2], oddMessages())
	run(t, "real", sendmailRoutes[:2], sessions())
	run(t, "real", sendmailRoutes[:2], oddSessions())
}

func TestSendmailManyRecipients(t *testing.T) {
	t.Parallel()
	manyRecipients(t, sendmailRoutes)
}

func TestSendmailManyAtOnce(t *testing.T) {
	t.Parallel()
	manyAtOnce(t, sendmailRoutes[:2])
}

func TestSendmailSigner(t *testing.T) {
	t.Parallel()
	signer(t, sendmailRoutes[:2])
}

func TestSendmailEdits(t *testing.T) {
	t.Parallel()
	playOn(t, sendmailRoutes[:2], "actions", edits())
}

func TestSendmailLeadingSpace(t *testing.T) {
	t.Parallel()
	playOn(t, sendmailRoutes[:2], "leadspace", leadspace())
}

func TestSendmailPairs(t *testing.T) {
	t.Parallel()
	scenes := pairs()
	for i := range scenes {
		if scenes[i].departs == quarantineGoesOn {
			scenes[i].departs = ""
		}
	}
	playOn(t, sendmailRoutes[:2], "two", scenes)
}

func TestSendmailTogether(t *testing.T) {
	t.Parallel()
	playOn(t, sendmailRoutes[2:], "two", together())
}

func TestSendmailMilterDown(t *testing.T) {
	t.Parallel()
	milterDown(t, sendmailRoutes[1:2])
}

func TestSendmailStopDuringMessage(t *testing.T) {
	t.Parallel()
	stopDuringMessage(t, sendmailRoutes[1])
}

func TestSendmailKillDuringMessage(t *testing.T) {
	t.Parallel()
	killDuringMessage(t, sendmailRoutes[1])
}

func TestSendmailNextMessage(t *testing.T) {
	t.Parallel()
	nextMessage(t, sendmailRoutes[:2])
}

func TestSendmailStages(t *testing.T) {
	t.Parallel()
	playOn(t, sendmailRoutes[:2], "actions", stages())
}

func TestSendmailHelo(t *testing.T) {
	t.Parallel()
	helos(t, sendmailRoutes[:2])
}

// connectsFrom is the address of the client on which the milter gives the i-th
// of allVerdicts.
func connectsFrom(i int) string { return fmt.Sprintf("127.0.1.%d", i+1) }

// Sendmail takes no XCLIENT: its clients have names by their addresses.
func TestSendmailConnect(t *testing.T) {
	t.Parallel()
	b := start(t)
	talk := func(c *smtpclient.Client) {
		c.Ehlo(client)
		if c.Mail("nothing@example.org").OK() && c.Rcpt(bob).OK() {
			c.Data(letter("connect", "", "Hello."))
		}
	}
	for i, v := range allVerdicts {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			var outcomes []*outcome
			for _, r := range sendmailRoutes[:2] {
				o, err := b.exchangeFrom(connectsFrom(i), "actions", r, talk)
				if err != nil {
					t.Fatal(err)
				}
				b.settle(t, "actions", r, o)
				if taken := len(o.mails) == 1; taken != (v.reply == "") {
					t.Errorf("%s: the message was taken: %v", r.name, taken)
				}
				outcomes = append(outcomes, o)
			}
			if v.name == "discard" {
				// With the milters themselves Sendmail has done for the
				// session; milterkit never tells it, and asks them on.
				lacks("X-Saw-first")(&outcomeOf{t, outcomes[0]})
				has("X-Saw-first: ")(&outcomeOf{t, outcomes[1]})
				return
			}
			sameOutcome(t, outcomes[0], outcomes[1])
		})
	}
}

func TestSendmailSilent(t *testing.T) {
	t.Parallel()
	playOn(t, sendmailRoutes[:2], "silent", shy())
}

func TestSendmailMacros(t *testing.T) {
	t.Parallel()
	playOn(t, sendmailRoutes[:2], "macros", shy())
}

// slow are milters that take longer than Sendmail waits for a word, which is 10 s.
func slow() []scene {
	return []scene{
		{name: "slow-at-the-end", first: script{saw: true, slowEnd: 25 * time.Second}},
		{name: "slow-at-rcpt", first: script{saw: true, slowRcpt: 9 * time.Second}},
	}
}

// TestSendmailIsKeptWaiting has a milter that takes 25 s at the end of a message.
// Sendmail gives it up, but not milterkit, which says that work goes on.
func TestSendmailIsKeptWaiting(t *testing.T) {
	t.Parallel()
	b := start(t)
	outcomes := make([]*outcome, 2)
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i, r := range sendmailRoutes[:2] {
		wg.Go(func() { outcomes[i], errs[i] = b.exchange("slow", r, scene{name: "slow-at-the-end"}.talk) })
	}
	wg.Wait()
	for i, check := range []func(*outcomeOf){replyAt(".", tryAgain), has("X-Saw-first: ")} {
		r := sendmailRoutes[i]
		t.Run(r.name, func(t *testing.T) {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			b.settle(t, "slow", r, outcomes[i])
			check(&outcomeOf{t, outcomes[i]})
		})
	}
}

// TestSendmailIsAnsweredInTime has a milter that takes 9 s for a recipient. It is
// given up after 8 s, before Sendmail gives up milterkit: the message fails as
// its default action says, and the next message of the session has the milter.
func TestSendmailIsAnsweredInTime(t *testing.T) {
	t.Parallel()
	b := start(t)
	o := b.play(t, "slow", sendmailRoutes[1], func(c *smtpclient.Client) {
		c.Ehlo(client)
		c.Mail("slow-at-rcpt@example.org")
		c.Rcpt(bob)
		c.Rset()
		c.Mail("nothing@example.org")
		c.Rcpt(carol)
		c.Data(letter("next", "", "Next."))
	})
	wantReply(t, o, "RCPT TO:<bob", tryAgain)
	wantText(t, delivered(t, o), "X-Saw-first: from nothing@example.org(", "; to carol@example.test(", "\n\nNext.\n")
	if lines := b.sendmail.Failures(b.kits["slow/behind"].Socket()); len(lines) > 0 {
		t.Errorf("Sendmail has given up milterkit: %s", lines)
	}
}
