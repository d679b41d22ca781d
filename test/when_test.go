package test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// whenListener is the listener of milters that have conditions.
const whenListener = "when"

// whenConditions are those milters, all recorders, with the conditions that
// milter-manager's users have, and more. ACCOUNTS is a file in which bob is.
var whenConditions = []struct{ name, when string }{
	{"always", ""},
	{"greylist", "s25r && !local && !authenticated && !trusted"},
	{"listed", `dnsbl("bl.example", "other.example")`},
	{"crowd", fmt.Sprintf("sessions > %d", enough)},
	{"accounts", `rcpt_to in list("ACCOUNTS")`},
}

// whenBench is a Postfix with a milterkit whose milters have conditions.
type whenBench struct {
	*dkimBench
	recorders map[string]*recorder
}

func startWhen(t *testing.T) *whenBench {
	t.Helper()
	all := start(t)
	if all.kitErr != nil {
		t.Fatal(all.kitErr)
	}
	root, err := stack.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Remove() })
	accounts := root.Path("accounts")
	if err := os.WriteFile(accounts, []byte("# who wants it\nbob@example.test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	dns := stack.NewUnbound(root,
		stack.TXT("gmail.com", "v=spf1 ip4:203.0.113.8 -all"), stack.TXT("example.org", "v=spf1 ip4:203.0.113.8 -all"),
		"9.113.0.203.bl.example. 60 IN A 127.0.0.2",
		"9"+strings.Repeat(".0", 23)+".8.b.d.0.1.0.0.2.other.example. 60 IN A 127.0.0.4")
	dns.Refused = []string{"msn.com"}
	b := &whenBench{&dkimBench{bench: &bench{root: root, kits: map[string]*stack.Milterkit{}, binary: all.binary}}, map[string]*recorder{}}
	kit := &stack.Milterkit{Root: root, Name: "kit-when", DNS: dns}
	for _, c := range whenConditions {
		r := startRecorder(t, root, c.name, miltertest.Script{})
		b.recorders[c.name] = r
		kit.Children = append(kit.Children, stack.Child{Name: c.name, Socket: "unix:" + r.socket, When: strings.ReplaceAll(c.when, "ACCOUNTS", accounts)})
	}
	b.kits[whenListener] = kit
	// For XCLIENT: without it there are no addresses of IPv6.
	b.postfix = &stack.Postfix{Root: root, Mailboxes: mailboxes(), Settings: []string{"inet_protocols = all"},
		Listeners: []stack.Listener{{Name: whenListener, Milters: []string{kit.Socket()}}}}
	b.startAll(t, []stack.Component{dns})
	for _, r := range b.recorders {
		r.awaitProbe(t)
	}
	return b
}

// asked returns the milters that were told of a sender, once that session is over.
func (b *whenBench) asked(t *testing.T, sender string) (names []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deliveryLimit)
	defer cancel()
	if _, err := b.recorders["always"].await(ctx, sender, 1); err != nil {
		t.Fatal(err)
	}
	for _, c := range whenConditions {
		if c.name != "always" && len(b.told(c.name, sender)) > 0 {
			names = append(names, c.name)
		}
	}
	return names
}

// told returns what a milter was told, macros included, in the session of a sender.
func (b *whenBench) told(name, sender string) (lines []string) {
	events := b.recorders[name].filter.Events()
	i := slices.IndexFunc(events, func(e miltertest.Event) bool {
		return e.Cmd == wire.CmdMail && strings.Contains(e.Text, "<"+sender+">")
	})
	if i < 0 {
		return nil
	}
	for _, e := range events {
		if e.Session == events[i].Session && e.Cmd != wire.CmdNegotiate {
			lines = append(lines, e.Text)
		}
	}
	return lines
}

// enough is how many sessions there are besides one that comes when it is crowded. It
// is more than the two or three that may not have ended yet of those before.
const enough = 6

// gather has so many clients connect, and stay until the test ends.
func gather(t *testing.T, addr string) {
	t.Helper()
	for range enough {
		other, err := smtpclient.Dial(addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { other.Close() })
	}
}

