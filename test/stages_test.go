package test

import (
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-milter"
	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// What Postfix tells the client after a bare verdict.
const (
	rejected = "550 5.7.1 Command rejected"
	tryAgain = "451 4.7.1 Service unavailable - try again later"
)

// TestStages has a milter give each verdict at each stage of a session.
func TestStages(t *testing.T) { play(t, "actions", stages()) }

// allVerdicts are what a milter can say, by name.
var allVerdicts = []struct {
	name  string
	say   milter.Response
	reply string // to the client, "" when it is told nothing
}{
	{"reject", milter.RespReject, rejected},
	{"tempfail", milter.RespTempFail, tryAgain},
	{"discard", milter.RespDiscard, ""},
	{"accept", milter.RespAccept, ""},
	{"reply", reply("550 5.7.1 we do not take it"), "550 5.7.1 we do not take it"},
	{"reply2", reply("554-5.7.1 the first line", "554 5.7.1 the second line"), "554-5.7.1 the first line\n554 5.7.1 the second line"},
	{"plain", reply("550 no thanks"), "550 no thanks"},
	{"percent", reply("550 5.7.1 100%% sure"), "550 5.7.1 100% sure"},
	{"greylist", reply("451 4.7.1 Greylisted, try again in 300 s"), "451 4.7.1 Greylisted, try again in 300 s"},
	{"closing", reply("421 4.7.0 closing"), "421 4.7.0 closing"},
}

// last checks the verdict of a stage at which the rest of a message is
// decided: by the reply to a command, or by the message's end.
func last(prefix, name, reply string) func(*outcomeOf) {
	switch name {
	case "discard":
		return ends(stack.Discarded)
	case "accept":
		return lacks("X-Reached")
	}
	return replyAt(prefix, reply)
}

// stages are all verdicts at all stages from MAIL on.
func stages() []scene {
	// Whoever is asked at the end of the message, says so.
	reached := func(m *milter.Modifier) error { return m.AddHeader("X-Reached", "the end") }
	var scenes []scene
	for _, v := range allVerdicts {
		for _, s := range []struct {
			stage, prefix string
			script        script
		}{
			{"mail", "MAIL", script{mail: v.say}},
			{"header", ".", script{header: v.say}},
			{"end-of-header", ".", script{endOfHeader: v.say}},
			{"body", ".", script{body: v.say}},
		} {
			s.script.edit = reached
			scenes = append(scenes, scene{name: s.stage + "-" + v.name, first: s.script, check: last(s.prefix, v.name, v.reply)})
		}
		end := scene{name: "end-" + v.name, first: script{endOfMessage: v.say}, check: last(".", v.name, v.reply)}
		rcpt := scene{
			name:  "rcpt-" + v.name,
			to:    []string{bob, v.name + "@example.test", carol},
			first: script{rcpt: map[string]milter.Response{v.name: v.say}, edit: reached},
			check: func(o *outcomeOf) {
				if v.reply != "" {
					wantReply(o.T, o.outcome, "RCPT TO:<"+v.name, v.reply)
				}
			},
		}
		scenes = append(scenes, end, rcpt,
			scene{name: "helo-" + v.name, first: script{helo: v.say}},
			scene{name: "connect-" + v.name, first: script{connect: v.say}})
	}
	return slices.Concat(scenes, []scene{
		{name: "nothing", first: script{saw: true}, check: has("X-Saw-first: from nothing@example.org(", "; to bob@example.test("),
			sendmail: has("X-Saw-first: from nothing@example.org(i=QUEUE-ID ", "; to bob@example.test(", "; end({msg_id}=<actions@example.org>)")},
		{name: "session-seen", first: script{sawSession: true}, check: has("X-Saw-first: localhost tcp4 127.0.0.1(j=mx.example.test ", "; helo client.example.org; from "),
			sendmail: has("X-Saw-first: localhost tcp4 127.0.0.1(j=sm.example.test ", "; helo client.example.org; from ")},
	})
}

// TestHelo has a milter give each verdict on the name in HELO, which is what
// the milter goes by.
func TestHelo(t *testing.T) { helos(t, routes[:2]) }

func helos(t *testing.T, routes []route) {
	var cases []testcase
	for _, v := range allVerdicts {
		cases = append(cases, testcase{name: v.name, talk: func(c *smtpclient.Client) {
			c.Ehlo("helo-" + v.name + ".example.org")
			c.Mail(alice)
			if c.Rcpt(bob).OK() {
				c.Data(letter("helo", "", "Hello."))
			}
			c.Ehlo(client)
			if c.Mail(alice).OK() && c.Rcpt(bob).OK() {
				c.Data(letter("again", "", "Hello."))
			}
		}, check: func(t *testing.T, o *outcome) {
			switch {
			case v.name == "closing": // at once
				wantReply(t, o, "EHLO", v.reply)
			case v.reply != "":
				if got, want := o.replyTo(t, "MAIL", 0), o.words.reply("", v.reply); got != want {
					t.Errorf("reply to MAIL: %q, want %q", got, want)
				}
			}
		}})
	}
	run(t, "actions", routes, cases)
}

// TestConnect has a milter give each verdict on the client's host name, which
// XCLIENT sets: Postfix then starts the session with its milters anew.
func TestConnect(t *testing.T) {
	var cases []testcase
	for _, v := range allVerdicts {
		cases = append(cases, testcase{name: v.name, talk: func(c *smtpclient.Client) {
			c.Ehlo(client)
			c.Cmd("XCLIENT NAME=connect-%s.example.org ADDR=192.0.2.10 PORT=4711", v.name)
			c.Ehlo(client)
			if c.Mail("nothing@example.org").OK() && c.Rcpt(bob).OK() {
				c.Data(letter("connect", "", "Hello."))
			}
		}, check: func(t *testing.T, o *outcome) {
			refused := !strings.HasPrefix(o.replyTo(t, "MAIL", 0), "250 ")
			if refused != (v.reply != "") {
				t.Errorf("MAIL after the verdict at connect: %q", o.replyTo(t, "MAIL", 0))
			}
		}})
	}
	run(t, "actions", routes[:2], cases)
}
