package remote_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

var (
	soakSessions = flag.Int("sessions", 500, "how many sessions TestSoak plays")
	soakSeed     = flag.Uint64("seed", 1, "the first of TestSoak's seeds")
)

// A plan is what one milter does in one session: a fault, once, or a verdict,
// each time. It is carried out twice, by a filter on a socket and by its twin, a
// native child that fails or says the same at the same moment.
type plan struct {
	cmd     byte // of the fault or the verdict; 0: there is none
	fault   *miltertest.Fault
	verdict miltertest.Kind
	text    string
	only    string // the recipient that it is about; empty: any
	steps   wire.Steps

	mu   sync.Mutex
	done bool // the fault has been
}

// first reports whether it is called for the first time.
func (p *plan) first() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.done
	p.done = true
	return !was
}

// soakStages are where something may happen.
var soakStages = []byte{wire.CmdConnect, wire.CmdHelo, wire.CmdMail, wire.CmdRcpt, wire.CmdData,
	wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM}

// drawSteps draws what a milter agrees to, in all its sessions.
func drawSteps(r *rand.Rand) (steps wire.Steps) {
	for _, s := range []wire.Steps{wire.LeadingSpace, wire.CanSkip, wire.NoUnknown, wire.NoData, wire.NoReplyHeader, wire.NoReplyBody, wire.NoReplyEOH,
		wire.NoReplyConnect, wire.NoReplyHelo, wire.NoReplyMail, wire.NoReplyRcpt, wire.NoReplyData} {
		if r.IntN(4) == 0 {
			steps |= s
		}
	}
	return steps
}

// newPlan draws one. What happens is an answer, so it happens where there is one.
func newPlan(r *rand.Rand, steps wire.Steps, hasty bool) *plan {
	p := &plan{steps: steps}
	stages := slices.DeleteFunc(slices.Clone(soakStages), func(cmd byte) bool {
		return steps&(wire.NoReply(cmd)|wire.NoStep(cmd)) != 0
	})
	switch r.IntN(3) {
	case 0:
		return p
	case 1:
		p.cmd = stages[r.IntN(len(stages))]
		for p.fault == nil {
			faults := miltertest.Faults(2 * hastyTimeout)
			if f := &faults[r.IntN(len(faults))]; f.Is(p.cmd) && soakable(f, p.cmd) && (!slow(f) || hasty) {
				p.fault = f
			}
		}
	default:
		p.cmd = stages[r.IntN(len(stages))]
		kinds := []miltertest.Kind{miltertest.Accept, miltertest.Reject, miltertest.TempFail, miltertest.Discard, miltertest.ReplyCode}
		if p.cmd == wire.CmdConnect || p.cmd == wire.CmdHelo {
			kinds = slices.DeleteFunc(kinds, func(k miltertest.Kind) bool { return k == miltertest.Discard })
		}
		if p.verdict = kinds[r.IntN(len(kinds))]; p.verdict == miltertest.ReplyCode {
			p.text = "554 5.7.1 not this one"
		}
	}
	if p.cmd == wire.CmdRcpt && r.IntN(2) == 0 {
		p.only = "<c@"
	}
	return p
}

// The command and content timeout of a milter, which even a machine that stands
// still for a while keeps to, and that of the one that may hang.
const (
	soakTimeout  = time.Minute
	hastyTimeout = 5 * time.Second
)

// slow reports whether a fault costs the whole timeout.
func slow(f *miltertest.Fault) bool { return f.Answer.Hang || f.Answer.Delay > 0 }

// soakable reports whether it is certain what comes of a fault. A second answer is
// told from the next one only where nothing else is on its way.
func soakable(f *miltertest.Fault, cmd byte) bool {
	switch {
	case f.Name == "body in two places" || f.Name == "refusal after edits":
		return false // no faults to us
	case f.Answer.After != nil:
		return cmd != wire.CmdHeader && cmd != wire.CmdEOH && cmd != wire.CmdBody
	}
	return true
}

// script is what the filter does on its next connection.
func (p *plan) script(mark string) miltertest.Script {
	s := miltertest.Script{Actions: wire.AllActions, Steps: p.steps, On: map[byte][]miltertest.Answer{}}
	edits := []miltertest.Edit{miltertest.AddHeader(mark, "seen")}
	switch {
	case p.fault != nil && p.first():
		a := p.fault.Answer
		a.If, a.Nth = p.only, 1
		if p.only != "" {
			a.Nth = 0
		}
		s.On[p.cmd] = []miltertest.Answer{a}
	case p.fault == nil && p.cmd != 0:
		a := miltertest.Answer{If: p.only, Verdict: p.verdict, Text: p.text}
		if p.cmd == wire.CmdEOM {
			a.Edits = edits
		}
		s.On[p.cmd] = []miltertest.Answer{a}
	}
	s.On[wire.CmdEOM] = append(s.On[wire.CmdEOM], miltertest.Answer{Edits: edits})
	return s
}

