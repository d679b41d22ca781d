package test

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// The tests of this file have milters that insist on an answer to each field and
// each piece of the body. What comes of a message must be the same whether the
// mail server asks them, milterkit sends them the content ahead of the answers, or
// waits for each. A session has many messages, and those that a milter ends in
// their middle stand between others: a conversation that has come out of step
// shows at the next message.

// lockstep is the way with pipeline = false, and pipelines are all three.
var (
	lockstep  = route{name: "lockstep", lockstep: true}
	pipelines = []route{routes[0], routes[1], lockstep}
)

//go:embed told.py
var toldScript string

// toldName is the milter that does as the sender's address says.
const toldName = "told"

// addPipelines adds a chain for each kind of milter, and returns the one that does
// as it is told.
func (b *bench) addPipelines(real []stack.Child, pyspf, dkimpy, signer stack.Child) stack.Component {
	b.told = &stack.PythonMilter{Root: b.root, Name: toldName, Script: toldScript}
	b.addChain(chain{"verify", real[:1]}, pipelines...)
	b.addChain(chain{"sign-simple", []stack.Child{signer}}, lockstep)
	b.addChain(chain{"clamav", real[1:2]}, pipelines...)
	b.addChain(chain{"spamassassin", real[2:]}, pipelines...)
	b.addChain(chain{"python", []stack.Child{pyspf, dkimpy}}, pipelines...)
	b.addChain(chain{toldName, []stack.Child{{Name: toldName, Socket: b.told.Socket()}}}, pipelines...)
	b.addChain(chain{"go-milter", []stack.Child{b.child(firstName)}}, pipelines...)
	return b.told
}

// item is one message of a session.
type item struct {
	name    string
	from    string // alice, unless it says otherwise
	message []byte

	reply string     // to its end, or to MAIL; "": it is taken
	fate  stack.Fate // of one that is taken, "": it is delivered
	texts []string   // that it is delivered with
}

// session is a testcase with these messages in one session.
func session(name string, items []item) testcase {
	return testcase{name: name, talk: func(c *smtpclient.Client) {
		c.Ehlo(client)
		for _, it := range items {
			if c.Mail(cmp.Or(it.from, alice)).OK() && c.Rcpt(bob).OK() {
				c.Data(it.message)
			}
		}
	}, check: func(t *testing.T, o *outcome) { checkItems(t, o, items) }}
}

func checkItems(t *testing.T, o *outcome, items []item) {
	t.Helper()
	var replies []string
	for i, e := range o.dialogue {
		if e.Command == "." || strings.HasPrefix(e.Command, "MAIL") && !e.Reply.OK() {
			replies = append(replies, o.dialogue[i].Reply.String())
		}
	}
	if len(replies) != len(items) {
		t.Fatalf("%d messages had a reply, want %d", len(replies), len(items))
	}
	mails := o.mails
	for i, it := range items {
		want := cmp.Or(it.reply, accepted)
		if replies[i] != want {
			t.Errorf("%s: %q, want %q", it.name, replies[i], want)
		}
		if replies[i] != accepted {
			continue
		}
		m := mails[0]
		mails = mails[1:]
		fate := cmp.Or(it.fate, stack.Delivered)
		if m.fate != fate || fate == stack.Delivered && len(m.copies) == 0 {
			t.Errorf("%s: it was %s, %d copies; want it %s", it.name, m.fate, len(m.copies), fate)
			continue
		}
		if len(it.texts) > 0 {
			wantText(t, string(m.copies[0].Content), it.texts...)
		}
	}
}

// alike runs sessions on all pipelines, and looks at what milterkit has logged.
func alike(t *testing.T, chain string, cases ...testcase) {
	b := start(t)
	t.Cleanup(func() {
		for _, r := range pipelines[1:] {
			if lines, err := b.kits[chain+"/"+r.name].LogOf(`"milter failed"`); err != nil || len(lines) > 0 {
				t.Errorf("%s has logged, %v:\n%s", r.name, err, strings.Join(lines, "\n"))
			}
		}
	})
	run(t, chain, pipelines, cases)
}

