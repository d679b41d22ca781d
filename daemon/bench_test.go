package daemon

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/bench"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// quickly makes bench take next to no time.
var quickly = []string{"--rounds", "2", "--time", "40ms", "--sessions", "2", "--mail", "tiny"}

// benchEnd runs the command to its end.
func benchEnd(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	return end(t, append(append([]string{"bench"}, args...), quickly...)...)
}

// startMilter starts a milter that does as it is told, and returns where it listens.
func startMilter(t *testing.T, on map[byte][]miltertest.Answer) string {
	t.Helper()
	f := &miltertest.Filter{Script: miltertest.Script{On: on}}
	path, err := f.Start("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return "unix:" + path
}

// tableLine returns the line of a table that begins with a name and a space.
func tableLine(table, name string) string {
	return regexp.MustCompile(`(?m)^ *` + regexp.QuoteMeta(name) + ` .*$`).FindString(table)
}

func TestBenchMeasuresYourMilters(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rounds.txt")
	status, stdout, stderr := benchEnd(t, startMilter(t, nil), startMilter(t, nil), "--together", "--benchstat", file)
	if status != exitOK || stderr != "" {
		t.Fatalf("status %d, %s", status, stderr)
	}
	for _, want := range []string{"machine  ", "commit   ", "tiny mail, 2 sessions at one time, 2 milters of your own, together behind milterkit (2 rounds)", "messages/s"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for name, want := range map[string]string{
		"direct":             `^ +direct +[0-9.]+ ± *\d+%( +[0-9.]+(µ|m)?s){4} +- .* - +-$`,
		"milterkit":          `^ +milterkit +[0-9.]+ ± *\d+%( +[0-9.]+(µ|m)?s){7} +\d+ +[0-9.]+ MiB$`,
		"milterkit / direct": `^ +milterkit / direct +[0-9.]+ \([0-9.]+ to [0-9.]+\) +-$`,
	} {
		if got := tableLine(stdout, name); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("the line of %s is %q", name, got)
		}
	}
	rounds, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(rounds), "\nBenchmarkQuick/mail=tiny/sessions=2/children=2/kind=own/together=true/name="); n != 4 {
		t.Errorf("%d rounds of two contestants in the file, want 4:\n%s", n, rounds)
	}
	if t.Failed() {
		t.Log(stdout)
	}
}

