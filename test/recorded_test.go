package test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// recordedRoutes are the two ways to the recorders.
var recordedRoutes = []route{{name: "direct", direct: true}, {name: "behind"}}

// A recordedChain is what stands behind two listeners of Postfix's: recorders
// that it asks itself, and the same behind milterkit.
type recordedChain struct {
	name     string
	scripts  []miltertest.Script
	settings []string // of the listeners

	// talks are the dialogues that are had with it.
	talks []recordedTalk

	// offers are what Postfix and milterkit offer, in place of version 6 with
	// all there is.
	offers map[string]string // by the route

	// never are commands that the milters must not be told.
	never []byte

	// allow, where it is set, takes out of a record, before it is compared,
	// what is meant to be otherwise on that route.
	allow func(route, *record)
}

// fullOffer is what an MTA offers that speaks all of version 6.
const fullOffer = "negotiate version=6 actions=0x1ff steps=0x1fffff"

// recordedTalk is a dialogue, and what each milter must be told of it.
type recordedTalk struct {
	name string

	// talk is the dialogue, after the greeting, by a client that calls itself
	// helo. QUIT is added.
	talk func(c *smtpclient.Client, helo string)

	// sessions are how many the milters have of it; 0 is 1.
	sessions int

	// replies are some that the client must get, by the beginnings of the
	// commands.
	replies map[string]string

	// told are entries that the first milter's record must have, in order. HELO
	// stands for the client's name.
	told []string

	// mails are the recipients of each message that was delivered.
	mails [][]string

	// logged is in each of milterkit's lines about a message.
	logged string

	// check, where it is set, looks at the outcome.
	check func(*testing.T, *recordedOutcome)
}

// recorders is the stack of the tests that record.
type recorders struct {
	postfix *stack.Postfix
	kits    map[string]*stack.Milterkit // by the listener in front of them
	filters map[string][]*recorder
}

// recordedMailboxes are the users of example.test that the recorders know.
var recordedMailboxes = []string{"bob", "carol", "dave", "refused-one", "later-one", "declined-one", "δοκιμή", "refused-δύο"}

// startRecorders starts Postfix with two listeners for each chain, and the
// recorders and milterkits behind them.
func startRecorders(t *testing.T, chains []recordedChain) *recorders {
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
	rs := &recorders{
		postfix: &stack.Postfix{Root: root, Mailboxes: recordedMailboxes},
		kits:    make(map[string]*stack.Milterkit),
		filters: make(map[string][]*recorder),
	}
	components := []stack.Component{rs.postfix}
	for _, c := range chains {
		for _, r := range recordedRoutes {
			l := stack.Listener{Name: c.name + "/" + r.name, Settings: c.settings}
			kit := &stack.Milterkit{Root: root, Binary: b.binary, Name: "kit-" + c.name}
			for i, script := range c.scripts {
				f := startRecorder(t, root, fmt.Sprintf("%s-%s-%d", c.name, r.name, i), script)
				rs.filters[l.Name] = append(rs.filters[l.Name], f)
				l.Milters = append(l.Milters, "unix:"+f.socket)
				kit.Children = append(kit.Children, stack.Child{Name: fmt.Sprintf("recorder%d", i), Socket: "unix:" + f.socket})
			}
			if !r.direct {
				l.Milters = []string{kit.Socket()}
				rs.kits[l.Name] = kit
				components = append(components, kit)
			}
			rs.postfix.Listeners = append(rs.postfix.Listeners, l)
		}
	}
	t.Cleanup(func() {
		for _, kit := range rs.kits {
			wantNoTrouble(t, kit)
		}
		if err := stack.Stop(components...); err != nil {
			t.Error(err)
		}
	})
	if err := stack.Start(components...); err != nil {
		t.Fatal(err)
	}
	for listener := range rs.kits {
		for _, f := range rs.filters[listener] {
			f.awaitProbe(t)
		}
	}
	return rs
}

// recordedOutcome is all that came of a dialogue on one route.
type recordedOutcome struct {
	dialogue []smtpclient.Exchange
	records  [][]*record    // of each milter's sessions
	mails    []recordedMail // in the order of their queue ids
}

// recordedMail is what became of one message that was begun.
type recordedMail struct {
	fate   stack.Fate
	copies []stack.Copy
}

// run has the dialogues of all chains, on both routes.
func (rs *recorders) run(t *testing.T, chains []recordedChain) {
	for _, c := range chains {
		for _, talk := range c.talks {
			t.Run(c.name+"/"+talk.name, func(t *testing.T) {
				t.Parallel()
				var outcomes []*recordedOutcome
				for _, r := range recordedRoutes {
					o := rs.play(t, c, r, talk)
					c.expect(t, r, talk, o)
					outcomes = append(outcomes, o)
				}
				sameRecorded(t, c, outcomes[0], outcomes[1])
			})
		}
	}
}

