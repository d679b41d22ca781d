package test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-milter"
	"github.com/milterkit/sdk/test/stack"
)

// outcomeOf is an outcome and the test that checks it.
type outcomeOf struct {
	*testing.T
	*outcome
}

// play runs scenes on the direct route to a chain and behind milterkit.
func play(t *testing.T, chain string, scenes []scene) {
	playOn(t, routes[:2], chain, scenes)
}

// playOn runs scenes on routes to a chain.
func playOn(t *testing.T, routes []route, chain string, scenes []scene) {
	var cases []testcase
	for _, s := range scenes {
		cases = append(cases, testcase{name: s.name, talk: s.talk, departs: s.departs, check: with(s.check), sendmail: with(s.sendmail)})
	}
	run(t, chain, routes, cases)
}

// with gives a check of a scene an outcome.
func with(check func(*outcomeOf)) func(*testing.T, *outcome) {
	if check == nil {
		return nil
	}
	return func(t *testing.T, o *outcome) { check(&outcomeOf{t, o}) }
}

// TestEdits has a milter change messages in all ways there are.
func TestEdits(t *testing.T) { play(t, "actions", edits()) }

// TestLeadingSpace has a milter that sees, and sets, the white space after
// the colon of a header field.
func TestLeadingSpace(t *testing.T) { play(t, "leadspace", leadspace()) }

// has checks that the message was delivered to bob and has all these texts.
func has(texts ...string) func(*outcomeOf) {
	return func(o *outcomeOf) {
		o.Helper()
		wantReply(o.T, o.outcome, ".", accepted)
		wantText(o.T, delivered(o.T, o.outcome), texts...)
	}
}

// lacks checks that the message was delivered to bob and has none of these
// texts.
func lacks(texts ...string) func(*outcomeOf) {
	return func(o *outcomeOf) {
		o.Helper()
		wantReply(o.T, o.outcome, ".", accepted)
		wantNoText(o.T, delivered(o.T, o.outcome), texts...)
	}
}

// goesTo checks whom the message was delivered to.
func goesTo(rcpts ...string) func(*outcomeOf) {
	return func(o *outcomeOf) {
		o.Helper()
		wantReply(o.T, o.outcome, ".", accepted)
		var got []string
		for _, c := range copies(o.T, o.outcome, 0, len(rcpts)) {
			got = append(got, c.To)
		}
		if !slices.Equal(got, rcpts) {
			o.Errorf("delivered to %v, want %v", got, rcpts)
		}
	}
}

// replyAt checks the reply to a command, and that nothing was taken.
func replyAt(prefix, reply string) func(*outcomeOf) {
	return func(o *outcomeOf) {
		o.Helper()
		wantReply(o.T, o.outcome, prefix, reply)
		wantNoMail(o.T, o.outcome)
	}
}

// ends checks that the message was taken, and how it ended.
func ends(fate stack.Fate) func(*outcomeOf) {
	return func(o *outcomeOf) {
		o.Helper()
		wantReply(o.T, o.outcome, ".", accepted)
		if len(o.mails) != 1 || o.mails[0].fate != fate {
			o.Errorf("messages that were taken: %d; want one, %s", len(o.mails), fate)
		}
	}
}

// heldFor checks that the message was taken and quarantined, and the reason
// that the milter gave. Postfix keeps none, not even in its log.
// Source: Postfix, milter/milter8.c, SMFIR_QUARANTINE.
func heldFor(reason string) func(*outcomeOf) {
	return func(o *outcomeOf) {
		o.Helper()
		ends(stack.Held)(o)
		if o.Failed() || o.words != sendmailWords {
			return
		}
		if of := o.mails[0].copies[0].To; !slices.Contains(strings.Split(of, ", "), "reason "+reason) {
			o.Errorf("held: %q, want the reason %q", of, reason)
		}
	}
}

// both makes two checks.
func both(a, b func(*outcomeOf)) func(*outcomeOf) {
	return func(o *outcomeOf) { o.Helper(); a(o); b(o) }
}

// tracesBefore is the start of a delivered message, up to the sender's own
// fields.
const tracesBefore = "\tfor <bob@example.test>; DATE\n"

