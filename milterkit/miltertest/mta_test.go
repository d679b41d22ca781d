package miltertest_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// start starts a filter with that script for the length of the test.
func start(t *testing.T, s Script) (*Filter, string) {
	t.Helper()
	f := &Filter{Script: s}
	addr, err := f.Start("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, addr
}

// dial connects to a filter with that script.
func dial(t *testing.T, s Script, o Offer) (*MTA, *Filter) {
	t.Helper()
	f, addr := start(t, s)
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	m, err := Dial(t.Context(), "unix", addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, f
}

// on is a script with answers to one command.
func on(cmd byte, answers ...Answer) Script { return Script{On: map[byte][]Answer{cmd: answers}} }

// asks has the MTA's commands that are answered, each as a call.
var asks = []struct {
	cmd byte
	ask func(*MTA) (Reply, error)
}{
	{wire.CmdConnect, func(m *MTA) (Reply, error) { return m.Connect("mx", wire.FamilyInet, 25, "192.0.2.1") }},
	{wire.CmdHelo, func(m *MTA) (Reply, error) { return m.Helo("mx.example.org") }},
	{wire.CmdMail, func(m *MTA) (Reply, error) { return m.Mail("<a@example.org>", "SIZE=10") }},
	{wire.CmdRcpt, func(m *MTA) (Reply, error) { return m.Rcpt("<b@example.org>", "NOTIFY=NEVER") }},
	{wire.CmdData, func(m *MTA) (Reply, error) { return m.Data() }},
	{wire.CmdHeader, func(m *MTA) (Reply, error) { return m.Header("Subject", " hello") }},
	{wire.CmdEOH, func(m *MTA) (Reply, error) { return m.EOH() }},
	{wire.CmdBody, func(m *MTA) (Reply, error) { return m.Body([]byte("text\r\n")) }},
	{wire.CmdEOM, func(m *MTA) (Reply, error) {
		_, r, err := m.EOM()
		return r, err
	}},
	{wire.CmdUnknown, func(m *MTA) (Reply, error) { return m.Unknown("FOO bar") }},
}

func TestEveryCommandReachesTheFilter(t *testing.T) {
	m, f := dial(t, Script{}, Offer{})
	for _, a := range asks {
		if r, err := a.ask(m); err != nil || r.Kind != Continue {
			t.Errorf("%s: %v, %v", Word(a.cmd), r, err)
		}
	}
	for _, end := range []func() error{m.Abort, m.QuitNew, m.Quit} {
		if err := end(); err != nil {
			t.Error(err)
		}
	}
	if err := f.Idle(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"connect mx 4 192.0.2.1 25", "helo mx.example.org", "mail <a@example.org> SIZE=10",
		"rcpt <b@example.org> NOTIFY=NEVER", "data", "header Subject:hello", "eoh", `body "text\r\n"`, "eom",
		"unknown FOO bar", "abort", "quit_nc", "quit",
	}
	if diff := cmp.Diff(want, f.Saw()); diff != "" {
		t.Error(diff)
	}
}

func TestEveryVerdictAtEveryStage(t *testing.T) {
	answers := map[string]Answer{
		"continue": {}, "accept": {Verdict: Accept}, "reject": {Verdict: Reject}, "tempfail": {Verdict: TempFail},
		"discard": {Verdict: Discard}, "skip": {Verdict: Skip}, "shutdown": {Verdict: Shutdown},
		"550 5.7.1 100%% no": {Text: "550 5.7.1 100% no"}, "451-a / 451 b": {Text: "451-a\r\n451 b"},
	}
	for _, a := range asks {
		for want, answer := range answers {
			m, _ := dial(t, on(a.cmd, answer), Offer{})
			r, err := a.ask(m)
			if err != nil || r.String() != want {
				t.Errorf("%s: got %v, %v, want %s", Word(a.cmd), r, err, want)
			}
			m.Close()
		}
	}
}

func TestStepsNotWantedAreNotSent(t *testing.T) {
	for _, a := range asks {
		step := wire.NoStep(a.cmd)
		if step == 0 {
			continue // the end of a message is always sent
		}
		m, f := dial(t, Script{Steps: step}, Offer{})
		if r, err := a.ask(m); err != nil || r.Kind != NotSent {
			t.Errorf("%s: %v, %v", Word(a.cmd), r, err)
		}
		m.Quit()
		f.Idle(t.Context(), 1)
		if got := f.Saw(); len(got) != 1 {
			t.Errorf("%s: the filter saw %q", Word(a.cmd), got)
		}
	}
}

func TestNoReplyIsNotWaitedFor(t *testing.T) {
	var all wire.Steps
	for _, a := range asks {
		all |= wire.NoReply(a.cmd)
	}
	m, f := dial(t, Script{Steps: all}, Offer{})
	for _, a := range asks {
		want := NoReply
		if a.cmd == wire.CmdEOM {
			want = Continue // it is always answered
		}
		if r, err := a.ask(m); err != nil || r.Kind != want {
			t.Errorf("%s: %v, %v", Word(a.cmd), r, err)
		}
	}
	if err := m.Quit(); err != nil {
		t.Fatal(err)
	}
	f.Idle(t.Context(), 1)
	if got := len(f.Saw()); got != len(asks)+1 {
		t.Errorf("the filter saw %d commands: %q", got, f.Saw())
	}
}

func TestOlderVersionsLackCommands(t *testing.T) {
	for version, want := range map[uint32]string{2: "", 3: "unknown", 4: "data unknown", 6: "data unknown"} {
		m, f := dial(t, Script{}, VersionOffer(version))
		m.Data()
		m.Unknown("X")
		m.Quit()
		f.Idle(t.Context(), 1)
		saw := strings.TrimSuffix(strings.Join(f.Saw(), " "), "quit")
		if got := strings.TrimSpace(strings.ReplaceAll(saw, " X", "")); got != want {
			t.Errorf("version %d: saw %q, want %q", version, got, want)
		}
		if v := m.Negotiated.Version; v != version {
			t.Errorf("version %d answered with %d", version, v)
		}
	}
}

func TestSkipLastsUntilAnotherCommand(t *testing.T) {
	m, f := dial(t, on(wire.CmdBody, Answer{Message: 1, Verdict: Skip}), Offer{})
	var got []string
	for range 3 {
		r, err := m.Body([]byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		m.Macros(wire.CmdBody, "i", "1")
		got = append(got, r.String())
	}
	m.EOM()
	if diff := cmp.Diff([]string{"skip", "not sent", "not sent"}, got); diff != "" {
		t.Error(diff)
	}
	if n := len(f.SawMacros()); n != 0 {
		t.Errorf("%d frames of macros for what was skipped", n)
	}
	if r, _ := m.Body([]byte("y")); r.Kind != Continue {
		t.Errorf("the next body: %v", r)
	}
}

func TestLeadingSpaceIsNegotiated(t *testing.T) {
	for _, steps := range []wire.Steps{0, wire.LeadingSpace} {
		s := on(wire.CmdEOM, Answer{Edits: []Edit{AddHeader("X-A", "1"), ChangeHeader(1, "X-B", ""), DeleteHeader(1, "X-C")}})
		s.Steps = steps
		m, f := dial(t, s, Offer{})
		m.Header("A", " 1")
		m.Header("B", "\t1")
		m.Header("C", "")
		want := []string{"header A:1", `header B:\t1`, "header C:"}
		if steps != 0 {
			want[0] = "header A: 1"
		}
		if diff := cmp.Diff(want, f.Saw()); diff != "" {
			t.Error(diff)
		}
		edits, _, err := m.EOM()
		if err != nil {
			t.Fatal(err)
		}
		// Where the space is not negotiated an empty value cannot be told from a
		// delete.
		second := ChangeHeader(1, "X-B", "")
		if steps == 0 {
			second.Value = ""
		}
		if diff := cmp.Diff([]Edit{AddHeader("X-A", "1"), second, DeleteHeader(1, "X-C")}, edits); diff != "" {
			t.Error(diff)
		}
	}
}

func TestEveryEditArrives(t *testing.T) {
	edits := []Edit{
		ChangeSender("<new@example.org>", "RET=HDRS"), AddRecipient("<c@example.org>"),
		AddRecipient("<d@example.org>", "NOTIFY=NEVER"), DeleteRecipient("<b@example.org>"),
		DeleteHeader(2, "X-Old"), ChangeHeader(1, "Subject", "a\n b"), InsertHeader(0, "X-Top", "1"), AddHeader("X-End", "2"),
		Quarantine("looks odd"), ReplaceBody(strings.Repeat("x", 3*wire.MaxBody) + "\r\n"),
	}
	m, f := dial(t, on(wire.CmdEOM, Answer{Edits: edits, Verdict: Accept}), Offer{Strict: true})
	got, r, err := m.EOM()
	if err != nil || r.Kind != Accept {
		t.Fatal(r, err)
	}
	if diff := cmp.Diff(edits, got); diff != "" {
		t.Error(diff)
	}
	if want := wire.AllActions &^ wire.ActSetMacros; m.Negotiated.Actions != want {
		t.Errorf("the filter asked for actions 0x%x, needs 0x%x", m.Negotiated.Actions, want)
	}
	if n := len(f.Events()); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestProgressIsCountedAndWaitedFor(t *testing.T) {
	s := on(wire.CmdEOM, Answer{Progress: 5, Every: 40 * time.Millisecond})
	m, _ := dial(t, s, Offer{Timeout: 150 * time.Millisecond})
	_, r, err := m.EOM()
	if err != nil || r.Progress != 5 || r.Elapsed < 200*time.Millisecond {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestBehindSendmailProgressIsForTheEnd(t *testing.T) {
	m, _ := dial(t, on(wire.CmdHelo, Answer{Progress: 1}), Offer{Sendmail: true})
	if _, err := m.Helo("x"); err == nil {
		t.Error("no error")
	}
}

func TestEarlyQuarantineIsKept(t *testing.T) {
	m, _ := dial(t, on(wire.CmdRcpt, Answer{Edits: []Edit{Quarantine("early")}}), Offer{})
	m.Mail("<a@b>")
	m.Rcpt("<c@d>")
	if edits, _, err := m.EOM(); err != nil || len(edits) != 1 || edits[0] != Quarantine("early") {
		t.Error(edits, err)
	}
}

func TestMacrosAreSentAsTheyAre(t *testing.T) {
	m, f := dial(t, Script{}, Offer{})
	m.Macros(wire.CmdConnect, "j", "mx", "{daemon_name}", "")
	m.Macros(wire.CmdHelo)
	m.Helo("x")
	want := []string{"macros connect j=mx {daemon_name}=", "macros helo"}
	if diff := cmp.Diff(want, f.SawMacros()); diff != "" {
		t.Error(diff)
	}
}

func TestRepliesAsTheClientSeesThem(t *testing.T) {
	for _, c := range []struct {
		reply Reply
		want  string
	}{
		{Reply{Kind: Reject}, "550 5.7.1 Command rejected"},
		{Reply{Kind: TempFail}, "451 4.7.1 Service unavailable - try again later"},
		{Reply{Kind: ReplyCode, Text: "550 100%% %s"}, "550 100% s"},
		{Reply{Kind: Accept}, ""},
	} {
		if got := c.reply.SMTP(); got != c.want {
			t.Errorf("%v: got %q, want %q", c.reply, got, c.want)
		}
	}
}

func TestCloseEndsAWait(t *testing.T) {
	m, _ := dial(t, on(wire.CmdHelo, Answer{Hang: true}), Offer{})
	time.AfterFunc(50*time.Millisecond, func() { m.Close() })
	if _, err := m.Helo("x"); err == nil {
		t.Error("no error")
	}
}
