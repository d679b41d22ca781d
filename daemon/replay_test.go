package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/builtin/greylist"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// replayed runs the program, and returns what it printed, on stderr too, and its exit
// status.
func replayed(t *testing.T, config string, args ...string) (out string, status int) {
	t.Helper()
	var b bytes.Buffer
	status = run("milterkit", []Native{reader}, append([]string{"replay", "-c", config, "--color", "never"}, args...), &b, &b)
	return b.String(), status
}

// message writes a file with a message, and returns its name.
func messageFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "message.eml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

const receivedMail = "Return-Path: <alice@example.com>\n" +
	"X-Original-To: bob@example.org\n" +
	"Received: from mail.example.com (host.example.net [198.51.100.7])\n\tby mx.example.org (Postfix) with ESMTP id 4FIRST\n\tfor <bob@example.org>; Thu, 26 Nov 2026 10:00:00 +0000\n" +
	"From: Alice <a@example.com>\nTo: list@example.net\nSubject: hello\n\nHi.\n"

// rules is a milter with rules for headers, of three words each: what Subject must
// match, action, text.
func rules(name string, rules ...[3]string) string {
	text := fmt.Sprintf("[[milter]]\nname = %q\nuse = \"headers\"\n", name)
	for _, r := range rules {
		text += fmt.Sprintf("[[milter.options.rule]]\nheader = \"Subject\"\nmatch = '%s'\naction = %q\n", r[0], r[1])
		if r[2] != "" {
			text += fmt.Sprintf("text = %q\n", r[2])
		}
	}
	return text
}

// The exit status tells scripts whether the message would have been taken.
func TestReplayEndsWithTheOutcomeAsStatus(t *testing.T) {
	file := messageFile(t, receivedMail)
	for name, c := range map[string]struct {
		on     map[byte][]miltertest.Answer
		args   []string
		status int
		prints string
	}{
		"accepted":                {nil, nil, 0, ": accepted\n"},
		"refused":                 {map[byte][]miltertest.Answer{wire.CmdEOM: {{Text: "550 5.7.1 go away"}}}, nil, 1, "rejected by m at end of message: 550 5.7.1 go away"},
		"put off":                 {map[byte][]miltertest.Answer{wire.CmdMail: {{Verdict: miltertest.TempFail}}}, nil, 1, "put off by m at mail: 451 4.7.1"},
		"session refused":         {map[byte][]miltertest.Answer{wire.CmdConnect: {{Verdict: miltertest.Reject}}}, nil, 1, "rejected by m at connect: 550 5.7.1"},
		"hung up on":              {map[byte][]miltertest.Answer{wire.CmdHelo: {{Text: "421 4.7.0 bye"}}}, nil, 1, "by m at helo: 421 4.7.0 bye"},
		"discarded":               {map[byte][]miltertest.Answer{wire.CmdEOM: {{Verdict: miltertest.Discard}}}, nil, 1, "discarded by m at end of message"},
		"held":                    {map[byte][]miltertest.Answer{wire.CmdEOM: {{Edits: []miltertest.Edit{{Code: wire.RepQuarantine, Value: "odd"}}}}}, nil, 1, "held for: odd"},
		"no recipient":            {map[byte][]miltertest.Answer{wire.CmdRcpt: {{Text: "550 5.1.1 no such user"}}}, nil, 1, "rejected by m at rcpt: 550 5.1.1 no such user"},
		"one of two":              {map[byte][]miltertest.Answer{wire.CmdRcpt: {{Nth: 1, Text: "550 5.1.1 no such user"}}}, []string{"--to", "a@x.org", "--to", "b@x.org"}, 1, "envelope delivered"},
		"session accepted":        {map[byte][]miltertest.Answer{wire.CmdConnect: {{Verdict: miltertest.Accept}}}, nil, 0, ": accepted\n"},
		"it hangs":                {map[byte][]miltertest.Answer{wire.CmdEOM: {{Hang: true}}}, nil, 1, "failed: no answer in time"},
		"another file is missing": {nil, []string{"/nowhere"}, 3, "/nowhere: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, socket := filter(t, c.on)
			config := configFile(t, t.TempDir(), "[[milter]]\nname = \"m\"\nsocket = \""+socket+"\"\ncontent_timeout = \"200ms\"\n")
			out, status := replayed(t, config, append([]string{file}, c.args...)...)
			if status != c.status || !strings.Contains(out, c.prints) {
				t.Errorf("status %d, want %d and %q in:\n%s", status, c.status, c.prints, out)
			}
		})
	}
}

