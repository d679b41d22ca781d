package milterkit

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

func quietDispatcher(t testing.TB, slots ...Slot) *Dispatcher {
	t.Helper()
	d, err := NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	return d
}

func native(name string, h Hooks) Child { return stateless{name, h} }

// told is a hook that waits until it is told to stop.
func told(ctx context.Context) Verdict {
	<-ctx.Done()
	return Continue
}

var (
	mailTold    = func(ctx context.Context, _ *Envelope) Verdict { return told(ctx) }
	messageTold = func(ctx context.Context, _ *Message, _ *Edits) Verdict { return told(ctx) }
)

// took returns how long f takes on the clock of the bubble.
func took(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func wantTime(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func wantVerdict(t *testing.T, what string, got, want Verdict) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

var ctxTest = context.Background()

// toContent takes a message past w, up to its content.
func toContent(w *Walk) (v Verdict) {
	if v = w.Mail(ctxTest, NewAddress("<a@example.org>")); !v.Final() {
		if v = w.Rcpt(ctxTest, NewAddress("<b@example.org>")); !v.Final() {
			v = w.Data(ctxTest)
		}
	}
	return v
}

// wholeMessage takes a message past w.
func wholeMessage(w *Walk) Outcome {
	if v := toContent(w); v.Final() {
		w.Reset()
		return Outcome{Verdict: v}
	}
	w.Header([]byte("Subject"), []byte(" hello"))
	w.EndOfHeader(ctxTest)
	w.Body(ctxTest, []byte("one\r\n"))
	w.Body(ctxTest, []byte("two\r\n"))
	o := w.EndOfMessage(ctxTest)
	o.Edits = slices.Clone(o.Edits)
	w.Reset()
	return o
}

func TestCommandTimeoutFailsTheMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		w := quietDispatcher(t, Slot{CommandTimeout: 3 * time.Second, Child: native("slow", Hooks{
			Mail: func(ctx context.Context, e *Envelope) Verdict {
				if asked++; asked == 1 {
					return told(ctx)
				}
				return Continue
			},
		})}).Walk(wire.AllActions)
		defer w.Close()
		var v Verdict
		wantTime(t, "MAIL", took(func() { v = w.Mail(ctxTest, NewAddress("<a@b>")) }), 3*time.Second)
		wantVerdict(t, "MAIL", v, TempFail(""))
		wantVerdict(t, "RCPT", w.Rcpt(ctxTest, NewAddress("<c@d>")), TempFail(""))
		wantVerdict(t, "end of message", w.EndOfMessage(ctxTest).Verdict, TempFail(""))
		wantVerdict(t, "the next message", wholeMessage(w).Verdict, Continue)
	})
}

func TestContentTimeoutFailsTheMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, h := range []Hooks{
			{Message: messageTold},
			{Header: func(ctx context.Context, _ *Message) Verdict { return told(ctx) }},
			{Body: func(ctx context.Context, _ *Message, _ []byte) Verdict { return told(ctx) }},
		} {
			w := quietDispatcher(t, Slot{ContentTimeout: 7 * time.Second, CommandTimeout: time.Second, Child: native("slow", h)}).Walk(wire.AllActions)
			var o Outcome
			wantTime(t, "message", took(func() { o = wholeMessage(w) }), 7*time.Second)
			wantVerdict(t, "message", o.Verdict, TempFail(""))
			w.Close()
		}
	})
}

// At each stage of the content a hook has the content timeout for itself.
func TestContentTimeoutIsOfEachHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := Hooks{
			Header:  func(context.Context, *Message) Verdict { time.Sleep(6 * time.Second); return Continue },
			Body:    func(context.Context, *Message, []byte) Verdict { time.Sleep(6 * time.Second); return Continue },
			Message: func(context.Context, *Message, *Edits) Verdict { time.Sleep(6 * time.Second); return Continue },
		}
		first := Slot{Child: native("first", Hooks{Message: func(context.Context, *Message, *Edits) Verdict { return Continue }})}
		for _, slots := range [][]Slot{{}, {first}} {
			w := quietDispatcher(t, append(slots, Slot{ContentTimeout: 7 * time.Second, Child: native("slow", slow)})...).Walk(wire.AllActions)
			wantVerdict(t, "message", wholeMessage(w).Verdict, Continue)
			w.Close()
		}
	})
}

func TestProgressStartsTheContentTimeoutAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := quietDispatcher(t, Slot{ContentTimeout: 10 * time.Second, Child: native("slow", Hooks{
			Message: func(ctx context.Context, _ *Message, _ *Edits) Verdict {
				derived, cancel := context.WithCancel(ctx)
				defer cancel()
				for range 5 {
					time.Sleep(8 * time.Second)
					Progress(derived)
				}
				return Continue
			},
		})}).Walk(wire.AllActions)
		defer w.Close()
		var o Outcome
		wantTime(t, "message", took(func() { o = wholeMessage(w) }), 40*time.Second)
		wantVerdict(t, "message", o.Verdict, Continue)
	})
}

// stubborn says that it makes progress for as long as it is let.
func stubborn(ctx context.Context) Verdict {
	for {
		select {
		case <-time.After(time.Second):
			Progress(ctx)
		case <-ctx.Done():
			return Continue
		}
	}
}

func TestProgressDoesNotExtendTheCommandTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := quietDispatcher(t, Slot{CommandTimeout: 10*time.Second + 1, Child: native("slow", Hooks{
			Mail: func(ctx context.Context, _ *Envelope) Verdict { return stubborn(ctx) },
		})}).Walk(wire.AllActions)
		defer w.Close()
		wantTime(t, "MAIL", took(func() { w.Mail(ctxTest, NewAddress("<a@b>")) }), 10*time.Second+1)
	})
}

func TestProgressDoesNotExtendTheMessageTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := quietDispatcher(t, Slot{Child: native("slow", Hooks{
			Message: func(ctx context.Context, _ *Message, _ *Edits) Verdict { return stubborn(ctx) },
		})})
		d.MessageTimeout = 30*time.Second + 1
		w := d.Walk(wire.AllActions)
		defer w.Close()
		wantTime(t, "message", took(func() { wholeMessage(w) }), 30*time.Second+1)
	})
}

// clock is a hook that notes how long it was let work.
type clock struct{ spent time.Duration }

func (c *clock) wait(ctx context.Context) Verdict {
	c.spent = took(func() { <-ctx.Done() })
	return Continue
}

func (c *clock) mail(ctx context.Context, _ *Envelope) Verdict { return c.wait(ctx) }

func (c *clock) message(ctx context.Context, _ *Message, _ *Edits) Verdict { return c.wait(ctx) }

func TestStageTimeoutIsSharedByTheChildrenLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b, c clock
		d := quietDispatcher(t,
			Slot{Child: native("a", Hooks{Mail: func(context.Context, *Envelope) Verdict { time.Sleep(4 * time.Second); return Continue }})},
			Slot{Child: native("b", Hooks{Mail: b.mail}), DefaultAction: DefaultAccept},
			Slot{Child: native("c", Hooks{Mail: c.mail}), DefaultAction: DefaultAccept})
		d.StageTimeout = 24 * time.Second
		w := d.Walk(wire.AllActions)
		defer w.Close()
		wantTime(t, "MAIL", took(func() { w.Mail(ctxTest, NewAddress("<a@b>")) }), 24*time.Second)
		wantTime(t, "b", b.spent, 10*time.Second)
		wantTime(t, "c", c.spent, 10*time.Second)
	})
}

func TestMessageTimeoutIsSharedByThoseThatTakePart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a, b clock
		d := quietDispatcher(t,
			Slot{Child: native("a", Hooks{Message: a.message}), DefaultAction: DefaultAccept},
			Slot{Child: native("envelope", Hooks{Mail: func(context.Context, *Envelope) Verdict { return Continue }})},
			Slot{Child: native("not now", Hooks{Message: messageTold}),
				When: Condition{At: StageMail, Holds: func(context.Context, *Envelope, Address) bool { return false }}},
			Slot{Child: native("b", Hooks{Message: b.message}), DefaultAction: DefaultAccept})
		d.MessageTimeout = 30 * time.Second
		w := d.Walk(wire.AllActions)
		defer w.Close()
		wantVerdict(t, "message", wholeMessage(w).Verdict, Continue)
		wantTime(t, "a", a.spent, 15*time.Second)
		wantTime(t, "b", b.spent, 15*time.Second)
	})
}

func TestGroupHasOneShareOfTheMessageTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a, b, c clock
		leader := Hooks{Message: messageTold, Mail: func(context.Context, *Envelope) Verdict { return Accept }}
		d := quietDispatcher(t,
			Slot{Child: native("a", Hooks{Message: a.message}), DefaultAction: DefaultAccept},
			Slot{Child: native("b", Hooks{Message: b.message}), DefaultAction: DefaultAccept, Together: true},
			Slot{Child: native("leader", leader)}, // out of the message; its group is not
			Slot{Child: native("c", Hooks{Message: c.message}), DefaultAction: DefaultAccept, Together: true})
		d.MessageTimeout = 30 * time.Second
		w := d.Walk(wire.AllActions)
		defer w.Close()
		wantTime(t, "message", took(func() { wholeMessage(w) }), 30*time.Second)
		for i, x := range []*clock{&a, &b, &c} {
			wantTime(t, string('a'+rune(i)), x.spent, 15*time.Second)
		}
	})
}

