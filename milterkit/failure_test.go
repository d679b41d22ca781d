package milterkit

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

var errFault = errors.New("a fault")

// A faulty child does fault at one stage while bad is set, and writes down what
// it is asked.
type faulty struct {
	at    string
	fault func() Verdict
	bad   bool

	mu   sync.Mutex // hooks that were given up come back at any time
	list []string
}

func (f *faulty) hook(at string) Verdict {
	f.mu.Lock()
	f.list = append(f.list, at)
	bad := f.bad && f.at == at
	f.mu.Unlock()
	if bad {
		return f.fault()
	}
	return Continue
}

func (f *faulty) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list)
}

// last returns what the child was asked last.
func (f *faulty) last() string {
	list := f.asked()
	return list[len(list)-1]
}

func (f *faulty) Name() string { return "faulty" }

func (f *faulty) Hooks() Hooks {
	f.hook("hooks")
	return Hooks{
		Connect:     func(context.Context, *Session) Verdict { return f.hook("connect") },
		Helo:        func(context.Context, *Session) Verdict { return f.hook("helo") },
		Mail:        func(context.Context, *Envelope) Verdict { return f.hook("mail") },
		Rcpt:        func(context.Context, *Envelope, Address) Verdict { return f.hook("rcpt") },
		RefusedRcpt: func(context.Context, *Envelope, Address) Verdict { return f.hook("refused") },
		Data:        func(context.Context, *Envelope) Verdict { return f.hook("data") },
		Header:      func(context.Context, *Message) Verdict { return f.hook("header") },
		Body:        func(context.Context, *Message, []byte) Verdict { return f.hook("body") },
		Message:     func(context.Context, *Message, *Edits) Verdict { return f.hook("message") },
		Unknown:     func(context.Context, *Session, string) Verdict { return f.hook("unknown") },
		Reset:       func() { f.hook("reset") },
		Close:       func() { f.hook("close") },
	}
}

// greet takes the beginning of a session past w.
func greet(t *testing.T, w *Walk) {
	t.Helper()
	wantVerdict(t, "connect", w.Connect(ctxTest, "h", FamilyInet, "192.0.2.1", 25), Continue)
	wantVerdict(t, "helo", w.Helo(ctxTest, "h"), Continue)
}

// answers takes a message past w, stage by stage whatever the answers are, and
// returns them.
func answers(w *Walk) []string {
	note := func(v Verdict) string {
		if v.Final() {
			return v.String()
		}
		return "-"
	}
	list := []string{note(w.Mail(ctxTest, NewAddress("<a@b>"))), note(w.Rcpt(ctxTest, NewAddress("<c@d>")))}
	w.RefusedRcpt(ctxTest, NewAddress("<no@d>"))
	list = append(list, note(w.Unknown(ctxTest, "FOO")), note(w.Rcpt(ctxTest, NewAddress("<e@f>"))), note(w.Data(ctxTest)))
	w.Header([]byte("A"), []byte(" b"))
	w.EndOfHeader(ctxTest)
	w.Body(ctxTest, []byte("body\r\n"))
	o := w.EndOfMessage(ctxTest)
	list = append(list, note(o.Verdict))
	for _, e := range o.Edits {
		list = append(list, e.Op.String()+" "+e.Value)
	}
	w.Reset()
	return list
}

// A failure holds for all the rest of its message, with the slot's default
// action, and not for the next message.
func TestDefaultActionHoldsForTheRestOfTheMessage(t *testing.T) {
	// The answers at MAIL, RCPT, an unknown command, RCPT, DATA, end of message.
	from := map[string]int{"connect": 0, "helo": 0, "mail": 0, "rcpt": 1, "refused": 2, "unknown": 2, "data": 4, "header": 5, "body": 5, "message": 5}
	for at, first := range from {
		for action, want := range map[DefaultAction]string{DefaultTempFail: "tempfail", DefaultReject: "reject", DefaultDiscard: "discard", DefaultAccept: "-", DefaultQuarantine: "-"} {
			f := &faulty{at: at, fault: func() Verdict { return Fail(errFault) }, bad: true}
			w := quietDispatcher(t, Slot{Child: f, DefaultAction: action}).Walk(wire.AllActions)
			greet(t, w)
			got := answers(w)
			f.bad = false
			expect := slices.Repeat([]string{"-"}, 6)
			for i := first; i < 6; i++ {
				// An unknown command is no part of the message, unless it is what failed.
				if i != 2 || at == "unknown" {
					expect[i] = want
				}
			}
			if at == "unknown" && action == DefaultDiscard {
				expect[2] = "-" // the MTA would not know what to do with it there
			}
			if action == DefaultQuarantine {
				expect = append(expect, "quarantine faulty failed")
			}
			if !slices.Equal(got, expect) {
				t.Errorf("%s fails at %s, default action %v:\n got %q\nwant %q", f.Name(), at, action, got, expect)
			}
			if after := answers(w); !slices.Equal(after, slices.Repeat([]string{"-"}, 6)) {
				t.Errorf("%s, %v: the next message: %q", at, action, after)
			}
			if asked := f.asked(); !slices.Equal(asked[len(asked)-2:], []string{"message", "reset"}) {
				t.Errorf("%s, %v: the child was not asked about the next message: %q", at, action, asked)
			}
			w.Close()
		}
	}
}

