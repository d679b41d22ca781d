package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/statuspage"
)

// deadMilter is the section of a milter that is not there.
const deadMilter = "\n[[milter]]\nname = \"dead\"\nsocket = \"unix:DIR/dead\"\ndefault_action = \"reject\"\n"

// statusOf asks the running daemon of a file.
func statusOf(t *testing.T, file string) (exit int, s statuspage.Status) {
	t.Helper()
	exit, stdout, stderr := end(t, "status", "--json", "--config", file)
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	return exit, s
}

// unused is an address where nobody listens.
func unused(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// What passed through the daemon is counted and kept, also after a restart; a milter
// that is not there is told of with the reason, and makes the exit status 1.
func TestStatusShowsWhatHappened(t *testing.T) {
	dir := publicDir(t)
	file := configFile(t, dir, "status = [\"unix:DIR/status\", \""+unused(t)+"\"]\njournal = \"DIR/journal.db\"\n"+deadMilter)
	r := begin(t, program("serve", "--config", file))
	if status, _, stderr := end(t, "send", "unix:"+filepath.Join(dir, "s"), "--mail-from", "<alice@example.org>"); status != 1 {
		t.Fatalf("%d\n%s", status, stderr)
	}
	look := func() {
		t.Helper()
		var s statuspage.Status
		exit := 0
		for range 500 { // the counting is in the background
			if exit, s = statusOf(t, file); len(s.Last) > 0 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if exit != 1 || s.Hour.Messages["reject"] != 1 || len(s.Last) != 1 || *s.Last[0].From != "alice@example.org" || s.Last[0].By != "dead" || s.Unsaved != "" {
			t.Fatalf("%d %+v", exit, s)
		}
		if m := s.Milters[len(s.Milters)-1]; m.State != statuspage.StateDown || !strings.Contains(m.Why, "no such file") || m.Default != "reject" {
			t.Errorf("%+v", m)
		}
		if total := s.Series.Milters[0].Total; total.Messages != 1 || total.Failures != 1 {
			t.Errorf("%+v", total)
		}
	}
	look()
	exit, stdout, stderr := end(t, "status", "--config", file)
	if exit != 1 || !strings.Contains(stdout, "<alice@example.org>") || !strings.Contains(stdout, "dead") || !strings.Contains(stderr, "not all is well") {
		t.Errorf("%d\n%s%s", exit, stdout, stderr)
	}
	r.stop(t)
	r = begin(t, program("serve", "--config", file))
	look()
	r.stop(t)
	if exit, _, stderr := end(t, "status", "--config", file); exit != 1 || !strings.Contains(stderr, "no daemon answers at unix:") || !strings.Contains(stderr, "does it run") {
		t.Errorf("%d\n%s", exit, stderr)
	}
}

// A process that takes over goes on with the figures of the one before, and a
// configuration that is refused is told of.
func TestStatusOverReloadAndRestart(t *testing.T) {
	dir := publicDir(t)
	const head = "status = \"unix:DIR/status\"\njournal = \"DIR/journal.db\"\n"
	file := configFile(t, dir, head)
	r := beginReplaceable(t, dir, file)
	if status, _, stderr := end(t, "send", "unix:"+filepath.Join(dir, "s")); status != 0 {
		t.Fatal(stderr)
	}
	until := func(what string, holds func(statuspage.Status) bool) {
		t.Helper()
		var s statuspage.Status
		for range 500 {
			if _, s = statusOf(t, file); holds(s) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%s: %+v", what, s)
	}
	var before statuspage.Status
	until("it is counted", func(s statuspage.Status) bool { before = s; return s.Day.Messages["accept"] == 1 })
	configFile(t, dir, head+"max_memory = \"lots\"\n")
	if err := r.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until("it is refused", func(s statuspage.Status) bool {
		return s.Refused != nil && strings.Contains(s.Refused.Error, "max_memory") && s.Generation == 1
	})
	if exit, stdout, _ := end(t, "status", "--config", file); exit != 1 || !strings.Contains(stdout, "not loaded again at") {
		t.Errorf("%d %s", exit, stdout)
	}
	configFile(t, dir, head+"max_sessions = \"lots\"\n")
	if exit, _, stderr := end(t, "reload", "--config", file); exit != exitConfig || !strings.Contains(stderr, "max_sessions") {
		t.Errorf("%d %s", exit, stderr)
	}
	until("the daemon knows of it too", func(s statuspage.Status) bool { return strings.Contains(s.Refused.Error, "max_sessions") })
	configFile(t, dir, head+"max_memory = \"64MiB\"\n")
	end(t, "reload", "--config", file)
	if exit, s := statusOf(t, file); exit != 0 || s.Generation != 2 || s.Refused != nil {
		t.Errorf("%d %+v", exit, s)
	}
	restarts(t, file)
	until("the new process has it", func(s statuspage.Status) bool {
		return s.Started.After(before.Started) && s.Day.Messages["accept"] == 1 && s.Memory.MaxMessages == 64<<20
	})
}

// Where nothing is wrong the exit status is 0; without a journal it is said that the
// figures end with the process.
func TestStatusOfADaemonThatIsWell(t *testing.T) {
	dir := publicDir(t)
	file := configFile(t, dir, "status = \"unix:DIR/status\"\n")
	r := begin(t, program("serve", "--config", file))
	exit, s := statusOf(t, file)
	if exit != 0 || !s.Ready || s.Generation != 1 || s.Memory.Process == 0 || s.Unsaved == "" {
		t.Errorf("%d %+v", exit, s)
	}
	r.stop(t)
}

// Without an address in the configuration the command says what to add.
func TestStatusNeedsAnAddress(t *testing.T) {
	file := configFile(t, publicDir(t), "")
	if exit, _, stderr := end(t, "status", "--config", file); exit != 1 || !strings.Contains(stderr, `status = "127.0.0.1:8891"`) {
		t.Errorf("%d\n%s", exit, stderr)
	}
}

// What is wrong with an address is told with what to do.
func TestStatusTellsWhyItHasNoAnswer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other := http.Server{Handler: http.NotFoundHandler()}
	go other.Serve(ln)
	defer other.Close()
	nobody := config.Socket{Network: "tcp", Addr: unused(t)}
	for _, c := range []struct {
		at   config.Socket
		want string
	}{
		{config.Socket{Network: "tcp", Addr: ln.Addr().String()}, "no milterkit"},
		{nobody, "no daemon answers at " + nobody.String() + ": connection refused"},
		{config.Socket{Network: "unix", Addr: t.TempDir() + "/s"}, "no daemon answers"},
	} {
		if _, err := askAt(context.Background(), c.at); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.at, err)
		}
	}
	denied := fmt.Errorf("dial: %w", &net.OpError{Op: "dial", Err: errors.New("x")})
	if err := unanswered(config.Socket{Network: "unix", Addr: "/s"}, denied); !strings.HasPrefix(err.Error(), "unix:/s: ") {
		t.Error(err)
	}
	for addr, want := range map[string]string{"0.0.0.0:1": "localhost:1", "[::]:1": "localhost:1", ":1": "localhost:1", "192.0.2.1:1": "192.0.2.1:1"} {
		if got := dialable(config.Socket{Network: "tcp", Addr: addr}); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
}

// Watched, and not on a terminal, it is printed again and again as plain text, until it
// is told to end.
func TestWatchWithoutATerminal(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var out bytes.Buffer
	v := &statusView{out: &out, ask: func(context.Context) ([]byte, error) {
		defer cancel()
		return []byte(`{"program":"milterkit","ready":true}`), nil
	}}
	if err := v.watch(ctx, strings.NewReader("")); err != nil || !strings.HasPrefix(out.String(), "milterkit on") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%v %q", err, out.String())
	}
	quit := false
	untilQ(io.MultiReader(strings.NewReader("xyq"), strings.NewReader("z")), func() { quit = true })
	if !quit {
		t.Error("q does not end it")
	}
}