// What was spent on the content while it arrived counts for the whole message.
func TestMessageTimeoutCountsAllContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var end clock
		d := quietDispatcher(t, Slot{Child: native("a", Hooks{
			Header:  func(context.Context, *Message) Verdict { time.Sleep(10 * time.Second); return Continue },
			Message: end.message})})
		d.MessageTimeout = 30 * time.Second
		w := d.Walk(wire.AllActions)
		defer w.Close()
		toContent(w)
		w.EndOfHeader(ctxTest)
		time.Sleep(time.Minute) // the MTA's own time is not the children's
		w.EndOfMessage(ctxTest)
		wantTime(t, "end of message", end.spent, 20*time.Second)
	})
}

func TestChildWithoutTimeLeftFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := false
		d := quietDispatcher(t,
			Slot{Child: native("a", Hooks{Mail: func(context.Context, *Envelope) Verdict { time.Sleep(5 * time.Second); return Continue }}), DefaultAction: DefaultAccept},
			Slot{Child: native("b", Hooks{Mail: func(context.Context, *Envelope) Verdict { asked = true; return Continue }})})
		d.StageTimeout = grace
		w := d.Walk(wire.AllActions)
		defer w.Close()
		wantVerdict(t, "MAIL", w.Mail(ctxTest, NewAddress("<a@b>")), TempFail(""))
		if asked {
			t.Error("a child was asked when there was no time left")
		}
		time.Sleep(time.Minute) // the first child comes back
	})
}

func TestSendmailIsAnsweredInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for v, want := range map[string][2]time.Duration{
			"8.18.1":        {8 * time.Second, 4*time.Minute + 50*time.Second},
			"Postfix 3.7.1": {25 * time.Second, 10 * time.Minute},
			"":              {25 * time.Second, 10 * time.Minute},
		} {
			d := quietDispatcher(t, Slot{DefaultAction: DefaultAccept, ContentTimeout: time.Hour, Child: native("slow", Hooks{
				Connect: func(ctx context.Context, _ *Session) Verdict { return told(ctx) },
				Helo:    func(ctx context.Context, _ *Session) Verdict { return told(ctx) },
				Rcpt:    func(ctx context.Context, _ *Envelope, _ Address) Verdict { return told(ctx) },
			})}, Slot{ContentTimeout: time.Hour, Child: native("content", Hooks{
				Connect: func(context.Context, *Session) Verdict { return Continue },
				Message: messageTold,
			})})
			d.MessageTimeout = 10 * time.Minute
			w := d.Walk(wire.AllActions)
			w.Macros(StageConnect, func(yield func(string, string) bool) { yield("v", v) })
			// Half of it each: the second child may still be asked.
			wantTime(t, v+" connect", took(func() { w.Connect(ctxTest, "h", FamilyInet, "192.0.2.1", 1) }), want[0]/2)
			w.Mail(ctxTest, NewAddress("<a@b>"))
			w.Mail(ctxTest, NewAddress("<a@b>"))
			wantTime(t, v+" content", took(func() { w.EndOfMessage(ctxTest) }), want[1])
			w.Close()
		}
	})
}

func TestMTAIsToldOfProgressEveryFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := native("a", Hooks{Message: func(context.Context, *Message, *Edits) Verdict { time.Sleep(9 * time.Second); return Continue }})
		w := quietDispatcher(t, Slot{Child: slow}, Slot{Child: native("b", slow.Hooks())}).Walk(wire.AllActions)
		defer w.Close()
		var at []time.Duration
		began := time.Now()
		w.OnProgress = func() { at = append(at, time.Since(began)) }
		wholeMessage(w)
		if want := []time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("progress at %v, want %v", at, want)
		}
	})
}

