package milterkit

import (
	"context"
	"testing"

	"github.com/milterkit/sdk/milterkit/wire"
)

// A mail server that leaves stages out, also MAIL, is no danger to the Walk.
func TestStagesMayBeLeftOut(t *testing.T) {
	asked := 0
	d := quietDispatcher(t, Slot{Child: OnMessage("child", func(_ context.Context, m *Message, _ *Edits) Verdict {
		asked++
		return Reject(m.Get("Subject"))
	})})
	w := d.Walk(wire.AllActions)
	defer w.Close()
	w.Header([]byte("Subject"), []byte(" x"))
	w.Body(t.Context(), []byte("text"))
	if o := w.EndOfMessage(t.Context()); o.Verdict != Continue || asked > 0 {
		t.Errorf("%v, asked %d times", o.Verdict, asked)
	}
	w.Mail(t.Context(), NewAddress("<a@example.org>"))
	if o := w.EndOfMessage(t.Context()); o.Verdict != Reject("") || asked != 1 {
		t.Errorf("%v, asked %d times", o.Verdict, asked)
	}
}
