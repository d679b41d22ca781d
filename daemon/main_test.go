package daemon

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
)

// asProgram, in the environment, has the test binary be the program itself;
// its value is "1", or the user to start as.
const asProgram = "MILTERKIT_TEST_PROGRAM"

// reader is a native child that the program has in tests: it must be able to read
// a file.
var reader = Use("reader", struct {
	List string `toml:",required"`
}{List: "/etc/list"}, func(o struct {
	List string `toml:",required"`
}) (milterkit.Child, error) {
	f, err := os.Open(o.List)
	if err != nil {
		return nil, OptionErrorf("list", "%w", err)
	}
	return idle("reader"), f.Close()
})

// ledger is a native child that writes into a file when it is made and closed.
var ledger = Use("ledger", struct{ File string }{}, func(o struct{ File string }) (milterkit.Child, error) {
	note := func(word string) error {
		f, err := os.OpenFile(o.File, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
		if err != nil {
			return err
		}
		_, err = f.WriteString(word + " ")
		return errors.Join(err, f.Close())
	}
	return limiter{idle("ledger"), func() error { return note("closed") }}, note("made")
})

func TestMain(m *testing.M) {
	if name := os.Getenv(asProgram); name != "" {
		if name != "1" { // started by a user who may not even see the test binary
			a, err := lookupAccount(name)
			if err == nil {
				err = a.become()
			}
			if err != nil {
				panic(err)
			}
		}
		os.Exit(run("milterkit", []Native{reader, ledger, maxRcpt}, os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// program returns the program as a process yet to be started.
func program(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "JOURNAL_STREAM=", "NOTIFY_SOCKET=", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// end runs the program to its end.
func end(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := program(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// publicDir is a directory of the test that every user may enter and write to.
func publicDir(t *testing.T) string {
	dir := t.TempDir()
	for path, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, dir: 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// configFile writes a configuration whose [server] begins with what a test
// needs to run anywhere; DIR stands for dir.
func configFile(t *testing.T, dir, text string) string {
	t.Helper()
	file := filepath.Join(dir, "milterkit.toml")
	if !strings.Contains(text, "user =") {
		text = "user = \"root\"\n" + text
	}
	if !strings.Contains(text, "listen =") {
		text = "listen = [\"unix:DIR/s\"]\n" + text
	}
	if !strings.Contains(text, "temp_dir =") {
		text = "temp_dir = \"DIR\"\n" + text
	}
	text = "[server]\n" + strings.ReplaceAll(text, "DIR", dir)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestExitStatus(t *testing.T) {
	dir := publicDir(t)
	good := configFile(t, dir, "")
	bad := filepath.Join(dir, "bad.toml")
	if err := os.WriteFile(bad, []byte("[sever]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing.toml")
	for _, c := range []struct {
		args   []string
		status int
		stderr string
	}{
		{[]string{"version"}, exitOK, ""},
		{[]string{"--version"}, exitOK, ""},
		{[]string{"check", "--config", good}, exitOK, ""},
		{[]string{"check", "-config", good, "--no-connect"}, exitOK, ""},
		{[]string{"check", "-config=" + good}, exitOK, ""},
		{[]string{"check", "-c", good}, exitOK, ""},
		{[]string{"--show-config", "-c", good}, exitOK, ""},
		{[]string{"check", "-c", bad}, exitConfig, bad + ":1:2: unknown section \"sever\"; did you mean [server]?\n"},
		{[]string{"serve", "-c", bad}, exitConfig, bad + ":1:2: unknown section \"sever\"; did you mean [server]?\n"},
		{[]string{"show-config", "-c", bad}, exitConfig, bad + ":1:2: unknown section \"sever\"; did you mean [server]?\n"},
		{[]string{"serve", "-c", missing}, exitConfig, missing + ": the configuration cannot be read: no such file or directory\n"},
		{[]string{"sreve"}, exitUsage, "milterkit: unknown command \"sreve\" for \"milterkit\"\n\nDid you mean this?\n\tserve\n\nTry milterkit --help.\n"},
		{[]string{"serve", "--confg", good}, exitUsage, "milterkit: unknown flag: --confg\nTry milterkit serve --help.\n"},
		{[]string{"serve", "twice"}, exitUsage, "milterkit: milterkit serve takes no argument; did you mean --config twice?\nTry milterkit serve --help.\n"},
	} {
		status, _, stderr := end(t, c.args...)
		if status != c.status || stderr != c.stderr {
			t.Errorf("%q: status %d, want %d\n%s", c.args, status, c.status, stderr)
		}
	}
}

func TestHelpIsComplete(t *testing.T) {
	for _, c := range commandsOf(newRootCommand("milterkit", nil)) {
		if c.Short == "" || c.Long == "" || c.Example == "" || c.RunE == nil {
			t.Errorf("%s: short %q, long %q, example %q", c.Name(), c.Short, c.Long, c.Example)
		}
		for _, line := range strings.Split(c.Long, "\n") {
			if len(line) > 80 {
				t.Errorf("%s: the line %q is too long", c.Name(), line)
			}
		}
	}
	status, stdout, _ := end(t, "serve", "--help")
	if status != exitOK || !strings.Contains(stdout, "--config FILE") || !strings.Contains(stdout, "Exit status") {
		t.Errorf("status %d\n%s", status, stdout)
	}
}

func TestShowConfigCanBeLoaded(t *testing.T) {
	dir := publicDir(t)
	file := configFile(t, dir, "[[milter]]\nname = \"a\"\nsocket = \"DIR/child\"\n")
	_, shown, _ := end(t, "show-config", "-c", file)
	if !strings.Contains(shown, "# default\n") || !strings.Contains(shown, "# "+file+":6\n") {
		t.Errorf("got\n%s", shown)
	}
	again := filepath.Join(dir, "again.toml")
	if err := os.WriteFile(again, []byte(shown), 0o600); err != nil {
		t.Fatal(err)
	}
	status, twice, stderr := end(t, "show-config", "-c", again)
	if bare := func(s string) string {
		var lines []string
		for _, l := range strings.Split(s, "\n") {
			l, _, _ = strings.Cut(l, "  #")
			lines = append(lines, strings.TrimRight(l, " "))
		}
		return strings.Join(lines, "\n")
	}; status != exitOK || bare(twice) != bare(shown) {
		t.Errorf("status %d %s\n%s\n%s", status, stderr, shown, twice)
	}
	if _, j, _ := end(t, "show-config", "-c", file, "--json"); !strings.Contains(j, `"value": "unix:`+dir+`/child"`) {
		t.Errorf("got\n%s", j)
	}
}

func TestCheckSaysWhatServeSays(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"temp_dir is there":            {"temp_dir = \"DIR/no\"\n", "FILE:4:1: temp_dir: stat DIR/no: no such file or directory\n"},
		"temp_dir is a directory":      {"temp_dir = \"DIR/milterkit.toml\"\n", "FILE:4:1: temp_dir: DIR/milterkit.toml is not a directory\n"},
		"the group exists":             {"socket_group = \"nosuchgroup\"\n", "FILE:5:1: socket_group: the system has no group \"nosuchgroup\"\n"},
		"all mistakes are told":        {"log = \"x\"\nuser = 1\n", "FILE:4:7: log: \"x\" is unknown; there are stderr, syslog\nFILE:5:8: user: this is a whole number; write text in quotes, such as \"milterkit\"\n"},
		"an impossible value is named": {"max_sessions = -3\n", "FILE:5:16: max_sessions: -3 is no number of sessions; write one such as 500, or 0 for no limit\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := publicDir(t)
			file := configFile(t, dir, c.text)
			status, _, checked := end(t, "check", "-c", file)
			if status != exitConfig {
				t.Errorf("check: status %d", status)
			}
			status, _, served := end(t, "serve", "-c", file)
			if status != exitConfig || checked != served {
				t.Errorf("serve: status %d\n%s\ncheck\n%s", status, served, checked)
			}
			want := strings.NewReplacer("FILE", file, "DIR", dir).Replace(c.want)
			if served != want {
				t.Errorf("got\n%s\nwant\n%s", served, want)
			}
		})
	}
}
