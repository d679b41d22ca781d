package milterkit

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit/wire"
)

// edited takes a message past one child that edits it.
func edited(t *testing.T, actions Actions, edit func(*Edits)) Outcome {
	t.Helper()
	w := quietDispatcher(t, Slot{Child: OnMessage("editor", func(_ context.Context, _ *Message, e *Edits) Verdict {
		edit(e)
		return Continue
	})}).Walk(actions)
	defer w.Close()
	return wholeMessage(w)
}

var eachEdit = map[wire.Actions]func(*Edits){
	wire.ActAddHeader:    func(e *Edits) { e.AddHeader("A", "b"); e.InsertHeader(1, "A", "b") },
	wire.ActChangeHeader: func(e *Edits) { e.ChangeHeader("Subject", 1, "b"); e.DeleteHeader("Subject", 1) },
	wire.ActChangeFrom:   func(e *Edits) { e.ChangeSender("<x@y>", "RET=HDRS") },
	wire.ActAddRcpt:      func(e *Edits) { e.AddRecipient("<x@y>") },
	wire.ActAddRcptArgs:  func(e *Edits) { e.AddRecipient("<x@y>", "NOTIFY=NEVER") },
	wire.ActDelRcpt:      func(e *Edits) { e.DeleteRecipient("<b@example.org>") },
	wire.ActQuarantine:   func(e *Edits) { e.Quarantine("why") },
	wire.ActChangeBody:   func(e *Edits) { e.ReplaceBody([]byte("new\r\n")) },
}

// An edit that the MTA does not offer is the failure of its child; one that it
// does is made, also where it offers nothing else.
func TestEditsNeedTheMTAsOffer(t *testing.T) {
	for action, edit := range eachEdit {
		if o := edited(t, action, edit); o.Verdict != Continue || len(o.Edits) == 0 {
			t.Errorf("%x is offered: %v, edits %v", action, o.Verdict, o.Edits)
		}
		if o := edited(t, wire.AllActions&^action, edit); o.Verdict != TempFail("") || len(o.Edits) != 0 {
			t.Errorf("%x is not offered: %v, edits %v", action, o.Verdict, o.Edits)
		}
	}
}

func TestEditsThatCannotBe(t *testing.T) {
	for _, x := range []Edit{
		{},
		{Op: 10}, {Op: 200},
		{Op: OpAddHeader, Value: " v"},
		{Op: OpAddHeader, Name: "A:", Value: " v"},
		{Op: OpInsertHeader, Name: "A B", Value: " v"},
		{Op: OpChangeHeader, Name: "A\r\nB", Value: " v"},
		{Op: OpDeleteHeader, Name: "A\x00"},
		{Op: OpAddHeader, Name: "A", Value: " a\x00b"},
		{Op: OpAddRecipient},
		{Op: OpAddRecipient, Name: "<>"},
		{Op: OpDeleteRecipient},
		{Op: OpQuarantine, Value: "a\x00"},
		{Op: OpAddRecipient, Name: "<a@b>\r\nRSET"},
		{Op: OpChangeSender, Name: "<a@b>\nRSET"},
		{Op: OpChangeSender, Name: "<a@b>", Value: "RET=HDRS\r\nRSET"},
	} {
		if o := edited(t, wire.AllActions, func(e *Edits) {
			e.AddHeader("Good", "one")
			e.Append(x)
			if e.Err() == nil || e.Len() != 1 {
				t.Errorf("%+v is taken", x)
			}
		}); o.Verdict != TempFail("") || len(o.Edits) > 0 {
			t.Errorf("%+v: %v", x, o)
		}
	}
}

// Postfix would make CR CR LF of a CRLF within a value.
func TestHeaderValuesHaveBareLF(t *testing.T) {
	o := edited(t, wire.AllActions, func(e *Edits) { e.AddHeader("A", "one\r\n\ttwo\r") })
	if len(o.Edits) != 1 || o.Edits[0].Value != " one\n\ttwo" {
		t.Errorf("%+v", o.Edits)
	}
}