// A condition that is cut short is nobody's failure, and no default action waves
// the message past the child.
func TestCancelledContextStopsConditions(t *testing.T) {
	for _, at := range []Stage{StageConnect, StageHelo, StageMail, StageRcpt} {
		synctest.Test(t, func(t *testing.T) {
			holds := func(ctx context.Context, _ *Envelope, _ Address) bool { <-ctx.Done(); return false }
			w := quietDispatcher(t, Slot{DefaultAction: DefaultAccept, When: Condition{Name: "slow", At: at, Holds: holds},
				Child: native("a", Hooks{})}).Walk(wire.AllActions)
			defer w.Close()
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(time.Second, cancel)
			v := w.Connect(ctx, "h", FamilyInet, "192.0.2.1", 1)
			for _, next := range []func() Verdict{
				func() Verdict { return w.Helo(ctx, "h") },
				func() Verdict { return w.Mail(ctx, NewAddress("<a@b>")) },
				func() Verdict { return w.Rcpt(ctx, NewAddress("<c@d>")) },
			} {
				if v == Continue {
					v = next()
				}
			}
			wantVerdict(t, "the condition at "+at.String(), v, cutShort)
		})
	}
}

func TestCancelledContextStopsHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := quietDispatcher(t, Slot{Child: native("slow", Hooks{Mail: mailTold})}).Walk(wire.AllActions)
		defer w.Close()
		ctx, cancel := context.WithCancelCause(ctxTest)
		time.AfterFunc(time.Second, func() { cancel(errors.New("over")) })
		var v Verdict
		wantTime(t, "MAIL", took(func() { v = w.Mail(ctx, NewAddress("<a@b>")) }), time.Second)
		wantVerdict(t, "MAIL", v, cutShort)
		// A context that is done already: the hook is told at once.
		wantTime(t, "next MAIL", took(func() { v = w.Mail(ctx, NewAddress("<a@b>")) }), 0)
	})
}

// A hook's ctx is one for all packages that look at contexts.
func TestHookContext(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		var kept context.Context
		w := quietDispatcher(t, Slot{CommandTimeout: time.Second, Child: native("a", Hooks{
			Mail: func(ctx context.Context, _ *Envelope) Verdict {
				if _, ok := ctx.Deadline(); ok || ctx.Err() != nil || ctx.Value(key{}) != "value" {
					t.Error("before Done was asked for")
				}
				time.Sleep(time.Second + grace/2) // past its time, and nobody has asked for Done
				if !errors.Is(ctx.Err(), context.Canceled) {
					t.Errorf("after its time: %v", ctx.Err())
				}
				<-ctx.Done()
				return Continue
			},
			Rcpt: func(ctx context.Context, _ *Envelope, _ Address) Verdict {
				stop := context.AfterFunc(ctx, func() {})
				if !stop() || ctx.Err() != nil || ctx.Value(key{}) != "value" {
					t.Error("after Done was asked for")
				}
				kept = ctx
				return Continue
			},
		}), DefaultAction: DefaultAccept}).Walk(wire.AllActions)
		defer w.Close()
		ctx := context.WithValue(ctxTest, key{}, "value")
		w.Mail(ctx, NewAddress("<a@b>"))
		w.Close()
		w = quietDispatcher(t, Slot{Child: native("a", Hooks{Rcpt: w.parts[0].hooks.Rcpt})}).Walk(wire.AllActions)
		w.Mail(ctx, NewAddress("<a@b>"))
		w.Rcpt(ctx, NewAddress("<a@b>"))
		w.Close()
		if kept.Err() == nil {
			t.Error("the ctx of a hook that has returned is not done")
		}
		Progress(ctxTest) // of no hook: nothing
	})
}

func TestTogetherRunsAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		var slots []Slot
		for i := range 5 {
			slots = append(slots, Slot{Together: i > 0, Child: native(string('a'+rune(i)), Hooks{
				Message: func(_ context.Context, m *Message, e *Edits) Verdict {
					for n := now.Add(1); ; {
						if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
							break
						}
					}
					time.Sleep(20 * time.Millisecond)
					now.Add(-1)
					e.AddHeader("X-Child", string('a'+rune(i)))
					return Continue
				},
			})})
		}
		w := quietDispatcher(t, slots...).Walk(wire.AllActions)
		defer w.Close()
		var o Outcome
		wantTime(t, "five children of 20 ms", took(func() { o = wholeMessage(w) }), 20*time.Millisecond)
		if most.Load() != 5 || len(w.idle) > 1 {
			t.Errorf("%d at a time; %d workers kept", most.Load(), len(w.idle))
		}
		for i, e := range o.Edits {
			if e.Value != " "+string('a'+rune(i)) {
				t.Errorf("edit %d is %+v", i, e)
			}
		}
		if len(o.Edits) != 5 {
			t.Errorf("%d edits", len(o.Edits))
		}
	})
}