// The mails that all milters are sent, by name. Between those that some refuse are
// others.
func pipelineMails(t *testing.T) []item {
	signed := signedSimple.get(t)
	line := "A line of a body that is cut into many pieces on its way.\r\n"
	fields := ""
	for i := range 200 {
		fields += fmt.Sprintf("X-Field-%d: number %d\r\n", i, i)
	}
	return []item{
		{name: "clean", message: letter("clean", "", "Hello Bob,", "", "all is well.")},
		{name: "GTUBE", message: letter("spam", "", stack.GTUBE)},
		{name: "signed", message: signed},
		{name: "EICAR", message: attachment("invoice", virus)},
		{name: "broken", message: bytes.Replace(signed, []byte("the figures are"), []byte("the numbers are"), 1)},
		{name: "300 KB", message: letter("300 KB", "", strings.Repeat(line, 300<<10/len(line)))},
		{name: "GTUBE", message: letter("spam", "", stack.GTUBE)},
		{name: "no body", message: lines("From: "+alice, "To: "+bob, "Subject: no body", "Date: "+date)},
		{name: "200 fields", message: letter("200 fields", fields, "Hello.")},
		{name: "EICAR", message: attachment("invoice", virus)},
		{name: "2 MB", message: letter("2 MB", "", strings.Repeat(line, 2<<20/len(line)))},
		{name: "clean", message: letter("clean again", "", "Hello Bob,", "", "all is well.")},
	}
}

// filtered are the mails with what a milter makes of some, by name, and what it
// adds to any.
func filtered(t *testing.T, replies map[string]string, texts map[string]string, rest string) []item {
	items := pipelineMails(t)
	for i, it := range items {
		if items[i].reply = replies[it.name]; items[i].reply != "" {
			continue
		}
		items[i].texts = []string{cmp.Or(texts[it.name], rest)}
	}
	return items
}

// TestPipelineToOpenDKIM has it verify. Of what is not signed it wants no body: it
// answers SKIP to each piece.
func TestPipelineToOpenDKIM(t *testing.T) {
	result := "\nAuthentication-Results: " + stack.AuthservID + "; dkim=none"
	signed := map[string]string{"signed": "\tdkim=pass (", "broken": "\tdkim=fail reason=\"signature verification failed\""}
	alike(t, "verify", session("mails", filtered(t, nil, signed, result)))
}

// TestPipelineToASigner signs: what is signed must verify.
func TestPipelineToASigner(t *testing.T) {
	b := start(t)
	mails := pipelineMails(t)
	for _, r := range pipelines {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			o := b.play(t, "sign-simple", r, session("mails", mails).talk)
			checkItems(t, o, mails)
			again := slices.Clone(mails)
			for i := range again {
				again[i].message = unwrap(t, &outcome{words: o.words, mails: o.mails[i : i+1]})
				again[i].texts = []string{"dkim=pass ("}
			}
			checkItems(t, b.play(t, "verify", routes[0], session("signed", again).talk), again)
		})
	}
}

func TestPipelineToClamAV(t *testing.T) {
	alike(t, "clamav", session("mails", filtered(t, map[string]string{"EICAR": "550 5.7.1 Infected with " + stack.EICARName}, nil, "\nX-Virus-Status: Clean\n")))
}

// TestPipelineToSpamAssassin has a milter that works while the body arrives, and
// gives a mail of 2 MB back unread.
func TestPipelineToSpamAssassin(t *testing.T) {
	items := filtered(t, map[string]string{"GTUBE": "550 5.7.1 Blocked by SpamAssassin"}, map[string]string{"2 MB": "\nSubject: 2 MB\n"}, "\nX-Spam-Status: No")
	alike(t, "spamassassin", session("mails", slices.DeleteFunc(items, func(it item) bool { return it.name == "300 KB" })))
}

// TestPipelineToRspamd has a milter that answers nothing before the end.
func TestPipelineToRspamd(t *testing.T) {
	alike(t, "rspamd", session("mails", filtered(t, map[string]string{"GTUBE": gtube}, nil, "\nX-Spamd-Result: default: False [")))
}

// TestPipelineToPython has pyspf-milter, which refuses at MAIL, and dkimpy-milter.
func TestPipelineToPython(t *testing.T) {
	items := filtered(t, nil, map[string]string{"signed": "; dkim=pass (Good 2048 bit", "broken": "; dkim=fail (body hash "}, "\nAuthentication-Results: "+spfID)
	fail := strings.NewReplacer("alice@example.org", "carol@example.net", ofCarol, ofAlice).Replace(spfFail)
	forged := item{name: "forged sender", from: "carol@example.net", reply: fail}
	tc := session("mails", slices.Insert(items, 2, forged))
	talk := tc.talk
	tc.talk = func(c *smtpclient.Client) {
		clientFrom(c, ofAlice)
		talk(c)
	}
	alike(t, "python", tc)
}

