package daemon

import (
	"encoding/json"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/milterkit/sdk/builtin/greylist"
)

// greylistFile is a configuration with a milter for each of these options, called
// a, b, and so on.
func greylistFile(t *testing.T, dir string, options ...string) string {
	t.Helper()
	var b strings.Builder
	for i, o := range options {
		b.WriteString("[[milter]]\nname = \"" + string(rune('a'+i)) + "\"\nuse = \"greylist\"\n[milter.options]\n" + o + "\n")
	}
	return configFile(t, dir, b.String())
}

// tried has a store record some tries: one that waits, one that could pass, one
// that has passed.
func tried(t *testing.T, s greylist.Store) {
	t.Helper()
	defer s.Close()
	now := time.Now()
	policy := greylist.Defaults
	for _, try := range []struct {
		ago  time.Duration
		from string
	}{{0, "waiting@example.org"}, {time.Hour, ""}, {time.Hour, "passed@example.com"}, {time.Minute, "passed@example.com"}} {
		_, err := s.Check(t.Context(), greylist.Try{
			Key: greylist.Key{Client: "203.0.113.0/24", Sender: try.from, Recipient: "bob@example.net"}, At: now.Add(-try.ago)}, policy.Policy())
		if err != nil {
			t.Fatal(err)
		}
	}
}

// both runs a test with what is remembered in a file, and in a Redis.
func both(t *testing.T, test func(t *testing.T, file string)) {
	t.Run("file", func(t *testing.T) {
		dir := publicDir(t)
		tried(t, greylist.NewDisk(filepath.Join(dir, "greylist.db"), nil))
		test(t, greylistFile(t, dir, `database = "DIR/greylist.db"`))
	})
	t.Run("redis", func(t *testing.T) {
		server := miniredis.RunT(t)
		store, err := greylist.NewRedis("redis://"+server.Addr(), "greylist:")
		if err != nil {
			t.Fatal(err)
		}
		tried(t, store)
		test(t, greylistFile(t, publicDir(t), `redis = "redis://`+server.Addr()+`"`))
	})
}

// greylistSays runs the command, and returns the lines that it prints, sorted.
func greylistSays(t *testing.T, file string, args ...string) []string {
	t.Helper()
	status, stdout, stderr := end(t, append([]string{"greylist", args[0], "--config", file}, args[1:]...)...)
	if status != exitOK || stderr != "" {
		t.Errorf("%q: status %d, %s", args, status, stderr)
	}
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if stdout == "" {
		lines = nil
	}
	slices.Sort(lines)
	return lines
}

func TestGreylistCommand(t *testing.T) {
	both(t, func(t *testing.T, file string) {
		lines := greylistSays(t, file, "list")
		patterns := []string{
			`^passed   203\.0\.113\.0/24 <passed@example\.com> to <bob@example\.net>: 2 tries since \d{4}-\d\d-\d\d [\d:]{8}, last [-\d]{10} [\d:]{8}, forgotten [-\d]{10} [\d:]{8}$`,
			`^waiting  203\.0\.113\.0/24 <> to <bob@example\.net>: 1 try since [-\d]{10} [\d:]{8}, passes at its next try, forgotten [-\d]{10} [\d:]{8}$`,
			`^waiting  203\.0\.113\.0/24 <waiting@example\.org> to <bob@example\.net>: 1 try since [-\d]{10} [\d:]{8}, passes from [-\d]{10} [\d:]{8} on \(in \d+m\d+s\), forgotten [-\d]{10} [\d:]{8}$`,
		}
		if len(lines) != len(patterns) {
			t.Fatalf("list prints %q", lines)
		}
		for i, p := range patterns {
			if !regexp.MustCompile(p).MatchString(lines[i]) {
				t.Errorf("list prints %q, want %s", lines[i], p)
			}
		}
		if got := greylistSays(t, file, "stats"); !slices.Equal(got, []string{"a: 2 waiting (1 would pass at the next try), 1 passed, 0 allowed"}) {
			t.Errorf("stats prints %q", got)
		}
		if got := greylistSays(t, file, "allow", "192.0.2.0/24", "Example.org"); !slices.Equal(got, []string{"a: 192.0.2.0/24 is allowed", "a: example.org is allowed"}) {
			t.Errorf("allow prints %q", got)
		}
		for what, want := range map[string]int{"203.0.113.9": 3, "192.0.2.7": 1, "example.com": 1, "bob@example.net": 3, "example.org": 2, "nobody@example.net": 0} {
			if got := greylistSays(t, file, "list", what); len(got) != want {
				t.Errorf("list %s prints %q", what, got)
			}
		}
		if got := greylistSays(t, file, "list", "--state", "allowed"); len(got) != 2 || !strings.HasPrefix(got[0], "allowed  192.0.2.0/24 since ") {
			t.Errorf("it prints %q", got)
		}
		if got := greylistSays(t, file, "forget", "192.0.2.1"); !slices.Equal(got, []string{"a: 0 forgotten", "a: 192.0.2.0/24 stays allowed; it is forgotten by that name"}) {
			t.Errorf("forget prints %q", got)
		}
		if got := greylistSays(t, file, "forget", "192.0.2.0/24", "waiting@example.org"); !slices.Equal(got, []string{"a: 2 forgotten"}) {
			t.Errorf("forget prints %q", got)
		}
		if got := greylistSays(t, file, "stats", "--json"); !slices.Equal(got, []string{`{"milter":"a","waiting":1,"due":1,"passed":1,"allowed":1}`}) {
			t.Errorf("stats prints %q", got)
		}
		if got := greylistSays(t, file, "forget", "--all", "--state", "passed"); !slices.Equal(got, []string{"a: 1 forgotten"}) {
			t.Errorf("forget prints %q", got)
		}
		if got := greylistSays(t, file, "forget", "--all"); !slices.Equal(got, []string{"a: 2 forgotten"}) {
			t.Errorf("forget prints %q", got)
		}
		if got := greylistSays(t, file, "list"); got != nil {
			t.Errorf("list prints %q", got)
		}
	})
}