// twin is the native child that does the same.
func (p *plan) twin(name string) milterkit.Child { return twin{p, name} }

type twin struct {
	*plan
	name string
}

func (c twin) Name() string { return c.name }

// at returns what the plan says at a command.
func (c twin) at(cmds ...byte) milterkit.Verdict {
	if !slices.Contains(cmds, c.cmd) {
		return milterkit.Continue
	}
	if c.fault != nil {
		if c.first() {
			return milterkit.Fail(errors.New(c.fault.Name))
		}
		return milterkit.Continue
	}
	switch c.verdict {
	case miltertest.Accept:
		return milterkit.Accept
	case miltertest.Reject:
		return milterkit.Reject("")
	case miltertest.TempFail:
		return milterkit.TempFail("")
	case miltertest.Discard:
		return milterkit.Discard
	}
	return milterkit.Reply(554, strings.TrimPrefix(c.text, "554 "))
}

// Hooks implements [milterkit.Child]. A milter's answers to the pieces of the body
// are known at its end.
func (c twin) Hooks() milterkit.Hooks {
	return milterkit.Hooks{
		Connect: func(context.Context, *milterkit.Session) milterkit.Verdict { return c.at(wire.CmdConnect) },
		Helo:    func(context.Context, *milterkit.Session) milterkit.Verdict { return c.at(wire.CmdHelo) },
		Mail:    func(context.Context, *milterkit.Envelope) milterkit.Verdict { return c.at(wire.CmdMail) },
		Rcpt: func(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
			if !strings.Contains(to.Raw, c.only) {
				return milterkit.Continue
			}
			return c.at(wire.CmdRcpt)
		},
		Data:   func(context.Context, *milterkit.Envelope) milterkit.Verdict { return c.at(wire.CmdData) },
		Header: func(context.Context, *milterkit.Message) milterkit.Verdict { return c.at(wire.CmdHeader, wire.CmdEOH) },
		Message: func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
			if v := c.at(wire.CmdBody); v != milterkit.Continue {
				return v
			}
			e.AddHeader("X-"+c.name, "seen")
			return c.at(wire.CmdEOM)
		},
	}
}

// A soak is one server with its milters, and the same with their twins. Sessions
// come one after another.
type soak struct {
	dir string

	mu    sync.Mutex
	plans []*plan // of the session at hand
}

// plan returns what a milter does in the session at hand.
func (s *soak) plan(i int) *plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plans[i]
}

// next draws the plans of the next session. In the first one a milter may hang.
func (s *soak) next(r *rand.Rand, steps []wire.Steps, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plans = nil
	for i := range steps {
		s.plans = append(s.plans, newPlan(r, steps[i], first && i == 0))
	}
}

