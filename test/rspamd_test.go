package test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// oldRoutes are the ways from a Postfix that speaks version 2 of the protocol.
var oldRoutes = []route{{name: "old-direct", direct: true}, {name: "old-behind"}}

// addRspamd adds the chains that have rspamd: alone, between two milters of
// Debian's, and between two that play scripts. It promises no answer to anything
// before the end of a message, whether that was offered or not; milter-manager
// waits for one, see its issue 134.
func (b *bench) addRspamd(dns *stack.Unbound, before, after stack.Child) stack.Component {
	rspamd := &stack.Rspamd{Root: b.root, DNS: dns}
	child := stack.Child{Name: "rspamd", Socket: rspamd.Socket()}
	alone := chain{"rspamd", []stack.Child{child}}
	b.addChain(alone, routes[:2]...)
	b.addChain(alone, oldRoutes...)
	b.addChain(alone, lockstep)
	for i, l := range b.postfix.Listeners {
		if strings.HasPrefix(l.Name, alone.name+"/old-") {
			b.postfix.Listeners[i].Settings = []string{"milter_protocol = 2"}
		}
	}
	b.addChain(chain{"rspamd-between", []stack.Child{before, child, after}}, routes...)
	b.addChain(chain{"rspamd-scripted", []stack.Child{b.child(firstName), child, b.child(secondName)}}, routes[:2]...)
	b.addRspamdHTTP(rspamd)
	return rspamd
}

// gtube is how rspamd refuses what it takes for spam.
const gtube = "554 5.7.1 Gtube pattern"

// TestRspamd sends mail through rspamd alone.
func TestRspamd(t *testing.T) {
	ways := []route{routes[0], routes[1], oldRoutes[1]}
	run(t, "rspamd", ways, rspamdMails(t, byRspamd))
	run(t, "rspamd", ways, rspamdSessions(byRspamd))
}

// TestRspamdIsOfVersion6 has a Postfix that is too old for rspamd. Behind
// milterkit, as the test above shows, it is not.
func TestRspamdIsOfVersion6(t *testing.T) {
	o := start(t).play(t, "rspamd", oldRoutes[0], send(letter("figures", "", "Hello.")))
	wantReply(t, o, "MAIL", tryAgain)
	wantNoMail(t, o)
}

// TestRspamdBetween has OpenDKIM before rspamd and clamav-milter after it. Rspamd
// removes the results of OpenDKIM, which bear the name that its own bear, if it
// sees them: not when they run together.
func TestRspamdBetween(t *testing.T) {
	for _, ways := range []struct {
		name   string
		routes []route
		passed check
	}{
		{"in order", routes[:2], func(t *testing.T, message, dkim string) {
			t.Helper()
			byRspamd(t, message, dkim)
			wantText(t, message, "\nX-Virus-Status: Clean\n")
			wantNoText(t, message, "\nAuthentication-Results: "+stack.AuthservID+"; dkim=", "dkim-atps=")
		}},
		{"together", routes[2:], func(t *testing.T, message, dkim string) {
			t.Helper()
			byRspamd(t, message, dkim)
			wantText(t, message, "dkim-atps=neutral\n", "\nX-Virus-Status: Clean\n")
		}},
	} {
		t.Run(ways.name, func(t *testing.T) {
			run(t, "rspamd-between", ways.routes, rspamdMails(t, ways.passed))
			run(t, "rspamd-between", ways.routes, append(rspamdSessions(ways.passed), lastSession("virus, after rspamd has let it through", ways.passed,
				func(c *smtpclient.Client) { transaction(c, bob, attachment("invoice", virus)) },
				func(t *testing.T, o *outcome) { wantReply(t, o, ".", "550 5.7.1 Infected with "+stack.EICARName) })))
		})
	}
}

// check looks at a delivered message: whether milters have let it through, and
// what they have found out about its signature.
type check func(t *testing.T, message, dkim string)

// byRspamd is the check for rspamd.
func byRspamd(t *testing.T, message, dkim string) {
	t.Helper()
	header, _, _ := strings.Cut(message, "\n\n")
	wantText(t, header, "\nX-Spamd-Result: default: False [", "\n\tTOLD(0.00)[", "\nAuthentication-Results: "+stack.AuthservID+";\n\tdkim="+dkim)
}

