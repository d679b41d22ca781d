package milterkit_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A dawdler is a child that takes its time, in some of its hooks for more than
// any MTA waits.
type dawdler struct {
	name     string
	r        *rand.Rand
	stubborn bool // it does not stop when it is told to
}

func (c *dawdler) Name() string { return c.name }

// dawdle takes some time, most often none.
func (c *dawdler) dawdle(ctx context.Context) milterkit.Verdict {
	times := []time.Duration{0, 0, 0, 0, 0, time.Second, 9 * time.Second, 40 * time.Second, 10 * time.Minute}
	t := times[c.r.IntN(len(times))]
	if c.stubborn {
		time.Sleep(t)
		return milterkit.Continue
	}
	select {
	case <-time.After(t):
	case <-ctx.Done():
	}
	return milterkit.Continue
}

func (c *dawdler) Hooks() milterkit.Hooks {
	never := context.Background()
	c.dawdle(never)
	session := func(ctx context.Context, _ *milterkit.Session) milterkit.Verdict { return c.dawdle(ctx) }
	envelope := func(ctx context.Context, _ *milterkit.Envelope) milterkit.Verdict { return c.dawdle(ctx) }
	return milterkit.Hooks{
		Connect: session,
		Helo:    session,
		Mail:    envelope,
		Rcpt: func(ctx context.Context, _ *milterkit.Envelope, _ milterkit.Address) milterkit.Verdict {
			return c.dawdle(ctx)
		},
		Data:   envelope,
		Header: func(ctx context.Context, _ *milterkit.Message) milterkit.Verdict { return c.dawdle(ctx) },
		Body:   func(ctx context.Context, _ *milterkit.Message, _ []byte) milterkit.Verdict { return c.dawdle(ctx) },
		Message: func(ctx context.Context, _ *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
			return c.dawdle(ctx)
		},
		Unknown: func(ctx context.Context, _ *milterkit.Session, _ string) milterkit.Verdict { return c.dawdle(ctx) },
		Reset:   func() { c.dawdle(never) },
		Close:   func() { c.dawdle(never) },
	}
}

// dawdlers are some of them, of which those that fail are mostly passed over, so
// that the next one is asked too.
func dawdlers(r *rand.Rand) []milterkit.Slot {
	var slots []milterkit.Slot
	for i := range 1 + r.IntN(5) {
		slots = append(slots, milterkit.Slot{
			Child:         &dawdler{name: string(rune('a' + i)), r: rand.New(rand.NewPCG(r.Uint64(), 0)), stubborn: r.IntN(2) == 0},
			DefaultAction: []milterkit.DefaultAction{milterkit.DefaultAccept, milterkit.DefaultAccept, milterkit.DefaultTempFail}[r.IntN(3)],
			Together:      i > 0 && r.IntN(3) == 0,
		})
	}
	return slots
}

// Sendmail hangs up after 10 s, and on a message after 5 minutes; Postfix after
// 30 s, and 300 s for content, anew at each word from us. Whatever the children
// do with their time, both get our answer first.
func TestMTAsAreAnsweredBeforeTheyHangUp(t *testing.T) {
	for _, sendmail := range []bool{false, true} {
		for seed := range uint64(250) {
			synctest.Test(t, func(t *testing.T) {
				_, dial, stop := pipeServer(t, 0, dawdlers(rand.New(rand.NewPCG(seed, 1)))...)
				defer time.Sleep(time.Hour) // the stubborn come back
				defer stop()
				m := pipeMTA(t, dial(), miltertest.Offer{Version: 6, Actions: wire.AllActions, Steps: wire.AllSteps, Sendmail: sendmail})
				defer m.Close()
				p := miltertest.Player{MTA: m, Client: miltertest.Client{Host: "h.example", Family: wire.FamilyInet, Addr: "192.0.2.1", Port: 25, Helo: "h.example"}}
				last := time.Now()
				p.OnStep = func(s miltertest.Step) {
					if d := time.Since(last); sendmail && d >= 5*time.Minute {
						t.Errorf("seed %d: %s took %v", seed, miltertest.Word(s.Cmd), d)
					}
					last = time.Now()
				}
				if _, err := p.Open(); err != nil {
					t.Fatalf("sendmail %v, seed %d: %v", sendmail, seed, err)
				}
				for n := range 3 {
					_, err := p.Mail(miltertest.Mail{
						From:    "<a@example.org>",
						To:      []miltertest.Recipient{{Addr: "<b@example.net>"}, {Addr: "<c@example.net>"}},
						Unknown: []string{"XYZ"},
						Message: miltertest.ParseMessage(slices.Concat([]byte("Subject: dawdling\r\n\r\n"), make([]byte, 100_000))),
					})
					if err != nil {
						t.Fatalf("sendmail %v, seed %d, message %d: %v", sendmail, seed, n, err)
					}
				}
			})
		}
	}
}
