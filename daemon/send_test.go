package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// call runs a command in this process, and returns what it printed and its
// exit status.
func call(t *testing.T, c *cobra.Command, stdin string, args ...string) (out string, status int) {
	t.Helper()
	var b bytes.Buffer
	c.SetArgs(args)
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&b)
	c.SetErr(&b)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.ExecuteContext(t.Context())
	var coded interface{ ExitStatus() int }
	switch {
	case err == nil:
		return b.String(), 0
	case errors.As(err, &coded):
		return b.String() + "error: " + err.Error() + "\n", coded.ExitStatus()
	}
	return b.String() + "error: " + err.Error() + "\n", exitUsage
}

// filter starts a scripted milter and returns its socket.
func filter(t *testing.T, on map[byte][]miltertest.Answer) (*miltertest.Filter, string) {
	t.Helper()
	f := &miltertest.Filter{Script: miltertest.Script{On: on}}
	path, err := f.Start("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, "unix:" + path
}

func TestSendEndsWithTheOutcomeAsStatus(t *testing.T) {
	for name, c := range map[string]struct {
		cmd    byte
		answer miltertest.Answer
		args   []string
		status int
		prints string
	}{
		"accepted":        {wire.CmdEOM, miltertest.Answer{}, nil, 0, "accepted"},
		"rejected":        {wire.CmdEOM, miltertest.Answer{Text: "550 5.7.1 go away"}, nil, 1, "rejected: 550 5.7.1 go away"},
		"tempfailed":      {wire.CmdMail, miltertest.Answer{Verdict: miltertest.TempFail}, nil, 1, "tempfailed at mail: 451 4.7.1"},
		"discarded":       {wire.CmdData, miltertest.Answer{Verdict: miltertest.Discard}, nil, 1, "discarded at data"},
		"refused session": {wire.CmdConnect, miltertest.Answer{Verdict: miltertest.Reject}, nil, 1, "rejected: 550 5.7.1 Command rejected"},
		"broken off":      {wire.CmdEOM, miltertest.Answer{}, []string{"--abort-at", "body"}, 0, "aborted"},
		"hung":            {wire.CmdHelo, miltertest.Answer{Hang: true}, []string{"--timeout", "100ms"}, 3, "does not answer within 100ms"},
		"garbage":         {wire.CmdHelo, miltertest.Answer{Raw: []byte("HTTP/1.1 400 Bad\r\n\r\n")}, nil, 3, "frame of 1213486160 bytes"},
	} {
		_, socket := filter(t, map[byte][]miltertest.Answer{c.cmd: {c.answer}})
		out, status := call(t, newSendCommand(), "", append([]string{socket}, c.args...)...)
		if status != c.status || !strings.Contains(out, c.prints) {
			t.Errorf("%s: status %d, want %d and %q in:\n%s", name, status, c.status, c.prints, out)
		}
	}
}

func TestSendWithoutAMilterIsTrouble(t *testing.T) {
	out, status := call(t, newSendCommand(), "", "unix:"+filepath.Join(t.TempDir(), "none"))
	if status != 3 || !strings.Contains(out, "cannot connect") {
		t.Errorf("status %d: %s", status, out)
	}
}

func TestSendRefusesWrongCommandLines(t *testing.T) {
	for _, args := range [][]string{
		{"inet:1", "--connect-addr", "300.1.1.1"}, {"inet:1", "--family", "inet6"}, {"inet:1", "--family", "ipx"},
		{"inet:1", "--macro", "mail"}, {"inet:1", "--macro", "nowhere:a=b"}, {"inet:1", "--version", "7"},
		{"inet:1", "--actions", "fly"}, {"inet:1", "--steps", "no-legs"}, {"inet:1", "--abort-at", "dawn"},
		{"inet:1", "--repeat", "0"}, {"inet:1", "--size", "much"}, {"inet:1", "--header", "no colon"},
		{"inet:1", "/no/such/file"}, {"inet:1", "-", "--size", "1"}, {"nothing"}, {"systemd:x"}, {"inet:1", "--color", "red"}, {"inet:1", "--date", "noon"}, {},
	} {
		if out, status := call(t, newSendCommand(), "", args...); status != exitUsage {
			t.Errorf("%q: status %d: %s", args, status, out)
		}
	}
}

func TestSendPassesTheFactsOn(t *testing.T) {
	f, socket := filter(t, nil)
	out, status := call(t, newSendCommand(), "Subject: file\n\ntext\n", socket, "-",
		"--connect-host", "unknown", "--connect-addr", "[2001:db8::1]:99", "--helo", "me",
		"--mail-from", "a@b SIZE=1", "--rcpt", "<c@d> NOTIFY=NEVER", "--rcpt", "<e@f>", "--unknown", "XYZZY",
		"--auth", "alice", "--queue-id", "Q1", "--macro", "connect:if_name=eth0", "--header", "X-Odd:value", "--subject", "other")
	if status != 0 {
		t.Fatal(out)
	}
	f.Idle(t.Context(), 1)
	saw := strings.Join(f.Saw(), "\n") + "\n" + strings.Join(f.SawMacros(), "\n")
	for _, want := range []string{
		"connect [2001:db8::1] 6 2001:db8::1 99\n", "helo me\n", "mail <a@b> SIZE=1\n", "rcpt <c@d> NOTIFY=NEVER\n", "rcpt <e@f>\n",
		"unknown XYZZY\n", "header Subject:other\n", "header X-Odd:value\n", `body "text\r\n"`, "{auth_authen}=alice", "{if_name}=eth0", "macros eom i=Q1",
	} {
		if !strings.Contains(saw, want) {
			t.Errorf("no %q in:\n%s", want, saw)
		}
	}
}

func TestSendShowsEditsAndTheDiff(t *testing.T) {
	_, socket := filter(t, map[byte][]miltertest.Answer{
		wire.CmdRcpt: {{Nth: 2, Text: "550 5.1.1 no such user"}},
		wire.CmdEOM: {{Progress: 2, Edits: []miltertest.Edit{
			miltertest.InsertHeader(1, "X-Scan", "clean"), miltertest.ChangeHeader(1, "Subject", "[ok] hello"),
			miltertest.AddRecipient("<copy@example.org>"), miltertest.Quarantine("just so"), miltertest.ReplaceBody("new\r\n"),
		}}},
	})
	out, status := call(t, newSendCommand(), "Subject: hello\n\nold\n", socket, "-", "--rcpt", "<a@b>", "--rcpt", "<c@d>")
	if status != 0 {
		t.Error("status", status)
	}
	for _, want := range []string{
		"  insert header 1 X-Scan: clean\n", "+X-Scan: clean\n", "-Subject: hello\n+X-Scan: clean\n+Subject: [ok] hello\n", "-old\n+new\n", "550 5.1.1 no such user",
		"  to   <a@b>, <copy@example.org>\n", "accepted, quarantined: just so", "2× progress", "1 field ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

func TestSendEscapesWhatOthersWrite(t *testing.T) {
	_, socket := filter(t, map[byte][]miltertest.Answer{
		wire.CmdEOM: {{Raw: append(
			miltertest.Frame(wire.RepAddHeader, "X-\x1b[2J\x00\x1b]0;title\x07\x00"),
			miltertest.Frame(wire.RepReplyCode, "550 \x1b[31mred\x00")...)}},
	})
	out, _ := call(t, newSendCommand(), "Subject: \x1b[5mblink\n\n\x9b1m\n", socket, "-", "-v")
	for _, c := range out {
		if c < ' ' && c != '\n' || c == 0x9b {
			t.Fatalf("%q comes through:\n%q", c, out)
		}
	}
	if !strings.Contains(out, `\x1b[31mred`) || !strings.Contains(out, `\x1b[5mblink`) {
		t.Error(out)
	}
}

func TestSendPrintsJSON(t *testing.T) {
	_, socket := filter(t, map[byte][]miltertest.Answer{
		wire.CmdEOM: {{Edits: []miltertest.Edit{miltertest.AddHeader("X-A", "1"), miltertest.Quarantine("")}, Verdict: miltertest.Accept}},
	})
	out, status := call(t, newSendCommand(), "", socket, "--json", "--repeat", "2", "--date", "2026-02-01T10:00:00Z")
	var doc sendDocument
	if err := json.Unmarshal([]byte(out), &doc); err != nil || status != 0 {
		t.Fatal(status, err, out)
	}
	if len(doc.Messages) != 2 || len(doc.Session) != 2 {
		t.Fatalf("%d messages, %d steps of the session", len(doc.Messages), len(doc.Session))
	}
	m := doc.Messages[1]
	if m.Result != "accepted" || m.Quarantine == nil || len(m.Edits) != 2 || m.Edits[0].Value != " 1" || !strings.Contains(m.Message, "X-A: 1\n") {
		t.Errorf("%+v", m)
	}
	if strings.Count(m.Message, "Sun, 01 Feb 2026 10:00:00 +0000") != 2 { // in Received and in Date
		t.Errorf("not of that time:\n%s", m.Message)
	}
	if len(m.Steps) < 8 || m.Steps[0].Stage != "mail" {
		t.Errorf("%+v", m.Steps)
	}
}

func TestSendMakesMessagesUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.txt")
	os.WriteFile(file, bytes.Repeat([]byte("x"), 100), 0o600)
	for _, args := range [][]string{{"--size", "100K"}, {"--size", "0"}, {"--size", "73"}, {"--attachment", file}} {
		f, socket := filter(t, nil)
		if out, status := call(t, newSendCommand(), "", append(args, socket)...); status != 0 {
			t.Fatal(out)
		}
		f.Idle(t.Context(), 1)
		if saw := strings.Join(f.Saw(), "\n"); !strings.Contains(saw, "header Message-ID:<") {
			t.Errorf("%q: %s", args, saw)
		}
	}
	for _, size := range []int{0, 2, 71, 72, 73, 74, 75, 1000} {
		if got := len(filler(size)); got != size {
			t.Errorf("filler of %d bytes has %d", size, got)
		}
	}
}

func TestMasksByName(t *testing.T) {
	for _, c := range []struct {
		text string
		want uint32
		ok   bool
	}{
		{"", 0x1ff, true}, {"all", 0x1ff, true}, {"none", 0, true}, {"add-header,quarantine", 0x21, true}, {"-quarantine", 0x1df, true},
		{"all,-quarantine", 0x1df, true}, {"0x3f", 0x3f, true}, {"add-headers", 0, false},
	} {
		got, err := parseMask(c.text, actionNames, 0x1ff, 0x1ff)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: 0x%x, %v", c.text, got, err)
		}
	}
}

func TestSendPlaysOldVersionsAndSendmail(t *testing.T) {
	f, socket := filter(t, nil)
	out, status := call(t, newSendCommand(), "", socket, "--version", "2", "--sendmail", "--steps", "none", "--actions", "-quarantine")
	if status != 0 || !strings.Contains(out, "version 2") {
		t.Fatal(out)
	}
	f.Idle(t.Context(), 1)
	if saw := strings.Join(f.Saw(), " "); strings.Contains(saw, " data ") || strings.Contains(saw, "abort") {
		t.Error(saw)
	}
}
