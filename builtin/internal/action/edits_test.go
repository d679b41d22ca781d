package action

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
)

// A message with more forged fields than an MTA deletes in no time is refused, and
// another verdict than that it goes on stays.
func TestBounded(t *testing.T) {
	for _, c := range []struct {
		fields int
		says   milterkit.Verdict
		want   milterkit.Kind
	}{
		{MaxEdits, milterkit.Continue, milterkit.KindContinue},
		{MaxEdits + 1, milterkit.Continue, milterkit.KindReject},
		{MaxEdits + 1, milterkit.Accept, milterkit.KindReject},
		{MaxEdits + 1, milterkit.Discard, milterkit.KindDiscard},
		{MaxEdits + 1, milterkit.Fail(errors.New("no")), milterkit.KindTempFail},
	} {
		d, err := milterkit.NewDispatcher(milterkit.Slot{Child: milterkit.OnMessage("x", Bounded(
			func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
				for i := range c.fields {
					e.DeleteHeader("X", c.fields-i)
				}
				return c.says
			}))})
		if err != nil {
			t.Fatal(err)
		}
		d.Logger = slog.New(slog.DiscardHandler)
		w := d.Walk(milterkit.AllActions)
		w.Mail(t.Context(), milterkit.NewAddress("<a@b>"))
		w.Rcpt(t.Context(), milterkit.NewAddress("<c@d>"))
		o := w.Message(t.Context(), []byte(strings.Repeat("X: y\r\n", c.fields)+"\r\nHello.\r\n"))
		if o.Verdict.Kind() != c.want {
			t.Errorf("%d fields, %v: %v", c.fields, c.says, o.Verdict)
		}
		w.Close()
	}
}
