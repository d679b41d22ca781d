package milterkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// ghost is a child that refuses, edits, hangs and panics at every stage, at random.
func ghost(name string, seed uint64) Child {
	return NewChild(name, func() Hooks {
		r := rand.New(rand.NewPCG(seed, 1))
		say := func(ctx context.Context) Verdict {
			switch r.IntN(12) {
			case 0:
				return Reject("5.7.1 boo")
			case 1:
				return Reply(421, "4.7.0 boo")
			case 2:
				return Discard
			case 3:
				return Accept
			case 4:
				return Fail(errFault)
			case 5:
				panic("boo")
			case 6:
				if r.IntN(4) == 0 {
					<-ctx.Done() // it hangs
				}
			}
			return Continue
		}
		session := func(ctx context.Context, _ *Session) Verdict { return say(ctx) }
		envelope := func(ctx context.Context, _ *Envelope) Verdict { return say(ctx) }
		rcpt := func(ctx context.Context, _ *Envelope, _ Address) Verdict { return say(ctx) }
		return Hooks{
			Connect: session, Helo: session, Mail: envelope, Rcpt: rcpt, RefusedRcpt: rcpt, Data: envelope,
			Header: func(ctx context.Context, _ *Message) Verdict { return say(ctx) },
			Body:   func(ctx context.Context, _ *Message, _ []byte) Verdict { return say(ctx) },
			Message: func(ctx context.Context, _ *Message, e *Edits) Verdict {
				for range r.IntN(5) {
					e.Append(randomEdit(r, name))
				}
				return say(ctx)
			},
			Unknown: func(ctx context.Context, _ *Session, _ string) Verdict { return say(ctx) },
			Prompt:  seed%2 == 0,
		}
	})
}

// haunted puts ghosts among slots, in shadow. One within a group belongs to it.
func haunted(r *rand.Rand, slots []Slot) []Slot {
	slots = slices.Clone(slots)
	for n := range 1 + r.IntN(3) {
		at := r.IntN(len(slots) + 1)
		within := at < len(slots) && slots[at].Together
		s := Slot{Child: ghost(fmt.Sprint("ghost", n), r.Uint64()), Shadow: true, DefaultAction: DefaultAction(r.IntN(5)),
			Together: within || at > 0 && r.IntN(2) == 0, CommandTimeout: time.Millisecond, ContentTimeout: time.Millisecond}
		if r.IntN(3) == 0 {
			holds := rand.New(rand.NewPCG(r.Uint64(), 1))
			s.When = Condition{Name: "boo", At: StageConnect + Stage(r.IntN(4)), Holds: func(context.Context, *Envelope, Address) bool {
				if holds.IntN(8) == 0 {
					panic("boo")
				}
				return holds.IntN(4) > 0
			}}
		}
		slots = slices.Insert(slots, at, s)
	}
	return slots
}

// Whatever shadows do, wherever they stand: each answer, each edit and all that the
// other children are shown are as if they were not there.
func TestShadowsChangeNothing(t *testing.T) {
	const shards = 4
	sessions := uint64(4000)
	if testing.Short() {
		sessions = 400
	}
	for shard := range uint64(shards) {
		t.Run(fmt.Sprint("shard ", shard), func(t *testing.T) {
			t.Parallel()
			for i := shard; i < sessions; i += shards {
				r := rand.New(rand.NewPCG(2, i))
				if diff := playWith(3, i, func(slots []Slot) []Slot { return haunted(r, slots) }); diff != "" {
					t.Fatalf("session %d:\n%s", i, diff)
				}
			}
		})
	}
}

// The log tells what a shadow would have done beside what the others did: its verdict,
// how many edits, and the first few of them.
func TestLogTellsWhatAShadowWouldHaveDone(t *testing.T) {
	var log bytes.Buffer
	edits := func(n int) func(context.Context, *Message, *Edits) Verdict {
		return func(_ context.Context, _ *Message, e *Edits) Verdict {
			e.AddHeader("X-Spam", "yes")
			e.AddRecipient("<c@d>")
			e.DeleteHeader("X-Old", 1)
			e.Quarantine("odd")
			e.ReplaceBody([]byte("x"))
			for range n {
				e.InsertHeader(0, "X-Long", strings.Repeat("é", 80))
			}
			return Continue
		}
	}
	d := quietDispatcher(t, Slot{Child: OnMessage("real", func(context.Context, *Message, *Edits) Verdict { return Continue })},
		Slot{Shadow: true, Child: OnMessage("editor", edits(0))}, Slot{Shadow: true, Together: true, Child: OnMessage("writer", edits(9))},
		Slot{Shadow: true, Child: native("refuser", Hooks{Rcpt: func(context.Context, *Envelope, Address) Verdict { return Reject("5.7.1 no") }})},
		Slot{Shadow: true, DefaultAction: DefaultReject, Child: native("broken", Hooks{Data: func(context.Context, *Envelope) Verdict { return Fail(errors.New("broken")) }})})
	d.Logger = slog.New(slog.NewTextHandler(&log, nil))
	w := d.Walk(wire.AllActions)
	greet(t, w)
	if got := answers(w); !slices.Equal(got, slices.Repeat([]string{"-"}, 6)) {
		t.Errorf("answers %q", got)
	}
	w.Close()
	const few = `"add header X-Spam: yes; add recipient <c@d>; delete header X-Old:; quarantine odd; replace body`
	for _, want := range []string{
		" outcome=accept ", ` milters.editor="shadow would: continue, 5 edits, `, ` milters.writer="shadow would: continue, 14 edits, `,
		` milters.refuser="shadow would: reject 550 5.7.1 no at rcpt, `, ` milters.broken="shadow would: fail: broken at data, `,
		" would.editor=" + few + "\"", " would.writer=" + few + "; …\"", `default_action="none, it is a shadow; else reject"`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, &log)
		}
	}
	if strings.Contains(log.String(), " edits=") {
		t.Errorf("the MTA was asked for edits:\n%s", &log)
	}
}

// A shadow that would have refused the session would have refused each of its messages.
func TestShadowThatRefusesTheSessionIsToldOfEachMessage(t *testing.T) {
	for _, at := range []Stage{StageConnect, StageHelo} {
		h := Hooks{Connect: func(context.Context, *Session) Verdict { return Reject("5.7.1 no") }}
		if at == StageHelo {
			h = Hooks{Helo: h.Connect}
		}
		d := quietDispatcher(t, Slot{Shadow: true, Child: native("s", h)})
		var got []string
		d.OnReport = func(r *Report) {
			for _, c := range r.Children {
				got = append(got, fmt.Sprintf("%s %s: %s at %s", r.Outcome(), c.Name, c.Verdict, c.At))
			}
		}
		w := d.Walk(wire.AllActions)
		greet(t, w)
		for range 2 {
			answers(w)
			w.Reset()
		}
		w.Close()
		if want := slices.Repeat([]string{fmt.Sprintf("accept s: reject 550 5.7.1 no at %s", at)}, 2); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	}
}
