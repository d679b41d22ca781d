package milterkit_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A witness is a native child that writes down what it is asked, and adds a field
// to each message.
type witness struct {
	name  string
	delay time.Duration // of each answer
	saw   []string      // read when the session is over
}

func (w *witness) Name() string { return w.name }

func (w *witness) Hooks() milterkit.Hooks {
	note := func(s string) { w.saw = append(w.saw, s) }
	see := func(s string) milterkit.Verdict {
		note(s)
		time.Sleep(w.delay)
		return milterkit.Continue
	}
	return milterkit.Hooks{
		Connect: func(context.Context, *milterkit.Session) milterkit.Verdict { return see("connect") },
		Helo:    func(context.Context, *milterkit.Session) milterkit.Verdict { return see("helo") },
		Unknown: func(context.Context, *milterkit.Session, string) milterkit.Verdict { return see("unknown") },
		Mail:    func(context.Context, *milterkit.Envelope) milterkit.Verdict { return see("mail") },
		Rcpt: func(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
			return see(to.Addr + " rcpt")
		},
		Data: func(context.Context, *milterkit.Envelope) milterkit.Verdict { return see("data") },
		Message: func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
			e.AddHeader("X-"+w.name, "here")
			return see("eom")
		},
		Reset: func() { note("reset") },
		Close: func() { note("close") },
	}
}

// A faultRig plays one cell.
type faultRig struct {
	*testing.T
	faultCell
	filter      *miltertest.Filter
	child       *remote.Milter
	first, last witness
	log         *faultLog
	srv         *milterkit.Server
	player      *miltertest.Player
	opened      []miltertest.Step
}

// faultLog is a journal that tells when the milter is found again.
type faultLog struct {
	journal
	back chan struct{}
	once sync.Once
}

func (l *faultLog) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "milter is back") {
		defer l.once.Do(func() { close(l.back) })
	}
	return l.journal.Write(p)
}

// good is what the milter does when nothing is wrong.
var good = miltertest.Script{Actions: wire.ActAddHeader, On: map[byte][]miltertest.Answer{
	wire.CmdEOM: {{Edits: []miltertest.Edit{miltertest.AddHeader("X-Milter", "here")}}}}}

func newFaultRig(t *testing.T, c faultCell) *faultRig {
	r := &faultRig{T: t, faultCell: c, first: witness{name: "First"}, last: witness{name: "Last"}, log: &faultLog{back: make(chan struct{})}}
	dir, err := os.MkdirTemp("", "f")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r.filter = &miltertest.Filter{ScriptFor: r.script}
	r.child = &remote.Milter{Label: "faulty", Network: "unix", Addr: filepath.Join(dir, "f"), ConnectTimeout: 10 * time.Second, Lockstep: c.lockstep,
		Logger: slog.New(slog.NewTextHandler(r.log, nil))}
	slot := milterkit.Slot{Child: r.child, DefaultAction: c.action, CommandTimeout: 10 * time.Second, ContentTimeout: 10 * time.Second}
	switch {
	case !c.isSlow():
	case c.at.cmd == wire.CmdNegotiate:
		r.child.ConnectTimeout = faultLimit
	case c.at.due == "eom":
		slot.ContentTimeout = faultLimit
	default:
		slot.CommandTimeout = faultLimit
	}
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: &r.first}, slot, milterkit.Slot{Child: &r.last})
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = r.child.Logger
	r.srv = &milterkit.Server{Dispatcher: d, TempDir: dir}
	r.player = &miltertest.Player{MTA: r.connect(dir), Client: miltertest.Client{
		Host: "mx.example.org", Family: wire.FamilyInet, Addr: "192.0.2.1", Port: 2525, Helo: "mx.example.org", MTA: "mail.example.net"}}
	return r
}