// play has a dialogue on one route.
func (rs *recorders) play(t *testing.T, c recordedChain, r route, talk recordedTalk) *recordedOutcome {
	t.Helper()
	listener := c.name + "/" + r.name
	helo := talk.helo(c)
	smtp, err := smtpclient.Dial(rs.postfix.Addr(listener))
	if err != nil {
		t.Fatal(err)
	}
	defer smtp.Close()
	talk.talk(smtp, helo)
	smtp.Quit()
	o := &recordedOutcome{dialogue: slices.Clone(smtp.Exchanges)}
	t.Cleanup(func() { rs.explain(t, listener, helo, o) })
	for i, f := range rs.filters[listener] {
		o.records = append(o.records, sessionsOf(t, f, helo, max(talk.sessions, 1), smtp.Port()))
		if i == 0 {
			rs.settle(t, o)
		}
	}
	if kit := rs.kits[listener]; kit != nil {
		wantLogged(t, kit, helo, talk.logged, o.records[0])
	}
	return o
}

// helo is what the client calls itself, by which all records of the dialogue are
// found.
func (talk recordedTalk) helo(c recordedChain) string {
	return "case-" + talk.name + "." + c.name + ".example.org"
}

// sessionsOf are the sessions that a milter had with a client, n of them.
func sessionsOf(t *testing.T, f *recorder, helo string, n, port int) []*record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	sessions, err := f.await(ctx, helo, n)
	if err != nil || len(sessions) != n {
		t.Errorf("the milter had %d sessions that it was told are over, want %d: %v", len(sessions), n, err)
	}
	var records []*record
	for _, s := range sessions {
		rec, err := s.read(port)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rec)
	}
	return records
}

// settle waits for the end of all messages that were begun.
func (rs *recorders) settle(t *testing.T, o *recordedOutcome) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deliveryLimit)
	defer cancel()
	var ids []string
	for _, rec := range o.records[0] {
		ids = append(ids, rec.queueIDs...)
	}
	for _, id := range ids {
		fate, copies, err := rs.postfix.Await(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		for i := range copies {
			copies[i].Content = []byte(normalText(string(copies[i].Content), ids))
		}
		o.mails = append(o.mails, recordedMail{fate, copies})
	}
	for i, e := range o.dialogue {
		o.dialogue[i].Reply = smtpclient.Reply{Lines: strings.Split(normalText(e.Reply.String(), ids), "\n")}
	}
}

// explain adds to a failed test what there is to know.
func (rs *recorders) explain(t *testing.T, listener, helo string, o *recordedOutcome) {
	if !t.Failed() {
		return
	}
	t.Logf("the dialogue on %s:\n%s", listener, &outcome{dialogue: o.dialogue})
	if kit := rs.kits[listener]; kit != nil {
		lines, err := kit.LogOf(helo)
		t.Logf("%s\n%v", strings.Join(lines, "\n"), err)
	}
}

// wantLogged checks that milterkit has written just its one line for each message
// of these sessions: the lines with a text, in which there is to be another one.
func wantLogged(t *testing.T, kit *stack.Milterkit, text, logged string, sessions []*record) {
	t.Helper()
	begun := 0
	for _, rec := range sessions {
		for _, e := range rec.entries {
			if e.cmd == wire.CmdMail {
				begun++
			}
		}
	}
	lines, err := kit.LogOf(text)
	if err != nil || len(lines) != begun {
		t.Errorf("milterkit has logged %d messages, want %d: %v\n%s", len(lines), begun, err, strings.Join(lines, "\n"))
	}
	for _, line := range lines {
		if !strings.Contains(line, " msg=message ") || !strings.Contains(line, logged) {
			t.Errorf("milterkit has logged no message with %q: %s", logged, line)
		}
	}
}

// wantNoTrouble checks that milterkit saw nothing wrong with either end.
func wantNoTrouble(t *testing.T, kit *stack.Milterkit) {
	t.Helper()
	for _, what := range []string{"MTA connection ended", "milter failed", "milter is down", "level=ERROR"} {
		if lines, err := kit.LogOf(what); err != nil || len(lines) > 0 {
			t.Errorf("milterkit has logged, %v:\n%s", err, strings.Join(lines, "\n"))
		}
	}
}

// expect checks what must come of a dialogue.
func (c recordedChain) expect(t *testing.T, r route, talk recordedTalk, o *recordedOutcome) {
	t.Helper()
	for prefix, want := range talk.replies {
		if got := (&outcome{dialogue: o.dialogue}).replyTo(t, prefix, 0); got != want {
			t.Errorf("reply to %s: %q, want %q", prefix, got, want)
		}
	}
	var all []entry
	for _, rec := range o.records[0] {
		all = append(all, rec.entries...)
		if want := cmp.Or(c.offers[r.name], fullOffer); rec.entries[0].String() != want {
			t.Errorf("%s, want %s", rec.entries[0], want)
		}
		for _, e := range rec.entries {
			if slices.Contains(c.never, e.cmd) {
				t.Errorf("the milter was told %q", e)
			}
		}
	}
	told := slices.Clone(talk.told)
	for i := range told {
		told[i] = strings.ReplaceAll(told[i], "HELO", talk.helo(c))
	}
	wantEntries(t, &record{entries: all}, told...)
	var mails [][]string
	for _, m := range o.mails {
		if len(m.copies) == 0 {
			continue
		}
		var to []string
		for _, c := range m.copies {
			to = append(to, c.To)
		}
		mails = append(mails, to)
	}
	if !slices.EqualFunc(mails, talk.mails, slices.Equal) {
		t.Errorf("messages went to %v, want %v", mails, talk.mails)
	}
	if talk.check != nil {
		talk.check(t, o)
	}
}

