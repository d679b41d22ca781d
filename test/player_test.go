package test

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// playerScripts are filters that Postfix and miltertest's Player are both sent
// to: what the filter sees, and what becomes of the message, must be the same.
var playerScripts = map[string]miltertest.Script{
	"plain": {},
	"steps": {Steps: wire.NoHelo | wire.NoEOH | wire.NoBody | wire.NoData | wire.LeadingSpace | wire.NoReplyHeader},
	"skip": {Steps: wire.CanSkip, On: map[byte][]miltertest.Answer{
		wire.CmdBody: {{Verdict: miltertest.Skip}},
		wire.CmdRcpt: {{If: "carol", Text: "550 5.1.1 100% no"}},
	}},
	"skip early": {Steps: wire.CanSkip, On: map[byte][]miltertest.Answer{
		wire.CmdHeader: {{Verdict: miltertest.Skip}},
		wire.CmdRcpt:   {{Verdict: miltertest.Skip}},
	}},
	"macro lists": {Macros: []wire.MacroList{
		{Stage: wire.StageConnect, Names: []string{"{client_addr}", "j", "{mail_addr}"}},
		{Stage: wire.StageData, Names: []string{"{mail_addr}", "{rcpt_addr}", "i", "{client_addr}"}},
		{Stage: wire.StageEOM, Names: []string{"i", "{mail_addr}", "{rcpt_addr}", "{client_name}"}},
	}},
	"accept at connect": on(wire.CmdConnect, miltertest.Answer{Verdict: miltertest.Accept}),
	"reject at helo":    on(wire.CmdHelo, miltertest.Answer{Verdict: miltertest.Reject}),
	"reject at mail":    on(wire.CmdMail, miltertest.Answer{Message: 1, Verdict: miltertest.Reject}),
	"accept at rcpt":    on(wire.CmdRcpt, miltertest.Answer{Message: 1, Verdict: miltertest.Accept}),
	"all rcpts refused": on(wire.CmdRcpt, miltertest.Answer{Verdict: miltertest.Reject}),
	"421 at rcpt":       on(wire.CmdRcpt, miltertest.Answer{Text: "421 4.7.0 bye"}),
	"shutdown at rcpt":  on(wire.CmdRcpt, miltertest.Answer{Verdict: miltertest.Shutdown}),
	"reject at data":    on(wire.CmdData, miltertest.Answer{Verdict: miltertest.Reject}),
	"tempfail a header": on(wire.CmdHeader, miltertest.Answer{If: "Subject", Verdict: miltertest.TempFail}),
	"discard at eoh":    on(wire.CmdEOH, miltertest.Answer{Verdict: miltertest.Discard}),
	"insert and change": atEnd(miltertest.InsertHeader(0, "X-A", "1"), miltertest.InsertHeader(1, "X-B", "2"),
		miltertest.ChangeHeader(1, "Received", "changed"), miltertest.AddHeader("X-C", "3"), miltertest.ChangeHeader(1, "X-C", "4")),
	"delete and append": atEnd(miltertest.DeleteHeader(1, "X-D"), miltertest.DeleteHeader(1, "X-D"),
		miltertest.ChangeHeader(5, "X-New", "appended"), miltertest.ChangeHeader(0, "subject", "zero"),
		miltertest.InsertHeader(2, "X-Two", "2"), miltertest.InsertHeader(99, "X-Far", "f"), miltertest.AddHeader("X-Fold", "a\n b")),
	"insert a name twice": atEnd(miltertest.InsertHeader(0, "X-D", "top"), miltertest.ChangeHeader(1, "X-D", "which"),
		miltertest.DeleteHeader(2, "X-D"), miltertest.AddHeader("X-E", "")),
	"insert and delete": atEnd(miltertest.InsertHeader(0, "X-D", "top"), miltertest.DeleteHeader(1, "X-D"), miltertest.InsertHeader(1, "X-Z", "where")),
	"insert at the end": atEnd(miltertest.AddHeader("X-1", "1"), miltertest.InsertHeader(99, "X-2", "2"), miltertest.InsertHeader(13, "X-3", "3"),
		miltertest.InsertHeader(12, "X-4", "4"), miltertest.DeleteHeader(1, "X-1"), miltertest.InsertHeader(14, "X-5", "5")),
	"new body":   atEnd(miltertest.ReplaceBody("one\ntwo\r\nthree")),
	"empty body": atEnd(miltertest.ReplaceBody("")),
	"envelope": atEnd(miltertest.DeleteRecipient("<bob@example.test>"), miltertest.AddRecipient("<dave@example.test>"),
		miltertest.ChangeSender("<new@example.org>")),
}

func on(cmd byte, a miltertest.Answer) miltertest.Script {
	return miltertest.Script{On: map[byte][]miltertest.Answer{cmd: {a}}}
}

func atEnd(e ...miltertest.Edit) miltertest.Script {
	return on(wire.CmdEOM, miltertest.Answer{Edits: e})
}