// rspamdMails are one message each.
func rspamdMails(t *testing.T, passed check) []testcase {
	through := func(dkim string, texts ...string) func(*testing.T, *outcome) {
		return func(t *testing.T, o *outcome) {
			t.Helper()
			wantReply(t, o, ".", accepted)
			passed(t, delivered(t, o), dkim)
			wantText(t, delivered(t, o), texts...)
		}
	}
	return []testcase{
		{name: "clean mail", talk: send(letter("quarterly figures", trickyFields, "Hello Bob,", "", ".", "the figures are in the folder.")),
			check: through("none", "\n\nHello Bob,\n\n.\nthe figures are in the folder.\n")},
		{name: "GTUBE", talk: send(letter("spam", "", stack.GTUBE)), check: refused(gtube)},
		{name: "signature", talk: send(signedSimple.get(t)), check: through("pass", "R_DKIM_ALLOW(")},
		{name: "a client that XCLIENT names", talk: sendFrom("192.0.2.10", alice, letter("figures", "", "Hello.")),
			check: through("none", "R_SPF_ALLOW(", "spf=pass (mx.example.test: domain of alice@example.org designates 192.0.2.10 as permitted sender)")},
		{name: "300 KB", talk: send(letter("big", "", strings.Repeat("A line of a body of many packets.\r\n", 9000))), check: through("none")},
		{name: "no body", talk: send(lines("From: "+alice, "To: "+bob, "Subject: no body", "Date: "+date)), check: through("none")},
		{name: "200 recipients", talk: func(c *smtpclient.Client) {
			c.Ehlo(client)
			c.Mail(alice)
			for i := range crowd {
				c.Rcpt(fmt.Sprintf("user%03d@example.test", i))
			}
			c.Data(letter("to all", "", "Hello all."))
		}, check: func(t *testing.T, o *outcome) {
			for _, c := range copies(t, o, 0, crowd) {
				passed(t, string(c.Content), "none")
				wantText(t, string(c.Content), toldOf(crowd))
			}
		}},
	}
}

// lastSession is a session that ends with a message to carol, which is like any
// other.
func lastSession(name string, passed check, before func(*smtpclient.Client), check func(*testing.T, *outcome)) testcase {
	return testcase{name: name, talk: func(c *smtpclient.Client) {
		c.Ehlo(client)
		before(c)
		transaction(c, carol, letter("last", "", "Goodbye."))
	}, check: func(t *testing.T, o *outcome) {
		if check != nil {
			check(t, o)
		}
		if len(o.mails) == 0 {
			t.Fatal("no message was taken")
		}
		c := copies(t, o, len(o.mails)-1, 1)[0]
		passed(t, string(c.Content), "none")
		wantText(t, string(c.Content), "Return-Path: <"+alice+">\n", toldOf(1), "\nSubject: last\n", "\n\nGoodbye.\n")
		if c.To != carol {
			t.Errorf("delivered to %s, want only %s", c.To, carol)
		}
	}}
}

// toldOf is how rspamd is told of a message by alice to some recipients.
func toldOf(rcpts int) string {
	return fmt.Sprintf("TOLD(0.00)[localhost,127.0.0.1,client.example.org,alice@example.org,%d,", rcpts)
}