// connect starts the milter and the Server, and returns an MTA: on sockets, or in
// memory where time is that of a bubble.
func (r *faultRig) connect(dir string) *miltertest.MTA {
	var ln net.Listener
	mta := func() *miltertest.MTA { return call(r.T, ln.Addr().String(), r.offer()) }
	if r.isSlow() {
		milters, server := newPipes(), newPipes()
		go r.filter.Serve(milters)
		r.child.Dial = func(context.Context, string, string) (net.Conn, error) { return milters.dial(), nil }
		ln, mta = server, func() *miltertest.MTA { return pipeMTA(r.T, server.dial(), r.offer()) }
	} else {
		if r.fault.Name != down {
			r.startFilter()
		}
		var err error
		if ln, err = net.Listen("unix", filepath.Join(dir, "s")); err != nil {
			r.Fatal(err)
		}
	}
	served := make(chan error, 1)
	go func() { served <- r.srv.Serve(ln) }()
	r.Cleanup(func() { r.srv.Close(); <-served; r.child.Close(); r.filter.Close() })
	return mta()
}

// A gatherer is a listener of a filter whose answers to all that it has read leave
// together. The content is sent ahead, and an answer too many to a part of it can
// be told from the others only when all of them are there.
type gatherer struct{ net.Listener }

func (g gatherer) Accept() (net.Conn, error) {
	nc, err := g.Listener.Accept()
	return &gathering{Conn: nc}, err
}

// A gathering is a connection that writes before it waits for more.
type gathering struct {
	net.Conn
	out []byte
}

func (g *gathering) Write(b []byte) (int, error) {
	g.out = append(g.out, b...)
	return len(b), nil
}

func (g *gathering) Read(b []byte) (int, error) {
	if _, err := g.Conn.Write(g.out); err != nil {
		return 0, err
	}
	g.out = nil
	return g.Conn.Read(b)
}

func (r *faultRig) startFilter() {
	ln, err := net.Listen("unix", r.child.Addr)
	if err != nil {
		r.Fatal(err)
	}
	if r.isAhead() && r.fault.Name == "two answers" {
		ln = gatherer{ln}
	}
	go r.filter.Serve(ln)
}

func (r *faultRig) offer() miltertest.Offer {
	if !r.shy {
		return miltertest.Offer{}
	}
	return miltertest.Offer{Version: 6, Actions: wire.AllActions &^ wire.ActQuarantine, Steps: wire.AllSteps}
}

// script has the fault in the first session.
func (r *faultRig) script(session int) miltertest.Script {
	answer := r.fault.Answer
	answer.Nth = r.at.nth
	switch {
	case session > 1 || r.fault.Name == down:
		return good
	case r.at.cmd == wire.CmdNegotiate:
		return miltertest.Script{Negotiate: answer}
	}
	on := map[byte][]miltertest.Answer{r.at.cmd: {answer}}
	if r.at.cmd != wire.CmdEOM {
		on[wire.CmdEOM] = good.On[wire.CmdEOM]
	} else {
		on[wire.CmdEOM][0].Message = 1
		on[wire.CmdEOM] = append(on[wire.CmdEOM], good.On[wire.CmdEOM]...)
	}
	return miltertest.Script{Actions: wire.ActAddHeader | wire.ActChangeBody, On: on}
}

// long is a field's value that does not fit into the buffer which a session has
// outside a message, so that memory is taken for it. It is shown as its name.
var long = strings.Repeat("long", 1<<10+1)

func shown(s string) string { return strings.ReplaceAll(s, long, "long") }

func (r *faultRig) letter(unknown ...string) miltertest.Mail {
	return miltertest.Mail{From: "<a@example.org>", QueueID: "4B2", Unknown: unknown,
		To:      []miltertest.Recipient{{Addr: "<first>"}, {Addr: "<second>"}},
		Message: miltertest.ParseMessage([]byte("Subject: hello\nX-Two: " + long + "\n\ntext\n"))}
}