// play plays sessions against both, and returns how they differ, or "".
func (s *soak) play(seed uint64, sessions int) (string, error) {
	r := rand.New(rand.NewPCG(seed, 2))
	quiet := slog.New(slog.DiscardHandler)
	heard := &log{}
	warnings := slog.New(slog.NewTextHandler(heard, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var slots []milterkit.Slot
	var steps []wire.Steps
	for i := range 1 + r.IntN(4) {
		steps = append(steps, drawSteps(r))
		name := string(rune('a' + i))
		f := &miltertest.Filter{ScriptFor: func(int) miltertest.Script { return s.plan(i).script("X-" + name) }}
		addr, err := f.Start("unix", filepath.Join(s.dir, name))
		if err != nil {
			return "", err
		}
		defer f.Close()
		m := &remote.Milter{Label: name, Network: "unix", Addr: addr, Logger: warnings}
		defer m.Close()
		timeout := soakTimeout
		if i == 0 {
			timeout = hastyTimeout
		}
		slots = append(slots, milterkit.Slot{Child: m, CommandTimeout: timeout, ContentTimeout: timeout,
			DefaultAction: milterkit.DefaultAction(r.IntN(5)), Together: i > 0 && r.IntN(3) == 0, Shadow: r.IntN(8) == 0})
	}
	socket, stop, err := s.serve("mux", slots, warnings)
	if err != nil {
		return "", err
	}
	defer stop()
	for n := range sessions {
		s.next(r, steps, n == 0)
		twins := slices.Clone(slots)
		for i, p := range s.plans {
			twins[i].Child = (&plan{cmd: p.cmd, fault: p.fault, verdict: p.verdict, text: p.text, only: p.only}).twin(slots[i].Child.Name())
		}
		twinSocket, stopTwins, err := s.serve("twins", twins, quiet)
		if err != nil {
			return "", err
		}
		heard.forget()
		want, err := talk(twinSocket)
		stopTwins()
		if err != nil {
			return "", fmt.Errorf("the twins: %w", err)
		}
		got, err := talk(socket)
		if err == nil {
			if diff := cmp.Diff(want, got); diff != "" {
				return s.explain(slots) + heard.String() + diff, nil
			}
			continue
		}
		return "", fmt.Errorf("%s%s%w", s.explain(slots), heard, err)
	}
	return "", nil
}

func (s *soak) serve(name string, slots []milterkit.Slot, log *slog.Logger) (socket string, stop func(), err error) {
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		return "", nil, err
	}
	d.Logger = log
	socket = filepath.Join(s.dir, name)
	ln, err := net.Listen("unix", socket)
	if err != nil {
		return "", nil, err
	}
	// Memory for one message: what one keeps, the next ones want for.
	srv := &milterkit.Server{Dispatcher: d, MaxMemory: 512 << 10, TempDir: filepath.Join(s.dir, "none")}
	var served sync.WaitGroup
	served.Go(func() { srv.Serve(ln) })
	return socket, func() { srv.Close(); served.Wait() }, nil
}

// explain tells what the milters were to do.
func (s *soak) explain(slots []milterkit.Slot) string {
	var b strings.Builder
	for i, p := range s.plans {
		fmt.Fprintf(&b, "%s: default action %s, together %v, shadow %v, steps %#x", slots[i].Child.Name(), slots[i].DefaultAction, slots[i].Together, slots[i].Shadow, uint32(p.steps))
		if p.cmd != 0 {
			what := p.verdict.String()
			if p.fault != nil {
				what = p.fault.Name
			}
			fmt.Fprintf(&b, ", %s at %s %s", what, miltertest.Word(p.cmd), p.only)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// A told is what an MTA was told of one message.
type told struct {
	Result  string
	Reply   string
	At      string
	Refused []string
	Edits   []string
	Held    bool
}

// talk plays a session of three messages.
func talk(socket string) ([]told, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	m, err := miltertest.Dial(ctx, "unix", socket, miltertest.Offer{Timeout: time.Minute})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	p := miltertest.Player{MTA: m, Client: miltertest.Client{Host: "h.example", Family: wire.FamilyInet, Addr: "192.0.2.1", Port: 25, Helo: "h.example"}}
	if _, err := p.Open(); err != nil {
		return nil, err
	}
	var all []told
	for _, lines := range []int{3, 15_000, 1} {
		o, err := p.Mail(miltertest.Mail{
			From:    "<a@example.org>",
			To:      []miltertest.Recipient{{Addr: "<b@example.net>"}, {Addr: "<c@example.net>"}},
			Message: miltertest.ParseMessage([]byte("Subject: soak\r\nX-Folded: a\r\n\tb\r\n\r\n" + strings.Repeat("text\r\n", lines))),
		})
		if err != nil {
			return all, err
		}
		told := told{Result: o.Result.String(), Reply: o.Reply, At: miltertest.Word(o.At), Refused: o.Refused, Held: o.Held}
		if o.Result == miltertest.Accepted {
			for _, e := range o.Edits {
				told.Edits = append(told.Edits, e.String())
			}
		}
		all = append(all, told)
		if o.Result == miltertest.Disconnected {
			break
		}
	}
	return all, p.Close()
}

// TestSoak plays sessions in which milters go wrong in all ways, at all stages:
// the MTA is told what it would have been told by native children that fail, or
// say the same, at the same moment (that those go by the model is shown by
// TestDispatcherAgreesWithModel); and nothing is left over: no goroutine, no
// descriptor, no memory.
func TestSoak(t *testing.T) {
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	warm := *soakSessions / 5 // what is kept for use again is there after these
	playSoak(t, 0, warm)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	playSoak(t, warm, *soakSessions)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && (runtime.NumGoroutine() > goroutines || openFiles(t) > files); {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	if n := openFiles(t); n > files {
		t.Errorf("%d descriptors, %d before", n, files)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	kept := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d sessions, %d messages; %d KiB more on the heap", *soakSessions, 3**soakSessions, kept>>10)
	if kept > 1<<20 {
		t.Errorf("%d KiB are kept", kept>>10)
	}
}

// playSoak plays the sessions from from to to, many at one time.
func playSoak(t *testing.T, from, to int) {
	const batch = 10
	var next atomic.Int64
	next.Store(int64(from / batch))
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			dir, err := os.MkdirTemp("", "soak")
			if err != nil {
				t.Error(err)
				return
			}
			defer os.RemoveAll(dir)
			for !t.Failed() {
				n := int(next.Add(1) - 1)
				if n*batch >= to {
					return
				}
				seed := *soakSeed + uint64(n)
				s := &soak{dir: dir}
				diff, err := s.play(seed, batch)
				if err != nil || diff != "" {
					t.Errorf("seed %d: %v\n%s", seed, err, diff)
				}
			}
		})
	}
	workers.Wait()
}

// openFiles is how many descriptors this process has.
func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
