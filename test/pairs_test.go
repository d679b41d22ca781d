package test

import (
	"testing"

	"github.com/emersion/go-milter"
	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// quarantineGoesOn is a departure from Postfix; Sendmail does the same.
const quarantineGoesOn = "a quarantine does not keep the message from the milters after it"

// TestPairs has two milters, one after the other: the second sees what the
// first has left of a message.
func TestPairs(t *testing.T) { play(t, "two", pairs()) }

func pairs() []scene {
	type m = *milter.Modifier
	return []scene{
		{name: "second-sees-edits", first: editing(func(m m) error {
			return all(m.AddHeader("X-Added", "by first"), m.InsertHeader(0, "X-Top", "t"), m.ChangeHeader(1, "Subject", "changed"),
				m.ChangeHeader(2, "X-One", ""), m.ReplaceBody([]byte("A new body.\r\n")))
		}), second: script{saw: true},
			check: has(`; X-Top:"t"; `, `Subject:"changed"; `, `X-Added:"by first"; 13 bytes "A new body.\r\n"`)},
		{name: "second-sees-folds", first: editing(func(m m) error { return m.AddHeader("X-Added", "one\nBcc: two\n\nthree") }),
			second: script{saw: true}, check: has(`X-Added:"one\n\tBcc: two\n\t\n\tthree"`), sendmail: has(`X-Added:"one\nBcc: two\n\nthree"`)},
		{name: "second-numbers-after-first", first: editing(func(m m) error { return m.ChangeHeader(1, "X-One", "") }),
			second: editing(func(m m) error { return m.ChangeHeader(2, "X-One", "was 3") }),
			check:  has("\nX-Other: o\nX-One: 2\nX-One: was 3\n\n"), sendmail: has("\nX-Other: o\nX-One: 2\nx-one: was 3\n\n")},
		{name: "both-insert", first: editing(func(m m) error { return all(m.InsertHeader(0, "X-A", "0"), m.InsertHeader(3, "X-B", "3")) }),
			second: editing(func(m m) error { return all(m.InsertHeader(0, "X-C", "0"), m.InsertHeader(2, "X-D", "2")) })},
		{name: "both-change-one-field", first: editing(func(m m) error { return m.ChangeHeader(1, "Subject", "first") }),
			second: editing(func(m m) error { return m.ChangeHeader(1, "Subject", "second") }),
			check:  both(has("\nSubject: second\n"), lacks("Subject: first"))},
		{name: "second-deletes-what-first-added", first: editing(func(m m) error { return m.AddHeader("X-Added", "a") }),
			second: editing(func(m m) error { return m.ChangeHeader(1, "X-Added", "") }), check: lacks("X-Added")},
		{name: "second-changes-what-first-deleted", first: editing(func(m m) error { return m.ChangeHeader(1, "Subject", "") }),
			second: editing(func(m m) error { return m.ChangeHeader(1, "Subject", "anew") }), check: has("\nx-one: 3\nSubject: anew\n\n"),
			sendmail: has("\nTo: Bob <bob@example.test>\nSubject: anew\nDate: ")},
		{name: "second-adds-what-first-deleted", first: editing(func(m m) error { return m.ChangeHeader(1, "Subject", "") }),
			second: editing(func(m m) error { return m.AddHeader("Subject", "anew") }), check: has("\nx-one: 3\nSubject: anew\n\n"),
			sendmail: has("\nTo: Bob <bob@example.test>\nSubject: anew\nDate: ")},
		{name: "second-inserts-after-what-first-deleted", first: editing(func(m m) error {
			return all(m.ChangeHeader(1, "From", ""), m.ChangeHeader(1, "Subject", ""), m.InsertHeader(0, "X-A", "0"))
		}), second: editing(func(m m) error { return all(m.InsertHeader(5, "X-B", "5"), m.InsertHeader(12, "X-C", "12")) })},
		{name: "both-add-one-name", first: editing(func(m m) error { return m.AddHeader("X-Added", "a") }),
			second: editing(func(m m) error { return m.AddHeader("X-Added", "b") }), check: has("\nX-Added: a\nX-Added: b\n\n"),
			sendmail: has("\nX-Added: b\nX-Added: a\n\n")},
		{name: "both-replace-the-body", first: editing(func(m m) error { return m.ReplaceBody([]byte("first\r\n")) }),
			second: script{saw: true, edit: func(m m) error { return m.ReplaceBody([]byte("second\r\n")) }},
			check:  has(`7 bytes "first\r\n"`, "\n\nsecond\n")},
		{name: "first-empties-the-body", first: editing(func(m m) error { return m.ReplaceBody(nil) }), second: script{saw: true}},
		{name: "first-adds-second-deletes-recipient", first: editing(func(m m) error { return m.AddRecipient(carol) }),
			second: editing(func(m m) error { return m.DeleteRecipient(carol) }), check: goesTo(bob)},
		{name: "both-change-the-sender", first: editing(func(m m) error { return m.ChangeFrom("<first@example.org>") }),
			second: editing(func(m m) error { return m.ChangeFrom("<second@example.org>") }), check: has("Return-Path: <second@example.org>\n")},

		{name: "first-refuses-a-recipient", to: []string{bob, "reject@example.test", carol},
			first:  script{rcpt: map[string]milter.Response{"reject": milter.RespReject}},
			second: script{saw: true, rcpt: map[string]milter.Response{"reject": milter.RespTempFail}},
			check: both(goesTo(bob, carol), func(o *outcomeOf) {
				wantReply(o.T, o.outcome, "RCPT TO:<reject", rejected)
				wantText(o.T, string(o.mails[0].copies[0].Content), "to carol@example.test")
				wantNoText(o.T, string(o.mails[0].copies[0].Content), "to reject")
			})},
		{name: "second-refuses-a-recipient", to: []string{bob, "reject@example.test", carol},
			first: script{saw: true}, second: script{rcpt: map[string]milter.Response{"reject": milter.RespReject}},
			check: both(goesTo(bob, carol), func(o *outcomeOf) {
				wantText(o.T, string(o.mails[0].copies[0].Content), "to reject@example.test")
			})},
		{name: "first-accepts-second-refuses", first: script{mail: milter.RespAccept}, second: script{endOfMessage: milter.RespReject}, check: replyAt(".", rejected)},
		{name: "first-accepts-a-recipient", to: []string{"accept@example.test"}, first: script{rcpt: map[string]milter.Response{"accept": milter.RespAccept}, endOfMessage: milter.RespReject},
			second: script{saw: true}, check: goesTo("accept@example.test")},
		{name: "first-refuses-at-the-end", first: script{edit: func(m m) error { return m.AddHeader("X-Added", "a") }, endOfMessage: milter.RespReject},
			second: script{header: milter.RespTempFail}, check: replyAt(".", rejected)},
		{name: "second-refuses-at-a-header", first: editing(func(m m) error { return m.AddHeader("X-Added", "a") }),
			second: script{header: milter.RespReject}, check: replyAt(".", rejected)},
		{name: "first-refuses-at-the-end-second-at-mail", first: script{endOfMessage: milter.RespReject}, second: script{mail: milter.RespTempFail}, check: replyAt("MAIL", tryAgain)},
		{name: "first-discards-second-refuses", first: script{endOfMessage: milter.RespDiscard}, second: script{endOfMessage: milter.RespReject}, check: ends(stack.Discarded)},
		{name: "second-discards", first: editing(func(m m) error { return m.AddHeader("X-Added", "a") }), second: script{body: milter.RespDiscard}, check: ends(stack.Discarded)},
		{name: "second-holds", first: editing(func(m m) error { return m.AddHeader("X-Added", "a") }),
			second: editing(func(m m) error { return m.Quarantine("to be looked at") }), check: heldFor("to be looked at")},
		{
			name:    "first-holds-second-edits",
			departs: quarantineGoesOn,
			first:   editing(func(m m) error { return m.Quarantine("to be looked at") }),
			second:  editing(func(m m) error { return m.AddHeader("X-Added", "by second") }),
			check: both(heldFor("to be looked at"), func(o *outcomeOf) {
				wantText(o.T, string(o.mails[0].copies[0].Content), "X-Added: by second\n")
			}),
		},
		{
			name:    "first-holds-second-refuses",
			departs: quarantineGoesOn,
			first:   editing(func(m m) error { return m.Quarantine("to be looked at") }),
			second:  script{endOfMessage: milter.RespReject},
			check:   replyAt(".", rejected),
		},
		{name: "first-breaks", first: script{breaks: true}, second: script{endOfMessage: milter.RespReject}, check: replyAt(".", tryAgain)},
		{name: "second-breaks", first: editing(func(m m) error { return m.AddHeader("X-Added", "a") }), second: script{breaks: true}, check: replyAt(".", tryAgain)},
	}
}

// TestNextMessage sends a second message in a session in which a milter has
// done something with the first. It must be as if it were the only one.
func TestNextMessage(t *testing.T) { nextMessage(t, routes[:2]) }

func nextMessage(t *testing.T, routes []route) {
	next := func(first string) func(*smtpclient.Client) {
		return func(c *smtpclient.Client) {
			scene{name: first}.talk(c)
			c.Rset()
			if c.Mail("nothing@example.org").OK() && c.Rcpt(carol).OK() {
				c.Data(letter("next", "", "Next."))
			}
		}
	}
	untouched := func(t *testing.T, o *outcome) {
		if len(o.mails) == 0 || o.mails[len(o.mails)-1].fate != stack.Delivered {
			t.Fatalf("the second of the messages was not delivered")
		}
		text := string(o.mails[len(o.mails)-1].copies[0].Content)
		wantText(t, text, "Subject: next\n", "X-Saw-first: ", "from nothing@example.org(", "; to carol@example.test(", "\n\nNext.\n")
		wantNoText(t, text, "X-Added", "body")
	}
	var cases []testcase
	for _, first := range []string{"body", "many-edits", "edit-then-reject", "edit-then-discard", "quarantine", "end-reply2",
		"mail-reject", "mail-accept", "mail-discard", "header-reject", "header-accept", "body-tempfail", "end-accept"} {
		cases = append(cases, testcase{name: "after-" + first, talk: next(first), check: untouched})
	}
	run(t, "actions", routes, cases)
	run(t, "actions", routes, []testcase{{
		name:    "after-a-break",
		departs: "a milter's failure lasts for one message, not for the connection",
		talk:    next("first-breaks"),
		check: func(t *testing.T, o *outcome) {
			wantReply(t, o, ".", tryAgain)
			untouched(t, o)
		},
	}})
}
