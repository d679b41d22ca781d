package gomilter_test

import (
	"bytes"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-milter"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/gomilter"
	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

// allActions are those that the filters of the tests ask for.
const allActions = milter.OptAddHeader | milter.OptChangeHeader | milter.OptChangeBody | milter.OptAddRcpt |
	milter.OptRemoveRcpt | milter.OptQuarantine | milter.OptChangeFrom

// serving returns a server of filters that newFilter makes.
func serving(newFilter func() milter.Milter) *milter.Server {
	return &milter.Server{NewMilter: newFilter, Actions: allActions}
}

// A rig is a child behind a Server on a socket, as an MTA has it before it.
type rig struct {
	t    *testing.T
	addr string
	log  *lines
}

// lines keeps what is logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// logger logs to lines.
func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// inProcess is a rig of a Child, which is closed at the end of the test.
func inProcess(t *testing.T, c *gomilter.Child) *rig {
	t.Helper()
	return inSlot(t, c, milterkit.Slot{CommandTimeout: 5 * time.Second, ContentTimeout: 5 * time.Second})
}

// inSlot is inProcess on the terms of a slot.
func inSlot(t *testing.T, c *gomilter.Child, slot milterkit.Slot) *rig {
	t.Helper()
	l := &lines{}
	c.Logger, slot.Child = l.logger(), c
	t.Cleanup(func() { c.Close() }) // after the Server's
	return newRig(t, slot, l)
}

// onSocket is a rig of a server on a socket of its own.
func onSocket(t *testing.T, server *milter.Server) *rig {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(temp(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { server.Serve(ln) })
	l := &lines{}
	m := &remote.Milter{Label: "child", Network: "unix", Addr: ln.Addr().String(), Lockstep: true, Logger: l.logger()}
	r := newRig(t, milterkit.Slot{Child: m}, l)
	t.Cleanup(func() {
		m.Close()
		ln.Close()
		served.Wait()
	})
	return r
}

// newRig serves a slot until the end of the test.
func newRig(t *testing.T, slot milterkit.Slot, l *lines) *rig {
	t.Helper()
	d, err := milterkit.NewDispatcher(slot)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = l.logger()
	s := &milterkit.Server{Dispatcher: d, TempDir: t.TempDir()}
	ln, err := net.Listen("unix", filepath.Join(temp(t), "m"))
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { s.Serve(ln) })
	t.Cleanup(func() {
		s.Close()
		served.Wait()
	})
	return &rig{t, ln.Addr().String(), l}
}

// temp returns a new directory with a name short enough for sockets.
func temp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

var client = Client{
	Host: "mx.example.org", Family: wire.FamilyInet, Addr: "192.0.2.1", Port: 2525,
	Helo: "mx.example.org", MTA: "mail.example.net",
}

// open begins a session.
func (r *rig) open() *Player {
	r.t.Helper()
	m, err := Dial(r.t.Context(), "unix", r.addr, Offer{Timeout: 10 * time.Second, Strict: true})
	if err != nil {
		r.t.Fatal(err)
	}
	p := &Player{MTA: m, Client: client}
	if _, err := p.Open(); err != nil {
		r.t.Fatal(err)
	}
	return p
}

// play plays one session with those mails, and returns what a user would notice of
// it.
func (r *rig) play(mails ...Mail) string {
	r.t.Helper()
	p := r.open()
	var told strings.Builder
	for _, m := range mails {
		o, err := p.Mail(m)
		if err != nil {
			r.t.Fatal(err)
		}
		fmt.Fprintf(&told, "%s %q, refused %v, held %v %q\n", o.Result, o.Reply, o.Refused, o.Held, o.Reason)
		for _, s := range o.Steps {
			fmt.Fprintf(&told, "  %s %s: %s\n", Word(s.Cmd), s.What, s.Reply)
		}
		if o.Result == Accepted {
			fmt.Fprintf(&told, "%s\n%s\n", o.Envelope, o.Message)
		}
	}
	if err := p.Close(); err != nil {
		r.t.Fatal(err)
	}
	return told.String()
}

// mailFrom returns a small message to three recipients.
func mailFrom(sender string) Mail {
	return Mail{
		From: "<" + sender + ">", FromArgs: []string{"SIZE=99"}, QueueID: "4B2",
		To: []Recipient{{Addr: "<b@example.net>"}, {Addr: "<nobody@example.net>"}, {Addr: "<c@example.net>"}},
		Message: ParseMessage([]byte("Received: from there\n by here\nSubject: hello\nX-Empty:\nX-Twice: 1\nX-Twice: 2\n\n" +
			strings.Repeat("a line of the text\n", 10))),
	}
}

// long returns a message that does not fit into one piece of the body.
func long(sender string) Mail {
	m := mailFrom(sender)
	m.Message = ParseMessage([]byte("Subject: long\n\n" + strings.Repeat("a line of a long text\n", 8_000)))
	return m
}

// TestMain has go-milter's own log, which is that of package log, thrown away, and
// fails if the tests leave goroutines behind.
func TestMain(m *testing.M) {
	log.SetOutput(&lines{})
	os.Exit(withoutLeaks(m))
}