// run plays the cell and looks at all that came of it.
func (r *faultRig) run() {
	want := r.expect()
	var err error
	if r.opened, err = r.player.Open(); err != nil {
		r.Fatal(err)
	}
	o, err := r.player.Mail(r.letter("XYZ"))
	if err != nil {
		r.Fatal(err)
	}
	want.compare(r, o)
	if r.at.cmd == wire.CmdNegotiate && !r.refusesTerms() {
		if r.fault.Name == down {
			r.startFilter()
		}
		select {
		case <-r.log.back:
		case <-time.After(10 * time.Second):
			r.Fatalf("the milter is not found again:\n%s", r.log)
		}
	}
	o, err = r.player.Mail(r.letter())
	if err != nil {
		r.Fatal(err)
	}
	afresh := expectation{replies: allContinue, result: miltertest.Accepted, message: "Subject: hello\nX-Two: long\nX-First: here\nX-Milter: here\nX-Last: here\n\ntext\n"}
	afresh.compare(r, o)
	if err := r.player.Close(); err != nil {
		r.Error(err)
	}
	shut(r.T, r.srv)
	r.compareWitnesses(want)
	r.compareFilter()
	r.compareLog()
	if n := milterkit.MemoryInUse(r.srv); n != 0 {
		r.Errorf("%d bytes are still in use", n)
	}
}

// refusesTerms reports whether the fault is what a milter does that does not agree
// to what the MTA can do. That does not have it taken for down.
func (r *faultRig) refusesTerms() bool { return r.shy && r.fault.Name == "close" }

// compare compares what came of a message, and whether it came in time.
func (e *expectation) compare(r *faultRig, o *miltertest.Outcome) {
	r.Helper()
	var replies []string
	spent := o.Elapsed
	for _, s := range r.opened {
		spent += s.Reply.Elapsed
	}
	rcpt := 0
	for _, s := range append(slices.Clone(r.opened), o.Steps...) {
		word := miltertest.Word(s.Cmd)
		switch s.Cmd {
		case wire.CmdConnect, wire.CmdHelo, wire.CmdUnknown:
			if s.Reply.Kind != miltertest.Continue {
				r.Errorf("%s: %v", word, s.Reply)
			}
			continue
		case wire.CmdHeader, wire.CmdEOH, wire.CmdBody:
			if s.Reply.Kind != miltertest.NoReply {
				r.Errorf("%s: %v", word, s.Reply)
			}
			continue
		case wire.CmdRcpt:
			word, rcpt = [...]string{"first rcpt", "second rcpt"}[rcpt], rcpt+1
		}
		replies = append(replies, word+" "+s.Reply.String())
	}
	r.opened = nil
	switch {
	case r.isSlow() && spent != e.spent:
		r.Errorf("it took %v, want %v", spent, e.spent)
	case spent > 8*time.Second: // a timeout is 10 s
		r.Errorf("it took %v", spent)
	}
	got := expectation{spent: e.spent, replies: replies, result: o.Result, reply: o.Reply, held: o.Reason}
	if o.Result == miltertest.Accepted {
		got.message = shown(o.Message.String())
		if len(o.Envelope.To) != 2 {
			r.Errorf("delivered to %q", o.Envelope.To)
		}
	}
	if diff := cmp.Diff(e, &got, cmp.AllowUnexported(expectation{})); diff != "" {
		r.Errorf("the message: -want +got\n%s", diff)
	}
}

// compareWitnesses compares what the other children were asked. The one before
// the milter is asked at every stage that the MTA comes to; the one after it where
// the answer is to go on.
func (r *faultRig) compareWitnesses(e expectation) {
	first, last := []string{"connect", "helo", "unknown"}, []string{"connect", "helo", "unknown"}
	stage := strings.NewReplacer("first rcpt", "first_rcpt", "second rcpt", "second_rcpt")
	for _, s := range e.replies {
		name, answer, _ := strings.Cut(stage.Replace(s), " ")
		first = append(first, strings.ReplaceAll(name, "_", " "))
		if answer == "continue" {
			last = append(last, strings.ReplaceAll(name, "_", " "))
		}
	}
	second := []string{"mail", "first rcpt", "second rcpt", "data", "eom", "reset", "close"}
	first = slices.Concat(first, []string{"reset"}, second)
	if slices.Contains(last, "mail") {
		last = append(last, "reset")
	}
	last = append(last, second...)
	for w, want := range map[*witness][]string{&r.first: first, &r.last: last} {
		if !slices.Equal(w.saw, want) {
			r.Errorf("%s was asked\n%q, want\n%q", w.name, w.saw, want)
		}
	}
}

