package daemon

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/daemon/internal/journal"
	"github.com/milterkit/sdk/daemon/internal/record"
)

// traced writes a journal of some messages, and returns a configuration that has it.
func newTraced(t *testing.T) (conf, file string) {
	t.Helper()
	dir := t.TempDir()
	conf, file = filepath.Join(dir, "milterkit.toml"), filepath.Join(dir, "journal.db")
	text := "[server]\njournal = \"" + file + "\"\n[[milter]]\nname = \"spam\"\nsocket = \"unix:/s\"\nwhen = \"!local\"\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(file, journal.MinSize)
	if err != nil {
		t.Fatal(err)
	}
	sender := "alice@example.org"
	for i, id := range []string{"4F3A21C0B1", "4F3A21C0B2", "4F3A21C0B3"} {
		j.Put(&record.Message{Session: uint64(100 + i), QueueID: id, Time: time.Now().Add(time.Duration(i-3) * time.Hour), Client: "mx.example.org", Addr: "192.0.2.1",
			Sender: &sender, To: []string{"bob@example.net"}, Rcpts: 1, ID: id + "@example.org", Outcome: []string{"accept", "reject", "accept"}[i], By: []string{"", "spam", ""}[i], Refused: i / 2,
			Steps: []record.Step{{Milter: "spam", At: "connect", Condition: "does not hold"}}})
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return conf, file
}

// One command answers where a message is, by whatever is known of it.
func TestTrace(t *testing.T) {
	conf, file := newTraced(t)
	empty, off := filepath.Join(t.TempDir(), "none.db"), filepath.Join(t.TempDir(), "off.toml")
	if err := os.WriteFile(off, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		status int
		want   []string // in what is printed
	}{
		{"4F3A21C0B2", 0, []string{"message 4F3A21C0B2: rejected", "<alice@example.org>", "not asked: its `when` does not hold (!local)"}},
		{"4F3A21C0B2 --explain", 0, []string{"  * "}},
		{"<4F3A21C0B2@example.org>", 0, []string{"message 4F3A21C0B2: "}},
		{"101", 0, []string{"message 4F3A21C0B2: "}},
		{"ALICE@example.org", 0, []string{"4F3A21C0B3 ", "4F3A21C0B2 ", "4F3A21C0B1 "}},
		{"--limit 2", 0, []string{"4F3A21C0B3 ", "4F3A21C0B2 ", "the newest 2; there may be more"}},
		{"@example.net --outcome reject", 0, []string{"message 4F3A21C0B2: "}},
		{"--outcome refused", 0, []string{"4F3A21C0B3 ", "4F3A21C0B2 "}},
		{"4F3A21C0B1 --outcome refused", 1, []string{"with that --outcome, in the"}},
		{"@example.net --outcome rejected", 0, []string{"message 4F3A21C0B2: "}},
		{"4F3A21C0B1 --since 1d", 0, []string{"message 4F3A21C0B1: "}},
		{"--by spam", 0, []string{"message 4F3A21C0B2: "}},
		{"192.0.2.0/24 --since 90m", 0, []string{"message 4F3A21C0B3: "}},
		{"example.org --since 2020-01-31", 0, []string{"4F3A21C0B1 "}},
		{"4F3A21C0B9", 1, []string{`nothing about "4F3A21C0B9", which was taken for a queue id, or the name of a client, in the journal's 3 messages from `}},
		{"4F3A21C0B1 --since 1h", 1, []string{"with that --since, in the"}},
		{"carol@example.net", 1, []string{"before its recipients were named"}},
		{"4F3A21C0B1 --since soon", 2, []string{`"soon" is no time`}},
		{"4F3A21C0B1 --outcome bounced", 2, []string{"there are accept, reject"}},
		{"4F3A21C0B1 --limit 0", 2, []string{"at least 1"}},
		{"one two", 2, []string{"accepts at most 1 arg"}},
		{"4F3A21C0B1 --journal " + empty, 1, []string{"there is no journal " + empty}},
		{"4F3A21C0B1 --config " + off, 1, []string{"has no journal", "journal = "}},
		{"4F3A21C0B1 --config " + off + " --journal " + file, 0, []string{"message 4F3A21C0B1: accepted"}},
		{"4F3A21C0B1 --journal " + conf, 1, []string{"file is not a database"}},
	} {
		args := append([]string{"trace"}, strings.Fields(c.args)...)
		if !strings.Contains(c.args, "--config") {
			args = append(args, "--config", conf)
		}
		var out bytes.Buffer
		if got := run("milterkit", nil, args, &out, &out); got != c.status {
			t.Errorf("%s: status %d, want %d\n%s", c.args, got, c.status, &out)
		}
		rest := out.String()
		for _, want := range c.want {
			_, after, ok := strings.Cut(rest, want)
			if !ok {
				t.Errorf("%s: no %q in\n%s", c.args, want, &out)
			}
			rest = after
		}
	}
}

// A time of the day is one of today.
func TestSince(t *testing.T) {
	now := time.Date(2026, 1, 31, 15, 30, 0, 0, time.Local)
	for text, want := range map[string]time.Time{
		"2h":    now.Add(-2 * time.Hour),
		"7d":    time.Date(2026, 1, 24, 15, 30, 0, 0, time.Local),
		"09:05": time.Date(2026, 1, 31, 9, 5, 0, 0, time.Local),
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// A journal that could not be written is told beforehand; it is no reason not to start.
func TestCheckWarnsOfTheJournal(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "milterkit.toml")
	for journal, want := range map[string]string{
		filepath.Join(dir, "no", "journal.db"): "journal: there will be none, for there is no folder " + filepath.Join(dir, "no"),
		filepath.Join(dir, "journal.db"):       "",
	} {
		text := "[server]\nuser = \"root\"\nsocket_group = \"\"\nlisten = [\"inet:8890@127.0.0.1\"]\njournal = \"" + journal + "\"\n"
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if got := run("milterkit", nil, []string{"check", "--config", conf}, &out, &out); got != 0 || strings.Contains(out.String(), "journal") != (want != "") || !strings.Contains(out.String(), want) {
			t.Errorf("%s: status %d\n%s", journal, got, &out)
		}
	}
}

// With --json there is one object a line, with all that is known.
func TestTraceInJSON(t *testing.T) {
	conf, _ := newTraced(t)
	var out, errs bytes.Buffer
	if got := run("milterkit", nil, []string{"trace", "--json", "bob@example.net", "--config", conf}, &out, &errs); got != 0 {
		t.Fatal(got, errs.String())
	}
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	var m record.Message
	if err := json.Unmarshal(lines[0], &m); err != nil || len(lines) != 3 || m.QueueID != "4F3A21C0B3" || len(m.Steps) != 1 {
		t.Errorf("%v\n%s", err, &out)
	}
}
