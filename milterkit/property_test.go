package milterkit

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/milterkit/sdk/internal/overlay"
	"github.com/milterkit/sdk/milterkit/wire"
)

func field(name, value string) overlay.Field {
	return overlay.Field{Name: []byte(name), Value: []byte(value)}
}

// An actor is a child that answers at random, but always the same to the same
// question, and writes down what it was shown.
type actor struct {
	prompt bool // its hooks promise to return
	name   string
	seed   uint64
	wants  uint32 // a bit for each hook
	calm   bool   // it mostly goes on, so that sessions get far
	log    []string
	body   int // where in the log the content of this message begins; -1: nowhere
}

func (a *actor) Name() string { return a.name }

func (a *actor) see(what string, facts ...any) *rand.Rand {
	line := what + " " + fmt.Sprint(facts...)
	a.log = append(a.log, line)
	h := fnv.New64a()
	h.Write([]byte(line))
	return rand.New(rand.NewPCG(a.seed, h.Sum64()))
}

func facts(s *Session) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %c %s %d %q %v", s.Host, max(s.Family, '-'), s.Addr, s.Port, s.Helo, s.Actions)
	for st := range stages {
		for n, v := range s.Macros(st) {
			fmt.Fprintf(&b, " %v:%s=%s", st, n, v)
		}
	}
	return b.String()
}

func envFacts(e *Envelope) string {
	return fmt.Sprintf("%s from %q to %q", facts(e.Session), e.Sender, e.Recipients)
}

func msgFacts(m *Message) string {
	var b strings.Builder
	b.WriteString(envFacts(m.Envelope))
	for _, f := range m.Header() {
		fmt.Fprintf(&b, " %s:%q", f.Name, f.Value)
	}
	for _, p := range m.Body() {
		fmt.Fprintf(&b, " [%s]", p)
	}
	return b.String()
}

func (a *actor) verdict(r *rand.Rand) Verdict {
	n := r.IntN(100)
	if a.calm {
		n = r.IntN(1000)
	}
	switch {
	case n < 4:
		return Accept
	case n < 7:
		return Reject("")
	case n < 9:
		return TempFail("4.7.1 not now")
	case n < 11:
		return Reply(554, "5.7.1 one", "two")
	case n < 13:
		return Discard
	case n < 15:
		return Fail(fmt.Errorf("failed"))
	case n < 17:
		panic("at random")
	}
	return Continue
}

func (a *actor) Hooks() Hooks {
	all := Hooks{
		Connect: func(_ context.Context, s *Session) Verdict { return a.verdict(a.see("connect", facts(s))) },
		Helo:    func(_ context.Context, s *Session) Verdict { return a.verdict(a.see("helo", facts(s))) },
		Mail:    func(_ context.Context, e *Envelope) Verdict { return a.verdict(a.see("mail", envFacts(e))) },
		Rcpt: func(_ context.Context, e *Envelope, to Address) Verdict {
			return a.verdict(a.see("rcpt", envFacts(e), to))
		},
		RefusedRcpt: func(_ context.Context, e *Envelope, to Address) Verdict {
			return a.verdict(a.see("refused", envFacts(e), to))
		},
		Data: func(_ context.Context, e *Envelope) Verdict { return a.verdict(a.see("data", envFacts(e))) },
		Header: func(_ context.Context, m *Message) Verdict {
			a.content()
			return a.verdict(a.see("header", msgFacts(m)))
		},
		Body: func(_ context.Context, m *Message, p []byte) Verdict {
			a.content()
			return a.verdict(a.see("body", msgFacts(m), string(p)))
		},
		Message: func(_ context.Context, m *Message, e *Edits) Verdict {
			a.content()
			r := a.see("message", msgFacts(m))
			for range r.IntN(5) {
				e.Append(randomEdit(r, a.name))
			}
			return a.verdict(r)
		},
		Unknown: func(_ context.Context, s *Session, line string) Verdict {
			return a.verdict(a.see("unknown", facts(s), line))
		},
		Reset: func() { a.body = -1; a.log = append(a.log, "reset") },
		Close: func() { a.log = append(a.log, "close") },
	}
	all.Prompt = a.prompt
	for i, drop := range []func(){
		func() { all.Connect = nil }, func() { all.Helo = nil }, func() { all.Mail = nil }, func() { all.Rcpt = nil },
		func() { all.RefusedRcpt = nil }, func() { all.Data = nil }, func() { all.Header = nil }, func() { all.Body = nil },
		func() { all.Message = nil }, func() { all.Unknown = nil },
	} {
		if a.wants&(1<<i) == 0 {
			drop()
		}
	}
	return all
}