func TestQuarantineThatTheMTACannotIsTempFail(t *testing.T) {
	f := &faulty{at: "message", fault: func() Verdict { return Fail(errFault) }, bad: true}
	w := quietDispatcher(t, Slot{Child: f, DefaultAction: DefaultQuarantine}).Walk(wire.AllActions &^ wire.ActQuarantine)
	defer w.Close()
	wantVerdict(t, "message", wholeMessage(w).Verdict, TempFail(""))
}

// A child that failed at connect is told connect and helo again at the next MAIL.
func TestFailureAtConnectIsAskedAgainAtTheNextMail(t *testing.T) {
	f := &faulty{at: "connect", fault: func() Verdict { return Fail(errFault) }, bad: true}
	w := quietDispatcher(t, Slot{Child: f}).Walk(wire.AllActions)
	defer w.Close()
	greet(t, w)
	wantVerdict(t, "first message", wholeMessage(w).Verdict, TempFail(""))
	f.bad = false
	wantVerdict(t, "second message", wholeMessage(w).Verdict, Continue)
	if got := strings.Join(f.asked(), " "); got != "hooks connect connect helo mail rcpt data header body body message reset" {
		t.Errorf("asked: %s", got)
	}
}

func TestDiscardBeforeMailIsHarmless(t *testing.T) {
	for _, at := range []string{"connect", "helo"} {
		f := &faulty{at: at, fault: func() Verdict { return Discard }, bad: true}
		w := quietDispatcher(t, Slot{Child: f}).Walk(wire.AllActions)
		greet(t, w)
		wantVerdict(t, "message after a discard at "+at, wholeMessage(w).Verdict, Continue)
		w.Close()
	}
}

// A panic, or the end of the goroutine, is a failure of the one slot, wherever it
// happens: the other children are asked and the session goes on.
func TestPanicAndGoexitAreFailures(t *testing.T) {
	faults := map[string]func() Verdict{
		"panic":     func() Verdict { panic("at the child") },
		"panic nil": func() Verdict { panic(nil) },
		"Goexit":    func() Verdict { runtime.Goexit(); return Continue },
	}
	places := []string{"hooks", "condition", "connect", "helo", "mail", "rcpt", "refused", "unknown", "data", "header", "body", "message", "reset", "close"}
	for name, fault := range faults {
		for _, at := range places {
			t.Run(name+" in "+at, func(t *testing.T) {
				for _, action := range []DefaultAction{DefaultAccept, DefaultTempFail} {
					f := &faulty{at: at, fault: fault, bad: true}
					s := Slot{Child: f, DefaultAction: action}
					if at == "condition" {
						s.When = Condition{At: StageMail, Holds: func(context.Context, *Envelope, Address) bool { f.hook("condition"); return true }}
					}
					other := &faulty{}
					w := quietDispatcher(t, s, Slot{Child: native("other", other.Hooks())}).Walk(wire.AllActions)
					greet(t, w)
					got := answers(w)
					want := Continue
					if action == DefaultTempFail && at != "reset" && at != "close" {
						want = TempFail("")
					} else if !slices.Contains(other.asked(), "message") {
						t.Errorf("the other child was asked %q", other.asked())
					}
					if v := got[5]; v != want.String() && (v != "-" || want.Final()) {
						t.Errorf("default action %v: %q", action, got)
					}
					f.bad = false
					if at != "hooks" {
						wantVerdict(t, "next message", wholeMessage(w).Verdict, Continue)
					}
					f.bad = true
					w.Close()
					if other.last() != "close" {
						t.Errorf("the other child was asked %q", other.asked())
					}
				}
			})
		}
	}
}

