package test

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// nearRspamd is a rspamd that the tests of the native child start, stop and kill.
func (b *bench) nearRspamd(dns *stack.Unbound) *stack.Rspamd {
	return &stack.Rspamd{Root: b.root, Name: "rspamd-near", DNS: dns}
}

// addRspamdHTTP adds the chains with a native child that asks rspamd: in the place of
// its own milter, with which it is compared, and one that asks the near one first, or
// no other.
func (b *bench) addRspamdHTTP(rspamd *stack.Rspamd) {
	b.rspamdDNS = rspamd.DNS
	near, far := "unix:"+b.nearRspamd(rspamd.DNS).Worker(), "unix:"+rspamd.Worker()
	native := func(addresses string) []stack.Child {
		return []stack.Child{{Name: "rspamd", Use: "rspamd", Options: "addresses = [" + addresses + "]\ntimeout = \"2s\"\n"}}
	}
	b.addChain(chain{"rspamd-http", []stack.Child{{Name: "rspamd", Socket: rspamd.Socket()}}}, routes[0])
	b.addChain(chain{"rspamd-http", native(fmt.Sprintf("%q", far))}, routes[1])
	b.addChain(chain{"rspamd-near", native(fmt.Sprintf("%q", near))}, routes[1])
	b.addChain(chain{"rspamd-both", native(fmt.Sprintf("%q, %q", near, far))}, routes[1])
}

// TestRspamdHTTP sends mail past the native child that asks rspamd, and past rspamd's
// own milter: what rspamd was told of it, and what comes of it, is the same, byte by
// byte. Two have header fields without a space after the colon, or with folds.
func TestRspamdHTTP(t *testing.T) {
	mails := rspamdMails(t, byRspamd)
	for i := range mails {
		if mails[i].name == "clean mail" || mails[i].name == "signature" {
			mails[i].departs = "rspamd is shown the white space of the header as it came"
		}
	}
	run(t, "rspamd-http", routes[:2], mails)
	run(t, "rspamd-http", routes[:2], rspamdSessions(byRspamd))
}

// A mark of rspamd's that came with the message is gone, which rspamd's own milter
// leaves there.
func TestRspamdHTTPForgedMark(t *testing.T) {
	forged := letter("forged", "X-Spam: No, says the sender\r\n", "Hello.")
	run(t, "rspamd-http", routes[:2], []testcase{{name: "forged", talk: send(forged), departs: "forged marks are removed", check: func(t *testing.T, o *outcome) {
		wantNoText(t, delivered(t, o), "says the sender")
	}}})
}

// A rspamd that is down or hangs has nothing called clean, and when another one is
// there that is asked.
func TestRspamdHTTPInTrouble(t *testing.T) {
	b := start(t)
	near := b.nearRspamd(b.rspamdDNS)
	address := "unix:" + near.Worker() + ": "
	wantDeferred(t, "rspamd-near", address+"cannot connect: no such file or directory")
	both := func() {
		t.Helper()
		o := b.play(t, "rspamd-both", routes[1], func(c *smtpclient.Client) {
			c.Ehlo(client)
			transaction(c, bob, letter("figures", "", "Hello."))
			transaction(c, bob, letter("spam", "", stack.GTUBE))
		})
		byRspamd(t, delivered(t, o), "none")
		if got := o.replyTo(t, ".", 1); got != gtube {
			t.Errorf("GTUBE was answered %q", got)
		}
	}
	both()

	if err := near.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(near.Kill)
	refused(gtube)(t, b.play(t, "rspamd-near", routes[1], send(letter("spam", "", stack.GTUBE))))
	syscall.Kill(-near.Pid(), syscall.SIGSTOP)
	wantDeferred(t, "rspamd-near", address+"no answer within 2s")
	both()
	near.Kill()
	awaitClosed(t, near.Worker())
	wantDeferred(t, "rspamd-near", address+"cannot connect: connection refused")
	both()
}

// wantDeferred wants a message to be put off, with that reason in the log.
func wantDeferred(t *testing.T, chain, reason string) {
	t.Helper()
	b := start(t)
	o := b.play(t, chain, routes[1], send(letter("figures", "", "Hello.")))
	wantReply(t, o, ".", tryAgain)
	wantNoMail(t, o)
	kit := b.kits[chain+"/"+routes[1].name]
	if log, err := kit.LogOf(reason); err != nil || len(log) == 0 {
		t.Errorf("the log has no %q, %v\n%s", reason, err, kit.Log())
	}
}