const playerMail = "From: a@example.org\nTo: bob@example.test\nSubject:  two spaces\nX-Tab:\tt\nX-D: 1\nx-d: 2\nX-D: 3\n" +
	"X-Empty:\nX-Folded: a\n\tb\n c\nDate: Mon, 23 Nov 2026 00:00:00 +0000\nMessage-Id: <1@example.org>\n\nbody\n\n.dot\nlast\n"

// TestPlayerIsLikePostfix has Postfix and miltertest's Player send the same
// messages to the same filter.
func TestPlayerIsLikePostfix(t *testing.T) {
	root, err := stack.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Remove() })
	p := &stack.Postfix{Root: root, Mailboxes: []string{"bob", "carol", "dave"}}
	filters := map[string]*miltertest.Filter{}
	for name, script := range playerScripts {
		f, addr := startFilter(t, script)
		filters[name] = f
		_, port, _ := net.SplitHostPort(addr)
		p.Listeners = append(p.Listeners, stack.Listener{Name: name, Milters: []string{"inet:127.0.0.1:" + port}})
	}
	if err := p.Start(); err != nil {
		t.Fatal(err, p.Log())
	}
	t.Cleanup(func() { p.Stop() })
	for name, script := range playerScripts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			delivered := bySMTP(t, p, name)
			seen := whatItSaw(t, filters[name])
			f, addr := startFilter(t, script)
			message := byPlayer(t, addr)
			if d := cmp.Diff(seen, whatItSaw(t, f)); d != "" {
				t.Errorf("the filter saw of Postfix (-) and of the player (+):\n%s", d)
			}
			if delivered != "" {
				if d := cmp.Diff(delivered, message); d != "" {
					t.Errorf("delivered by Postfix (-) and by the player (+):\n%s", d)
				}
			}
		})
	}
}

func startFilter(t *testing.T, s miltertest.Script) (f *miltertest.Filter, addr string) {
	t.Helper()
	f = &miltertest.Filter{Script: s}
	addr, err := f.Start("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, addr
}

var ownReceived = regexp.MustCompile(`(?s)Received: from.*?\(UTC\)`)

// bySMTP sends two messages in a session through Postfix, and returns the first
// as it is delivered, or "".
func bySMTP(t *testing.T, p *stack.Postfix, listener string) (delivered string) {
	t.Helper()
	c, err := smtpclient.Dial(p.Addr(listener))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Ehlo("me.example.org")
	for n := range 2 {
		c.Mail("a@example.org", "SIZE=500")
		c.Rcpt("bob@example.test")
		c.Rcpt("carol@example.test")
		r := c.Data([]byte(strings.ReplaceAll(playerMail, "\n", "\r\n")))
		id := queuedAs.FindStringSubmatch(r.String())
		if id == nil {
			c.Rset()
			continue
		}
		if n > 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), deliveryLimit)
		defer cancel()
		_, copies, err := p.Await(ctx, id[1])
		if err != nil {
			t.Error(err)
		}
		if len(copies) > 0 {
			_, text, _ := strings.Cut(string(copies[0].Content), "Delivered-To: ")
			_, text, _ = strings.Cut(text, "\n")
			delivered = ownReceived.ReplaceAllString(text, "Received: own")
		}
	}
	c.Quit()
	return delivered
}

// byPlayer sends the same two messages with a Player, and returns the first as
// it would be delivered.
func byPlayer(t *testing.T, addr string) string {
	t.Helper()
	mta, err := miltertest.Dial(t.Context(), "tcp", addr, miltertest.Offer{})
	if err != nil {
		t.Fatal(err)
	}
	player := &miltertest.Player{MTA: mta, Client: miltertest.Client{
		Host: "localhost", Family: wire.FamilyInet, Addr: "127.0.0.1", Port: 1, Helo: "me.example.org", MTA: "mx.example.test",
		Known: map[string]string{"mail_mailer": "discard", "rcpt_mailer": "virtual"},
	}}
	player.Open()
	first := ""
	for n := range 2 {
		m := miltertest.ParseMessage([]byte(playerMail))
		m.AddReceived(" own")
		o, err := player.Mail(miltertest.Mail{
			From: "<a@example.org>", FromArgs: []string{"SIZE=500"},
			To:      []miltertest.Recipient{{Addr: "<bob@example.test>"}, {Addr: "<carol@example.test>"}},
			Message: m, QueueID: "QID",
		})
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			first = o.Message.String()
		}
	}
	player.Close()
	return first
}

// What differs from session to session.
var (
	anyQueueID = regexp.MustCompile(`\bi=[0-9A-Za-z]+`)
	anyPort    = regexp.MustCompile(`127\.0\.0\.1 \d+`)
	anyVersion = regexp.MustCompile(`Postfix 3[.\d]*`)
)

// whatItSaw returns what the filter was sent in its first session.
func whatItSaw(t *testing.T, f *miltertest.Filter) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := f.Idle(ctx, 1); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range f.Events() {
		if e.Session != 1 {
			continue
		}
		line := anyQueueID.ReplaceAllString(e.String(), "i=QID")
		line = anyPort.ReplaceAllString(line, "127.0.0.1 PORT")
		fmt.Fprintln(&b, anyVersion.ReplaceAllString(line, "Postfix 3"))
	}
	return b.String()
}
