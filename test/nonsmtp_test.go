package test

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
	"github.com/milterkit/sdk/test/stack"
)

// TestNonSMTP posts mail by the sendmail command, which Postfix shows to its
// non_smtpd_milters: two recorders, directly and behind milterkit. They are told
// the same, and the same becomes of the mail.
func TestNonSMTP(t *testing.T) {
	for _, c := range []recordedChain{
		{name: "protocol-6", scripts: scriptsOf(plainScript, fullScript)},
		{name: "protocol-2", scripts: scriptsOf(plainScript, fullScript), settings: []string{"milter_protocol = 2"}, allow: oldMTA,
			offers: map[string]string{"direct": "negotiate version=2 actions=0x1ff steps=0x7f"}, never: []byte{wire.CmdData}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			direct, behind := startPosting(t, c, recordedRoutes[0]), startPosting(t, c, recordedRoutes[1])
			for _, p := range postings() {
				t.Run(p.name, func(t *testing.T) {
					b := behind.post(t, p)
					c.expect(t, recordedRoutes[1], p.recordedTalk, b)
					if p.departs {
						return
					}
					d := direct.post(t, p)
					c.expect(t, recordedRoutes[0], p.recordedTalk, d)
					if p.ahead {
						d.records, b.records = nil, nil
					}
					sameRecorded(t, c, d, b)
				})
			}
		})
	}
}

// A posting is a message that does not come by SMTP, and what must come of it.
type posting struct {
	recordedTalk

	script  miltertest.Script // of the first milter
	message string            // in place of one with a header; lines end as Unix has them
	from    string            // in place of the sender

	returned string // what the sender is told, when the message is sent back
	departs  bool   // milterkit is meant to differ from Postfix
	ahead    bool   // what milterkit sends before it has an answer is not compared
	stays    bool   // where it was posted, until the milter has nothing against it
}

// toldClient is in each session of a message, and not in those with which
// milterkit looks whether a milter is there.
const toldClient = "localhost"

// sender has a mailbox, for what is sent back.
const sender = "sender@example.test"

func postings() []posting {
	told := []string{
		"connect localhost 4 127.0.0.1 0 | j=mx.example.test", "helo localhost", "mail sender@example.test | i=QUEUE-ID {mail_addr}=sender@example.test",
		"rcpt bob@example.test | i=QUEUE-ID {rcpt_addr}=bob@example.test", "rcpt carol@example.test | i=QUEUE-ID",
		`header To "bob@example.test,\n\tcarol@example.test"`, "eoh", `body "Hello.\r\n"`, "eom | i=QUEUE-ID", "abort", "quit",
	}
	talk := func(name string, told []string, mails ...[]string) recordedTalk {
		return recordedTalk{name: name, told: told, mails: mails}
	}
	both, back := []string{bob, carol}, []string{sender}
	edits := atEnd(miltertest.ChangeSender("<changed@example.org>"), miltertest.DeleteRecipient("<bob@example.test>"),
		miltertest.AddRecipient("<dave@example.test>"), miltertest.DeleteHeader(1, "To"), miltertest.InsertHeader(0, "X-Top", "top"),
		miltertest.ReplaceBody("Another body.\r\n"))
	to := func(cmd byte, a miltertest.Answer) miltertest.Script { return on(cmd, a) }
	reject, tempfail := miltertest.Answer{Verdict: miltertest.Reject}, miltertest.Answer{Verdict: miltertest.TempFail}
	return []posting{
		{recordedTalk: talk("edited-header", told, both), script: plainScript()},
		{recordedTalk: talk("edited-all", told, []string{carol, "dave@example.test"}), script: edits},
		{recordedTalk: talk("bare", []string{"header Message-Id <QUEUE-ID@mx.example.test>", "header Date DATE", "eoh"}, both),
			script: plainScript(), message: "Subject: bare\n\nHello.\n"},
		{recordedTalk: talk("empty", []string{"rcpt carol@example.test", "header Date DATE", "eoh", "eom"}, both), script: plainScript(), message: "\n"},
		{recordedTalk: talk("null-sender", []string{`mail "" | i=QUEUE-ID`, "rcpt bob@example.test", "eom"}, both), script: plainScript(), from: "<>"},
		{recordedTalk: talk("accepted", told[:4], both), script: to(wire.CmdRcpt, miltertest.Answer{Verdict: miltertest.Accept})},
		// The milters after it are asked too.
		{recordedTalk: talk("quarantined", told, []string{"recipient " + bob + ", recipient " + carol + ", sender " + sender}),
			script: atEnd(miltertest.Quarantine("for a look")), departs: true},
		{recordedTalk: talk("discarded", told), script: to(wire.CmdEOM, miltertest.Answer{Verdict: miltertest.Discard})},
		{recordedTalk: talk("discarded-at-mail", told[:3]), script: to(wire.CmdMail, miltertest.Answer{Verdict: miltertest.Discard})},
		{recordedTalk: talk("rejected", told, back), script: to(wire.CmdEOM, reject), returned: "Command rejected"},
		{recordedTalk: talk("replied", told, back), script: to(wire.CmdEOM, miltertest.Answer{Text: "554 5.7.9 not 100% welcome"}), returned: "not 100% welcome"},
		{recordedTalk: talk("rejected-at-connect", told[:1], back), script: to(wire.CmdConnect, reject), returned: "Command rejected"},
		{recordedTalk: talk("rejected-at-mail", told[:3], back), script: to(wire.CmdMail, reject), returned: "Command rejected"},
		{recordedTalk: talk("rejected-at-a-header", told[:6], back), returned: "no such letters", ahead: true,
			script: to(wire.CmdHeader, miltertest.Answer{If: "To:", Text: "550 5.6.0 no such letters"})},
		{recordedTalk: talk("tempfailed", told, both), stays: true, script: to(wire.CmdEOM, tempfail)},
		{recordedTalk: talk("replied-for-now", told, both), stays: true, script: to(wire.CmdEOM, miltertest.Answer{Text: "451 4.7.1 in a while"})},
		{recordedTalk: talk("tempfailed-at-mail", told[:3], both), stays: true, script: to(wire.CmdMail, tempfail)},
		// To Postfix a milter is configured wrongly that refuses one of the
		// recipients where there is no client to be told.
		{recordedTalk: talk("recipient-rejected", told[:5], both), stays: true,
			script: to(wire.CmdRcpt, miltertest.Answer{If: "carol", Verdict: miltertest.Reject})},
	}
}

