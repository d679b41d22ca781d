package milterkit

import (
	"context"
	"testing"

	"github.com/milterkit/sdk/milterkit/wire"
)

// What a child has said of the content stands, whatever comes between that and
// the end of the message.
func TestVerdictOnTheContentStands(t *testing.T) {
	d := quietDispatcher(t, Slot{Child: native("scanner", Hooks{
		Rcpt:    func(context.Context, *Envelope, Address) Verdict { return Continue },
		Data:    func(context.Context, *Envelope) Verdict { return Continue },
		Unknown: func(context.Context, *Session, string) Verdict { return Continue },
		Body:    func(context.Context, *Message, []byte) Verdict { return Reject("5.7.1 virus") },
		Message: func(context.Context, *Message, *Edits) Verdict { return Continue },
	})})
	for name, late := range map[string]func(w *Walk){
		"nothing": func(*Walk) {},
		"rcpt":    func(w *Walk) { w.Rcpt(ctxTest, NewAddress("<late@b>")) },
		"data":    func(w *Walk) { w.Data(ctxTest) },
		"unknown": func(w *Walk) { w.Unknown(ctxTest, "FOO") },
	} {
		w := d.Walk(wire.AllActions)
		w.Connect(ctxTest, "host", FamilyUnknown, "", 0)
		w.Mail(ctxTest, NewAddress("<a@b>"))
		w.Rcpt(ctxTest, NewAddress("<c@d>"))
		w.Body(ctxTest, []byte("text"))
		late(w)
		wantVerdict(t, name, w.EndOfMessage(ctxTest).Verdict, Reject("5.7.1 virus"))
		w.Close()
	}
}

// What a child says of a command is not its verdict on the content.
func TestAnswerToACommandIsNoVerdictOnTheContent(t *testing.T) {
	reader := native("reader", Hooks{Body: func(context.Context, *Message, []byte) Verdict { return Continue }})
	d := quietDispatcher(t, Slot{Child: native("grumbler", Hooks{
		Unknown: func(context.Context, *Session, string) Verdict { return Reject("5.5.1 what?") },
		Message: func(context.Context, *Message, *Edits) Verdict { return Continue },
	})}, Slot{Child: reader, Together: true})
	w := d.Walk(wire.AllActions)
	defer w.Close()
	w.Connect(ctxTest, "host", FamilyUnknown, "", 0)
	w.Mail(ctxTest, NewAddress("<a@b>"))
	w.Rcpt(ctxTest, NewAddress("<c@d>"))
	w.Body(ctxTest, []byte("one"))
	wantVerdict(t, "unknown", w.Unknown(ctxTest, "FOO"), Reject("5.5.1 what?"))
	w.Body(ctxTest, []byte("two"))
	wantVerdict(t, "end of message", w.EndOfMessage(ctxTest).Verdict, Continue)
}

// A child that appends to the recipients it is shown makes a copy.
func TestRecipientsAreTheChildsOwn(t *testing.T) {
	var kept []Address
	d := quietDispatcher(t, Slot{Child: OnRcpt("greedy", func(_ context.Context, e *Envelope, _ Address) Verdict {
		if kept = append(e.Recipients, Address{Addr: "mine"}); len(kept) == 3 {
			return Reject("")
		}
		return Continue
	})})
	w := d.Walk(wire.AllActions)
	defer w.Close()
	w.Mail(ctxTest, NewAddress("<a@b>"))
	var first []Address
	for _, to := range []string{"<1@x>", "<2@x>", "<3@x>", "<4@x>"} {
		w.Rcpt(ctxTest, NewAddress(to))
		if first == nil {
			first = kept
		}
	}
	if first[0].Addr != "mine" {
		t.Errorf("what the child has kept is now %q", first[0].Addr)
	}
}

// What a child has put in place of a large body is not held after the message.
func TestMemoryOfAMessageIsLetGo(t *testing.T) {
	d := quietDispatcher(t, Slot{Child: OnMessage("large", func(_ context.Context, m *Message, e *Edits) Verdict {
		for range 300 {
			e.AddHeader("X-A", "b")
		}
		e.ReplaceBody(make([]byte, 1<<20))
		return Continue
	})})
	w := d.Walk(wire.AllActions)
	defer w.Close()
	w.Mail(ctxTest, NewAddress("<a@b>"))
	for range 2 * keptList {
		w.Header([]byte("X"), nil)
		w.Body(ctxTest, nil)
	}
	w.EndOfMessage(ctxTest)
	w.Reset()
	p := &w.parts[0]
	if w.fields != nil || w.body != nil || cap(p.call.edits.list) > keptList || p.msg.fields != nil {
		t.Errorf("kept: %d fields, %d pieces, %d edits", cap(w.fields), cap(w.body), cap(p.call.edits.list))
	}
	for _, e := range p.call.edits.list[:cap(p.call.edits.list)] {
		if e.Body != nil {
			t.Error("a body is kept")
		}
	}
}
