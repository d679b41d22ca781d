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

// The milterkits of these tests, which start them. Each has a listener of its own
// name.
const (
	greylistDisk = "greylist-disk"
	greylistOne  = "greylist-one"
	greylistTwo  = "greylist-two"
)

// addGreylists adds their listeners.
func (b *bench) addGreylists() {
	for _, name := range []string{greylistDisk, greylistOne, greylistTwo} {
		b.postfix.Listeners = append(b.postfix.Listeners, stack.Listener{Name: name, Milters: []string{b.greylist(name, "").Socket()}})
	}
}

// greylist is a milterkit that greylists.
func (b *bench) greylist(name, store string) *stack.Milterkit {
	return &stack.Milterkit{Root: b.root, Binary: b.binary, Name: "kit-" + name, Children: []stack.Child{{
		Name: "greylist", Use: "greylist", When: "s25r && !authenticated", Options: "delay = \"1s\"\n" + store}}}
}

// startGreylist starts it.
func (b *bench) startGreylist(t *testing.T, name, store string) *stack.Milterkit {
	t.Helper()
	if b.kitErr != nil {
		t.Fatalf("there is no milterkit to send through: %v", b.kitErr)
	}
	kit := b.greylist(name, store)
	if err := kit.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kit.Stop(); err != nil {
			t.Error(err)
		}
	})
	return kit
}

// Two clients: one that looks like an end user's line, and a mail server.
const (
	lineClient   = "NAME=203-0-113-7.dyn.example.net ADDR=203.0.113.7"
	serverClient = "NAME=mail.example.com ADDR=203.0.113.7"
)

// deliver sends a message as a client that XCLIENT names, and sees it delivered,
// unless the recipient is refused. It returns the reply to RCPT.
func (b *bench) deliver(t *testing.T, listener, xclient, sender string) string {
	t.Helper()
	c, err := smtpclient.Dial(b.postfix.Addr(listener))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Ehlo(client)
	c.Cmd("XCLIENT %s", xclient)
	c.Ehlo(client)
	c.Mail(sender)
	rcpt := c.Rcpt(bob)
	if rcpt.OK() {
		id := wordsOf(route{}).queuedAs.FindStringSubmatch(c.Data(letter("greylisted", "", "Hello.")).String())
		if id == nil {
			t.Fatalf("the message was not taken: %v", c.Exchanges)
		}
		ctx, cancel := context.WithTimeout(t.Context(), deliveryLimit)
		defer cancel()
		if fate, _, err := b.postfix.Await(ctx, id[1]); err != nil || fate != stack.Delivered {
			t.Errorf("the message ended as %v, %v", fate, err)
		}
	}
	c.Quit()
	return rcpt.String()
}

// wantsDelayed expects a client to be told to wait, wantsPassed not to.
func (b *bench) wantsDelayed(t *testing.T, listener, xclient, sender string) {
	t.Helper()
	if got := b.deliver(t, listener, xclient, sender); !strings.HasPrefix(got, "451 4.7.1 ") || !strings.HasSuffix(got, "Greylisted, try again in 1 seconds") {
		t.Errorf("%s, %s: %q", xclient, sender, got)
	}
}

func (b *bench) wantsPassed(t *testing.T, listener, xclient, sender string) {
	t.Helper()
	if got := b.deliver(t, listener, xclient, sender); !strings.HasPrefix(got, "250 ") {
		t.Errorf("%s, %s: %q", xclient, sender, got)
	}
}

// delay is over a little later than the option says.
func delayIsOver() { time.Sleep(1050 * time.Millisecond) }

// TestGreylist has a client that looks like an end user's line delayed, whatever
// happens to milterkit meanwhile, and no mail server, and none of our own users.
func TestGreylist(t *testing.T) {
	b := start(t)
	kit := b.startGreylist(t, greylistDisk, fmt.Sprintf("database = %q", b.root.Path("kit-"+greylistDisk, "greylist.db")))
	b.wantsDelayed(t, greylistDisk, lineClient, alice)
	b.wantsDelayed(t, greylistDisk, lineClient, "")
	b.wantsPassed(t, greylistDisk, serverClient, alice)
	b.wantsPassed(t, greylistDisk, lineClient+" LOGIN=alice", alice)

	kit.Kill()
	kit = b.startGreylist(t, greylistDisk, fmt.Sprintf("database = %q", b.root.Path("kit-"+greylistDisk, "greylist.db")))
	delayIsOver()
	b.wantsPassed(t, greylistDisk, lineClient, alice)
	b.wantsDelayed(t, greylistDisk, lineClient, carol)

	kit.Kill()
	b.startGreylist(t, greylistDisk, fmt.Sprintf("database = %q", b.root.Path("kit-"+greylistDisk, "greylist.db")))
	b.wantsPassed(t, greylistDisk, lineClient, alice)
	b.wantsPassed(t, greylistDisk, lineClient, "")
	b.wantsPassed(t, greylistDisk, serverClient, carol)
}

// TestGreylistShared has two milterkits that share a Redis: what one has put off
// passes at the other. When the Redis is gone, all passes.
func TestGreylistShared(t *testing.T) {
	b := start(t)
	redis := &stack.Redis{Root: b.root}
	if err := redis.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(redis.Kill)
	store := fmt.Sprintf("redis = %q", redis.URL())
	one := b.startGreylist(t, greylistOne, store)
	b.startGreylist(t, greylistTwo, store)
	b.wantsDelayed(t, greylistOne, lineClient, alice)
	delayIsOver()
	b.wantsPassed(t, greylistTwo, lineClient, alice)
	b.wantsPassed(t, greylistOne, lineClient, alice)
	b.wantsDelayed(t, greylistTwo, lineClient, carol)
	b.wantsPassed(t, greylistOne, serverClient, carol)

	redis.Kill()
	b.wantsPassed(t, greylistOne, lineClient, "mallory@example.org")
	if told, err := one.LogOf("the store does not answer, and mail passes undelayed"); err != nil || len(told) != 1 {
		t.Errorf("the log has %q, %v", told, err)
	}
}