// With --json each entry is an object on a line.
func TestGreylistListJSON(t *testing.T) {
	both(t, func(t *testing.T, file string) {
		greylistSays(t, file, "allow", "example.org")
		seen := map[string]bool{}
		for _, line := range greylistSays(t, file, "list", "--json") {
			var e greylistEntry
			var state struct{ State string }
			// A State is only ever written.
			if err := json.Unmarshal([]byte(strings.Replace(line, `"state"`, `"was"`, 1)), &e); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if err := json.Unmarshal([]byte(line), &state); err != nil {
				t.Fatal(err)
			}
			seen[state.State] = true
			allowed, waiting := state.State == "allowed", state.State == "waiting"
			if e.Milter != "a" || e.Client == "" || e.First.IsZero() || (e.Sender == nil) != allowed || (e.Expires == nil) != allowed || (e.Passes != nil) != waiting {
				t.Errorf("got %s", line)
			}
			if waiting && !e.Passes.Equal(e.First.Add(10*time.Minute)) {
				t.Errorf("got %s", line)
			}
		}
		if len(seen) != 3 {
			t.Errorf("seen are %v", seen)
		}
	})
}

// Milters that share a file are one; --milter picks one of several.
func TestGreylistMemories(t *testing.T) {
	dir := publicDir(t)
	tried(t, greylist.NewDisk(filepath.Join(dir, "one.db"), nil))
	file := greylistFile(t, dir, `database = "DIR/one.db"`, `database = "DIR/two.db"`, `database = "DIR/one.db"`)
	status, stdout, stderr := end(t, "greylist", "stats", "--config", file)
	if want := "a: 2 waiting (1 would pass at the next try), 1 passed, 0 allowed\nb: 0 waiting, 0 passed, 0 allowed\n"; status != exitOK || stdout != want {
		t.Errorf("stats ends with %d, and prints %s", status, stdout)
	}
	if want := "b: there is no file " + dir + "/two.db yet; "; !strings.HasPrefix(stderr, want) {
		t.Errorf("it says %s", stderr)
	}
	if got := greylistSays(t, file, "stats", "--milter", "c"); len(got) != 1 || !strings.HasPrefix(got[0], "c: 2 waiting") {
		t.Errorf("stats prints %q", got)
	}
	end(t, "greylist", "forget", "--config", file, "--all", "--milter", "b")
	if _, err := os.Stat(filepath.Join(dir, "two.db")); !os.IsNotExist(err) {
		t.Errorf("what only looks has made a file: %v", err)
	}
}