// content notes where the content of a message begins in the log.
func (a *actor) content() {
	if a.body < 0 {
		a.body = len(a.log)
	}
}

// forget takes the content of an aborted message out of the log: whether a
// child was shown it depends on whether it came first.
func (a *actor) forget() {
	if a.body >= 0 {
		a.log, a.body = a.log[:a.body], -1
	}
}

func randomEdit(r *rand.Rand, tag string) Edit {
	names := []string{"Subject", "subject", "X-A", "X-B", "Received"}
	e := Edit{Op: Op(1 + r.IntN(9)), Index: r.IntN(6), Name: names[r.IntN(len(names))], Value: fmt.Sprintf(" %s %d", tag, r.IntN(100))}
	switch e.Op {
	case OpChangeSender, OpAddRecipient, OpDeleteRecipient:
		e.Index, e.Name, e.Value = 0, fmt.Sprintf("<%s%d@example.org>", tag, r.IntN(9)), ""
	case OpQuarantine:
		e = Edit{Op: OpQuarantine, Value: tag}
	case OpReplaceBody:
		e = Edit{Op: OpReplaceBody, Body: net.Buffers{[]byte(tag), []byte(" body")}}
	case OpDeleteHeader:
		e.Value = ""
	case OpChangeHeader:
		if r.IntN(8) == 0 {
			e.Value = ""
		}
	case OpAddHeader:
		e.Index = 0
	}
	return e
}

// randomSlots makes the same slots twice: one set for the Dispatcher, one for
// the model.
func randomSlots(r *rand.Rand) (slots [2][]Slot, actors [2][]*actor) {
	for i := range 1 + r.IntN(5) {
		seed, wants, calm := r.Uint64(), r.Uint32()|r.Uint32(), r.IntN(3) > 0
		proto := Slot{DefaultAction: DefaultAction(r.IntN(5)), Shadow: r.IntN(6) == 0, Together: i > 0 && r.IntN(3) == 0}
		at := Stage(0)
		if r.IntN(2) == 0 {
			at = StageConnect + Stage(r.IntN(4))
		}
		for n := range 2 {
			a := &actor{name: fmt.Sprintf("child%d", i), seed: seed, wants: wants, calm: calm, body: -1}
			s := proto
			s.Child = a
			if at != 0 {
				s.When = Condition{Name: "random", At: at, Holds: a.holds}
			}
			slots[n], actors[n] = append(slots[n], s), append(actors[n], a)
		}
	}
	return slots, actors
}

func (a *actor) holds(_ context.Context, e *Envelope, to Address) bool {
	h := fnv.New64a()
	fmt.Fprint(h, envFacts(e), to)
	for i := range 5 {
		fmt.Fprint(h, e.Verdict(fmt.Sprintf("child%d", i)).Kind())
	}
	r := rand.New(rand.NewPCG(a.seed+1, h.Sum64()))
	if r.IntN(40) == 0 {
		panic("condition fails")
	}
	return r.IntN(10) < 6
}

// A trial drives the Dispatcher and the model with one random session.
type trial struct {
	r      *rand.Rand
	w      *Walk
	m      *model
	actors [2][]*actor
	story  []string // what happened, for the report of a difference
	fault  string
}

func (t *trial) same(what string, got, want any) {
	t.story = append(t.story, fmt.Sprintf("%s -> %v", what, got))
	if d := cmp.Diff(fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", got)); d != "" && t.fault == "" {
		t.fault = what + ": (-model +dispatcher)\n" + d
	}
}

// macros sends macros for a stage to both.
func (t *trial) macros(at Stage) {
	if t.r.IntN(2) == 0 {
		return
	}
	var list []macro
	for i := range t.r.IntN(3) {
		list = append(list, macro{fmt.Sprintf("{m%d}", i), fmt.Sprint(t.r.IntN(4))})
	}
	t.m.sess.macros.set(at, list)
	t.w.Macros(at, func(yield func(string, string) bool) {
		for _, m := range list {
			if !yield(m.name, m.value) {
				return
			}
		}
	})
}