// sawAll is what the milter is told of a session with one message.
var sawAll = []string{"connect mx.example.org 4 192.0.2.1 2525", "helo mx.example.org", "unknown XYZ", "mail <a@example.org>",
	"rcpt <first>", "rcpt <second>", "data", "header Subject:hello", "header X-Two:long", "header X-First:here", "eoh", `body "text\r\n"`, "eom", "abort", "quit"}

// compareFilter compares what the milter was told: in the first session no more
// than it can have been told when it went wrong, and after that all over again.
func (r *faultRig) compareFilter() {
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	if err := r.filter.Idle(ctx, 1); err != nil {
		r.Errorf("a connection is still open: %v", err)
	}
	var sessions [4][]string
	for _, e := range r.filter.Events() {
		if e.Cmd != wire.CmdNegotiate && e.Cmd != wire.CmdMacros && e.Cmd != miltertest.Closed {
			sessions[e.Session] = append(sessions[e.Session], shown(e.Text))
		}
	}
	last := sessions[r.filter.Sessions()]
	if noFaults[r.fault.Name] {
		if want := slices.Concat(sawAll[:14], sawAll[3:]); !slices.Equal(last, want) {
			r.Errorf("the milter was told\n%q, want\n%q", last, want)
		}
		return
	}
	if want := slices.Delete(slices.Clone(sawAll), 2, 3); !slices.Equal(last, want) {
		r.Errorf("the milter was told afresh\n%q, want\n%q", last, want)
	}
	if r.fault.Name == down {
		return
	}
	from, to := r.toldAtMost()
	if n := len(sessions[1]); n < from || n > to || !slices.Equal(sessions[1], sawAll[:n]) {
		r.Errorf("the milter was told\n%q, want %d to %d of\n%q", sessions[1], from, to, sawAll)
	}
}

// toldAtMost returns how much of a session the milter was told when it went
// wrong, at least and at most: parts of the content are sent ahead.
func (r *faultRig) toldAtMost() (from, to int) {
	switch word := miltertest.Word(r.at.cmd); r.at.name {
	case "negotiate":
		return 0, 0
	case "second rcpt":
		return 6, 6
	default:
		from = 1 + slices.IndexFunc(sawAll, func(s string) bool { return strings.HasPrefix(s, word) })
	}
	if r.isAhead() {
		return from, slices.Index(sawAll, "eom") // which is not sent ahead
	}
	return from, from
}

var failedLine = regexp.MustCompile(`level=WARN msg="milter failed" session=\d+ queue_id=\S* milter=faulty at=("[^"]+"|\S+) error=("(?:[^"\\]|\\.)*"|\S+) default_action=("[^"]+"|\S+)`)

// compareLog looks for the one line that says what was wrong.
func (r *faultRig) compareLog() {
	text := r.log.String()
	n := strings.Count(text, `msg="milter failed"`)
	if noFaults[r.fault.Name] {
		if n != 0 {
			r.Errorf("the log has a failure:\n%s", text)
		}
		return
	}
	m := failedLine.FindStringSubmatch(text)
	if n != 1 || m == nil {
		r.Fatalf("the log has %d failures, want 1:\n%s", n, text)
	}
	for i := range m {
		if s, err := strconv.Unquote(m[i]); err == nil {
			m[i] = s
		}
	}
	action, at := r.action.String(), r.at.log
	if r.isAhead() {
		at = milterkit.StageMessage // where answers are waited for
	}
	if r.shy {
		action = "tempfail, as the MTA offers no quarantine"
	}
	if r.wantError() == "" || m[1] != at.String() || m[3] != action || !regexp.MustCompile(r.wantError()).MatchString(m[2]) {
		r.Errorf("the log says at %q error %q default action %q, want %q %s %q", m[1], m[2], m[3], at, r.wantError(), action)
	}
}

// wantError is what the log must say of the fault where it is.
func (r *faultRig) wantError() string {
	if r.at.cmd != wire.CmdNegotiate || r.fault.Name == down {
		return faultErrors[r.fault.Name]
	}
	return negotiationErrors[r.fault.Name]
}