// What is wrong is said, with the status for it.
func TestGreylistCommandErrors(t *testing.T) {
	dir := publicDir(t)
	file := greylistFile(t, dir, `database = "DIR/greylist.db"`)
	if err := os.WriteFile(filepath.Join(dir, "bad.db"), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := greylistFile(t, publicDir(t), `database = "`+dir+`/bad.db"`)
	folder := greylistFile(t, publicDir(t), `database = "`+dir+`/none/greylist.db"`)
	gone := greylistFile(t, publicDir(t), `redis = "redis://127.0.0.1:1"`)
	none := configFile(t, publicDir(t), "")
	for _, c := range []struct {
		status int
		stderr string
		args   []string
	}{
		{exitUsage, "is no client; write an address", []string{"allow", "-c", file, "a b"}},
		{exitUsage, "requires at least 1 arg", []string{"allow", "-c", file}},
		{exitUsage, `unknown command "lst"; there are list, allow, forget and stats`, []string{"lst"}},
		{exitUsage, "forget wants either WHAT or --all", []string{"forget", "-c", file}},
		{exitUsage, "forget wants either WHAT or --all", []string{"forget", "-c", file, "--all", "a@b"}},
		{exitUsage, `--state "gone": there are waiting, passed and allowed`, []string{"list", "-c", file, "--state", "gone"}},
		{exitFault, `has no milter "z" with use = "greylist"`, []string{"list", "-c", file, "--milter", "z"}},
		{exitFault, `has no milter with use = "greylist"`, []string{"stats", "-c", none}},
		{exitFault, "bad.db is damaged, or is no greylist", []string{"list", "-c", bad}},
		{exitFault, "a: there is no folder " + dir + "/none; make it", []string{"list", "-c", folder}},
		{exitFault, "redis 127.0.0.1:1: ", []string{"stats", "-c", gone}},
		{exitConfig, "no such file", []string{"list", "-c", filepath.Join(dir, "none.toml")}},
	} {
		status, _, stderr := end(t, append([]string{"greylist"}, c.args...)...)
		if status != c.status || !strings.Contains(stderr, c.stderr) || strings.Contains(stderr, "--help") != (c.status == exitUsage) {
			t.Errorf("%q: status %d\n%s", c.args, status, stderr)
		}
	}
}

// Who may not read the file is named, and what gives it to him.
func TestGreylistFileOfAnother(t *testing.T) {
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	name := u.Username
	if os.Geteuid() == 0 {
		name = "nobody"
	}
	dir := publicDir(t)
	if err := os.WriteFile(filepath.Join(dir, "greylist.db"), nil, 0); err != nil {
		t.Fatal(err)
	}
	file := greylistFile(t, dir, `database = "DIR/greylist.db"`)
	text, _ := os.ReadFile(file)
	os.WriteFile(file, []byte(strings.Replace(string(text), `user = "root"`, `user = "`+name+`"`, 1)), 0o644)
	status, stdout, stderr := end(t, "greylist", "stats", "--config", file)
	want := name + " may not read and write " + dir + "/greylist.db; as root do: chown " + name + " " + dir + "/greylist.db*"
	if status != exitFault || stdout != "" || !strings.Contains(stderr, want) {
		t.Errorf("status %d, want %s\n%s", status, want, stderr)
	}
}

// check says when the folder of the file is not there, and makes nothing.
func TestCheckTellsOfTheGreylistsFolder(t *testing.T) {
	dir := publicDir(t)
	file := greylistFile(t, dir, `database = "DIR/none/greylist.db"`)
	status, _, stderr := end(t, "check", "--config", file)
	if want := ":9:1: database: there is no folder " + dir + "/none; make it"; status != exitConfig || !strings.Contains(stderr, want) {
		t.Errorf("status %d, want %s\n%s", status, want, stderr)
	}
	file = greylistFile(t, dir, `database = "DIR/greylist.db"`)
	if status, _, stderr := end(t, "check", "--config", file); status != exitOK {
		t.Errorf("status %d\n%s", status, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "greylist.db")); !os.IsNotExist(err) {
		t.Errorf("check has made a file: %v", err)
	}
}

// The page lists the options that there are.
func TestGreylistOptionsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/children/greylist.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := publicDir(t)
	_, shown, _ := end(t, "show-config", "--config", greylistFile(t, dir, `database = "DIR/greylist.db"`))
	_, shown, _ = strings.Cut(shown, "[milter.options]")
	options := regexp.MustCompile(`(?m)^#? ?([a-z0-9_]+) *=`).FindAllStringSubmatch(shown, -1)
	for _, o := range options {
		if !strings.Contains(string(text), "\n| `"+o[1]+"` |") {
			t.Errorf("%s is not documented", o[1])
		}
	}
	if len(options) < 10 {
		t.Errorf("show-config prints %s", shown)
	}
}