// editing is a script that edits.
func editing(edit func(*milter.Modifier) error) script { return script{edit: edit} }

func edits() []scene {
	return slices.Concat(fieldEdits(), fieldDeletes(), envelopeEdits(), bodyEdits(), editsAndVerdicts())
}

func fieldEdits() []scene {
	type m = *milter.Modifier
	return []scene{
		{name: "add", first: editing(func(m m) error { return m.AddHeader("X-Added", "end") }),
			check: has("\nx-one: 3\nX-Added: end\n\n")},
		{name: "add-folded", first: editing(func(m m) error { return m.AddHeader("X-Added", "one\n\ttwo\n three") }),
			check: has("\nX-Added: one\n\ttwo\n three\n\n")},
		{name: "add-unfolded", first: editing(func(m m) error { return m.AddHeader("X-Added", "one\nBcc: two\n\nthree\n") }),
			check: has("\nX-Added: one\n\tBcc: two\n"), sendmail: has("\nX-Added: one\n Bcc: two\n \n three\n \n\n")},
		{name: "add-twice", first: editing(func(m m) error { return all(m.AddHeader("X-Added", "a"), m.AddHeader("X-Added", "b")) }),
			check: has("\nX-Added: a\nX-Added: b\n\n"), sendmail: has("\nX-Added: b\nX-Added: a\n\n")},
		{name: "add-8bit", first: editing(func(m m) error { return m.AddHeader("X-Added", "gr\xfc\xdfe") }),
			check: has("\nX-Added: gr\xfc\xdfe\n")},
		{name: "add-empty", first: editing(func(m m) error { return m.AddHeader("X-Added", "") }), check: has("\nX-Added:")},
		{name: "add-long", first: editing(func(m m) error { return m.AddHeader("X-Added", strings.Repeat("long ", 6000)) }),
			check: has("\nX-Added: long long ")},
		{name: "insert-0", first: editing(func(m m) error { return m.InsertHeader(0, "X-In", "0") }),
			check: has("Delivered-To: bob@example.test\nX-In: 0\nReceived: ")},
		{name: "insert-1", first: editing(func(m m) error { return m.InsertHeader(1, "X-In", "1") }),
			check: has(tracesBefore + "X-In: 1\nFrom: ")},
		{name: "insert-3", first: editing(func(m m) error { return m.InsertHeader(3, "X-In", "3") }),
			check: has("\nTo: Bob <bob@example.test>\nX-In: 3\nSubject: "), sendmail: has(tracesBefore + "X-In: 3\nFrom: ")},
		{name: "insert-beyond", first: editing(func(m m) error { return m.InsertHeader(1000, "X-In", "1000") }),
			check: has("\nx-one: 3\nX-In: 1000\n\n")},
		{name: "insert-several", first: editing(func(m m) error {
			return all(m.InsertHeader(0, "X-A", "0"), m.InsertHeader(0, "X-B", "0"), m.InsertHeader(1, "X-C", "1"), m.InsertHeader(4, "X-D", "4"))
		}), check: has("\nX-B: 0\nX-C: 1\nX-A: 0\nReceived: ", tracesBefore+"X-D: 4\nFrom: ")},
		{name: "change", first: editing(func(m m) error { return m.ChangeHeader(1, "Subject", "changed") }),
			check: both(has("\nSubject: changed\nDate: "), lacks("Subject: actions"))},
		{name: "change-first-field", first: editing(func(m m) error { return m.ChangeHeader(1, "From", "Eve <eve@example.org>") }),
			check: has(tracesBefore + "From: Eve <eve@example.org>\nTo: Bob")},
		{name: "change-last-field", first: editing(func(m m) error { return m.ChangeHeader(3, "X-One", "third") }),
			check: has("\nX-One: 2\nX-One: third\n\n"), sendmail: has("\nX-One: 2\nx-one: third\n\n")},
		{name: "change-second-of-three", first: editing(func(m m) error { return m.ChangeHeader(2, "X-One", "second") }),
			check: has("\nX-One: 1\nX-Other: o\nX-One: second\nx-one: 3\n")},
		{name: "change-by-other-case", first: editing(func(m m) error { return m.ChangeHeader(1, "sUbJeCt", "changed") }),
			check: has("\nsUbJeCt: changed\n"), sendmail: has("\nSubject: changed\n")},
		{name: "change-folded", first: editing(func(m m) error { return m.ChangeHeader(1, "X-Folded", "a\n\tb") }),
			check: has("\nX-Folded: a\n\tb\nX-Empty:")},
		{name: "change-field-0", first: editing(func(m m) error { return m.ChangeHeader(0, "Subject", "changed") }),
			check: has("\nSubject: changed\n")},
		// Sendmail has a field of its own for each of these two, which it writes
		// where the message has none.
		{name: "add-another-date", first: editing(func(m m) error { return m.AddHeader("Date", "today") }),
			check: has("\nx-one: 3\nDate: today\n\n"), sendmail: has(tracesBefore + "Date: today\nFrom: ")},
		{name: "change-missing-message-id", message: lines("From: "+alice, "Date: "+date, "", "The body."),
			first: editing(func(m m) error { return m.ChangeHeader(1, "Message-ID", "<new@example.org>") }),
			check: has("\nMessage-ID: <new@example.org>\n\n"), sendmail: has(tracesBefore + "Message-Id: <new@example.org>\nFrom: ")},
		{name: "change-missing", first: editing(func(m m) error { return m.ChangeHeader(1, "X-None", "new") }),
			check: has("\nx-one: 3\nX-None: new\n\n")},
		{name: "change-beyond-the-last", first: editing(func(m m) error { return m.ChangeHeader(4, "X-One", "4") }),
			check: has("\nx-one: 3\nX-One: 4\n\n"), sendmail: has("\nX-Empty:\nX-One: 4\nX-One: 1\nX-Other: o\n")},
		{name: "change-what-was-added", first: editing(func(m m) error {
			return all(m.AddHeader("X-Added", "a"), m.ChangeHeader(1, "X-Added", "b"))
		})},
		{name: "many-edits", first: editing(func(m m) error {
			return all(m.AddHeader("X-One", "4"), m.ChangeHeader(3, "X-One", "three"), m.InsertHeader(2, "X-In", "2"),
				m.ChangeHeader(1, "Subject", "changed"), m.ChangeHeader(2, "X-One", ""))
		}), check: has("\nX-One: 1\nX-Other: o\nX-One: three\nX-One: 4\n\n", "\nX-In: 2\nTo: ", "\nSubject: changed\n"),
			sendmail: has("\nX-Empty:\nX-One: 4\nX-Other: o\nX-One: three\nx-one: 3\n\n", tracesBefore+"X-In: 2\nFrom: ", "\nSubject: changed\n")},
	}
}

