package test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// defaultActions are all values of default_action.
var defaultActions = []string{"tempfail", "accept", "reject", "discard", "quarantine"}

// TestMilterDown has a milter that is not there. Its default action decides,
// and where that lets the message go on, the milter after it is asked. Postfix
// itself knows no discard, and tells the client of a reject otherwise.
func TestMilterDown(t *testing.T) { milterDown(t, routes[1:2]) }

func milterDown(t *testing.T, routes []route) {
	const departs = "the default action is given at MAIL, and the milters after it still run"
	for _, action := range defaultActions {
		check := func(t *testing.T, o *outcome) {
			switch action {
			case "tempfail":
				wantReply(t, o, "MAIL", tryAgain)
			case "reject":
				if got := o.replyTo(t, "MAIL", 0); !strings.HasPrefix(got, "55") {
					t.Errorf("reply to MAIL: %q, want a refusal", got)
				}
			case "discard":
				ends(stack.Discarded)(&outcomeOf{t, o})
			case "accept":
				has("X-Saw-first: ")(&outcomeOf{t, o})
			case "quarantine":
				heldFor("down failed")(&outcomeOf{t, o})
				wantText(t, string(o.mails[0].copies[0].Content), "X-Saw-first: ")
			}
			if o.exchangeFails() {
				wantNoMail(t, o)
			}
		}
		talk := func(c *smtpclient.Client) {
			c.Ehlo(client)
			if c.Mail("nothing@example.org").OK() && c.Rcpt(bob).OK() {
				c.Data(letter("down", "", "Hello."))
			}
		}
		run(t, "down-"+action, routes, []testcase{{name: action, talk: talk, check: check, departs: departs}})
	}
}

// exchangeFails reports whether the client was told that something failed.
func (o *outcome) exchangeFails() bool {
	for _, e := range o.dialogue {
		if c := e.Reply.Code(); c == "" || c[0] >= '4' {
			return true
		}
	}
	return false
}

// The messages during which something happens to milterkit. Both MTAs have the
// same: Postfix's tests do not run in parallel, and so before Sendmail's.
var underStop, underKill = newPause(), newPause()

func interrupted() []scene {
	return []scene{
		{name: "stopped", first: script{saw: true, pause: underStop}},
		{name: "killed", first: script{saw: true, pause: underKill}},
	}
}

// addTrouble adds, to both MTAs, the chains with a milter that is not there, and
// listeners whose milterkit is started by the test.
func (b *bench) addTrouble() {
	for _, action := range defaultActions {
		down := stack.Child{Name: "down", Socket: "unix:" + b.root.Path("nobody-listens"), DefaultAction: action}
		b.addChain(chain{"down-" + action, []stack.Child{down, b.child(firstName)}}, routes[1], sendmailRoutes[1])
	}
	for _, name := range []string{"stopped", "killed"} {
		l := stack.Listener{Name: name, Milters: []string{b.ownKit(name).Socket()}}
		b.postfix.Listeners = append(b.postfix.Listeners, l)
		b.sendmail.Listeners = append(b.sendmail.Listeners, l)
	}
}

// ownKit is a milterkit for one test, with the first scripted milter.
func (b *bench) ownKit(name string) *stack.Milterkit {
	return &stack.Milterkit{Root: b.root, Binary: b.binary, Name: "kit-" + name, Children: []stack.Child{b.child(firstName)}}
}

// startOwn starts it.
func (b *bench) startOwn(t *testing.T, name string) *stack.Milterkit {
	t.Helper()
	if b.kitErr != nil {
		t.Fatalf("there is no milterkit to send through: %v", b.kitErr)
	}
	kit := b.ownKit(name)
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

// sendSlowly sends a message, and calls meanwhile while the milter ponders on
// it. It returns the reply to the message.
func (b *bench) sendSlowly(t *testing.T, r route, name string, p *pause, meanwhile func()) smtpclient.Reply {
	t.Helper()
	c, err := smtpclient.Dial(b.mta(r).Addr(name))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	end := make(chan smtpclient.Reply, 1)
	go func() {
		c.Ehlo(client)
		c.Mail(name + "@example.org")
		c.Rcpt(bob)
		end <- c.Data(letter(name, "", "Hello."))
	}()
	select {
	case <-p.entered:
	case r := <-end:
		t.Fatalf("the milter was not asked, the client was told %q", r)
	case <-time.After(deliveryLimit):
		t.Fatal("the milter was not asked")
	}
	meanwhile()
	return <-end
}

// TestStopDuringMessage stops milterkit while a message is under way: it
// lets no new session in, brings the message to its end, and ends.
func TestStopDuringMessage(t *testing.T) { stopDuringMessage(t, routes[1]) }

func stopDuringMessage(t *testing.T, way route) {
	b := start(t)
	kit := b.startOwn(t, "stopped")
	stopped := make(chan error, 1)
	r := b.sendSlowly(t, way, "stopped", underStop, func() {
		go func() { stopped <- kit.Stop() }()
		awaitClosed(t, strings.TrimPrefix(kit.Socket(), "unix:"))
		underStop.release <- struct{}{}
	})
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	id := wordsOf(way).queuedAs.FindStringSubmatch(r.String())
	if id == nil {
		t.Fatalf("the client was told %q, want that the message was taken\n%s", r, kit.Log())
	}
	fate, copies, err := b.mta(way).Await(t.Context(), id[1])
	if err != nil || fate != stack.Delivered {
		t.Fatalf("the message was %s, %v", fate, err)
	}
	wantText(t, string(copies[0].Content), "X-Saw-first: ")
}

// awaitClosed waits until nobody listens at a socket.
func awaitClosed(t *testing.T, socket string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(4 * time.Second) // below shutdown_timeout
	for {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return
		}
		conn.Close()
		select {
		case <-deadline:
			t.Errorf("%s still takes connections", socket)
			return
		case <-tick.C:
		}
	}
}

// TestKillDuringMessage kills milterkit while a message is under way: the
// client is told to try again, and nothing is delivered. Started again, it
// works, although its socket was left behind.
func TestKillDuringMessage(t *testing.T) { killDuringMessage(t, routes[1]) }

func killDuringMessage(t *testing.T, way route) {
	b, words := start(t), wordsOf(way)
	kit := b.startOwn(t, "killed")
	r := b.sendSlowly(t, way, "killed", underKill, func() {
		kit.Kill()
		underKill.release <- struct{}{}
	})
	if want := words.reply(".", tryAgain); r.String() != want {
		t.Errorf("the client was told %q, want %q", r, want)
	}
	b.startOwn(t, "killed")
	again := b.sendSlowly(t, way, "killed", underKill, func() { underKill.release <- struct{}{} })
	id := words.queuedAs.FindStringSubmatch(again.String())
	if id == nil {
		t.Fatalf("after the second start the client was told %q", again)
	}
	if fate, copies, err := b.mta(way).Await(t.Context(), id[1]); err != nil || fate != stack.Delivered || len(copies) != 1 {
		t.Errorf("after the second start the message was %s, %d copies, %v", fate, len(copies), err)
	}
}
