package milterkit_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

// asked is a condition that notes what an earlier child has said by then.
func asked(at milterkit.Stage, child string, said *[]milterkit.Kind) milterkit.Condition {
	return milterkit.Condition{Name: "asked", At: at, Holds: func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) bool {
		*said = append(*said, e.Verdict(child).Kind())
		return true
	}}
}

// An accept of the session counts for each of its messages, one of a message for that.
func TestAConditionKnowsWhatEarlierChildrenHaveSaid(t *testing.T) {
	var ofSession, ofMessage, ofLater, ofNobody []milterkit.Kind
	messages := 0
	w := quietly(t,
		milterkit.Slot{Child: childOf("session", milterkit.Hooks{Helo: func(context.Context, *milterkit.Session) milterkit.Verdict { return milterkit.Accept }})},
		milterkit.Slot{Child: childOf("message", milterkit.Hooks{Mail: func(context.Context, *milterkit.Envelope) milterkit.Verdict {
			if messages++; messages == 1 {
				return milterkit.Accept
			}
			return milterkit.Continue
		}})},
		milterkit.Slot{Child: childOf("a", milterkit.Hooks{}), When: asked(milterkit.StageMail, "session", &ofSession)},
		milterkit.Slot{Child: childOf("b", milterkit.Hooks{}), When: asked(milterkit.StageMail, "message", &ofMessage)},
		milterkit.Slot{Child: childOf("c", milterkit.Hooks{}), When: asked(milterkit.StageMail, "late", &ofLater)},
		milterkit.Slot{Child: childOf("d", milterkit.Hooks{}), When: asked(milterkit.StageMail, "nobody", &ofNobody)},
		milterkit.Slot{Child: childOf("late", milterkit.Hooks{Helo: func(context.Context, *milterkit.Session) milterkit.Verdict { return milterkit.Accept }})},
	)
	ctx := context.Background()
	w.Helo(ctx, "mx")
	for range 2 {
		w.Mail(ctx, milterkit.NewAddress("<a@example.org>"))
		w.Reset()
	}
	const cont, accept = milterkit.KindContinue, milterkit.KindAccept
	for name, c := range map[string]struct{ got, want [2]milterkit.Kind }{
		"the session": {[2]milterkit.Kind(ofSession), [2]milterkit.Kind{accept, accept}},
		"the message": {[2]milterkit.Kind(ofMessage), [2]milterkit.Kind{accept, cont}},
		"a later one": {[2]milterkit.Kind(ofLater), [2]milterkit.Kind{cont, cont}},
		"nobody":      {[2]milterkit.Kind(ofNobody), [2]milterkit.Kind{cont, cont}},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
}

// What a child has said of another recipient, or at a HELO that was followed by another
// one, is not said any more.
func TestAConditionIsToldNothingThatIsOver(t *testing.T) {
	ctx := context.Background()
	only := func(name string) milterkit.Condition {
		return milterkit.Condition{Name: name, At: milterkit.StageRcpt, Holds: func(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) bool {
			return to.Addr == name
		}}
	}
	refuse := milterkit.Hooks{Mail: func(context.Context, *milterkit.Envelope) milterkit.Verdict { return milterkit.Reject("no") }}
	refuseSession := milterkit.Hooks{Helo: func(context.Context, *milterkit.Session) milterkit.Verdict { return milterkit.Reject("no") }}
	recipients := func(w *milterkit.Walk) {
		w.Helo(ctx, "mx")
		w.Mail(ctx, milterkit.NewAddress("<a@example.org>"))
		w.Rcpt(ctx, milterkit.NewAddress("<bad>"))
		w.Rcpt(ctx, milterkit.NewAddress("<good>"))
	}
	broken := true
	helo := milterkit.Slot{
		Child: childOf("first", milterkit.Hooks{Helo: func(context.Context, *milterkit.Session) milterkit.Verdict {
			if broken {
				return milterkit.Fail(nil)
			}
			return milterkit.Continue
		}}),
		When: milterkit.Condition{Name: "helo", At: milterkit.StageHelo, Holds: func(context.Context, *milterkit.Envelope, milterkit.Address) bool { return true }},
	}
	for name, c := range map[string]struct {
		at      milterkit.Stage
		first   milterkit.Slot
		session func(*milterkit.Walk)
		want    []milterkit.Kind
	}{
		"the message, to another":           {milterkit.StageRcpt, milterkit.Slot{Child: childOf("first", refuse), When: only("bad")}, recipients, []milterkit.Kind{milterkit.KindContinue}},
		"the session, for another":          {milterkit.StageRcpt, milterkit.Slot{Child: childOf("first", refuseSession), When: only("bad")}, recipients, []milterkit.Kind{milterkit.KindContinue}},
		"a shadow of the message, as it is": {milterkit.StageRcpt, milterkit.Slot{Child: childOf("first", refuse), Shadow: true}, recipients, []milterkit.Kind{milterkit.KindReject, milterkit.KindReject}},
		"at the HELO before": {milterkit.StageMail, helo, func(w *milterkit.Walk) {
			w.Helo(ctx, "mx")
			broken = false
			w.Helo(ctx, "mx")
			w.Mail(ctx, milterkit.NewAddress("<a@example.org>"))
		}, []milterkit.Kind{milterkit.KindContinue}},
	} {
		t.Run(name, func(t *testing.T) {
			var said []milterkit.Kind
			w := quietly(t, c.first, milterkit.Slot{Child: childOf("second", milterkit.Hooks{}), When: asked(c.at, "first", &said)})
			c.session(w)
			if !slices.Equal(said, c.want) {
				t.Errorf("said %v, want %v", said, c.want)
			}
		})
	}
}

// A condition that does not return goes on reading what it was shown, and nobody
// writes to that.
func TestAConditionThatIsGivenUpKeepsWhatItWasShown(t *testing.T) {
	t.Parallel()
	wrong, ended, over := 0, make(chan bool), make(chan bool)
	says := milterkit.Accept
	w := quietly(t,
		milterkit.Slot{Child: childOf("first", milterkit.Hooks{Mail: func(context.Context, *milterkit.Envelope) milterkit.Verdict { return says }})},
		milterkit.Slot{Child: childOf("second", milterkit.Hooks{}), CommandTimeout: 20 * time.Millisecond, DefaultAction: milterkit.DefaultAccept,
			When: milterkit.Condition{Name: "hangs", At: milterkit.StageMail, Holds: func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) bool {
				defer close(ended)
				for {
					select {
					case <-over:
						return true
					default:
					}
					if e.Verdict("first") != milterkit.Accept {
						wrong++
					}
				}
			}}},
		milterkit.Slot{Child: childOf("third", milterkit.Hooks{}), When: asked(milterkit.StageMail, "second", new([]milterkit.Kind))},
	)
	for range 3 {
		w.Mail(context.Background(), milterkit.NewAddress("<a@example.org>"))
		w.Reset()
		says = milterkit.Continue
	}
	close(over)
	<-ended
	if wrong > 0 {
		t.Errorf("what it was shown has changed: %d times", wrong)
	}
}

// quietly walks a session past slots, and logs nothing.
func quietly(t *testing.T, slots ...milterkit.Slot) *milterkit.Walk {
	t.Helper()
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	w := d.Walk(milterkit.AllActions)
	t.Cleanup(w.Close)
	return w
}