func TestReplayIsCalledRight(t *testing.T) {
	config := configFile(t, t.TempDir(), rules("h", [3]string{"x", "reject", ""}))
	for _, c := range []struct {
		args   []string
		status int
		prints string
	}{
		{nil, 2, "which messages?"},
		{[]string{"x", "--client", "host"}, 2, "--client host: not an IP address"},
		{[]string{"x", "--macro", "x"}, 2, "write NAME=VALUE"},
		{[]string{"x", "--mask", "("}, 2, "--mask ("},
		{[]string{"x", "--parallel", "0"}, 2, "--parallel 0"},
		{[]string{"x", "--without", "clam"}, 2, "--without clam: there is no milter of that name"},
		{[]string{"x", "--against", "/nowhere"}, 78, "/nowhere"},
		{[]string{"x", "--out", filepath.Dir(config)}, 2, "not empty"},
		{[]string{"x", "--against", config, "--remember"}, 2, "does not go with"},
	} {
		if out, status := replayed(t, config, c.args...); status != c.status || !strings.Contains(out, c.prints) {
			t.Errorf("%v: status %d, want %d and %q in:\n%s", c.args, status, c.status, c.prints, out)
		}
	}
}

// Of one message there is what was taken from it, what each milter said, and a diff.
func TestReplayOfOneMessageTellsAll(t *testing.T) {
	config := configFile(t, t.TempDir(), rules("marks", [3]string{"hello", "prepend", "X-Seen: yes"}))
	out, status := replayed(t, config, messageFile(t, receivedMail), "--as-received")
	for _, want := range []string{
		"by Received: client host.example.net [198.51.100.7], helo mail.example.com\n", "by Return-Path: from <alice@example.com>\n",
		"taken off: 2 fields of the header", "end of message", "marks", "insert header 3 X-Seen: yes", "\n+X-Seen: yes\n Subject: hello\n", "\n-", "4FIRST: accepted",
	} {
		if want != "\n-" && !strings.Contains(out, want) {
			t.Errorf("%q is not in it", want)
		}
	}
	if status != 0 || strings.Contains(out, "-Return-Path") {
		t.Errorf("status %d:\n%s", status, out)
	}
}

// What the flags say, milters and conditions are told.
func TestReplayTellsMiltersTheFacts(t *testing.T) {
	f, socket := filter(t, map[byte][]miltertest.Answer{})
	config := configFile(t, t.TempDir(), "[[milter]]\nname = \"m\"\nsocket = \""+socket+"\"\n"+
		"when = 'authenticated && client.addr == \"2001:db8::7\" && client.name == \"n.example.net\" && macro(\"daemon_name\") == \"smtps\" && macro(\"odd\") == \"seen\"'\n")
	out, status := replayed(t, config, messageFile(t, receivedMail), "--client", "2001:db8::7", "--name", "n.example.net", "--auth", "al",
		"--daemon", "smtps", "--tls", "TLSv1.3", "--macro", "{odd}=seen", "--from", "<x@x.org> SIZE=10", "--to", "y@x.org", "--helo", "there")
	if status != 0 {
		t.Fatalf("status %d:\n%s", status, out)
	}
	var told []string
	for _, e := range f.Events() {
		told = append(told, fmt.Sprint(e))
	}
	text := strings.Join(told, "\n")
	for _, want := range []string{"n.example.net", "2001:db8::7", "there", "<x@x.org>", "SIZE=10", "<y@x.org>", "TLSv1.3", "auth_authen", "4FIRST", "mx.example.org"} {
		if !strings.Contains(text, want) {
			t.Errorf("the milter was not told %q:\n%s", want, text)
		}
	}
}