// TestWhen has clients of all kinds, and looks which milters were asked about their
// mail: greylisting for end users' lines only, and not for those who have logged in,
// nor for this machine, nor for senders whose domain is trusted and says that they
// are its own.
func TestWhen(t *testing.T) {
	b := startWhen(t)
	const line = "NAME=203-0-113-7.dyn.example.net "
	for i, c := range []struct{ who, xclient, domain, asked string }{
		{"an end user's line", line + "ADDR=203.0.113.7", "example.com", "greylist accounts"},
		{"one without a name", "NAME=[UNAVAILABLE] ADDR=203.0.113.7", "example.com", "greylist accounts"},
		{"a mail server", "NAME=mail.example.com ADDR=203.0.113.7", "example.com", "accounts"},
		{"one of our users", line + "ADDR=203.0.113.7 LOGIN=alice", "example.com", "accounts"},
		{"this machine", line + "ADDR=127.0.0.1", "example.com", "accounts"},
		{"a trusted domain's own", line + "ADDR=203.0.113.8", "gmail.com", "accounts"},
		{"one that says so", line + "ADDR=203.0.113.7", "gmail.com", "greylist accounts"},
		{"another domain's own", line + "ADDR=203.0.113.8", "example.org", "greylist accounts"},
		{"a trusted domain whose name server fails", line + "ADDR=203.0.113.8", "msn.com", "greylist accounts"},
		{"one that others warn of", "NAME=mail.example.com ADDR=203.0.113.9", "example.com", "listed accounts"},
		{"one of IPv6", "NAME=mail.example.com ADDR=IPV6:2001:db8::9", "example.com", "listed accounts"},
		{"its neighbour", "NAME=mail.example.com ADDR=IPV6:2001:db8::8", "example.com", "accounts"},
	} {
		sender := fmt.Sprintf("sender%d@%s", i, c.domain)
		b.wantsPassed(t, whenListener, c.xclient, sender)
		if got := strings.Join(b.asked(t, sender), " "); got != c.asked {
			t.Errorf("%s: asked were %q, want %q", c.who, got, c.asked)
		}
	}

	gather(t, b.postfix.Addr(whenListener))
	const sender = "crowd@example.com"
	b.wantsPassed(t, whenListener, "NAME=mail.example.com ADDR=203.0.113.7", sender)
	if got := strings.Join(b.asked(t, sender), " "); got != "crowd accounts" {
		t.Errorf("while there are other sessions: asked were %q", got)
	}
}

// TestWhenOfARecipient has a milter whose condition is about recipients. It has no
// connection before one for whom it holds; and then is told what a milter without a
// condition is told, but for the others.
func TestWhenOfARecipient(t *testing.T) {
	b := startWhen(t)
	c, err := smtpclient.Dial(b.postfix.Addr(whenListener))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const sender = "late@example.com"
	accounts := b.recorders["accounts"].filter.Sessions
	before := accounts()
	c.Ehlo(client)
	c.Cmd("XCLIENT NAME=mail.example.com ADDR=203.0.113.7 LOGIN=alice PROTO=ESMTP")
	c.Ehlo("mail.example.com")
	c.Mail(sender, "SIZE=1000", "BODY=8BITMIME")
	c.Rcpt(carol, "NOTIFY=NEVER")
	if n := accounts() - before; n != 0 {
		t.Errorf("the milter has %d connections before its recipient", n)
	}
	c.Rcpt(bob, "NOTIFY=SUCCESS", "ORCPT=rfc822;b@example.test")
	if n := accounts() - before; n != 1 {
		t.Errorf("the milter has %d connections after its recipient", n)
	}
	if reply := c.Data(letter("late", trickyFields, "Hello.")); !reply.OK() {
		t.Fatal(reply)
	}
	c.Quit()
	if got := b.asked(t, sender); !slices.Contains(got, "accounts") {
		t.Fatalf("asked were %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deliveryLimit)
	defer cancel()
	if _, err := b.recorders["accounts"].await(ctx, sender, 1); err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(b.told("always", sender), func(line string) bool { return strings.Contains(line, carol) })
	if d := cmp.Diff(want, b.told("accounts", sender)); d != "" {
		t.Errorf("without a condition (-) and with one (+):\n%s", d)
	}
	for _, part := range []string{"connect mail.example.com", "helo mail.example.com", "mail <" + sender + ">", "{auth_authen}=alice"} {
		if !slices.ContainsFunc(want, func(line string) bool { return strings.Contains(line, part) }) {
			t.Errorf("nothing was told of %s:\n%s", part, strings.Join(want, "\n"))
		}
	}
}
