package test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/test/stack"
)

// detectLimit bounds a test that starts every filter that Debian has, rspamd with
// all its rules among them.
const detectLimit = 3 * time.Minute

// With the packages of Debian as they are installed, milterkit detect --write and
// milterkit serve filter mail, and no line is edited by hand. The filters run as
// their units and init scripts start them, in name spaces of their own, of which
// nothing is left.
func TestDetectedConfigurationFilters(t *testing.T) {
	t.Parallel()
	root, err := stack.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := root.Remove(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), detectLimit)
	defer cancel()
	if err := (&stack.Binary{Root: root, Plain: true}).Build(ctx); err != nil {
		t.Fatal(err)
	}
	dir := root.Path("detect")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
		"testdata/detect.sh", root.Path("bin-milterkit"), dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, readAll(t, filepath.Join(dir, "*.log")))
	}
	table := readAll(t, filepath.Join(dir, "table"))
	for _, name := range []string{"pyspf-milter", "dkimpy-milter", "opendkim", "opendmarc", "clamav-milter", "rspamd", "spamass-milter"} {
		if !hasRow(table, name, "yes", "yes") {
			t.Errorf("%s is not found, enabled and answering:\n%s", name, table)
		}
	}
	// dkimpy-milter and OpenDKIM, which verify and sign, are in it twice.
	if said := readAll(t, filepath.Join(dir, "check")); !strings.Contains(said, "configuration is good: 9 milters") || strings.Contains(said, "warning") {
		t.Errorf("milterkit check says:\n%s", said)
	}
	for _, want := range []struct {
		name, result, reply, quarantine string
		has, lacks                      []string
	}{
		{name: "clean", result: "accepted", has: []string{"X-Virus-Status: Clean", "X-Spam-Status: No", "dmarc=none", "spf="}},
		{name: "virus", result: "accepted", quarantine: "quarantined by clamav-milter", has: []string{"X-Virus-Status: Infected"}},
		{name: "spam", result: "rejected", reply: "554 5.7.1 Gtube pattern"},
		{name: "ours", result: "accepted", has: []string{"X-Virus-Status: Clean"}, lacks: []string{"X-Spam", "dmarc="}},
	} {
		got := sentMessage(t, filepath.Join(dir, want.name+".json"))
		if got.Result != want.result || got.Reply != want.reply || got.Quarantine != want.quarantine {
			t.Errorf("%s: got %+v", want.name, got)
		}
		for _, text := range want.has {
			if !strings.Contains(got.Message, text) {
				t.Errorf("%s: there is no %q in\n%s", want.name, text, got.Message)
			}
		}
		for _, text := range want.lacks {
			if strings.Contains(got.Message, text) {
				t.Errorf("%s: there is %q in\n%s", want.name, text, got.Message)
			}
		}
	}
	if t.Failed() {
		t.Log(readAll(t, filepath.Join(dir, "serve.log")))
	}
}

// hasRow reports whether a table has a row that begins with these words.
func hasRow(table string, words ...string) bool {
	for row := range strings.Lines(table) {
		fields := strings.Fields(row)
		if len(fields) >= len(words) && strings.Join(fields[:len(words)], " ") == strings.Join(words, " ") {
			return true
		}
	}
	return false
}

// readAll returns the texts of files.
func readAll(t *testing.T, pattern string) string {
	t.Helper()
	names, _ := filepath.Glob(pattern)
	var all strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("-- " + filepath.Base(name) + "\n")
		all.Write(text)
	}
	return all.String()
}

// A sent message is what milterkit send says of it.
type sent struct{ Result, Reply, Quarantine, Message string }

func sentMessage(t *testing.T, file string) sent {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Messages []sent }
	if err := json.Unmarshal(text, &all); err != nil || len(all.Messages) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	return all.Messages[0]
}