func fieldDeletes() []scene {
	type m = *milter.Modifier
	return []scene{
		{name: "delete", first: editing(func(m m) error { return m.ChangeHeader(1, "Message-ID", "") }), check: lacks("Message-ID:")},
		{name: "delete-folded", first: editing(func(m m) error { return m.ChangeHeader(1, "X-Folded", "") }), check: lacks("X-Folded", "two", "three\n")},
		{name: "delete-first-field", first: editing(func(m m) error { return m.ChangeHeader(1, "From", "") }),
			check: has(tracesBefore + "To: ")},
		{name: "delete-missing", first: editing(func(m m) error {
			return all(m.ChangeHeader(1, "X-None", ""), m.ChangeHeader(4, "X-One", ""))
		}), check: has("\nX-One: 1\nX-Other: o\nX-One: 2\nx-one: 3\n")},
		{name: "delete-two-of-three", first: editing(func(m m) error {
			return all(m.ChangeHeader(3, "X-One", ""), m.ChangeHeader(1, "X-One", ""))
		}), check: has("\nX-Empty:\nX-Other: o\nX-One: 2\n\n")},
		{name: "delete-ascending-1-2", first: editing(func(m m) error {
			return all(m.ChangeHeader(1, "X-One", ""), m.ChangeHeader(2, "X-One", ""))
		}), check: has("\nX-Other: o\nX-One: 2\n\n"), sendmail: has("\nX-Other: o\nx-one: 3\n\n")},
		{name: "delete-ascending-1-1", first: editing(func(m m) error {
			return all(m.ChangeHeader(1, "X-One", ""), m.ChangeHeader(1, "X-One", ""))
		})},
		{name: "delete-then-change", first: editing(func(m m) error {
			return all(m.ChangeHeader(1, "X-One", ""), m.ChangeHeader(2, "X-One", "second"))
		})},
		{name: "delete-then-add-and-change", first: editing(func(m m) error {
			return all(m.ChangeHeader(1, "Subject", ""), m.AddHeader("Subject", "a"), m.ChangeHeader(1, "Subject", "b"))
		})},
		{name: "insert-then-number", first: editing(func(m m) error {
			return all(m.InsertHeader(0, "X-One", "0"), m.ChangeHeader(1, "X-One", "first"), m.ChangeHeader(3, "X-One", ""))
		})},
		{name: "delete-then-insert", first: editing(func(m m) error {
			return all(m.ChangeHeader(1, "From", ""), m.InsertHeader(3, "X-In", "3"))
		})},
		{name: "delete-all-three", first: editing(func(m m) error {
			return all(m.ChangeHeader(3, "X-One", ""), m.ChangeHeader(2, "X-One", ""), m.ChangeHeader(1, "X-One", ""))
		}), check: lacks("X-One", "x-one")},
		{name: "delete-the-whole-header", message: lines("Subject: all there is", "", "The body."), first: editing(func(m m) error {
			return m.ChangeHeader(1, "Subject", "")
		}), check: has(tracesBefore + "\nThe body.\n"), sendmail: both(has("\n\nThe body.\n"), lacks("Subject"))},
	}
}