// What is asked for is applied as Postfix would, wherever it points to.
func TestEditsBeyondTheHeader(t *testing.T) {
	huge := 1 << 40
	for _, test := range []struct {
		edit func(*Edits)
		want Edit
	}{
		{func(e *Edits) { e.InsertHeader(-5, "A", "b") }, Edit{Op: OpInsertHeader, Name: "A", Value: " b"}},
		{func(e *Edits) { e.InsertHeader(huge, "A", "b") }, Edit{Op: OpAddHeader, Name: "A", Value: " b"}},
		{func(e *Edits) { e.ChangeHeader("A", 7, "b") }, Edit{Op: OpAddHeader, Name: "A", Value: " b"}},
		{func(e *Edits) { e.ChangeHeader("Subject", huge, "b") }, Edit{Op: OpAddHeader, Name: "Subject", Value: " b"}},
		{func(e *Edits) { e.ChangeHeader("SUBJECT", 0, "b") }, Edit{Op: OpChangeHeader, Index: 1, Name: "SUBJECT", Value: " b"}},
		{func(e *Edits) { e.ChangeHeader("Subject", -3, "b") }, Edit{Op: OpChangeHeader, Index: 1, Name: "Subject", Value: " b"}},
		{func(e *Edits) { e.DeleteHeader("A", 1); e.Quarantine("q") }, Edit{Op: OpQuarantine, Value: "q"}},
	} {
		o := edited(t, wire.AllActions, test.edit)
		if len(o.Edits) != 1 || o.Edits[0].Op != test.want.Op || o.Edits[0].Index != test.want.Index ||
			o.Edits[0].Name != test.want.Name || o.Edits[0].Value != test.want.Value {
			t.Errorf("%+v, want %+v", o.Edits, test.want)
		}
	}
}

// Edits before a refusal or a failure of the same child do not count.
func TestEditsCountOnlyWithContinueOrAccept(t *testing.T) {
	for v, want := range map[Verdict]int{Continue: 1, Accept: 1, Reject("no"): 0, Fail(nil): 0} {
		seen := ""
		w := quietDispatcher(t,
			Slot{DefaultAction: DefaultAccept, Child: OnMessage("editor", func(_ context.Context, _ *Message, e *Edits) Verdict {
				e.AddHeader("X", "y")
				return v
			})},
			Slot{Child: OnMessage("next", func(_ context.Context, m *Message, _ *Edits) Verdict { seen = m.Get("x"); return Continue })}).Walk(wire.AllActions)
		o := wholeMessage(w)
		if len(o.Edits) != want || (seen == "y") != (want == 1) {
			t.Errorf("%v: edits %v, the next child saw %q", v, o.Edits, seen)
		}
		w.Close()
	}
}

// The last sender and the last body stand; recipients come in the order asked.
func TestEditsOfSeveralChildren(t *testing.T) {
	child := func(name string) Slot {
		return Slot{Child: OnMessage(name, func(_ context.Context, m *Message, e *Edits) Verdict {
			e.ReplaceBody([]byte(name), []byte("\r\n"))
			e.ChangeSender("<" + name + ">")
			e.AddRecipient("<" + name + ">")
			e.Quarantine(name + string(m.Body()[0]))
			return Continue
		})}
	}
	w := quietDispatcher(t, child("a"), child("b")).Walk(wire.AllActions)
	defer w.Close()
	toContent(w)
	w.Body(ctxTest, []byte("one\r\n"))
	var got []string
	for _, e := range w.EndOfMessage(ctxTest).Edits {
		s := e.Op.String() + " " + e.Name + e.Value
		for _, p := range e.Body {
			s += string(p)
		}
		got = append(got, s)
	}
	want := "change sender <b>|add recipient <a>|add recipient <b>|quarantine aone\r\n|quarantine ba|replace body b\r\n"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("%q, want %q", s, want)
	}
}

