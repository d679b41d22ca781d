package test

import (
	"testing"

	"github.com/emersion/go-milter"
)

// TestSilent has a milter that answers nothing before the end of a message,
// as rspamd's does.
func TestSilent(t *testing.T) { play(t, "silent", shy()) }

// TestMacros has a milter that asks for macros, before one that does not:
// each gets its own.
func TestMacros(t *testing.T) { play(t, "macros", shy()) }

func shy() []scene {
	type m = *milter.Modifier
	look := script{saw: true}
	return []scene{
		{name: "both-look", first: look, second: look, check: has("from both-look@example.org(", "X-Saw-second: ")},
		{name: "both-look-at-the-session", first: script{sawSession: true}, second: script{sawSession: true}, check: has("localhost tcp4 127.0.0.1(", "X-Saw-second: ")},
		{name: "two-recipients-and-a-refused-one", to: []string{bob, "reject@example.test", carol}, first: look,
			second: script{saw: true, rcpt: map[string]milter.Response{"reject": milter.RespReject}}, check: goesTo(bob, carol)},
		{name: "edits-and-refusal", first: script{edit: func(m m) error { return m.AddHeader("X-Added", "a") }, endOfMessage: milter.RespReject},
			second: look, check: replyAt(".", rejected)},
		{name: "edits-and-edits", first: editing(func(m m) error { return all(m.AddHeader("X-Added", "a"), m.ReplaceBody([]byte("new\r\n"))) }),
			second: look, check: has(`X-Added:"a"; 5 bytes "new\r\n"`)},
		{name: "first-continues-second-refuses-at-mail", first: look, second: script{mail: milter.RespReject}, check: replyAt("MAIL", rejected)},
		{name: "no-body-at-all", message: lines("Subject: no body"), first: look, second: look, check: has("Subject: no body\n")},
	}
}