// atStages are messages that a milter ends, each with another verdict or at
// another stage, and one after each that it does not.
func atStages(stages []string, big bool) []item {
	verdicts := []struct {
		name, reply string
		fate        stack.Fate
	}{
		{"accept", "", ""}, {"reject", rejected, ""}, {"tempfail", tryAgain, ""}, {"discard", "", stack.Discarded},
		{"reply", "550-5.7.1 as told\n550 5.7.1 at STAGE", ""},
	}
	body := "The body.\r\n"
	if big {
		body = strings.Repeat("A line of a body of many pieces.\r\n", 10000)
	}
	var items []item
	for _, stage := range stages {
		for _, v := range verdicts {
			name := stage + "-" + v.name
			it := item{name: name, from: name + "@example.org", message: letter(name, "X-One: 1\r\nX-Two: 2\r\n", body), reply: strings.ReplaceAll(v.reply, "STAGE", stage), fate: v.fate}
			items = append(items, it, shownWhole("after "+name, body))
		}
	}
	return items
}

// shownWhole is a message that a milter is shown whole.
func shownWhole(name, body string) item {
	return item{name: name, from: "nothing@example.org", message: letter(name, "", body), texts: []string{"\nX-Told: 7 fields, body "}}
}

// TestPipelineToAMilterThatEndsItEarly has a milter on libmilter end messages at
// each stage with each verdict. It is never shown more after its verdict, though
// more was under way.
func TestPipelineToAMilterThatEndsItEarly(t *testing.T) {
	stages := []string{"header", "eoh", "body", "eom"}
	t.Run("sessions", func(t *testing.T) {
		alike(t, toldName,
			session("small", atStages(stages, false)),
			session("big", atStages(stages[:3], true)),
			session("held", []item{
				{name: "hold", from: "eom-hold@example.org", message: letter("hold", "", "Hold this."), fate: stack.Held},
				shownWhole("after it", "Hello."),
				{name: "hold and refuse", from: "eom-holdreject@example.org", message: letter("hold", "", "Hold this."), reply: rejected},
				shownWhole("after it", "Hello."),
			}),
			session("changed", []item{
				{name: "edit", from: "eom-edit@example.org", message: letter("edit", "", "Hello."), texts: []string{"\nSubject: changed\n", "\nX-Added: as told\n", "\n\nAnother body.\n"}},
				shownWhole("after it", "Hello."),
			}))
	})
	wantAsTold(t)
}

// wantAsTold checks that the milter was shown nothing that it should not see.
func wantAsTold(t *testing.T) {
	t.Helper()
	if log := start(t).told.Log(); strings.Contains(log, "UNEXPECTED") || strings.Contains(log, "Traceback") {
		t.Error(log)
	}
}

// TestPipelineToAMilterThatSkips has a milter on libmilter that wants no more of
// the header, though more of it may be on its way, or no more of the body: that it
// is never sent.
func TestPipelineToAMilterThatSkips(t *testing.T) {
	var items []item
	for _, size := range []int{1, 300, 20_000, 60_000, 70_000, 300_000, 2_000_000} {
		body := strings.Repeat("A line of a body.\r\n", 1+size/19)
		for _, name := range []string{"header-skip", "body-skip"} {
			items = append(items,
				item{name: name, from: name + "@example.org", message: letter(name, "X-One: 1\r\n", body), texts: []string{"\nX-Told: "}},
				shownWhole("after "+name, body))
		}
	}
	t.Run("sessions", func(t *testing.T) { alike(t, toldName, session("skips", items)) })
	wantAsTold(t)
}

// TestPipelineToGoMilter has a milter on go-milter end messages at each stage. It
// goes on to answer what comes after that.
func TestPipelineToGoMilter(t *testing.T) {
	var items []item
	for _, stage := range []string{"header", "end-of-header", "body", "end"} {
		for _, v := range allVerdicts[:5] {
			name := stage + "-" + v.name
			it := item{name: name, from: name + "@example.org", message: letter(name, "X-One: 1\r\n", "The body."), reply: v.reply}
			if v.name == "discard" {
				it.fate = stack.Discarded
			}
			after := item{name: "after " + name, from: "nothing@example.org", message: letter("after "+name, "X-One: 1\r\n", "Another body."), texts: []string{"X-Saw-first: from nothing@example.org("}}
			items = append(items, it, after)
		}
	}
	alike(t, "go-milter", session("verdicts", items))
}