// postingStack is a Postfix whose cleanup asks recorders, or milterkit before
// them.
type postingStack struct {
	recorders
	filters  []*recorder
	kit      *stack.Milterkit
	returned int // messages so far that were sent back
}

func startPosting(t *testing.T, c recordedChain, r route) *postingStack {
	t.Helper()
	b := start(t)
	if b.kitErr != nil {
		t.Fatal(b.kitErr)
	}
	root, err := stack.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Remove() })
	s := &postingStack{}
	kit := &stack.Milterkit{Root: root, Binary: b.binary, Name: "kit"}
	var sockets []string
	for i, script := range c.scripts {
		f := startRecorder(t, root, fmt.Sprint("recorder", i), script)
		s.filters = append(s.filters, f)
		sockets = append(sockets, "unix:"+f.socket)
		kit.Children = append(kit.Children, stack.Child{Name: fmt.Sprint("recorder", i), Socket: "unix:" + f.socket})
	}
	s.postfix = &stack.Postfix{Root: root, Mailboxes: []string{"bob", "carol", "dave", "sender"}}
	components := []stack.Component{s.postfix}
	if !r.direct {
		s.kit, sockets = kit, []string{kit.Socket()}
		components = append(components, kit)
	}
	s.postfix.Cleanup = append([]string{"non_smtpd_milters = " + strings.Join(sockets, ", ")}, c.settings...)
	t.Cleanup(func() {
		if s.kit != nil {
			wantNoTrouble(t, s.kit)
		}
		if err := stack.Stop(components...); err != nil {
			t.Error(err)
		}
	})
	if err := stack.Start(components...); err != nil {
		t.Fatal(err)
	}
	if s.kit != nil {
		for _, f := range s.filters {
			f.awaitProbe(t)
		}
	}
	return s
}

// post posts a message and waits for what comes of it.
func (s *postingStack) post(t *testing.T, p posting) *recordedOutcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deliveryLimit)
	defer cancel()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	message := p.message
	if message == "" {
		message = "From: Sender <" + sender + ">\nTo: bob@example.test,\n\tcarol@example.test\nSubject: " + p.name +
			"\nDate: " + date + "\nMessage-Id: <" + p.name + "@example.test>\n\nHello.\n"
	}
	var before []int // how many sessions each milter has had
	for _, f := range s.filters {
		sessions, err := f.await(ctx, toldClient, 0)
		check(err)
		before = append(before, len(sessions))
	}
	first := s.filters[0]
	first.play(p.script)
	check(s.postfix.Post(ctx, cmp.Or(p.from, sender), []byte(message), bob, carol))
	_, err := first.await(ctx, toldClient, before[0]+1)
	check(err)
	if p.stays {
		first.play(miltertest.Script{})
		check(s.postfix.Collect())
	}
	check(s.postfix.AwaitCollected(ctx))
	o := &recordedOutcome{}
	for i, f := range s.filters {
		sessions, err := f.await(ctx, toldClient, before[i])
		check(err)
		o.records = append(o.records, p.recordsOf(t, sessions[before[i]:]))
	}
	s.settle(t, o)
	if s.kit != nil {
		for _, rec := range o.records[0] {
			for _, id := range rec.queueIDs {
				wantLogged(t, s.kit, "queue_id="+id, "", []*record{rec})
			}
		}
	}
	if p.returned != "" {
		s.addNotice(t, ctx, p, o)
	}
	return o
}

// recordsOf reads a milter's sessions; of a message that has stayed for a while,
// which Postfix may have tried any number of times, the first one and the one
// that let it go.
func (p posting) recordsOf(t *testing.T, sessions []*recorded) []*record {
	t.Helper()
	want := 1
	if p.stays && len(sessions) > 1 {
		want, sessions = 2, []*recorded{sessions[0], sessions[len(sessions)-1]}
	}
	if len(sessions) > want {
		t.Errorf("the milter had %d sessions, want %d", len(sessions), want)
	}
	var records []*record
	for _, s := range sessions {
		rec, err := s.read(0)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rec)
	}
	return records
}

// addNotice adds what the sender gets when the message is sent back.
func (s *postingStack) addNotice(t *testing.T, ctx context.Context, p posting, o *recordedOutcome) {
	t.Helper()
	s.returned++
	id, notice, err := s.postfix.AwaitReturned(ctx, s.returned)
	if err != nil {
		t.Fatal(err)
	}
	fate, copies, err := s.postfix.Await(ctx, notice)
	if err != nil {
		t.Fatal(err)
	}
	for i := range copies {
		wantText(t, string(copies[i].Content), p.returned)
		copies[i].Content = []byte(normalText(string(copies[i].Content), []string{id, notice}))
	}
	o.mails = append(o.mails, recordedMail{fate, copies})
}