// rspamdSessions have several messages, or several attempts at one.
func rspamdSessions(passed check) []testcase {
	session := func(name string, before func(*smtpclient.Client), check func(*testing.T, *outcome)) testcase {
		return lastSession(name, passed, before, check)
	}
	begin := func(c *smtpclient.Client) {
		c.Mail("mallory@example.org")
		c.Rcpt(bob)
	}
	return []testcase{
		session("two messages", func(c *smtpclient.Client) { transaction(c, bob, letter("first", "", "Hello.")) }, func(t *testing.T, o *outcome) {
			passed(t, string(copies(t, o, 0, 1)[0].Content), "none")
		}),
		session("two messages, refused and clean", func(c *smtpclient.Client) { transaction(c, bob, letter("spam", "", stack.GTUBE)) }, func(t *testing.T, o *outcome) {
			wantReply(t, o, ".", gtube)
		}),
		session("RSET in the middle", func(c *smtpclient.Client) { begin(c); c.Rset(); c.Cmd("NOOP") }, nil),
		session("EHLO in the middle", func(c *smtpclient.Client) { begin(c); c.Ehlo(client) }, nil),
		session("DATA refused", func(c *smtpclient.Client) {
			c.Mail("mallory@example.org")
			c.Rcpt("nobody@example.test")
			c.Cmd("DATA")
			c.Rset()
		}, nil),
		{name: "client goes away in mid-message", talk: func(c *smtpclient.Client) {
			c.Ehlo(client)
			begin(c)
			c.Cmd("DATA")
			c.Write("Subject: half of\r\n")
			c.Close()
		}, check: func(t *testing.T, o *outcome) { wantNoMail(t, o) }},
	}
}

// TestRspamdBetweenScripts has a milter before rspamd that changes or refuses a
// message, and one after it that sees what rspamd has added, or refuses. The next
// message of the session is as if it were the only one.
func TestRspamdBetweenScripts(t *testing.T) {
	// Both milters' scripts are those of other tests, for these senders.
	const sees = "second-sees-edits"
	var cases []testcase
	for _, name := range []string{sees, "mail-reject", "mail-accept", "mail-discard", "header-reject", "body-tempfail", "end-accept", "end-discard",
		"first-refuses-a-recipient", "second-refuses-a-recipient", "second-refuses-at-a-header", "second-discards"} {
		cases = append(cases, testcase{name: "after " + name, talk: func(c *smtpclient.Client) {
			scene{name: name, to: []string{bob, "reject@example.test"}}.talk(c)
			c.Rset()
			scene{name: sees}.talk(c)
		}, check: func(t *testing.T, o *outcome) {
			if len(o.mails) == 0 {
				t.Fatal("no message was taken")
			}
			text := string(copies(t, o, len(o.mails)-1, 1)[0].Content)
			wantText(t, text, `Authentication-Results:"mx.example.test;\n\t`, `X-Spamd-Result:"default: False `, fmt.Sprintf("TOLD(0.00)[localhost,127.0.0.1,client.example.org,%s@example.org,1,", sees), "\n\nA new body.\n")
		}})
	}
	run(t, "rspamd-scripted", routes[:2], cases)
}

// TestRspamdManyAtOnce has many clients at the same time.
func TestRspamdManyAtOnce(t *testing.T) {
	for _, chain := range []string{"rspamd", "rspamd-between"} {
		t.Run(chain, func(t *testing.T) {
			t.Parallel()
			direct := rspamdManyAtOnce(t, chain, routes[0])
			for i, o := range rspamdManyAtOnce(t, chain, routes[1]) {
				sameOutcome(t, direct[i], o)
			}
		})
	}
}

func rspamdManyAtOnce(t *testing.T, chain string, r route) []*outcome {
	const clients = 30
	b := start(t)
	outcomes := make([]*outcome, clients)
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { outcomes[i], errs[i] = b.exchange(chain, r, oneOfMany(i)) })
	}
	wg.Wait()
	for i, o := range outcomes {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		b.settle(t, chain, r, o)
		if i%5 == 0 {
			refused(gtube)(t, o)
			continue
		}
		text := delivered(t, o)
		byRspamd(t, text, "none")
		wantText(t, text, fmt.Sprintf("\nSubject: number %d\n", i), fmt.Sprintf("\n\nThe body of number %d.\n", i), toldOf(1))
	}
	return outcomes
}

// oneOfMany is the dialogue of the i-th client. Every fifth sends GTUBE.
func oneOfMany(i int) func(*smtpclient.Client) {
	return func(c *smtpclient.Client) {
		body := fmt.Sprintf("The body of number %d.", i)
		if i%5 == 0 {
			body = stack.GTUBE
		}
		c.Ehlo(client)
		transaction(c, fmt.Sprintf("user%03d@example.test", i), letter(fmt.Sprintf("number %d", i), "", body))
	}
}
