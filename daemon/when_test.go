package daemon

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// filterAt runs a filter that wants all and says continue to it.
func filterAt(t *testing.T, path string) *miltertest.Filter {
	t.Helper()
	f := &miltertest.Filter{Script: miltertest.Script{Macros: []wire.MacroList{{Stage: wire.StageConnect, Names: []string{"j", "{client_ptr}"}}}}}
	if _, err := f.Start("unix", path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// told returns what a filter was told since a session, macros included, but for
// frames that name one recipient.
func told(f *miltertest.Filter, since int, but string) []string {
	var lines []string
	for _, e := range f.Events() {
		if e.Session > since && e.Cmd != wire.CmdNegotiate && (but == "" || !strings.Contains(e.Text, but)) {
			lines = append(lines, e.Text)
		}
	}
	return lines
}

// A milter whose condition is on recipients has no connection before the first
// for which it holds. Then it is told what it would have been told, all but the
// recipients for which it does not hold; and nothing of a message that has none.
func TestAMilterIsContactedWhenItsConditionHolds(t *testing.T) {
	dir := publicDir(t)
	always, late := filterAt(t, filepath.Join(dir, "always")), filterAt(t, filepath.Join(dir, "late"))
	file := configFile(t, dir, "[[milter]]\nname = \"always\"\nsocket = \"DIR/always\"\n"+
		"[[milter]]\nname = \"late\"\nsocket = \"DIR/late\"\nwhen = '''\n  !authenticated &&\n  rcpt_to matches \"@example\\\\.test$\"'''\n")
	r := begin(t, program("serve", "--config", file))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	before := map[*miltertest.Filter]int{}
	for _, f := range []*miltertest.Filter{always, late} { // serve asks at its start who is there
		if err := f.Idle(ctx, 1); err != nil {
			t.Fatal(err)
		}
		before[f] = f.Sessions()
	}

	m, err := miltertest.Dial(ctx, "unix", filepath.Join(dir, "s"), miltertest.Offer{})
	if err != nil {
		t.Fatal(err)
	}
	var alone []string // the steps after which the milter has no connection yet
	p := miltertest.Player{
		MTA: m,
		Client: miltertest.Client{Host: "mx.example.org", Family: wire.FamilyInet6, Addr: "2001:db8::7", Port: 4711, Helo: "mx.example.org", MTA: "here",
			Known: map[string]string{"tls_version": "TLSv1.3", "cipher": "AES"}},
		OnStep: func(s miltertest.Step) {
			if s.Reply.Final() {
				t.Errorf("%s %s: %v", wire.CmdName(s.Cmd), s.What, s.Reply)
			}
			if late.Sessions() == before[late] {
				alone = append(alone, s.What)
			}
		},
	}
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
	mail := miltertest.Mail{
		From: "<alice@example.org>", FromArgs: []string{"SIZE=4", "BODY=8BITMIME"}, QueueID: "4jYMW0",
		To: []miltertest.Recipient{
			{Addr: "<carol@example.com>", Args: []string{"NOTIFY=NEVER"}},
			{Addr: "<bob@example.test>", Args: []string{"NOTIFY=SUCCESS", "ORCPT=rfc822;b@example.test"}},
			{Addr: "<dave@example.test>"},
		},
		Message: miltertest.ParseMessage([]byte("Subject: one\r\nX-Folded: a\r\n\tb\r\n\r\nbody\r\n")),
	}
	if _, err := p.Mail(mail); err != nil {
		t.Fatal(err)
	}
	mail.From, mail.To = "<second@example.org>", mail.To[:1]
	if _, err := p.Mail(mail); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for f, n := range before {
		if err := f.Idle(ctx, n+1); err != nil {
			t.Fatal(err)
		}
		if got := f.Sessions() - n; got != 1 {
			t.Errorf("%d connections, want 1", got)
		}
	}
	r.stop(t)

	if want := []string{"mx.example.org 2001:db8::7", "mx.example.org", "<alice@example.org> SIZE=4 BODY=8BITMIME",
		"<carol@example.com> NOTIFY=NEVER"}; !slices.Equal(alone, want) {
		t.Errorf("there is no connection after %q, want %q", alone, want)
	}
	want := told(always, before[always], "carol@example.com")
	for _, line := range []string{"mail <alice@example.org> SIZE=4 BODY=8BITMIME", "rcpt <bob@example.test> NOTIFY=SUCCESS ORCPT=rfc822;b@example.test"} {
		if !slices.Contains(want, line) {
			t.Errorf("the milter without a condition was not told %q: %q", line, want)
		}
	}
	second := slices.IndexFunc(want, func(s string) bool { return strings.Contains(s, "second@") })
	want = append(want[:second:second], "quit")
	if d := cmp.Diff(want, told(late, before[late], "")); d != "" {
		t.Errorf("without a condition (-) and with one (+):\n%s", d)
	}
}

// check tells when milters are asked, and what is wrong with a condition, as
// serve does.
func TestCheckTellsOfConditions(t *testing.T) {
	dir := publicDir(t)
	milters := func(conditions ...string) string {
		var b strings.Builder
		for i, c := range conditions {
			b.WriteString("[[milter]]\nname = \"" + string(rune('a'+i)) + "\"\nsocket = \"DIR/" + string(rune('a'+i)) + "\"\nwhen = " + c + "\n")
		}
		return b.String()
	}
	file := configFile(t, dir, milters(`"local"`, `""`, `'''
  !authenticated &&
  helo != "a"'''`, `'rcpt_to == "a@b"'`, `'macro("client_rate") == "1"'`))
	status, stdout, _ := end(t, "check", "-c", file, "--no-connect")
	for _, want := range []string{
		"\na: when local (settled at connect)\n",
		"\nc: when !authenticated && helo != \"a\" (settled at mail)\n",
		"\nd: when rcpt_to == \"a@b\" (settled at each rcpt)\n",
		"warning: the condition of e names the macro client_rate, which neither Postfix nor Sendmail has by itself",
	} {
		if status != exitOK || !strings.Contains(stdout, want) {
			t.Errorf("status %d, no %q in\n%s", status, want, stdout)
		}
	}
	if strings.Contains(stdout, "b: when") {
		t.Errorf("a condition that is not there is told:\n%s", stdout)
	}

	file = configFile(t, dir, milters(`"locla || trustd"`, `'cidr(client.addr, "192.0.2.0/99")'`))
	want := file + ":8:9: when: unknown name \"locla\"; did you mean \"local\"?\n" +
		file + ":8:18: when: unknown name \"trustd\"; did you mean \"trusted\"?\n" +
		file + ":12:27: when: cidr: \"192.0.2.0/99\" is not a network; write one such as \"192.0.2.0/24\" or \"2001:db8::/32\"\n"
	for _, command := range []string{"check", "serve", "show-config"} {
		if status, _, stderr := end(t, command, "-c", file); status != exitConfig || stderr != want {
			t.Errorf("%s: status %d\n%s\nwant\n%s", command, status, stderr, want)
		}
	}
}

// The condition of the file is that of the slot.
func TestAConditionReachesTheSlot(t *testing.T) {
	slots := mustBuild(t, "[[milter]]\nname = \"a\"\nsocket = \"/a\"\n[[milter]]\nname = \"b\"\nsocket = \"/b\"\nwhen = 'macro(\"x\") == helo'\n").Dispatcher.Slots()
	if slots[0].When.Holds != nil {
		t.Error("a has a condition")
	}
	if c := slots[1].When; c.Name != `macro("x") == helo` || c.At != milterkit.StageRcpt || len(c.Macros[milterkit.StageConnect]) != 1 {
		t.Errorf("b has %+v", c)
	}
	c := &config.Config{Milters: []config.Milter{{When: config.Value[string]{V: "nonsense"}, Enabled: config.Value[bool]{V: true}}}}
	if _, _, err := natives(nil).build(c, nil); err == nil || !strings.Contains(err.Error(), `when: unknown name "nonsense"`) {
		t.Errorf("got %v", err)
	}
}

// The sessions that conditions count are those of the daemon.
func TestConditionsCountTheSessionsOfTheDaemon(t *testing.T) {
	dir := publicDir(t)
	f := filterAt(t, filepath.Join(dir, "second"))
	file := configFile(t, dir, "[[milter]]\nname = \"second\"\nsocket = \"DIR/second\"\nwhen = 'sessions >= 2'\n")
	r := begin(t, program("serve", "--config", file))
	defer r.stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := f.Idle(ctx, 1); err != nil { // serve asks at its start who is there
		t.Fatal(err)
	}
	before := f.Sessions()
	for i, want := range []int{0, 1} {
		m, err := miltertest.Dial(ctx, "unix", filepath.Join(dir, "s"), miltertest.Offer{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if _, err := m.Connect("mx.example.org", wire.FamilyInet, 25, "192.0.2.7"); err != nil {
			t.Fatal(err)
		}
		if got := f.Sessions() - before; got != want {
			t.Errorf("%d sessions of the milter, want %d, while there are %d", got, want, i+1)
		}
	}
}