func TestBenchMeasuresMilterkit(t *testing.T) {
	scenario := filepath.Join(t.TempDir(), "mine.toml")
	text := "mail = \"tiny\"\nchildren = 2\nkind = [\"native\", \"mixed\"]\ndelay = \"1ms\"\n"
	if err := os.WriteFile(scenario, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := benchEnd(t, "--scenario", scenario)
	if status != exitOK || stderr != "" {
		t.Fatalf("status %d, %s", status, stderr)
	}
	for _, want := range []string{"2 native children, each taking 1ms (2 rounds)", "2 mixed children, each taking 1ms (2 rounds)"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "direct") {
		t.Errorf("native children are asked directly:\n%s", stdout)
	}
}

// Refused mail is told, and is no success.
func TestBenchTellsRefusals(t *testing.T) {
	some := startMilter(t, map[byte][]miltertest.Answer{wire.CmdMail: {{Text: "451 4.7.1 later", Message: 2}}})
	long := filepath.Join(t.TempDir(), "long.toml")
	if err := os.WriteFile(long, []byte("mail = \"tiny\"\nmessages = 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, stderr := benchEnd(t, some, "--scenario", long)
	if status != exitTrouble || !strings.Contains(stderr, "no message came through") || !strings.Contains(stderr, "refused at MAIL: 451 4.7.1 later") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

func TestBenchSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	wrong := filepath.Join(dir, "wrong.toml")
	if err := os.WriteFile(wrong, []byte("mail = \"shrt\"\nsesions = 8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rule   string
		args   []string
		status int
		want   string
	}{
		{"nobody listens", []string{"unix:" + dir + "/none"}, exitTrouble, "none does not answer as a milter: dial unix"},
		{"no socket", []string{"milter.sock"}, exitUsage, `"milter.sock" is not a socket; write unix:/PATH`},
		{"a socket of systemd", []string{"systemd:milter"}, exitUsage, "only a service that systemd starts has its sockets"},
		{"an unknown scenario", []string{"--scenario", "quik"}, exitUsage, `there is no scenario "quik"; did you mean "quick"? (bench --list has them all)`},
		{"a scenario with mistakes", []string{"--scenario", wrong}, exitConfig,
			wrong + `:1:8: mail: there is no mail "shrt"; did you mean "short"?` + "\n" + wrong + `:2:1: unknown key "sesions"; did you mean "sessions"?`},
		{"a scenario that is not there", []string{"--scenario", dir + "/none.toml"}, exitConfig, "the scenario cannot be read: no such file or directory"},
		{"an unknown mail", []string{"--mail", "shrt"}, exitUsage, `there is no mail "shrt"; did you mean "short"?`},
		{"together without milters", []string{"--together"}, exitUsage, "there is no SOCKET"},
		{"together alone", []string{"--together", "unix:/s"}, exitUsage, "name a second SOCKET"},
		{"no time", []string{"--time", "0s"}, exitUsage, "write a time from 10ms to 1h"},
		{"no rounds", []string{"--rounds", "0"}, exitUsage, "write a number from 1 to 1000"},
		{"no sessions", []string{"--sessions", "1,0"}, exitUsage, "--sessions 0: write numbers from 1 to 10000"},
		{"rounds in words", []string{"--rounds", "many"}, exitUsage, "milterkit: --rounds many: write a whole number, such as 9\n"},
		{"sessions in words", []string{"--sessions", "1,few"}, exitUsage, "milterkit: --sessions 1,few: write whole numbers with commas between, such as 1,8,64\n"},
		{"a time without a unit", []string{"--time", "5"}, exitUsage, "milterkit: --time 5: write a time with its unit, such as 5s\n"},
		{"no mail", []string{"--mail", ""}, exitUsage, `--mail "": write the names of mails, such as short,1MB`},
		{"a mail twice", []string{"--mail", "short,short"}, exitUsage, "--mail: short is in the list twice"},
		{"sessions twice", []string{"--sessions", "1", "--sessions", "8,1"}, exitUsage, "--sessions: 1 is in the list twice"},
		{"a scenario twice", []string{"--scenario", "quick", "--scenario", "quick"}, exitUsage, "--scenario: quick is in the list twice"},
		{"a file that cannot be written", []string{"--benchstat", dir + "/none/file"}, exitUsage, "no such file or directory"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			status, stdout, stderr := end(t, append([]string{"bench"}, c.args...)...)
			if status != c.status || !strings.Contains(stderr, c.want) || stdout != "" {
				t.Errorf("status %d, %s%s", status, stdout, stderr)
			}
		})
	}
}

// Who asks for the rounds learns that they are lost.
func TestBenchTellsThatRoundsAreLost(t *testing.T) {
	status, stdout, stderr := benchEnd(t, startMilter(t, nil), "--benchstat", "/dev/full")
	if status != exitFault || !strings.Contains(stderr, "--benchstat: not all rounds are in the file: write /dev/full: no space left on device") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if !strings.Contains(stdout, "messages/s") {
		t.Errorf("the table is missing in\n%s", stdout)
	}
}

func TestBenchTellsWhatAnInterruptLeaves(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		taken []bench.Taken
		want  string
	}{
		{nil, "interrupted before anything was measured"},
		{make([]bench.Taken, 1), "interrupted; what was measured until then is above"},
	} {
		lab, err := bench.NewLab()
		if err != nil {
			t.Fatal(err)
		}
		defer lab.Close()
		r := &benchRun{lab: lab, report: &bench.Report{Taken: c.taken}, stdout: io.Discard, progress: newBenchProgress(io.Discard, 1, 1)}
		err = r.hold(ctx, []bench.Point{{Mail: bench.Mails[0], Messages: 1, Sessions: 1, Children: 1, Kind: "native"}}, bench.Terms{Rounds: 1, Time: 10 * time.Millisecond})
		if err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// What this machine has no room for is left out, with what would bring it in,
// and is no success.
func TestBenchLeavesOutWhatThereIsNoRoomFor(t *testing.T) {
	cmd := program("bench", "--scenario", "recipients", "--rounds", "1", "--time", "20ms", "--sessions", "1,10000", "--mail", "tiny")
	script := `ulimit -n 4096 && exec "$0" "$@"`
	cmd.Args = append([]string{"sh", "-c", script, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Run() // its status is looked at
	if status := cmd.ProcessState.ExitCode(); status != exitFault || errs.String() != "milterkit: contests left out: 2\n" {
		t.Errorf("status %d, %s", status, &errs)
	}
	for _, want := range []string{
		"tiny mail, 1 session at one time, 3 remote children (1 round)",
		"tiny mail, 10000 sessions at one time, 3 remote children: 10000 sessions at one time with 3 children take 50064 descriptors in one process, and the limit is 4096",
		"to bring it in: as root: ulimit -n 50064",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
}

func TestBenchListsWhatItCanPlay(t *testing.T) {
	status, stdout, _ := end(t, "bench", "--list")
	for _, want := range []string{"quick ", "together ", "crowd ", "10485760 bytes"} {
		if !strings.Contains(stdout, want) || status != exitOK {
			t.Errorf("status %d, %q is missing in\n%s", status, want, stdout)
		}
	}
	if _, help, _ := end(t, "--help"); strings.Contains(help, "bench-part") || !strings.Contains(help, "bench ") {
		t.Errorf("the commands are\n%s", help)
	}
}
