package remote_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A rig is a filter that does as its script says, behind a remote child, which
// is the only child of a walk.
type rig struct {
	t      *testing.T
	filter *Filter
	addr   string
	child  *remote.Milter
	slot   milterkit.Slot
	log    *log
	acts   milterkit.Actions // of the MTA
	walk   *milterkit.Walk
}

// log keeps what is logged.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// forget forgets what was logged.
func (l *log) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Reset()
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// temp returns a new directory with a name short enough for sockets.
func temp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "r")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// newRig starts a filter, but no session yet.
func newRig(t *testing.T, s Script) *rig {
	t.Helper()
	return newRigFor(t, &Filter{Script: s})
}

func newRigFor(t *testing.T, f *Filter) *rig {
	t.Helper()
	addr, err := f.Start("unix", filepath.Join(temp(t), "f"))
	if err != nil {
		t.Fatal(err)
	}
	r := newChild(t, "unix", addr)
	r.filter, r.addr = f, addr
	t.Cleanup(func() { f.Close() })
	return r
}

// newChild returns a rig without a filter.
func newChild(t *testing.T, network, addr string) *rig {
	l := &log{}
	r := &rig{t: t, log: l, acts: wire.AllActions}
	r.child = &remote.Milter{Label: "child", Network: network, Addr: addr, Logger: slog.New(slog.NewTextHandler(l, nil))}
	r.slot = milterkit.Slot{Child: r.child, CommandTimeout: 2 * time.Second, ContentTimeout: 2 * time.Second}
	t.Cleanup(func() {
		r.close()
		r.child.Close()
	})
	return r
}

// open begins a session.
func (r *rig) open() *rig {
	r.t.Helper()
	d, err := milterkit.NewDispatcher(r.slot)
	if err != nil {
		r.t.Fatal(err)
	}
	d.Logger = r.child.Logger
	r.close()
	r.walk = d.Walk(r.acts)
	return r
}

// close ends the session.
func (r *rig) close() {
	if r.walk != nil {
		r.walk.Close()
		r.walk = nil
	}
}

// macro sets one macro of a stage.
func (r *rig) macro(at milterkit.Stage, pairs ...string) {
	r.walk.Macros(at, func(yield func(string, string) bool) {
		for i := 0; i < len(pairs); i += 2 {
			if !yield(pairs[i], pairs[i+1]) {
				return
			}
		}
	})
}

func (r *rig) connect() milterkit.Verdict {
	return r.walk.Connect(r.t.Context(), "mx.example.org", milterkit.FamilyInet, "192.0.2.1", 2525)
}

func (r *rig) helo() milterkit.Verdict { return r.walk.Helo(r.t.Context(), "mx.example.org") }
func (r *rig) mail() milterkit.Verdict {
	return r.walk.Mail(r.t.Context(), milterkit.NewAddress("<a@example.org>", "SIZE=9"))
}
func (r *rig) rcpt(to string) milterkit.Verdict {
	return r.walk.Rcpt(r.t.Context(), milterkit.NewAddress(to))
}
func (r *rig) data() milterkit.Verdict { return r.walk.Data(r.t.Context()) }

// greet begins a session and takes it past HELO.
func (r *rig) greet() *rig {
	r.t.Helper()
	r.open()
	r.want("connect", r.connect(), milterkit.Continue)
	r.want("helo", r.helo(), milterkit.Continue)
	return r
}

// envelope is greet, and a message up to DATA.
func (r *rig) envelope() *rig {
	r.t.Helper()
	r.greet()
	r.want("mail", r.mail(), milterkit.Continue)
	r.want("rcpt", r.rcpt("<b@example.net>"), milterkit.Continue)
	r.want("data", r.data(), milterkit.Continue)
	return r
}

// content takes the content of a message past the walk: fields as they stand
// after each other, "Subject: hello", and pieces of a body.
func (r *rig) content(fields []string, pieces ...string) milterkit.Outcome {
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ":")
		r.walk.Header([]byte(name), []byte(value))
	}
	r.walk.EndOfHeader(r.t.Context())
	for _, p := range pieces {
		r.walk.Body(r.t.Context(), []byte(p))
	}
	return r.walk.EndOfMessage(r.t.Context())
}

// letter is a small message.
func (r *rig) letter() milterkit.Outcome { return r.content([]string{"Subject: hello"}, "text\r\n") }

// message takes a whole message past the walk, from MAIL on, and returns the
// first verdict that is not continue.
func (r *rig) message() milterkit.Verdict {
	defer r.walk.Reset()
	for _, ask := range []func() milterkit.Verdict{r.mail, func() milterkit.Verdict { return r.rcpt("<b@example.net>") }, r.data} {
		if v := ask(); v != milterkit.Continue {
			return v
		}
	}
	return r.letter().Verdict
}

func (r *rig) want(what string, got, want milterkit.Verdict) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s: %v, want %v\n%s", what, got, want, r.log)
	}
}

// wantSaw waits for the end of all sessions, and compares what the filter was
// told but for macros and negotiations.
func (r *rig) wantSaw(want ...string) {
	r.t.Helper()
	r.close()
	r.idle(1)
	if got := r.filter.Saw(); !slices.Equal(got, want) {
		r.t.Errorf("the filter saw\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// idle waits until n sessions have been and all have ended.
func (r *rig) idle(n int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
	defer cancel()
	if err := r.filter.Idle(ctx, n); err != nil {
		r.t.Errorf("the filter's sessions do not end: %v, %q", err, r.filter.Saw())
	}
}

// wantLog looks for words in what was logged.
func (r *rig) wantLog(words ...string) {
	r.t.Helper()
	for _, w := range words {
		if !strings.Contains(r.log.String(), w) {
			r.t.Errorf("the log does not say %q:\n%s", w, r.log)
		}
	}
}

// tryAgain is what a failure of the child comes to.
var tryAgain = milterkit.TempFail("")

// on is a script with answers to one command.
func on(cmd byte, answers ...Answer) Script {
	return Script{On: map[byte][]Answer{cmd: answers}}
}

// edits returns the edits of an outcome, in words.
func edits(o milterkit.Outcome) (list []string) {
	for _, e := range o.Edits {
		text := fmt.Sprintf("%s %d %s:%s", e.Op, e.Index, e.Name, e.Value)
		if e.Op == milterkit.OpReplaceBody {
			text = fmt.Sprintf("%s %d", e.Op, len(bytes.Join(e.Body, nil)))
		}
		list = append(list, text)
	}
	return list
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// fake listens and has serve speak on each connection; it is for what a Filter
// cannot do.
func fake(t *testing.T, serve func(nc net.Conn, r *wire.Reader)) (addr string) {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(temp(t), "f"))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer nc.Close()
				serve(nc, wire.NewReader(nc, nil))
			})
		}
	})
	t.Cleanup(func() { ln.Close(); all.Wait() })
	return ln.Addr().String()
}
