package daemon

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-milter"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

// demoWork is how long the slow children of the demo take over a message.
const demoWork = 60 * time.Millisecond

// fromOutside holds for mail of clients that have not authenticated.
var fromOutside = milterkit.Condition{
	Name: "not authenticated",
	At:   milterkit.StageMail,
	Holds: func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) bool {
		return e.Macro("auth_authen") == ""
	},
}

// The native children: each is a function, or two.

// subjectFilter refuses a message by its subject, when its header has arrived.
type subjectFilter struct{}

func (subjectFilter) Name() string { return "subject" }

func (subjectFilter) Hooks() milterkit.Hooks {
	return milterkit.Hooks{Header: func(_ context.Context, m *milterkit.Message) milterkit.Verdict {
		if strings.Contains(strings.ToLower(m.Get("Subject")), "cheap watches") {
			return milterkit.Reject("5.7.1 we have a watch")
		}
		return milterkit.Continue
	}}
}

// recipientCheck refuses recipients that do not exist.
func recipientCheck(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
	if strings.HasPrefix(to.Addr, "nobody@") {
		return milterkit.Reject("5.1.1 no such user here")
	}
	return milterkit.Continue
}

// markOutside marks mail from outside, and takes such a mark away that was there
// before.
func markOutside(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
	if m.Get("X-Outside") != "" {
		e.DeleteHeader("X-Outside", 1)
	}
	e.InsertHeader(1, "X-Outside", "yes, by "+m.Host)
	return milterkit.Continue
}

// slowScan takes its time, as a virus scanner does.
func slowScan(ctx context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
	select {
	case <-time.After(demoWork):
	case <-ctx.Done():
		return milterkit.Fail(ctx.Err())
	}
	e.AddHeader("X-Scanned", "clean")
	return milterkit.Continue
}

// footer puts a line below the body, which is copied nowhere.
func footer(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
	e.ReplaceBody(append(m.Body(), []byte("-- \r\nThis mail came from outside.\r\n"))...)
	return milterkit.Continue
}

// candidate is a filter that is being tried out: it would refuse everything.
func candidate(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
	return milterkit.Reject("5.7.1 I like nothing")
}

// tagger is a milter written with emersion/go-milter. It knows nothing of
// milterkit, and has a socket of its own.
type tagger struct {
	milter.NoOpMilter
	subject string
}

func (t *tagger) Header(name, value string, _ *milter.Modifier) (milter.Response, error) {
	if strings.EqualFold(name, "Subject") {
		t.subject = value
	}
	return milter.RespContinue, nil
}

func (t *tagger) Body(m *milter.Modifier) (milter.Response, error) {
	time.Sleep(demoWork)
	switch {
	case strings.Contains(t.subject, "invoice"):
		return milter.RespContinue, m.Quarantine("an invoice, to be looked at")
	case strings.HasPrefix(t.subject, "newsletter"):
		return milter.RespContinue, m.ChangeHeader(1, "Subject", "[list] "+t.subject)
	}
	return milter.RespContinue, nil
}

// A demoChain is the chain of the demo, with what runs on sockets.
type demoChain struct {
	slots []milterkit.Slot

	log     *slog.Logger
	quota   *miltertest.Filter
	tagger  net.Listener
	remotes []*remote.Milter
	running sync.WaitGroup
}

// newDemoChain starts the milters that have sockets, in dir, and puts all
// children in their order.
func newDemoChain(dir string, log *slog.Logger) (*demoChain, error) {
	c := &demoChain{log: log, quota: &miltertest.Filter{Script: miltertest.Script{On: map[byte][]miltertest.Answer{
		wire.CmdMail: {{If: "busy@", Text: "451 4.7.1 you have sent enough for now"}},
	}}}}
	quota, err := c.quota.Start("unix", filepath.Join(dir, "quota.sock"))
	if err != nil {
		return nil, err
	}
	if c.tagger, err = net.Listen("unix", filepath.Join(dir, "tagger.sock")); err != nil {
		c.close()
		return nil, err
	}
	server := &milter.Server{
		NewMilter: func() milter.Milter { return &tagger{} },
		Actions:   milter.OptChangeHeader | milter.OptQuarantine,
	}
	c.running.Go(func() { server.Serve(c.tagger) }) // ends when the listener is closed
	c.slots = []milterkit.Slot{
		{Child: subjectFilter{}},
		{Child: milterkit.OnRcpt("recipients", recipientCheck)},
		{Child: c.remote("quota", quota)},
		{Child: milterkit.OnMessage("outside", markOutside), When: fromOutside},
		{Child: milterkit.OnMessage("scanner", slowScan)},
		{Child: c.remote("tagger", c.tagger.Addr().String()), Together: true},
		{Child: milterkit.OnMessage("footer", footer), When: fromOutside},
		{Child: milterkit.OnMessage("candidate", candidate), Shadow: true},
		{Child: c.remote("down", filepath.Join(dir, "nobody-listens.sock")), DefaultAction: milterkit.DefaultAccept},
	}
	return c, nil
}

// remote is a child that is reached over a unix socket.
func (c *demoChain) remote(name, path string) *remote.Milter {
	m := &remote.Milter{Label: name, Network: "unix", Addr: path, Logger: c.log}
	c.remotes = append(c.remotes, m)
	return m
}

// close ends what newDemoChain has started.
func (c *demoChain) close() {
	for _, m := range c.remotes {
		m.Close()
	}
	c.quota.Close()
	if c.tagger != nil {
		// Not the Server's Close: it reads what Serve writes, unsynchronised.
		c.tagger.Close()
	}
	c.running.Wait()
}

// demoDrawing is the chain, as newDemoChain builds it.
const demoDrawing = `
   the mail server, which this program plays
     │  one socket
   milterkit
     ├─ 1  subject     native   refuses a message by its subject
     ├─ 2  recipients  native   refuses recipients that do not exist
     ├─ 3  quota       remote   puts a sender off who sends too much
     ├─ 4  outside     native   marks mail from outside      when: not authenticated
     ├┬ 5  scanner     native   takes 60 ms, adds a field    ┐ together: at the same time,
     │└ 6  tagger      remote   takes 60 ms, changes one     ┘ on the same message
     ├─ 7  footer      native   adds a line to the body      when: not authenticated
     ├─ 8  candidate   native   would refuse everything      shadow: only logged
     └─ 9  down        remote   nobody listens there         default_action: accept

   native: a Go function in this process.  remote: any milter, on its own socket.
   tagger is written with emersion/go-milter, and knows nothing of milterkit.
`