// counted is memory that counts who holds it.
type counted struct{ held, released atomic.Int32 }

func (c *counted) Retain()  { c.held.Add(1) }
func (c *counted) Release() { c.released.Add(1) }

// A hook that ignores its ctx is given up after a grace; its child is not called
// again in the session, its memory is held until it returns, and then it is closed.
func TestHookThatDoesNotReturnIsGivenUp(t *testing.T) {
	for _, at := range []string{"connect", "helo", "mail", "rcpt", "refused", "data", "unknown", "header", "body", "message", "reset"} {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &faulty{at: at, fault: func() Verdict { time.Sleep(time.Hour); return Continue }, bad: true}
				w := quietDispatcher(t, Slot{Child: f, CommandTimeout: 2 * time.Second, ContentTimeout: 2 * time.Second}).Walk(wire.AllActions)
				mem := &counted{}
				w.Memory = mem
				var got []string
				spent := took(func() { greet(t, w); got = answers(w) })
				limit := 2 * time.Second
				if at == "reset" {
					limit = endTimeout
				}
				wantTime(t, "the session", spent, limit+grace)
				if want := "tempfail"; got[5] != want && at != "reset" {
					t.Errorf("answers %q", got)
				}
				if f.last() != at {
					t.Errorf("asked after it was given up: %q", f.asked())
				}
				wantTime(t, "the next message", took(func() { got = answers(w) }), 0)
				if got[0] != "tempfail" || got[5] != "tempfail" {
					t.Errorf("the next message: %q", got)
				}
				wantTime(t, "close", took(w.Close), 0)
				if mem.held.Load() != 1 || mem.released.Load() != 0 {
					t.Errorf("memory held %d times, released %d times, while the hook runs", mem.held.Load(), mem.released.Load())
				}
				if slices.Contains(f.asked(), "close") {
					t.Error("closed while a hook runs")
				}
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				if mem.released.Load() != 1 {
					t.Errorf("memory released %d times when the hook has returned", mem.released.Load())
				}
				if asked := f.asked(); !slices.Equal(asked[len(asked)-2:], []string{at, "close"}) {
					t.Errorf("asked %q", f.asked())
				}
			})
		})
	}
}

// A child that is not the first is taken past several hooks at once: one that was
// given up in the first of them is not called again when that returns.
func TestGivenUpChildIsNotTakenFurther(t *testing.T) {
	for _, at := range []string{"header", "body"} {
		synctest.Test(t, func(t *testing.T) {
			f := &faulty{at: at, fault: func() Verdict { time.Sleep(time.Hour); return Continue }, bad: true}
			first := native("first", Hooks{Message: func(context.Context, *Message, *Edits) Verdict { return Continue }})
			w := quietDispatcher(t, Slot{Child: first}, Slot{Child: f, ContentTimeout: 2 * time.Second}).Walk(wire.AllActions)
			wantVerdict(t, "message", wholeMessage(w).Verdict, TempFail(""))
			time.Sleep(2 * time.Hour)
			if asked := f.asked(); !slices.Equal(asked[len(asked)-2:], []string{at, "close"}) {
				t.Errorf("asked %q", f.asked())
			}
			w.Close()
		})
	}
}

func TestCloseThatDoesNotReturnIsCalledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{at: "close", fault: func() Verdict { time.Sleep(time.Hour); return Continue }, bad: true}
		other := &faulty{}
		w := quietDispatcher(t, Slot{Child: f, CommandTimeout: 300 * time.Millisecond}, Slot{Child: native("other", other.Hooks())}).Walk(wire.AllActions)
		wantTime(t, "close", took(w.Close), 300*time.Millisecond+grace)
		time.Sleep(3 * time.Hour)
		if got := strings.Join(f.asked(), " "); got != "hooks close" {
			t.Errorf("asked: %s", got)
		}
		if got := strings.Join(other.asked(), " "); got != "hooks close" {
			t.Errorf("the other child was asked: %s", got)
		}
	})
}