func envelopeEdits() []scene {
	type m = *milter.Modifier
	return []scene{
		{name: "add-recipient", first: editing(func(m m) error { return m.AddRecipient(carol) }), check: goesTo(bob, carol)},
		{name: "add-recipient-again", first: editing(func(m m) error { return m.AddRecipient(bob) })},
		{name: "delete-recipient", to: []string{bob, carol}, first: editing(func(m m) error { return m.DeleteRecipient(bob) }), check: goesTo(carol)},
		{name: "delete-no-recipient", first: editing(func(m m) error { return m.DeleteRecipient("nobody@example.test") }), check: goesTo(bob)},
		{name: "replace-recipient", first: editing(func(m m) error { return all(m.AddRecipient(carol), m.DeleteRecipient(bob)) }), check: goesTo(carol)},
		{name: "delete-and-add-recipient", first: editing(func(m m) error { return all(m.DeleteRecipient(bob), m.AddRecipient(bob)) })},
		{name: "change-sender", first: editing(func(m m) error { return m.ChangeFrom("<eve@example.org>") }), check: has("Return-Path: <eve@example.org>\n")},
		{name: "change-sender-to-null", first: editing(func(m m) error { return m.ChangeFrom("<>") }), check: has("Return-Path: <>\n")},
	}
}