// A child can tell fields that came with the message from those that children
// before it have added or changed, whatever the MTA; not from what those did whose
// edits do not count.
func TestAddedFields(t *testing.T) {
	for _, version := range []string{"Postfix 3.7.11", "8.17.1"} {
		var got []string
		edit := Slot{Child: OnMessage("edits", func(_ context.Context, _ *Message, e *Edits) Verdict {
			e.InsertHeader(0, "A", "inserted")
			e.ChangeHeader("B", 1, "changed")
			e.AddHeader("C", "added")
			return Continue
		})}
		shadow := Slot{Shadow: true, Child: OnMessage("shadow", func(_ context.Context, _ *Message, e *Edits) Verdict {
			e.ChangeHeader("A", 2, "not at all")
			return Continue
		})}
		look := Slot{Child: OnMessage("looks", func(_ context.Context, m *Message, _ *Edits) Verdict {
			for _, f := range m.Header() {
				got = append(got, fmt.Sprintf("%s:%s %v", f.Name, f.Value, f.Added))
			}
			return Continue
		})}
		w := quietDispatcher(t, edit, shadow, look).Walk(wire.AllActions)
		w.Macros(StageConnect, maps.All(map[string]string{"v": version}))
		w.Connect(ctxTest, "host", FamilyInet, "192.0.2.1", 25)
		w.Mail(ctxTest, NewAddress("<a@b>"))
		w.Rcpt(ctxTest, NewAddress("<c@d>"))
		w.Header([]byte("A"), []byte(" came"))
		w.Header([]byte("B"), []byte(" came"))
		w.EndOfHeader(ctxTest)
		w.EndOfMessage(ctxTest)
		w.Close()
		want := "A: inserted true|A: came false|B: changed true|C: added true"
		if s := strings.Join(got, "|"); s != want {
			t.Errorf("behind %s: %s, want %s", version, s, want)
		}
	}
}

// A new body stays the child's own: it may be the same one for all messages.
func TestNewBodyIsNotWrittenTo(t *testing.T) {
	fixed := net.Buffers{[]byte("fixed\r\n"), []byte("body\r\n")}
	w := quietDispatcher(t, Slot{Child: OnMessage("fixed", func(_ context.Context, _ *Message, e *Edits) Verdict {
		e.Append(Edit{Op: OpReplaceBody, Body: fixed})
		return Continue
	})}).Walk(wire.AllActions)
	for range 3 {
		wholeMessage(w)
		if len(fixed) != 2 || string(fixed[0]) != "fixed\r\n" || string(fixed[1]) != "body\r\n" {
			t.Fatalf("%q", fixed)
		}
	}
	w.Close()
}

func TestViewsOfTheSession(t *testing.T) {
	for addr, want := range map[string]string{"192.0.2.1": "192.0.2.1:25", "IPv6:2001:db8::1": "[2001:db8::1]:25", "2001:db8::1": "[2001:db8::1]:25", "/run/socket": "invalid AddrPort"} {
		s := Session{Addr: addr, Port: 25}
		if got := s.Client().String(); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
	for raw, want := range map[string]string{"<a@b>": "a@b", "a@b": "a@b", "<>": "", "": "", "<": "<"} {
		if a := NewAddress(raw); a.Addr != want || a.Raw != raw {
			t.Errorf("%q: %+v", raw, a)
		}
	}
	m := Message{body: net.Buffers{[]byte("ab"), []byte("c")}}
	if m.Size() != 3 || len(m.Body()) != 2 || m.Get("none") != "" {
		t.Error("a message's body")
	}
	for s, want := range map[Stage]string{StageMessage: "end of message", 0: "no stage", 99: "unknown (99)"} {
		if s.String() != want {
			t.Errorf("%d: %s", s, s)
		}
	}
	for range (&Session{}).Macros(99) {
		t.Error("macros of no stage")
	}
	if OpReplaceBody.String() != "replace body" || OpQuarantine.Action() != wire.ActQuarantine || Op(77).Action() != 0 {
		t.Error("names of operations")
	}
}

// A line of a value can not become a field of its own, and children after it see
// what is delivered.
func TestValuesAreFolded(t *testing.T) {
	for value, want := range map[string]string{
		" one":                    " one",
		" a\n b":                  " a\n b",
		" a\n\tb\n":               " a\n\tb\n\t",
		" a\r\nBcc: x@y\r\n\r\nz": " a\n\tBcc: x@y\n\t\n\tz",
		"\n":                      "\n\t",
	} {
		e := Edits{offered: wire.AllActions}
		e.Append(Edit{Op: OpAddHeader, Name: "X-A", Value: value})
		if e.err != nil || e.list[0].Value != want {
			t.Errorf("%q: %q, %v, want %q", value, e.list[0].Value, e.err, want)
		}
	}
}