// Hooks that do not return, or not in time, are a failure of that child.
func TestHooksMethodThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{at: "hooks", fault: func() Verdict { time.Sleep(time.Hour); return Continue }, bad: true}
		d := quietDispatcher(t, Slot{Child: f, CommandTimeout: 2 * time.Second})
		var w *Walk
		wantTime(t, "begin", took(func() { w = d.Walk(wire.AllActions) }), 2*time.Second+grace)
		wantVerdict(t, "message", wholeMessage(w).Verdict, TempFail(""))
		w.Close()
		time.Sleep(2 * time.Hour)
		if got := strings.Join(f.asked(), " "); got != "hooks close" {
			t.Errorf("asked: %s", got)
		}
	})
}

// Children that hang when they are asked for their hooks have two seconds for it
// together: the MTA waits for the answer to the negotiation. The others have theirs.
func TestHooksMethodsThatDoNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func() Verdict { time.Sleep(time.Hour); return Continue }
		other := &faulty{}
		d := quietDispatcher(t, Slot{Child: renamed{"a", &faulty{at: "hooks", fault: hang, bad: true}}, DefaultAction: DefaultAccept},
			Slot{Child: renamed{"b", &faulty{at: "hooks", fault: hang, bad: true}}, DefaultAction: DefaultAccept}, Slot{Child: other})
		var w *Walk
		if d := took(func() { w = d.Walk(wire.AllActions) }); d > 2*time.Second {
			t.Errorf("the walk began after %v", d)
		}
		wantVerdict(t, "message", wholeMessage(w).Verdict, Continue)
		w.Close()
		if got := other.last(); got != "close" || len(other.asked()) < 5 {
			t.Errorf("the other child was asked: %s", other.asked())
		}
		time.Sleep(2 * time.Hour)
	})
}

// renamed is a child by another name.
type renamed struct {
	name string
	Child
}

func (c renamed) Name() string { return c.name }

// A child that hangs when a message ends costs its own time, not that of the
// others: they hear of the end as well.
func TestResetThatDoesNotReturn(t *testing.T) {
	for _, timeout := range []time.Duration{200 * time.Millisecond, 0} {
		synctest.Test(t, func(t *testing.T) {
			f := &faulty{at: "reset", fault: func() Verdict { time.Sleep(time.Hour); return Continue }, bad: true}
			out, beside := &faulty{at: "mail", fault: func() Verdict { return Accept }, bad: true}, &faulty{}
			w := quietDispatcher(t, Slot{Child: f, CommandTimeout: timeout},
				Slot{Child: native("out", out.Hooks())},
				Slot{Child: native("beside", beside.Hooks()), Together: true}).Walk(wire.AllActions)
			spent := took(func() { wholeMessage(w) })
			if limit := endTimeout; timeout > 0 && spent != timeout+grace || spent > limit {
				t.Errorf("%v", spent)
			}
			for _, c := range []*faulty{out, beside} {
				if c.last() != "reset" {
					t.Errorf("another child was asked %q", c.asked())
				}
			}
			w.Close()
			time.Sleep(2 * time.Hour)
		})
	}
}

// A child that has left too many hooks hanging fails at once in other sessions,
// until they have returned. Sessions that it has begun are closed all the same.
func TestTooManyGivenUpHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{at: "mail", fault: func() Verdict { time.Sleep(time.Hour); return Continue }, bad: true}
		d := quietDispatcher(t, Slot{Child: f, CommandTimeout: time.Second})
		d.MaxGivenUp = 2
		early := d.Walk(wire.AllActions)
		for range 2 {
			w := d.Walk(wire.AllActions)
			wholeMessage(w)
			w.Close()
		}
		asked := len(f.asked())
		w := d.Walk(wire.AllActions)
		wantTime(t, "third session", took(func() { wantVerdict(t, "third session", wholeMessage(w).Verdict, TempFail("")) }), 0)
		w.Close()
		if len(f.asked()) != asked {
			t.Errorf("asked %q", f.asked()[asked:])
		}
		wantVerdict(t, "session begun before", wholeMessage(early).Verdict, TempFail(""))
		early.Close()
		if !slices.Equal(f.asked()[asked:], []string{"reset", "close"}) {
			t.Errorf("the session begun before: asked %q", f.asked()[asked:])
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		f.bad = false
		w = d.Walk(wire.AllActions)
		wantVerdict(t, "when they have returned", wholeMessage(w).Verdict, Continue)
		w.Close()
	})
}