func (t *trial) session() {
	ctx := context.Background()
	if t.r.IntN(20) > 0 {
		t.macros(StageConnect)
		port := uint16(t.r.IntN(3))
		t.m.sess.Host, t.m.sess.Family, t.m.sess.Addr, t.m.sess.Port = "host", FamilyInet, "192.0.2.1", port
		t.m.connected = true
		t.m.sess.macros.clear(StageConnect)
		t.same("connect", t.w.Connect(ctx, "host", FamilyInet, "192.0.2.1", port), t.m.connectOrHelo(StageConnect))
	}
	for range 1 + t.r.IntN(4) {
		if t.r.IntN(3) > 0 {
			t.macros(StageHelo)
			name := fmt.Sprintf("helo%d", t.r.IntN(3))
			t.same("helo", t.w.Helo(ctx, name), t.m.helo(name))
		}
		t.unknown(ctx)
		t.message(ctx)
		if t.fault != "" {
			return
		}
	}
	t.w.Close()
	t.m.close()
	for i := range t.actors[0] {
		got, want := t.actors[0][i], t.actors[1][i]
		if d := cmp.Diff(want.log, got.log); d != "" && t.fault == "" {
			t.fault = got.name + " was shown: (-model +dispatcher)\n" + d
		}
	}
}

func (t *trial) unknown(ctx context.Context) {
	if t.r.IntN(8) == 0 {
		t.same("unknown", t.w.Unknown(ctx, "FOO"), t.m.unknown("FOO"))
	}
}

func (t *trial) message(ctx context.Context) {
	t.macros(StageMail)
	from := NewAddress(fmt.Sprintf("<s%d@example.org>", t.r.IntN(3)), "SIZE=1")
	v := t.w.Mail(ctx, from)
	t.same("mail", v, t.m.mail(from))
	if v.Final() && t.r.IntN(3) > 0 {
		t.end()
		return
	}
	for range t.r.IntN(5) {
		t.macros(StageRcpt)
		to := NewAddress(fmt.Sprintf("<r%d@example.org>", t.r.IntN(5)))
		if t.r.IntN(8) == 0 {
			t.w.RefusedRcpt(ctx, to)
			t.m.refusedRcpt(to)
			continue
		}
		t.same("rcpt", t.w.Rcpt(ctx, to), t.m.rcpt(to))
		t.unknown(ctx)
	}
	if t.r.IntN(10) == 0 {
		t.end()
		return
	}
	t.macros(StageData)
	v = t.w.Data(ctx)
	t.same("data", v, t.m.data())
	if v.Final() && t.r.IntN(3) > 0 {
		t.end()
		return
	}
	t.content(ctx)
	t.end()
}

// end ends a message in one of the ways in which an MTA does.
func (t *trial) end() {
	if t.r.IntN(2) == 0 {
		t.w.Reset()
		t.m.reset()
	}
}

func (t *trial) content(ctx context.Context) {
	abort := t.r.IntN(12) == 0
	t.m.header = []*mfield{{}}
	names := []string{"Subject", "X-A", "x-a", "X-B", "Received"}
	for i := range t.r.IntN(7) {
		f := &mfield{id: i + 1, name: names[t.r.IntN(len(names))], value: fmt.Sprintf(" v%d", i)}
		t.m.header = append(t.m.header, f)
		t.w.Header([]byte(f.name), []byte(f.value))
	}
	original := slices.Clone(t.m.header)
	for i, f := range original {
		c := *f
		original[i] = &c
	}
	t.macros(StageHeader)
	t.w.EndOfHeader(ctx)
	t.macros(StageBody)
	for i := range t.r.IntN(4) {
		p := []byte(fmt.Sprintf("piece%d", i))
		t.m.body = append(t.m.body, p)
		t.w.Body(ctx, p)
		if !t.w.KeepsBody() {
			// The piece is good for the call only.
			t.w.Memory = nil
		}
	}
	if abort {
		for _, a := range t.actors[0] {
			a.forget()
		}
		t.w.Reset()
		t.m.reset()
		return
	}
	t.macros(StageMessage)
	got := t.w.EndOfMessage(ctx)
	want := t.m.endOfMessage()
	t.same("end of message", got.Verdict, want)
	if !want.Final() {
		t.compare(original, got.Edits)
	}
}