// Whatever a message is, its body reaches milters as it is, with the ends of lines that
// mail has, and it ends with an outcome.
func TestReplayOfHostileMessages(t *testing.T) {
	var body []byte
	spy := Use("spy", struct{}{}, func(struct{}) (milterkit.Child, error) {
		return milterkit.OnMessage("spy", func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
			body = slices.Concat(m.Body()...)
			return milterkit.Continue
		}), nil
	})
	config := configFile(t, t.TempDir(), "max_memory = \"1MiB\"\n[[milter]]\nname = \"spy\"\nuse = \"spy\"\n")
	large := bytes.Repeat([]byte("0123456789\r\n"), 300_000)
	for name, c := range map[string]struct {
		text, body string
		status     int
	}{
		"LF":                {"A: 1\n\none\ntwo\n", "one\r\ntwo\r\n", 0},
		"CRLF":              {"A: 1\r\n\r\none\r\n", "one\r\n", 0},
		"lone CR":           {"A: 1\n\none\rtwo\r\r\n", "one\rtwo\r\r\n", 0},
		"NUL, 8 bit":        {"A: \x00x\xff\n\n\x00\xff\n", "\x00\xff\r\n", 0},
		"dots":              {"A: 1\n\n.\n..\n", ".\r\n..\r\n", 0},
		"no header":         {"\nbody\n", "body\r\n", 0},
		"no body":           {"A: 1\n", "", 0},
		"no field":          {"just text\n", "just text\r\n", 0},
		"large":             {"A: 1\r\n\r\n" + string(large), string(large), 0},
		"large field":       {"A: " + strings.Repeat("x", 3<<20) + "\n\nbody\n", "body\r\n", 0},
		"large header":      {strings.Repeat("A: "+strings.Repeat("x", 90<<10)+"\n", 20) + "\nbody\n", "", 1}, // 552, as of max_header
		"odd addresses":     {"Return-Path: <a\x01 b<>@" + strings.Repeat("x", 200<<10) + ">\nTo: ,;<<>\n\nbody\n", "body\r\n", 0},
		"terminal sequence": {"Return-Path: <\x1b[31m@x>\nSubject: \x1b]0;x\x07\n\n\x1b[2J\n", "\x1b[2J\r\n", 0},
	} {
		body = nil
		var out bytes.Buffer
		status := run("milterkit", []Native{spy}, []string{"replay", "-c", config, "--parallel", "1", messageFile(t, c.text)}, &out, &out)
		if status != c.status || string(body) != c.body {
			t.Errorf("%s: status %d, a body of %d bytes, want %d and %d:\n%.2000s", name, status, len(body), c.status, len(c.body), out.String())
		}
		if strings.ContainsAny(out.String(), "\x1b\x00\x07") {
			t.Errorf("%s: the terminal is told something: %q", name, out.String())
		}
	}
}

// Greylisting answers as it would, and remembers nothing of it unless it is to.
func TestReplayLeavesTheGreylistAlone(t *testing.T) {
	dir := t.TempDir()
	database := filepath.Join(dir, "greylist.db")
	config := configFile(t, dir, "[[milter]]\nname = \"greylist\"\nuse = \"greylist\"\n[milter.options]\ndatabase = \""+database+"\"\n")
	entries := func() (all []greylist.Entry) {
		disk := greylist.NewDisk(database, nil)
		defer disk.Close()
		for e, err := range disk.Entries(t.Context(), time.Now()) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		return all
	}
	known, fresh := messageFile(t, receivedMail), messageFile(t, strings.Replace(receivedMail, "alice", "mallory", 1))
	if out, status := replayed(t, config, fresh); status != 1 || !strings.Contains(out, "Greylisted") {
		t.Errorf("without a file: status %d\n%s", status, out)
	}
	if _, err := os.Stat(database); err == nil {
		t.Error("there is a file now")
	}

	disk := greylist.NewDisk(database, nil)
	try := greylist.Try{Key: greylist.Key{Client: "198.51.100.0/24", Sender: "alice@example.com", Recipient: "bob@example.org"}}
	for _, ago := range []time.Duration{time.Hour, 0} {
		try.At = time.Now().Add(-ago)
		if _, err := disk.Check(t.Context(), try, greylist.Defaults.Policy()); err != nil {
			t.Fatal(err)
		}
	}
	disk.Close()
	before := entries()
	for range 2 {
		if out, status := replayed(t, config, known); status != 0 {
			t.Errorf("mail that has passed: status %d\n%s", status, out)
		}
		if out, status := replayed(t, config, fresh); status != 1 {
			t.Errorf("new mail: status %d\n%s", status, out)
		}
	}
	if out, status := replayed(t, config, fresh, "--without", "greylist"); status != 0 {
		t.Errorf("without it: status %d\n%s", status, out)
	}
	if after := entries(); !slices.Equal(before, after) {
		t.Errorf("%v has become %v", before, after)
	}
	replayed(t, config, fresh, "--remember")
	if after := entries(); len(after) != len(before)+1 {
		t.Errorf("with --remember there are %d entries", len(after))
	}
}

