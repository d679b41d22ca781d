package test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

var reloadMessages = flag.Int("reload-messages", 200, "how many messages TestNoMessageIsLostOverReloads sends")

// What happens to the daemon while they are sent, evenly spread.
const (
	reloads  = 20
	restarts = 3
)

// addReloaded adds a milterkit that a test changes while mail comes.
func (b *bench) addReloaded(verifier stack.Child) {
	b.reloaded = &stack.Milterkit{Root: b.root, Name: "kit-reloaded"}
	b.reloaded.Server = fmt.Sprintf("status = %q\njournal = %q\n", "unix:"+b.root.Path("kit-reloaded", "status"), b.root.Path("kit-reloaded", "journal.db"))
	b.reloaded.Children = []stack.Child{verifier}
	b.postfix.Listeners = append(b.postfix.Listeners, stack.Listener{Name: "reloaded/behind", Milters: []string{b.reloaded.Socket()}})
}

// generation has the n-th configuration refuse with a text of its own what it is to
// refuse; the other milters and their order change too.
func (b *bench) generation(n int, verifier stack.Child) {
	gate := stack.Child{Name: "gate", Use: "headers", Options: fmt.Sprintf(
		"[[milter.options.rule]]\nheader = \"Subject\"\nmatch = \"^refuse\"\naction = \"reject\"\ntext = \"5.7.1 gate %d\"\n", n)}
	extra := stack.Child{Name: fmt.Sprintf("extra-%d", n), Use: "headers", Options: "[[milter.options.rule]]\nheader = \"X-None\"\naction = \"remove\"\n"}
	chains := [][]stack.Child{{gate, verifier}, {verifier, gate, extra}, {extra, gate}}
	b.reloaded.Children = chains[n%len(chains)]
}

// TestNoMessageIsLostOverReloads sends messages, several in each session, while the
// configuration is loaded again 20 times and the program is replaced 3 times: each is
// delivered or refused, as every one of the configurations has it, and none is put off.
func TestNoMessageIsLostOverReloads(t *testing.T) {
	b := start(t)
	if b.kitErr != nil {
		t.Fatal(b.kitErr)
	}
	verifier := b.reloaded.Children[0]
	path := b.root.Path("bin-replaced")
	if err := b.binary.Install(path); err != nil {
		t.Fatal(err)
	}
	b.reloaded.Binary = b.binary.Installed(path)
	b.generation(0, verifier)
	if err := b.reloaded.Start(); err != nil {
		t.Fatal(err)
	}
	processes := 1
	defer func() {
		if err := b.reloaded.StopAll(processes); err != nil {
			t.Error(err)
		}
	}()

	began := time.Now()
	m := &reloadedMail{t: t, b: b, refusals: make(map[string]int)}
	var clients sync.WaitGroup
	for range 6 {
		clients.Go(m.client)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	const changes = reloads + restarts
	for i := range changes {
		m.allowed.Store(int64(*reloadMessages * (i + 2) / (changes + 1))) // so that some come meanwhile
		for int(m.sent.Load()) < *reloadMessages*i/(changes+1) && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		command := "reload"
		if i%(reloads/restarts+1) == reloads/restarts {
			command = "restart"
			processes++
			if err := b.binary.Install(path); err != nil {
				t.Fatal(err)
			}
		}
		b.generation(i+1, verifier)
		if err := b.reloaded.Configure(); err != nil {
			t.Fatal(err)
		}
		if out, err := b.reloaded.Binary.Output(ctx, command, "--config", b.reloaded.ConfigFile()); err != nil {
			t.Fatalf("%v\n%s\n%s", err, out, b.reloaded.Log())
		}
	}
	clients.Wait()
	m.settle(ctx)
	if processes != restarts+1 {
		t.Errorf("%d processes, want %d", processes, restarts+1)
	}
	t.Logf("%d messages in %d sessions: %d delivered, %d refused by %d configurations, %d put off; %d reloads, %d restarts, %v",
		m.delivered+m.refused, m.sessions.Load(), m.delivered, m.refused, len(m.refusals), m.putOff, reloads, restarts, time.Since(began).Round(time.Millisecond))
	if m.delivered+m.refused != *reloadMessages || len(m.refusals) < changes/4 {
		t.Errorf("%d messages were delivered and %d refused, by %d configurations", m.delivered, m.refused, len(m.refusals))
	}
}

// reloadedMail is the mail that is sent, and what becomes of it.
type reloadedMail struct {
	t        *testing.T
	b        *bench
	allowed  atomic.Int64 // so many may be sent by now
	begun    atomic.Int64
	sent     atomic.Int64
	sessions atomic.Int64

	mu                         sync.Mutex
	ids                        []string
	refusals                   map[string]int // by the text
	delivered, refused, putOff int
}

// client sends until all is sent: seven messages a session.
func (m *reloadedMail) client() {
	for !m.t.Failed() {
		c, err := smtpclient.Dial(m.b.postfix.Addr("reloaded/behind"))
		if err != nil {
			m.t.Error(err)
			return
		}
		m.sessions.Add(1)
		c.Ehlo(client)
		for range 7 {
			n := m.begun.Add(1)
			if int(n) > *reloadMessages {
				c.Quit()
				c.Close()
				return
			}
			for n > m.allowed.Load() && !m.t.Failed() {
				time.Sleep(time.Millisecond)
			}
			m.send(c, n)
			m.sent.Add(1)
		}
		c.Quit()
		c.Close()
	}
}

// send sends the n-th message, of which every third is to be refused.
func (m *reloadedMail) send(c *smtpclient.Client, n int64) {
	subject := fmt.Sprintf("pass %d", n)
	if n%3 == 0 {
		subject = fmt.Sprintf("refuse %d", n)
	}
	mail, rcpt := c.Mail(alice), c.Rcpt(bob)
	r := c.Data(letter(subject, "", "Hello."))
	m.mu.Lock()
	defer m.mu.Unlock()
	switch id := queuedAs.FindStringSubmatch(r.String()); {
	case n%3 == 0 && strings.HasPrefix(r.String(), "550 5.7.1 gate "):
		m.refused++
		m.refusals[r.String()]++
	case n%3 != 0 && id != nil:
		m.ids = append(m.ids, id[1])
	default:
		m.putOff++
		m.t.Errorf("message %d: MAIL %s, RCPT %s, end %s", n, mail, rcpt, r)
	}
}

// settle waits until what was taken is delivered.
func (m *reloadedMail) settle(ctx context.Context) {
	for _, id := range m.ids {
		switch fate, copies, err := m.b.postfix.Await(ctx, id); {
		case err != nil || fate != stack.Delivered || len(copies) != 1:
			m.t.Errorf("%s: %s, %d copies, %v", id, fate, len(copies), err)
		default:
			m.delivered++
		}
	}
}