func bodyEdits() []scene {
	type m = *milter.Modifier
	big := strings.Repeat("A line of a body that is much longer than a packet.\r\n", 4000) // 200 KB
	body := func(b string) func(m) error {
		return func(m m) error { return m.ReplaceBody([]byte(b)) }
	}
	return []scene{
		{name: "body", first: editing(body("Another body.\r\n")), check: both(has("\nx-one: 3\n\nAnother body.\n"), lacks("The body."))},
		{name: "body-empty", first: editing(body("")), check: lacks("The body.")},
		{name: "body-200-KB", first: editing(body(big)), check: has("\n\n" + strings.ReplaceAll(big, "\r\n", "\n"))},
		{name: "body-no-line-end", first: editing(body("One line")), check: has("\n\nOne line\n")},
		{name: "body-bytes", first: editing(body("a\x00b\r\n\xff\xfe\r\n.\r\n..\r\n\r\n")), check: has("\n\na\x00b\n\xff\xfe\n.\n..\n\n")},
		{name: "body-in-pieces", first: editing(func(m m) error {
			return all(m.ReplaceBody([]byte("one ")), m.ReplaceBody([]byte("two\r\nthr")), m.ReplaceBody([]byte("ee\r\n")))
		}), check: has("\n\none two\nthree\n")},
		{name: "body-where-there-was-none", message: lines("Subject: none"), first: editing(body("Now there is one.\r\n")), check: has("\n\nNow there is one.\n")},
		{name: "body-shorter-than-it-was", message: letter("big", "", big), first: editing(body("small\r\n")), check: both(has("\n\nsmall\n"), lacks("A line"))},
		{name: "body-and-fields", first: editing(func(m m) error {
			return all(m.AddHeader("X-Added", "a"), m.ReplaceBody([]byte("new\r\n")), m.ChangeHeader(1, "Subject", "changed"), m.AddRecipient(carol))
		}), check: goesTo(bob, carol)},
		{name: "body-of-a-message-of-1-MB", message: letter("big", "", strings.Repeat(big, 5)), first: script{saw: true}, check: has("X-Saw-first: ")},
	}
}

// editsAndVerdicts are edits with each of the last verdicts.
func editsAndVerdicts() []scene {
	edit := func(m *milter.Modifier) error {
		return all(m.AddHeader("X-Added", "a"), m.ReplaceBody([]byte("new\r\n")))
	}
	hold := func(m *milter.Modifier) error { return all(m.Quarantine("to be looked at"), edit(m)) }
	return []scene{
		{name: "edit-then-accept", first: script{edit: edit, endOfMessage: milter.RespAccept}, check: has("\nX-Added: a\n\nnew\n")},
		{name: "edit-then-reject", first: script{edit: edit, endOfMessage: milter.RespReject}, check: replyAt(".", "550 5.7.1 Command rejected")},
		{name: "edit-then-tempfail", first: script{edit: edit, endOfMessage: milter.RespTempFail}, check: replyAt(".", "451 4.7.1 Service unavailable - try again later")},
		{name: "edit-then-discard", first: script{edit: edit, endOfMessage: milter.RespDiscard}, check: ends(stack.Discarded)},
		{name: "quarantine", first: script{edit: func(m *milter.Modifier) error { return m.Quarantine("to be looked at") }}, check: heldFor("to be looked at")},
		{name: "quarantine-and-accept", first: script{edit: hold, endOfMessage: milter.RespAccept}, check: both(heldFor("to be looked at"), func(o *outcomeOf) {
			wantText(o.T, string(o.mails[0].copies[0].Content), "X-Added: a\n\nnew\n")
		})},
		{name: "quarantine-and-reject", first: script{edit: hold, endOfMessage: milter.RespReject}, check: replyAt(".", "550 5.7.1 Command rejected")},
		{name: "quarantine-and-discard", first: script{edit: hold, endOfMessage: milter.RespDiscard}, check: ends(stack.Discarded)},
	}
}

func leadspace() []scene {
	return []scene{
		{name: "spaces-seen", first: script{saw: true},
			check: has(`X-Tight:"no space after the colon"; X-Wide:"   three spaces"; X-Tab:"\ta tab"; X-Folded:" one\n\ttwo\n   three"; X-Empty:""`)},
		{name: "spaces-set", message: bytes.ReplaceAll(letter("x", ""), []byte("Subject: x"), []byte("Subject:x")), first: editing(func(m *milter.Modifier) error {
			return all(m.AddHeader("X-A", " one"), m.AddHeader("X-B", "none"), m.AddHeader("X-C", "  two"), m.AddHeader("X-D", "\ttab"), m.AddHeader("X-E", ""),
				m.InsertHeader(0, "X-F", "none"), m.InsertHeader(1, "X-G", " one"), m.ChangeHeader(1, "Subject", "changed"), m.ChangeHeader(1, "MIME-Version", " 1.0"))
		}), check: has("\nX-A: one\nX-B:none\nX-C:  two\nX-D:\ttab\nX-E:\n\n", "\nX-F:none\nX-G: one\nReceived:", "\nSubject:changed\n", "\nMIME-Version: 1.0\n")},
	}
}