// A thousand messages past two configurations: those are told of whose outcome
// differs, all of them and no others, in their order.
func TestReplayListsExactlyWhatDiffers(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 2))
	var box strings.Builder
	var want []string
	for i := range 1000 {
		subject := []string{"plain", "junk", "virus", "both junk and virus"}[random.IntN(4)]
		if random.IntN(3) > 0 {
			subject = "plain"
		}
		if strings.Contains(subject, "virus") { // the first takes "virus" and refuses "junk", the second refuses both, the other way
			want = append(want, fmt.Sprintf("box:%d", i+1))
		}
		fmt.Fprintf(&box, "From a@example.com Thu Nov 26 10:00:00 2026\nFrom: a@example.com\nSubject: %s\n\ntext %d\n\n", subject, i)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	os.WriteFile("box", []byte(box.String()), 0o644)
	first := configFile(t, dir, rules("junk", [3]string{"junk", "reject", "5.7.1 junk"})+rules("mark", [3]string{"", "prepend", "X-Time: Thu, 26 Nov 2026 10:00:00 +0000"}))
	second := configFile(t, t.TempDir(), rules("junk", [3]string{"virus", "tempfail", ""}, [3]string{"junk", "reject", "5.7.1 junk"})+rules("mark", [3]string{"", "prepend", "X-Time: Fri, 27 Nov 2026 11:11:11 +0000"}))

	began := time.Now()
	out, status := replayed(t, first, "--against", second, "--parallel", "4", "box")
	var got []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "box:") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if status != 1 || !slices.Equal(got, want) {
		t.Errorf("status %d, %d messages, want %d:\n%s", status, len(got), len(want), out)
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	t.Logf("1000 messages twice in %v; Go has %d MiB of the system; %d differ", time.Since(began), stats.Sys>>20, len(got))
	if out, status := replayed(t, first, "--against", first, "box"); status != 0 || !strings.Contains(out, "1000  the same") {
		t.Errorf("against itself: status %d:\n%s", status, out)
	}
}

// Of what differs there is each part: outcome, reply, who decided, the message. What
// differs by its nature, or by a mask, does not.
func TestReplayTellsWhatDiffers(t *testing.T) {
	file := messageFile(t, receivedMail)
	first := configFile(t, t.TempDir(), rules("h", [3]string{"", "prepend", "X-Seen: at 2026-11-26 10:00:00 by host1"}))
	for name, c := range map[string]struct {
		rules  [3]string
		args   []string
		status int
		prints []string
	}{
		"a time":    {[3]string{"", "prepend", "X-Seen: at 2026-11-27 11:11:11 by host1"}, nil, 0, []string{"1  the same"}},
		"a name":    {[3]string{"", "prepend", "X-Seen: at 2026-11-26 10:00:00 by host2"}, nil, 1, []string{"\n-X-Seen: at … by host1\n", "\n+X-Seen: at … by host2\n", "1  message"}},
		"masked":    {[3]string{"", "prepend", "X-Seen: at 2026-11-26 10:00:00 by host2"}, []string{"--mask", `host\d`}, 0, nil},
		"a refusal": {[3]string{"hello", "reject", "5.7.1 no"}, nil, 1, []string{"- accept", "+ reject", "- (none)", "+ 550 5.7.1 no", "+ h at end of message", "1  accept → reject  (h at end of message 1)"}},
	} {
		second := configFile(t, t.TempDir(), rules("h", c.rules))
		out, status := replayed(t, first, append([]string{"--against", second, file}, c.args...)...)
		if status != c.status {
			t.Errorf("%s: status %d, want %d:\n%s", name, status, c.status, out)
		}
		for _, want := range c.prints {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in:\n%s", name, want, out)
			}
		}
	}
}

// With --json each line is a message, with what is known of it and what was changed;
// with --against also what differs.
func TestReplayAsJSON(t *testing.T) {
	file := messageFile(t, receivedMail)
	first := configFile(t, t.TempDir(), rules("h", [3]string{"", "prepend", "X-Seen: yes"}))
	second := configFile(t, t.TempDir(), rules("h", [3]string{"", "reject", ""}))
	out, _ := replayed(t, first, "--json", file, file)
	var docs []replayDocument
	for line := range strings.Lines(out) {
		var d replayDocument
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		docs = append(docs, d)
	}
	if len(docs) != 2 || docs[1].File != file || docs[1].Record.Outcome != "accept" || docs[1].Record.QueueID != "4FIRST" || docs[1].Edits[0].Value != " yes" ||
		!strings.Contains(docs[1].Message, "X-Seen: yes\n") || docs[1].Facts[0].From != "Received" {
		t.Errorf("%s", out)
	}
	out, status := replayed(t, first, "--json", "--against", second, file)
	var d replayDocument
	json.NewDecoder(strings.NewReader(out)).Decode(&d)
	if status != 1 || len(d.Differences) != 3 || d.Differences[0].Other != "reject" || d.Other.Record.Outcome != "reject" || d.Record.Outcome != "accept" {
		t.Errorf("status %d: %s", status, out)
	}
}