// sameRecorded reports where something else came of a dialogue behind milterkit
// than directly.
func sameRecorded(t *testing.T, c recordedChain, direct, behind *recordedOutcome) {
	t.Helper()
	d, b := (&outcome{dialogue: direct.dialogue}).String(), (&outcome{dialogue: behind.dialogue}).String()
	if d != b {
		t.Errorf("the dialogue directly:\n%s\nbehind milterkit:\n%s", d, b)
	}
	for i, records := range direct.records {
		if len(records) != len(behind.records[i]) {
			continue // which has been reported
		}
		for j, rec := range records {
			if c.allow != nil {
				c.allow(recordedRoutes[0], rec)
				c.allow(recordedRoutes[1], behind.records[i][j])
			}
			sameRecord(t, rec, behind.records[i][j], c.scripts[i], c.scripts)
		}
	}
	for i, m := range direct.mails {
		if i >= len(behind.mails) || m.fate != behind.mails[i].fate || len(m.copies) != len(behind.mails[i].copies) {
			t.Errorf("message %d was %s directly, behind milterkit all were %v", i, m.fate, behind.mails)
			continue
		}
		for j, c := range m.copies {
			sameCopy(t, c, behind.mails[i].copies[j])
		}
	}
}

// ---- the milters ----

// answersTo is what a recorder says to recipients: those who are refused by
// name, and any whose name begins with word.
func answersTo(word string) map[byte][]miltertest.Answer {
	return map[byte][]miltertest.Answer{wire.CmdRcpt: {
		{If: "<refused-", Text: "550 5.1.1 we do not know them"},
		{If: "<later-", Text: "451-4.7.1 not now\r\n451 4.7.1 but later"},
		{If: "<" + word, Verdict: miltertest.Reject},
	}}
}

// withEdits adds edits to what a recorder does.
func withEdits(s miltertest.Script, edits ...miltertest.Edit) miltertest.Script {
	s.On[wire.CmdEOM] = []miltertest.Answer{{Edits: edits}}
	return s
}

// plainScript is a milter that asks for nothing.
func plainScript() miltertest.Script {
	return withEdits(miltertest.Script{On: answersTo("nobody-")},
		miltertest.AddHeader("X-Plain", "added"), miltertest.ChangeHeader(1, "Subject", "changed"), miltertest.InsertHeader(1, "X-In", "inserted"))
}

// fullScript is a milter that asks for all that there is.
func fullScript() miltertest.Script {
	s := miltertest.Script{
		Steps: wire.LeadingSpace | wire.CanSkip | wire.RefusedRcpts,
		Macros: []wire.MacroList{
			{Stage: wire.StageConnect, Names: []string{"{client_ptr}", "{client_name}", "j", "{client_addr}", "{client_port}", "_", "{daemon_name}", "v", "{nonsense}"}},
			{Stage: wire.StageHelo, Names: []string{"{cert_issuer}", "{cert_subject}", "{tls_version}", "{cipher}", "{cipher_bits}"}},
			{Stage: wire.StageMail, Names: []string{"{mail_addr}", "{auth_authen}", "{auth_type}", "{auth_author}", "{client_addr}", "i"}},
			{Stage: wire.StageRcpt, Names: []string{"{rcpt_addr}", "{mail_addr}", "{rcpt_mailer}", "i", "{rcpt_host}"}},
			{Stage: wire.StageData, Names: []string{"i", "{auth_authen}", "{rcpt_addr}"}},
			{Stage: wire.StageEOH, Names: []string{"{mail_addr}", "i"}},
			{Stage: wire.StageEOM, Names: []string{"i", "{client_addr}", "{mail_addr}"}},
		},
		On: answersTo("declined-"),
	}
	// It has seen enough of a long body when it has seen some.
	s.On[wire.CmdBody] = []miltertest.Answer{{If: "bytes, sha256", Verdict: miltertest.Skip}}
	return withEdits(s, miltertest.InsertHeader(0, "X-Full", " with its space"), miltertest.AddHeader("X-Tight", "without"))
}

// oldScript is a milter that speaks version 2.
func oldScript() miltertest.Script {
	s := plainScript()
	s.Version = 2
	return s
}

// scriptsOf makes one script for each milter.
func scriptsOf(makers ...func() miltertest.Script) []miltertest.Script {
	var list []miltertest.Script
	for _, make := range makers {
		list = append(list, make())
	}
	return list
}
