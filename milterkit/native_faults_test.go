package milterkit

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// A nativeFault is one way in which a hook can go wrong.
type nativeFault struct {
	name string
	do   func(context.Context) Verdict
	took time.Duration // until the session goes on
	log  string
	gone bool // the hook is given up: the child is not asked again in the session
}

const nativeLimit = 300 * time.Millisecond

var nativeFaults = []nativeFault{
	{"fails", func(context.Context) Verdict { return Fail(errFault) }, 0, `error="a fault"`, false},
	{"panics", func(context.Context) Verdict { panic("at the child") }, 0, `error="panic: at the child"`, false},
	{"is late", told, nativeLimit, `error="no answer in time"`, false},
	{"hangs", func(context.Context) Verdict { time.Sleep(time.Hour); return Continue }, nativeLimit + grace, `error="no answer in time"`, true},
}

// nativeStages are the hooks in the order in which answers has them asked, and
// what the log calls them.
var nativeStages = []struct{ name, log string }{
	{"connect", "connect"}, {"helo", "helo"}, {"mail", "mail"}, {"rcpt c@d", "rcpt"}, {"refused", "rcpt"}, {"unknown", "unknown"},
	{"rcpt e@f", "rcpt"}, {"data", "data"}, {"header", "header"}, {"body", "body"}, {"message", `"end of message"`},
}

// position is where a stage stands among them.
func position(stage string) int {
	for i, s := range nativeStages {
		if s.name == stage {
			return i
		}
	}
	panic(stage)
}

// An askedChild has all hooks, writes down what it is asked, and does fault at one
// of them while that is set.
type askedChild struct {
	name  string
	at    string
	fault func(context.Context) Verdict

	mu   sync.Mutex // hooks that were given up come back at any time
	list []string
}

func (c *askedChild) hook(ctx context.Context, at string) Verdict {
	c.mu.Lock()
	c.list = append(c.list, at)
	fault := c.fault
	c.mu.Unlock()
	if fault != nil && c.at == at {
		return fault(ctx)
	}
	return Continue
}

// take returns what the child was asked since the last time.
func (c *askedChild) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.list
	c.list = nil
	return list
}

func (c *askedChild) Name() string { return c.name }

func (c *askedChild) Hooks() Hooks {
	return Hooks{
		Connect:     func(ctx context.Context, _ *Session) Verdict { return c.hook(ctx, "connect") },
		Helo:        func(ctx context.Context, _ *Session) Verdict { return c.hook(ctx, "helo") },
		Mail:        func(ctx context.Context, _ *Envelope) Verdict { return c.hook(ctx, "mail") },
		Rcpt:        func(ctx context.Context, _ *Envelope, to Address) Verdict { return c.hook(ctx, "rcpt "+to.Addr) },
		RefusedRcpt: func(ctx context.Context, _ *Envelope, _ Address) Verdict { return c.hook(ctx, "refused") },
		Data:        func(ctx context.Context, _ *Envelope) Verdict { return c.hook(ctx, "data") },
		Header:      func(ctx context.Context, _ *Message) Verdict { return c.hook(ctx, "header") },
		Body:        func(ctx context.Context, _ *Message, _ []byte) Verdict { return c.hook(ctx, "body") },
		Message:     func(ctx context.Context, _ *Message, _ *Edits) Verdict { return c.hook(ctx, "message") },
		Unknown:     func(ctx context.Context, _ *Session, _ string) Verdict { return c.hook(ctx, "unknown") },
		Reset:       func() { c.hook(context.Background(), "reset") },
		Close:       func() { c.hook(context.Background(), "close") },
	}
}

// The table of faults for native children: each at each hook with each default
// action, between two children with whom nothing is wrong, and an MTA that goes
// on with the message whatever the answers are.
func TestFaultsOfNativeChildren(t *testing.T) {
	for _, fault := range nativeFaults {
		for _, at := range nativeStages {
			for action := DefaultTempFail; action <= DefaultQuarantine+1; action++ {
				c := nativeCell{fault: fault, at: at.name, log: at.log, action: min(action, DefaultQuarantine), actions: wire.AllActions}
				c.means = c.action
				if action > DefaultQuarantine {
					c.actions &^= wire.ActQuarantine
					c.means = DefaultTempFail
				}
				t.Run(fmt.Sprintf("%s at %s, %v means %v", fault.name, at.name, c.action, c.means), func(t *testing.T) {
					synctest.Test(t, c.play)
				})
			}
		}
	}
}

// A nativeCell is one cell of the table.
type nativeCell struct {
	fault         nativeFault
	at, log       string
	action, means DefaultAction
	actions       Actions // of the MTA
}

// answer is what the MTA is told of the failure: "-" is continue.
func (c *nativeCell) answer() string {
	if c.means == DefaultAccept || c.means == DefaultQuarantine {
		return "-"
	}
	return c.means.String()
}

