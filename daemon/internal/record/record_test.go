package record

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
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

// The steps say what was asked, about whom, when and how often; a condition's answer is
// in words of its own.
func TestStepsOfARecord(t *testing.T) {
	condition := func(at milterkit.Stage, holds func() bool) milterkit.Condition {
		return milterkit.Condition{Name: "c", At: at, Holds: func(context.Context, *milterkit.Envelope, milterkit.Address) bool { return holds() }}
	}
	refuses := milterkit.OnRcpt("refuses", func(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
		if to.Addr == "bob@example.test" {
			return milterkit.Reject("5.1.1 no\n5.1.1 never")
		}
		return milterkit.Continue
	})
	puttingOff := milterkit.OnRcpt("shadow", func(context.Context, *milterkit.Envelope, milterkit.Address) milterkit.Verdict {
		return milterkit.TempFail("")
	})
	reads := func(name string) milterkit.Child {
		return milterkit.NewChild(name, func() milterkit.Hooks {
			return milterkit.Hooks{Body: func(context.Context, *milterkit.Message, []byte) milterkit.Verdict { return milterkit.Continue }}
		})
	}
	got := of(t, func(ctx context.Context, w *milterkit.Walk) {
		w.Helo(ctx, "m\xffx")
		time.Sleep(2 * time.Millisecond)
		w.Mail(ctx, milterkit.NewAddress("<>"))
		w.Rcpt(ctx, milterkit.NewAddress("<bob@example.test>"))
		w.Rcpt(ctx, milterkit.NewAddress("<carol@example.test>"))
		for range 3 {
			w.Body(ctx, make([]byte, 64<<10))
		}
		w.EndOfMessage(ctx)
	},
		milterkit.Slot{Child: reads("no"), When: condition(milterkit.StageHelo, func() bool { return false })},
		milterkit.Slot{Child: reads("broken"), When: condition(milterkit.StageMail, func() bool { panic("oh") }), DefaultAction: milterkit.DefaultAccept},
		milterkit.Slot{Child: refuses},
		milterkit.Slot{Child: puttingOff, Shadow: true},
		milterkit.Slot{Child: reads("yes"), When: condition(milterkit.StageRcpt, func() bool { return true })})
	m := got[0]
	if m.Refused != 1 || m.Rcpts != 1 || m.Helo != "m\ufffdx" || *m.Sender != "" || m.Outcome != "accept" {
		t.Errorf("%+v", m)
	}
	if shadow := m.Milters[2]; !shadow.Shadow || shadow.Verdict != "tempfail" || shadow.Code != 451 || m.Milters[1].Shadow {
		t.Errorf("%+v", m.Milters)
	}
	for i := range m.Steps {
		if s := &m.Steps[i]; (s.After < -time.Millisecond) != (i == 0) || s.After > m.Took || s.Took < 0 {
			t.Errorf("%+v", s)
		} else {
			s.After, s.Took = 0, 0
		}
	}
	const carol = "carol@example.test"
	want := []Step{
		{Milter: "no", At: "helo", Condition: "does not hold"},
		{Milter: "broken", At: "mail", Condition: "fails", Error: "panic: oh"},
		{Milter: "refuses", At: "rcpt", To: "bob@example.test", Verdict: "reject", Code: 550, Reply: "5.1.1 no\n5.1.1 never"},
		{Milter: "refuses", At: "rcpt", To: carol, Verdict: "continue"},
		{Milter: "shadow", At: "rcpt", To: carol, Verdict: "tempfail", Code: 451, Reply: "4.7.1 Service unavailable - try again later"},
		{Milter: "yes", At: "rcpt", To: carol, Condition: "holds"},
		{Milter: "yes", At: "body", Verdict: "continue", Calls: 3},
	}
	if !slices.Equal(m.Steps, want) {
		t.Errorf("got\n%+v\nwant\n%+v", m.Steps, want)
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
