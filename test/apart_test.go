package test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/emersion/go-milter"
	"github.com/milterkit/sdk/test/stack"
)

// TestTogetherIsInOrder has two milters whose work does not depend on each other.
// Whether the MTA asks one after the other, or milterkit does, or both at the same
// time, comes to the same.
func TestTogetherIsInOrder(t *testing.T) { playOn(t, routes, "two", apart()) }

func TestSendmailTogetherIsInOrder(t *testing.T) {
	t.Parallel()
	playOn(t, sendmailRoutes, "two", apart())
}

// apart are scenes in which neither milter touches what the other does.
func apart() []scene {
	type m = *milter.Modifier
	sender := editing(func(m m) error { return m.ChangeFrom("<eve@example.org>") })
	plus := editing(func(m m) error { return m.AddRecipient(carol) })
	minus := editing(func(m m) error { return m.DeleteRecipient(bob) })
	body := editing(func(m m) error { return m.ReplaceBody([]byte("Another body.\r\n")) })
	hold := editing(func(m m) error { return m.Quarantine("to be looked at") })
	field := editing(func(m m) error { return m.AddHeader("X-Other-Milter", "was here") })
	mark := has("\nX-Other-Milter: was here\n")
	everything := editing(func(m m) error {
		return all(m.ChangeFrom("<eve@example.org>"), m.AddRecipient(carol), m.DeleteRecipient(bob), m.ReplaceBody([]byte("Another body.\r\n")))
	})
	scenes := []scene{
		{name: "apart-recipients", first: minus, second: plus, check: goesTo(carol)},
		{name: "apart-recipients-the-other-way-round", first: plus, second: minus, check: goesTo(carol)},
		{name: "apart-second-holds", first: field, second: hold, check: both(ends(stack.Held), func(o *outcomeOf) {
			wantText(o.T, string(o.mails[0].copies[0].Content), "X-Other-Milter: was here\n")
		})},
		{name: "apart-second-discards", first: field, second: script{endOfMessage: milter.RespDiscard}, check: ends(stack.Discarded)},
		{name: "apart-second-refuses", first: everything, second: script{endOfMessage: milter.RespReject}, check: replyAt(".", rejected)},
	}
	for name, s := range map[string]struct {
		script
		check func(*outcomeOf)
	}{
		"sender":     {sender, has("Return-Path: <eve@example.org>\n")},
		"body":       {body, both(has("\n\nAnother body.\n"), lacks("The body."))},
		"everything": {everything, goesTo(carol)},
	} {
		check := s.check
		if name != "everything" { // which goes to somebody else
			check = both(check, mark)
		}
		scenes = append(scenes, scene{name: "apart-first-" + name, first: s.script, second: field, check: check},
			scene{name: "apart-second-" + name, first: field, second: s.script, check: check})
	}
	return slices.Concat(scenes, apartFields())
}

// apartFields are edits of fields of different names, at every index that these
// have and one that they have not.
func apartFields() []scene {
	type m = *milter.Modifier
	var scenes []scene
	for i := range 4 {
		one := func(m m) error {
			return all(m.ChangeHeader(i+1, "X-One", ""), m.ChangeHeader((i+1)%4+1, "X-One", "changed"))
		}
		other := func(m m) error {
			return all(m.ChangeHeader(1, "Subject", "changed too"), m.ChangeHeader(1, "Message-ID", ""))
		}
		check := both(has("\nSubject: changed too\n"), lacks("Message-ID:"))
		scenes = append(scenes,
			scene{name: fmt.Sprintf("apart-first-field-%d", i+1), first: editing(one), second: editing(other), check: check},
			scene{name: fmt.Sprintf("apart-second-field-%d", i+1), first: editing(other), second: editing(one), check: check})
	}
	return scenes
}