func (c *nativeCell) play(t *testing.T) {
	first, last := &askedChild{name: "first"}, &askedChild{name: "last"}
	faulty := &askedChild{name: "faulty", at: c.at, fault: c.fault.do}
	d := quietDispatcher(t, Slot{Child: first},
		Slot{Child: faulty, DefaultAction: c.action, CommandTimeout: nativeLimit, ContentTimeout: nativeLimit}, Slot{Child: last})
	log := &bytes.Buffer{}
	d.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	w := d.Walk(c.actions)
	var got []string
	wantTime(t, "the first message", took(func() { greet(t, w); got = answers(w) }), c.fault.took)
	c.compare(t, "the first message", got, max(position(c.at), position("mail")), first, last)
	c.compareAsked(t, faulty)
	c.compareLog(t, log, c.fault.log, c.log)

	faulty.mu.Lock()
	faulty.fault = nil
	faulty.mu.Unlock()
	due := len(nativeStages)
	if c.fault.gone {
		due = position("mail")
	}
	wantTime(t, "the second message", took(func() { got = answers(w) }), 0)
	c.compare(t, "the second message", got, due, first, last)
	if c.fault.gone {
		c.compareLog(t, log, `error="an earlier hook has not returned"`, "mail")
	} else if asked := strings.Join(faulty.take(), "|"); log.Len() > 0 || !strings.HasSuffix(asked, "mail|rcpt c@d|refused|unknown|rcpt e@f|data|header|body|message|reset") {
		t.Errorf("the second message: it was asked %s, and the log says %s", asked, log)
	}
	wantTime(t, "close", took(w.Close), 0)
	time.Sleep(2 * time.Hour)
	synctest.Wait()
	for _, child := range []*askedChild{first, faulty, last} {
		if asked := child.take(); !slices.Equal(asked, []string{"close"}) {
			t.Errorf("%s was asked at the end %q", child.name, asked)
		}
	}
	if n := d.givenUp[1].Load(); n != 0 {
		t.Errorf("%d hooks are still given up", n)
	}
}

// compare compares the answers to a message, and what the other children were
// asked, where the failure counts from a stage on. Who comes after the child is
// not asked where it has refused.
func (c *nativeCell) compare(t *testing.T, what string, got []string, due int, first, last *askedChild) {
	t.Helper()
	var want, toFirst, toLast []string
	if slices.Contains(first.list, "connect") {
		toFirst, toLast = []string{"connect", "helo"}, []string{"connect", "helo"}
	}
	ended := false // nobody is asked any more
	for i, s := range nativeStages[position("mail"):] {
		answer := "-"
		switch i += position("mail"); {
		case i < due || s.name == "refused": // nobody waits for an answer there
		case s.name == "unknown" && (i > due || c.answer() == DefaultDiscard.String()): // no part of the message
		default:
			answer = c.answer()
		}
		content := i >= position("header")
		if !content && s.name != "refused" || s.name == "message" {
			want = append(want, answer)
		}
		if ended && s.name != "unknown" {
			continue
		}
		toFirst = append(toFirst, s.name)
		if content && due <= position("message") {
			answer = c.answer() // the content is one stage
		}
		if answer == "-" {
			toLast = append(toLast, s.name)
		}
		ended = ended || answer != "-" && (s.name == "mail" || answer == DefaultDiscard.String() && !content)
	}
	toFirst = append(toFirst, "reset")
	if slices.Contains(toLast, "mail") {
		toLast = append(toLast, "reset")
	}
	if due < len(nativeStages) && c.means == DefaultQuarantine {
		want = append(want, "quarantine faulty failed")
	}
	for name, lists := range map[string][2][]string{
		"answers": {got, want}, "first was asked": {first.take(), toFirst}, "last was asked": {last.take(), toLast},
	} {
		if !slices.Equal(lists[0], lists[1]) {
			t.Errorf("%s: %s\n%q, want\n%q", what, name, lists[0], lists[1])
		}
	}
}

// compareAsked compares what the child was asked in the first message: nothing
// after it had failed, but the end of the message where it took part in that.
func (c *nativeCell) compareAsked(t *testing.T, faulty *askedChild) {
	t.Helper()
	var want []string
	for _, s := range nativeStages[:position(c.at)+1] {
		want = append(want, s.name)
	}
	if position(c.at) >= position("mail") && !c.fault.gone {
		want = append(want, "reset")
	}
	if got := faulty.take(); !slices.Equal(got, want) {
		t.Errorf("it was asked\n%q, want\n%q", got, want)
	}
}

// compareLog looks for the one line that says what was wrong, and empties the log.
func (c *nativeCell) compareLog(t *testing.T, log *bytes.Buffer, failure, at string) {
	t.Helper()
	text := log.String()
	log.Reset()
	action := c.action.String()
	if c.means != c.action {
		action = `"tempfail, as the MTA offers no quarantine"`
	}
	words := []string{`msg="milter failed"`, "milter=faulty", "at=" + at, failure, "default_action=" + action}
	if strings.Count(text, "\n") != 1 || slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, " "+w) }) {
		t.Errorf("the log says\n%s, want one line with %q", text, words)
	}
}
