package record

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/milterkit/sdk/milterkit"
)

// of takes one session past milters, and returns what is recorded.
func of(t *testing.T, session func(context.Context, *milterkit.Walk), slots ...milterkit.Slot) (records []*Message) {
	t.Helper()
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	d.OnReport = func(r *milterkit.Report) { records = append(records, Of(r, time.Now())) }
	w := d.Walk(milterkit.AllActions)
	session(context.Background(), w)
	w.Close()
	return records
}

// One record says who sent the message, what each milter said and did, and what came
// of it; and nothing of its body.
func TestARecordSaysWhatHappened(t *testing.T) {
	got := of(t, func(ctx context.Context, w *milterkit.Walk) {
		w.Connect(ctx, "mx.example.org", milterkit.FamilyInet6, "IPv6:2001:db8::1", 25)
		w.Helo(ctx, "mx")
		w.Mail(ctx, milterkit.NewAddress("<alice@example.org>"))
		w.Rcpt(ctx, milterkit.NewAddress("<bob@example.test>"))
		w.Message(ctx, []byte("Message-ID: <1@example.org>\r\nSubject: hidden\r\n\r\nsecret\r\n"))
	},
		milterkit.Slot{Child: milterkit.OnMessage("tagger", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
			e.AddHeader("X-Tag", "yes")
			e.ReplaceBody([]byte("secret too\r\n"))
			return milterkit.Continue
		})},
		milterkit.Slot{Child: milterkit.OnMessage("down", func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
			return milterkit.Fail(errors.New("no answer"))
		})})
	if len(got) != 1 {
		t.Fatalf("%d records", len(got))
	}
	m := got[0]
	if m.Addr != "2001:db8::1" || *m.Sender != "alice@example.org" || len(m.To) != 1 || m.ID != "1@example.org" || m.Size != 8 {
		t.Errorf("%+v", m)
	}
	if m.Outcome != "tempfail" || m.By != "down" || m.At != "end of message" || m.Code != 451 {
		t.Errorf("outcome %s %d by %s at %s", m.Outcome, m.Code, m.By, m.At)
	}
	if c := m.Milters[0].Changes; len(c) != 2 || c[0].Name != "X-Tag" || c[1].Bytes != 12 {
		t.Errorf("changes %+v", c)
	}
	if down := m.Milters[1]; down.Verdict != "fail" || down.Error != "no answer" || len(m.Steps) != 2 || m.Steps[1].Error != "no answer" {
		t.Errorf("%+v %+v", down, m.Steps)
	}
	text, err := json.Marshal(m)
	if err != nil || strings.Contains(string(text), "secret") || strings.Contains(string(text), "hidden") {
		t.Errorf("%s %v", text, err)
	}
}

// A session that was refused at HELO has a record without a sender.
func TestARefusedSessionHasARecord(t *testing.T) {
	got := of(t, func(ctx context.Context, w *milterkit.Walk) { w.Helo(ctx, "mx") },
		milterkit.Slot{Child: milterkit.NewChild("a", func() milterkit.Hooks {
			return milterkit.Hooks{Helo: func(context.Context, *milterkit.Session) milterkit.Verdict { return milterkit.Reject("5.7.1 no") }}
		})})
	if len(got) != 1 || got[0].Sender != nil || got[0].Outcome != "reject" || got[0].At != "helo" || len(got[0].Steps) != 1 {
		t.Errorf("%+v", got)
	}
}

// What a client, the MTA or a milter sends makes no record large; what came of the
// message is in it all the same.
func TestRecordsAreBounded(t *testing.T) {
	long := strings.Repeat("x", 10000)
	for name, addr := range map[string]string{"no address": long, "a zone": "fe80::1%" + long} {
		t.Run(name, func(t *testing.T) {
			got := of(t, func(ctx context.Context, w *milterkit.Walk) {
				w.Connect(ctx, long, milterkit.FamilyInet6, addr, 25)
				w.Helo(ctx, long+"\xff")
				w.Macros(milterkit.StageMail, maps.All(map[string]string{"i": long, "{auth_authen}": long, "{daemon_name}": long}))
				w.Mail(ctx, milterkit.NewAddress(long))
				for range 5000 {
					w.Rcpt(ctx, milterkit.NewAddress(long))
				}
				w.Message(ctx, []byte("Message-ID: "+long+"\r\n\r\n"))
			}, milterkit.Slot{Child: milterkit.NewChild("a", func() milterkit.Hooks {
				return milterkit.Hooks{
					Rcpt: func(context.Context, *milterkit.Envelope, milterkit.Address) milterkit.Verdict {
						return milterkit.Continue
					},
					Message: func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
						for range 1000 {
							e.AddHeader("X-"+long, long)
						}
						return milterkit.Continue
					},
				}
			})}, milterkit.Slot{Child: milterkit.OnMessage("b", func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
				return milterkit.Fail(errors.New(long))
			})})
			m := got[0]
			text, err := json.Marshal(m)
			if err != nil || len(text) > 300<<10 || !utf8.Valid(text) {
				t.Errorf("%d bytes, %v", len(text), err)
			}
			last := m.Steps[len(m.Steps)-1]
			if m.Rcpts != 5000 || len(m.To) != MaxRecipients || len(m.Steps) != MaxSteps || m.MoreStep != 602 || last.Verdict != "fail" {
				t.Errorf("%d recipients, %d steps and %d more, the last of which is %+v", m.Rcpts, len(m.Steps), m.MoreStep, last)
			}
			if c := m.Milters[0]; c.Edits != 1000 || len(c.Changes) != MaxChanges {
				t.Errorf("%d edits, %d changes", c.Edits, len(c.Changes))
			}
		})
	}
}
