package milterkit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit/wire"
)

// A shadow is asked all the same, and nothing it says or does counts.
func TestShadowChangesNothing(t *testing.T) {
	for _, fault := range []func() Verdict{
		func() Verdict { return Reject("") }, func() Verdict { return Discard }, func() Verdict { return Fail(errFault) }, func() Verdict { panic(1) },
	} {
		for _, at := range []string{"connect", "helo", "mail", "rcpt", "data", "unknown", "header", "body", "message", ""} {
			f := &faulty{at: at, fault: fault, bad: true}
			h := f.Hooks()
			message := h.Message
			h.Message = func(ctx context.Context, m *Message, e *Edits) Verdict {
				e.AddHeader("X-Shadow", "1")
				e.ReplaceBody([]byte("shadow"))
				e.Quarantine("shadow")
				return message(ctx, m, e)
			}
			body := ""
			w := quietDispatcher(t, Slot{Child: native("shadow", h), Shadow: true, DefaultAction: DefaultReject},
				Slot{Child: native("last", Hooks{Message: func(_ context.Context, m *Message, _ *Edits) Verdict {
					body = fmt.Sprintf("%s%s", m.Get("X-Shadow"), m.Body())
					return Continue
				}})}).Walk(wire.AllActions)
			greet(t, w)
			if got := answers(w); !slices.Equal(got, slices.Repeat([]string{"-"}, 6)) {
				t.Errorf("at %s: %q", at, got)
			}
			if body != "[body\r\n]" {
				t.Errorf("at %s: the next child saw %q", at, body)
			}
			w.Close()
		}
	}
}

// A condition on recipients is asked for each; the child is shown those for which
// it holds, and is told of the session and the sender first, with their macros.
func TestConditionOnRecipients(t *testing.T) {
	var seen []string
	see := func(what string, s *Session) { seen = append(seen, what+" "+s.Macro("j")+s.Macro("m")+s.Macro("r")) }
	w := quietDispatcher(t, Slot{
		When: Condition{Name: "local", At: StageRcpt, Holds: func(_ context.Context, e *Envelope, to Address) bool {
			return strings.HasSuffix(to.Addr, "@here")
		}},
		Child: native("late", Hooks{
			Connect: func(_ context.Context, s *Session) Verdict { see("connect "+s.Host+s.Helo, s); return Continue },
			Helo:    func(_ context.Context, s *Session) Verdict { see("helo "+s.Helo, s); return Continue },
			Mail: func(_ context.Context, e *Envelope) Verdict {
				see(fmt.Sprint("mail ", e.Sender.Addr, e.Sender.Args, len(e.Recipients)), e.Session)
				return Continue
			},
			Rcpt: func(_ context.Context, e *Envelope, to Address) Verdict {
				see(fmt.Sprint("rcpt ", to.Addr, len(e.Recipients)), e.Session)
				if to.Addr == "no@here" {
					return Reject("5.1.1 no")
				}
				return Continue
			},
			Message: func(_ context.Context, m *Message, _ *Edits) Verdict {
				see(fmt.Sprint("message ", m.Recipients[0].Addr, m.Recipients[1].Addr, len(m.Recipients)), m.Session)
				return Continue
			},
		})}).Walk(wire.AllActions)
	defer w.Close()
	macros := func(at Stage, name, value string) {
		w.Macros(at, func(yield func(string, string) bool) { yield(name, value) })
	}
	macros(StageConnect, "j", "J")
	w.Connect(ctxTest, "host", FamilyInet, "192.0.2.1", 1)
	w.Helo(ctxTest, "name")
	macros(StageMail, "{m}", "M")
	w.Mail(ctxTest, NewAddress("<a@b>", "SIZE=1"))
	for i, to := range []string{"one@there", "two@here", "three@there", "no@here", "four@here"} {
		macros(StageRcpt, "{r}", fmt.Sprint(i))
		want := Continue
		if to == "no@here" {
			want = Reject("5.1.1 no")
		}
		wantVerdict(t, to, w.Rcpt(ctxTest, NewAddress("<"+to+">")), want)
	}
	w.EndOfMessage(ctxTest)
	want := []string{"connect host J", "helo name J", "mail a@b[SIZE=1] 0 JM", "rcpt two@here0 JM1", "rcpt no@here1 JM3", "rcpt four@here1 JM4", "message two@herefour@here2 JM4"}
	if !slices.Equal(seen, want) {
		t.Errorf("the child was told\n%q, want\n%q", seen, want)
	}
}

func TestChildrenOfOneFunction(t *testing.T) {
	if v := Fail(nil); v.Err() == nil || v.Kind() != KindFail || v.Final() {
		t.Error(v)
	}
	c := OnRcpt("r", func(context.Context, *Envelope, Address) Verdict { return TempFail("later") })
	w := quietDispatcher(t, Slot{Child: c}).Walk(0)
	defer w.Close()
	w.Mail(ctxTest, NewAddress("<>"))
	wantVerdict(t, "RCPT", w.Rcpt(ctxTest, NewAddress("<a@b>")), Reply(451, "later"))
}

func TestSlotsThatCannotBe(t *testing.T) {
	a := native("a", Hooks{})
	holds := func(context.Context, *Envelope, Address) bool { return true }
	for want, slots := range map[string][]Slot{
		"no child":           {{}},
		"no name":            {{Child: native("", Hooks{})}},
		"two children":       {{Child: a}, {Child: a}},
		"no test":            {{Child: a, When: Condition{Name: "x"}}},
		"settled at data":    {{Child: a, When: Condition{Name: "x", At: StageData, Holds: holds}}},
		"settled at no":      {{Child: a, When: Condition{Name: "x", Holds: holds}}},
		"default action 9":   {{Child: a, DefaultAction: 9}},
		"can not run togeth": {{Child: a, Together: true}},
	} {
		if _, err := NewDispatcher(slots...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	d := quietDispatcher(t, Slot{Child: a})
	if len(d.Slots()) != 1 || d.Slots()[0].Child.Name() != "a" {
		t.Error("Slots")
	}
	d.Logger = nil
	if d.logger() == nil {
		t.Error("no logger")
	}
}
