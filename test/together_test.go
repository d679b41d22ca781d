package test

import (
	"testing"

	"github.com/emersion/go-milter"
	"github.com/milterkit/sdk/test/stack"
)

// TestTogether has two milters that run at the same time, on the same
// message. What comes of it is as if they had run in order: the verdict of
// the first that has one, and the edits of both, the later ones last, each on
// the field that its milter meant.
func TestTogether(t *testing.T) { playOn(t, routes[2:], "two", together()) }

func together() []scene {
	type m = *milter.Modifier
	add := func(value string) script {
		return editing(func(m m) error { return m.AddHeader("X-Added", value) })
	}
	change := func(index int, name, value string) script {
		return editing(func(m m) error { return m.ChangeHeader(index, name, value) })
	}
	body := func(text string) script {
		return editing(func(m m) error { return m.ReplaceBody([]byte(text)) })
	}
	scenes := []scene{
		{name: "t-both-add", first: add("one"), second: add("two"), check: has("\nx-one: 3\nX-Added: one\nX-Added: two\n\n"),
			sendmail: has("\nx-one: 3\nX-Added: two\nX-Added: one\n\n")},
		{name: "t-second-sees-nothing-of-first", first: add("one"), second: script{saw: true},
			check: both(has("\nX-Added: one\nX-Saw-second: "), lacks(`X-Added:"`))},
		{name: "t-delete-before-a-change", first: change(1, "X-One", ""), second: change(2, "X-One", "second"),
			check: has("\nX-Other: o\nX-One: second\nx-one: 3\n\n")},
		{name: "t-both-delete-one-field", first: change(2, "X-One", ""), second: change(2, "X-One", ""),
			check: has("\nX-One: 1\nX-Other: o\nx-one: 3\n\n")},
		{name: "t-both-delete-fields", first: change(1, "X-One", ""), second: change(3, "X-One", ""),
			check: has("\nX-Other: o\nX-One: 2\n\n")},
		{name: "t-both-change-one-field", first: change(1, "Subject", "first"), second: change(1, "Subject", "second"),
			check: both(has("\nSubject: second\n"), lacks("Subject: first", "Subject: actions"))},
		{name: "t-both-replace-the-body", first: body("first\r\n"), second: body("second\r\n"), check: has("\n\nsecond\n")},
		{name: "t-body-and-field", first: body("first\r\n"), second: add("two"), check: has("\nX-Added: two\n\nfirst\n")},
		{name: "t-recipients", first: editing(func(m m) error { return m.AddRecipient(carol) }),
			second: editing(func(m m) error { return m.DeleteRecipient(bob) }), check: goesTo(carol)},
		{name: "t-first-refuses", first: script{endOfMessage: milter.RespReject}, second: script{header: milter.RespTempFail}, check: replyAt(".", rejected)},
		{name: "t-second-refuses", first: add("one"), second: script{endOfHeader: milter.RespTempFail}, check: replyAt(".", tryAgain)},
		{name: "t-first-discards", first: script{body: milter.RespDiscard}, second: script{endOfMessage: milter.RespReject}, check: ends(stack.Discarded)},
		{name: "t-first-accepts", first: script{header: milter.RespAccept}, second: script{endOfMessage: milter.RespReject}, check: replyAt(".", rejected)},
		{name: "t-first-holds", first: editing(func(m m) error { return m.Quarantine("to be looked at") }), second: add("two"),
			check: both(ends(stack.Held), func(o *outcomeOf) {
				wantText(o.T, string(o.mails[0].copies[0].Content), "X-Added: two\n")
			})},
		{name: "t-first-refuses-a-recipient", to: []string{bob, "reject@example.test", carol},
			first:  script{rcpt: map[string]milter.Response{"reject": milter.RespReject}},
			second: script{saw: true},
			check: both(goesTo(bob, carol), func(o *outcomeOf) {
				wantNoText(o.T, string(o.mails[0].copies[0].Content), "to reject")
			})},
	}
	for i := range scenes {
		scenes[i].departs = "no MTA runs milters at the same time"
	}
	return scenes
}
