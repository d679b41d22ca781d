package test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// sendmailsName is what both MTAs call themselves here, and the name of all addresses
// but those of loopback.
const sendmailsName = "sm.example.test"

// asSendmail is a milter that is told what Sendmail would tell, and more of its own: under
// stress are more sessions than enough.
const asSendmail = `sendmail_macros = true
[milter.macros]
"{stress}" = { value = "yes", when = "sessions > 6" }
"{trusted_domain}" = { value = "yes", when = 'mail_from.domain in ["gmail.com"]', else = "no" }
`

// ownAddresses are the addresses of this machine that a client can connect to, one of
// loopback first.
func ownAddresses(t *testing.T) []netip.Addr {
	t.Helper()
	list := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			list = append(list, p.Addr())
		}
	}
	return list
}

// lastTold are the macros that a milter was told in its last session, in which a sender
// was, by stage and name without braces, once that is over.
func (r *recorder) lastTold(t *testing.T, sender string) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deliveryLimit)
	defer cancel()
	if _, err := r.await(ctx, sender, 1); err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, e := range r.filter.Events() {
		if e.Session != r.filter.Sessions() || e.Cmd != wire.CmdMacros {
			continue
		}
		words := strings.Fields(e.Text)
		for _, m := range words[2:] {
			if name, value, ok := strings.Cut(m, "="); ok {
				told[words[1]+" "+strings.Trim(name, "{}")] = value
			}
		}
	}
	return told
}

// macroBench is an MTA with a milterkit that has two milters, of which the first has
// the terms asSendmail.
type macroBench struct {
	first, second *recorder
	kit           *stack.Milterkit
	listeners     []stack.Listener
}

func newMacroBench(t *testing.T, all *bench, root *stack.Root) *macroBench {
	t.Helper()
	b := &macroBench{first: startRecorder(t, root, "first", miltertest.Script{}), second: startRecorder(t, root, "second", miltertest.Script{})}
	b.kit = &stack.Milterkit{Root: root, Name: "kit", Binary: all.binary, Children: []stack.Child{
		{Name: "first", Socket: "unix:" + b.first.socket, Terms: asSendmail}, {Name: "second", Socket: "unix:" + b.second.socket}}}
	b.listeners = []stack.Listener{{Name: "macros", Milters: []string{b.kit.Socket()}}}
	return b
}

// ask begins a message, and returns what the milters were told.
func (b *macroBench) ask(t *testing.T, addr, xclient, sender string) (first, second map[string]string) {
	t.Helper()
	c, err := smtpclient.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Ehlo(client)
	if xclient != "" {
		if reply := c.Cmd("XCLIENT %s", xclient); !reply.OK() {
			t.Fatal(reply)
		}
		c.Ehlo(client)
	}
	if reply := c.Mail(sender); !reply.OK() {
		t.Fatal(reply)
	}
	c.Quit()
	return b.first.lastTold(t, sender), b.second.lastTold(t, sender)
}

func startThem(t *testing.T, some ...stack.Component) {
	t.Helper()
	t.Cleanup(func() {
		if err := stack.Stop(some...); err != nil {
			t.Error(err)
		}
	})
	if err := stack.Start(some...); err != nil {
		t.Fatal(err)
	}
}

// TestMacrosAsOfSendmail connects to Sendmail at each address of this machine, and to
// Postfix as if at the same: a milter with sendmail_macros is told the same by these
// names. Another one behind the same milterkit is told only what its MTA says, and
// behind Sendmail so is the first.
func TestMacrosAsOfSendmail(t *testing.T) {
	all := start(t)
	if all.kitErr != nil {
		t.Fatal(all.kitErr)
	}
	newRoot := func() *stack.Root {
		root, err := stack.NewRoot()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { root.Remove() })
		return root
	}
	root := newRoot()
	viaPostfix := newMacroBench(t, all, root)
	postfix := &stack.Postfix{Root: root, Mailboxes: mailboxes(), Listeners: viaPostfix.listeners,
		Settings: []string{"inet_protocols = all", "myhostname = " + sendmailsName}}
	startThem(t, postfix, viaPostfix.kit)
	names := []string{"connect if_addr", "connect if_name", "connect daemon_port"}
	of := func(told map[string]string) string {
		text := ""
		for _, name := range names {
			text += fmt.Sprintf("%s=%s\n", name, told[name])
		}
		return text
	}
	for i, addr := range ownAddresses(t) {
		root := newRoot()
		b := newMacroBench(t, all, root)
		sendmail := &stack.Sendmail{Root: root, Host: addr.String(), Listeners: b.listeners, Hosts: map[string]string{}}
		if !addr.IsLoopback() {
			sendmail.Hosts[addr.String()] = sendmailsName
		}
		startThem(t, sendmail, b.kit)
		sender := fmt.Sprintf("sender%d@example.org", i)
		want, also := b.ask(t, sendmail.Addr("macros"), "", sender)
		if d := cmp.Diff(of(also), of(want)); d != "" || want["mail i"] == "" || want["mail i"] != also["mail i"] {
			t.Errorf("%s: Sendmail says (-), and its milter is told (+):\n%s", addr, d)
		}
		_, port, _ := net.SplitHostPort(sendmail.Addr("macros"))
		dest := addr.String()
		if addr.Is6() {
			dest = "IPV6:" + dest
		}
		got, other := viaPostfix.ask(t, postfix.Addr("macros"), "ADDR=203.0.113.7 NAME=mail.example.com DESTADDR="+dest+" DESTPORT="+port, sender)
		if d := cmp.Diff(of(want), of(got)); d != "" {
			t.Errorf("%s: behind Sendmail (-) and Postfix (+):\n%s", addr, d)
		}
		if got["mail i"] != "NOQUEUE" {
			t.Errorf("the ID at MAIL is %q", got["mail i"])
		}
		for _, name := range []string{"connect if_addr", "connect if_name", "mail i", "mail trusted_domain", "connect stress"} {
			if other[name] != "" {
				t.Errorf("the other milter is told %s=%s", name, other[name])
			}
		}
	}
}

// TestOwnMacros has macros of a milter's own depend on the sender, and on how many
// sessions there are. The next message of a session has its own values.
func TestOwnMacros(t *testing.T) {
	all := start(t)
	if all.kitErr != nil {
		t.Fatal(all.kitErr)
	}
	root, err := stack.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Remove() })
	b := newMacroBench(t, all, root)
	postfix := &stack.Postfix{Root: root, Mailboxes: mailboxes(), Listeners: b.listeners}
	startThem(t, postfix, b.kit)
	for sender, want := range map[string]string{"a@gmail.com": "yes", "a@example.org": "no"} {
		if told, _ := b.ask(t, postfix.Addr("macros"), "", sender); told["mail trusted_domain"] != want || told["connect stress"] != "" {
			t.Errorf("%s: told %v", sender, told)
		}
	}
	gather(t, postfix.Addr("macros"))
	if told, _ := b.ask(t, postfix.Addr("macros"), "", "b@example.org"); told["connect stress"] != "yes" {
		t.Errorf("under stress: told %v", told)
	}
}