// compare makes the edits on the original message, as Postfix would, and
// compares that with the model's message.
func (t *trial) compare(original []*mfield, edits []Edit) {
	mta := &model{header: original}
	var rest, wantRest []string
	for _, e := range edits {
		switch e.Op {
		case OpAddHeader, OpInsertHeader, OpChangeHeader, OpDeleteHeader:
			live := slices.DeleteFunc(slices.Clone(mta.header), func(f *mfield) bool { return f.gone })
			mta.header = live
			mta.editHeader(slices.Clone(live), e)
		default:
			rest = append(rest, fmt.Sprintf("%v", e))
		}
	}
	show := func(list []*mfield) (lines []string) {
		for _, f := range list {
			if !f.gone {
				lines = append(lines, f.name+":"+f.value)
			}
		}
		return lines
	}
	t.same("header", show(mta.header), show(t.m.header))
	// The last sender and the last body stand.
	for _, op := range []Op{OpChangeSender, OpAddRecipient, OpQuarantine, OpReplaceBody} {
		var of []string
		for _, e := range t.m.edits {
			if e.Op == op || op == OpAddRecipient && e.Op == OpDeleteRecipient {
				of = append(of, fmt.Sprintf("%v", e))
			}
		}
		if n := len(of); n > 1 && (op == OpChangeSender || op == OpReplaceBody) {
			of = of[n-1:]
		}
		wantRest = append(wantRest, of...)
	}
	t.same("other edits", rest, wantRest)
}

// play runs a random session, and returns how the Dispatcher differs from the
// model, or "".
func play(seed1, seed2 uint64) string {
	return playWith(seed1, seed2, func(slots []Slot) []Slot { return slots })
}

// playWith is play with other slots for the Dispatcher than for the model.
func playWith(seed1, seed2 uint64, other func([]Slot) []Slot) string {
	r := rand.New(rand.NewPCG(seed1, seed2))
	slots, actors := randomSlots(r)
	d, err := NewDispatcher(other(slots[0])...)
	if err != nil {
		return err.Error()
	}
	d.Logger = slog.New(slog.DiscardHandler)
	// Some are shown the content as it arrives, and some run on the session's own
	// goroutine: it must make no difference.
	how := rand.New(rand.NewPCG(seed2, seed1))
	d.hooksTimeout = time.Minute // a machine with much else to do is no child that fails
	d.feedFrom = []int64{feedFrom, 1, 8, 14}[how.IntN(4)]
	for _, a := range actors[0] {
		a.prompt = how.IntN(2) == 0
	}
	actions := Actions(wire.AllActions)
	if r.IntN(5) == 0 {
		actions = Actions(r.Uint32()) & wire.AllActions
	}
	t := &trial{r: r, w: d.Walk(actions), m: newModel(actions, slots[1]), actors: actors}
	t.session()
	if t.fault == "" {
		return ""
	}
	for i, s := range slots[0] {
		t.story = slices.Insert(t.story, i, fmt.Sprintf("%s at=%v default=%v shadow=%v together=%v wants=%b",
			s.Child.Name(), s.When.At, s.DefaultAction, s.Shadow, s.Together, actors[0][i].wants))
	}
	return strings.Join(t.story, "\n") + "\n" + t.fault
}

// The Dispatcher agrees with the model on random children and random sessions.
func TestDispatcherAgreesWithModel(t *testing.T) {
	const shards = 4
	sessions := uint64(12000)
	if testing.Short() {
		sessions = 2000
	}
	for shard := range uint64(shards) {
		t.Run(fmt.Sprint("shard ", shard), func(t *testing.T) {
			t.Parallel()
			for i := shard; i < sessions; i += shards {
				if diff := play(1, i); diff != "" {
					t.Fatalf("session %d:\n%s", i, diff)
				}
			}
		})
	}
}

func FuzzDispatcher(f *testing.F) {
	for i := range uint64(20) {
		f.Add(i, i*7)
	}
	f.Fuzz(func(t *testing.T, seed1, seed2 uint64) {
		if diff := play(seed1, seed2); diff != "" {
			t.Fatal(diff)
		}
	})
}