// --out has the messages as they would be delivered, with their own ends of lines;
// those that are refused are not among them.
func TestReplayWritesMessages(t *testing.T) {
	dir := t.TempDir()
	config := configFile(t, dir, rules("h", [3]string{"bad", "reject", ""}, [3]string{"", "prepend", "X-Seen: yes"}))
	crlf := messageFile(t, "Subject: one\r\n\r\ntext\r\n")
	replayed(t, config, "--out", filepath.Join(dir, "out"), crlf, messageFile(t, "Subject: bad\n\n"), messageFile(t, "Subject: three\n\ntext\n"))
	got := map[string]string{}
	files, _ := os.ReadDir(filepath.Join(dir, "out"))
	for _, f := range files {
		text, _ := os.ReadFile(filepath.Join(dir, "out", f.Name()))
		got[f.Name()] = string(text)
	}
	if len(got) != 2 || got["000001-message.eml"] != "X-Seen: yes\r\nSubject: one\r\n\r\ntext\r\n" || got["000003-message.eml"] != "X-Seen: yes\nSubject: three\n\ntext\n" {
		t.Errorf("%q", got)
	}
}

// A milter that is not there is told of, and its default action decides, as in
// earnest.
func TestReplayTellsOfSilentMilters(t *testing.T) {
	config := configFile(t, t.TempDir(), "[[milter]]\nname = \"gone\"\nsocket = \"unix:DIR/none\"\n")
	out, status := replayed(t, config, messageFile(t, receivedMail))
	if status != 1 || !strings.Contains(out, "the milter gone does not answer") || !strings.Contains(out, "put off, as gone failed at mail: 451 4.7.1") {
		t.Errorf("status %d:\n%s", status, out)
	}
}

// Ctrl-C ends it soon, and what there is by then is told.
func TestReplayCanBeInterrupted(t *testing.T) {
	_, socket := filter(t, map[byte][]miltertest.Answer{wire.CmdHeader: {{If: "hang", Hang: true}}})
	config := configFile(t, t.TempDir(), "[[milter]]\nname = \"m\"\nsocket = \""+socket+"\"\n")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	all, err := newNatives(builtins())
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	seen := writerFunc(func(p []byte) (int, error) {
		if strings.Contains(string(p), "-:2") {
			interrupt()
		}
		return out.Write(p)
	})
	o := &replayOptions{parallel: 1, color: "never"}
	box := "From a\nA: 1\n\n\nFrom b\nA: 2\n\n\nFrom c\nA: hang\n\n"
	err = o.run(ctx, all, []string{config}, []string{"-"}, strings.NewReader(box), seen, &errs)
	if err == nil || !strings.Contains(err.Error(), "interrupted after 2 messages") || !strings.Contains(out.String(), "2 messages") {
		t.Errorf("%v:\n%s%s", err, out.String(), errs.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Started as root it reads mail as root, and runs milters without its rights.
func TestReplayGivesUpRootsRights(t *testing.T) {
	dir := publicDir(t)
	config := configFile(t, dir, "user = \"nobody\"\n"+rules("h", [3]string{"hello", "prepend", "X-Seen: yes"}))
	file := filepath.Join(dir, "private.eml")
	if err := os.WriteFile(file, []byte(receivedMail), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := end(t, "replay", "-c", config, "--out", filepath.Join(dir, "out"), file)
	if status != 0 || !strings.Contains(stdout, "+X-Seen: yes") {
		t.Fatalf("status %d:\n%s%s", status, stdout, stderr)
	}
	written, err := os.Stat(filepath.Join(dir, "out", "000001-private.eml"))
	if err != nil {
		t.Fatal(err)
	}
	if mail, _ := os.Stat(file); os.Getuid() == 0 && fmt.Sprint(written.Sys()) == fmt.Sprint(mail.Sys()) {
		t.Error("the message was written by root")
	}
}
