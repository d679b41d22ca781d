package daemon

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// multiplexer serves a configuration with one milter, at socket, in dir, and
// returns the socket in front of it.
func multiplexer(t *testing.T, dir, socket string) string {
	t.Helper()
	front := filepath.Join(dir, "m")
	file := filepath.Join(dir, "milterkit.toml")
	text := fmt.Sprintf("[server]\nlisten = [\"unix:%s\"]\n[[milter]]\nname = \"sink\"\nsocket = %q\n", front, socket)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := natives(nil).load(file)
	if err != nil {
		t.Fatal(err)
	}
	server, _, err := natives(nil).build(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", front)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		server.Close()
		<-served
		closeChildren(server)
	})
	return "unix:" + front
}

// clock is the time of day, in the Received field that send adds.
var clock = regexp.MustCompile(`\d\d:\d\d:\d\d`)

// ends is what a mail server, its client and the recipients see of a message.
type ends struct {
	Result, Reply, From, Message string
	Quarantine                   *string
	Refused, To                  []string
	Status                       int
}

// sent plays a message to a socket.
func sent(t *testing.T, socket, mail string) ends {
	t.Helper()
	out, status := call(t, newSendCommand(), "", socket, mail, "--json", "--unknown", "FOO bar",
		"--rcpt", "bob@example.org", "--rcpt", "carol@example.org")
	var doc sendDocument
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&doc); err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	if len(doc.Messages) != 1 {
		t.Fatalf("%d messages, want 1, in:\n%s", len(doc.Messages), out)
	}
	m := doc.Messages[0]
	message := clock.ReplaceAllString(m.Message, "hh:mm:ss")
	return ends{m.Result, m.Reply, m.From, message, m.Quarantine, m.Refused, m.To, status}
}

// What comes of a message does not depend on whether milterkit stands between
// the mail server and the milter: for each verdict at each stage, and each edit.
func TestSendSeesTheSameThroughServe(t *testing.T) {
	mail := filepath.Join(t.TempDir(), "mail")
	text := "Received: by relay.example.net\r\nSubject: one\r\nX-A: 1\r\nX-B:tight\r\nx-a:  2\r\nX-Folded: a\r\n\tb\r\n\r\ntext\r\n"
	body := filepath.Join(t.TempDir(), "body")
	for file, content := range map[string]string{mail: text, body: "another body\r\n.\r\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cases := map[string][]string{
		"nothing":             nil,
		"edits and a refusal": {"--add-header", "X-C: 3", "--replace-body", body, "--eom", "reject"},
		"edits and accept":    {"--add-header", "X-C: 3", "--delete-header", "1 X-A", "--eom", "accept"},
		"progress":            {"--progress", "1"},
		"no replies":          {"--no-reply", "all", "--add-header", "X-C: 3"},
		"leading space":       {"--leading-space", "--add-header", "X-C:tight", "--change-header", "1 X-A:   wide"},
		"version 2":           {"--protocol-version", "2", "--add-header", "X-C: 3"},
		"no stages":           {"--no", "all", "--add-header", "X-C: 3"},
	}
	for _, stage := range []string{"connect", "helo", "mail", "rcpt", "data", "header", "eoh", "body", "eom", "unknown"} {
		for _, verdict := range []string{"continue", "accept", "reject", "tempfail", "discard", "550 5.7.1 50% no", "421 4.7.0 closing"} {
			cases[stage+" "+verdict] = []string{"--" + stage, verdict}
		}
	}
	cases["one recipient refused"] = []string{"--rcpt", "if:carol,550 5.1.1 no such user"}
	cases["body skip"] = []string{"--body", "skip", "--add-header", "X-C: 3"}
	for name, args := range map[string][]string{
		"add header":       {"--add-header", "X-C: 3"},
		"insert header 0":  {"--insert-header", "0 X-C: 3"},
		"insert header 2":  {"--insert-header", "2 X-C: 3"},
		"insert header 99": {"--insert-header", "99 X-C: 3"},
		"change header":    {"--change-header", "2 X-A: changed"},
		"change a missing": {"--change-header", "3 X-A: new"},
		"change the first": {"--change-header", "1 Received: changed"},
		"delete header":    {"--delete-header", "1 X-A"},
		"delete two":       {"--delete-header", "2 X-A", "--delete-header", "1 X-A"},
		"delete a missing": {"--delete-header", "1 X-None"},
		"add recipient":    {"--add-rcpt", "<dave@example.org>"},
		"with parameters":  {"--add-rcpt", "<dave@example.org> NOTIFY=NEVER"},
		"delete recipient": {"--delete-rcpt", "<bob@example.org>"},
		"change sender":    {"--change-from", "<new@example.org> RET=HDRS"},
		"replace body":     {"--replace-body", body},
		"quarantine":       {"--quarantine", "for a look"},
		"all of them":      {"--add-header", "X-C: 3", "--insert-header", "1 X-D: 4", "--change-header", "1 Subject: two", "--delete-header", "1 X-B", "--add-rcpt", "<dave@example.org>", "--delete-rcpt", "<bob@example.org>", "--change-from", "<new@example.org>", "--replace-body", body, "--quarantine", "why"},
	} {
		cases["edit: "+name] = args
	}
	for name, args := range cases {
		dir := t.TempDir()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket, _ := sinkIn(t, dir, append(args, "--quiet")...)
			want := sent(t, socket, mail)
			got := sent(t, multiplexer(t, dir, socket), mail)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("straight (-) and through milterkit (+):\n%s", d)
			}
		})
	}
}
