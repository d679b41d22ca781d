package daemon

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// beginReplaceable starts the program by a path in dir of its own, where a test can put
// another. Processes that take over end with the test.
func beginReplaceable(t *testing.T, dir, file string) *running {
	t.Helper()
	path := filepath.Join(dir, "milterkit")
	if err := os.Symlink(os.Args[0], path); err != nil {
		t.Fatal(err)
	}
	cmd := program("serve", "--config", file)
	cmd.Path, cmd.Args[0] = path, path
	r := begin(t, cmd)
	t.Cleanup(func() {
		for _, m := range tookOver.FindAllStringSubmatch(r.stderr.String(), -1) {
			pid, _ := strconv.Atoi(m[1])
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return r
}

var tookOver = regexp.MustCompile(`msg="a new process has taken over" pid=(\d+)`)

// restarts has the daemon replaced, and returns the new process.
func restarts(t *testing.T, file string) (pid int) {
	t.Helper()
	status, stdout, stderr := end(t, "restart", "--config", file)
	text, ok := strings.CutSuffix(stdout, " has taken over\n")
	pid, err := strconv.Atoi(strings.TrimPrefix(text, "process "))
	if status != exitOK || !ok || err != nil {
		t.Fatalf("status %d\n%s%s", status, stdout, stderr)
	}
	return pid
}

// A new process takes over the sockets, without a moment in which they are not there.
// The old one serves the sessions that it has with what they began with, and ends with
// the last; what the new configuration does not name is closed.
func TestRestartHandsOver(t *testing.T) {
	dir := publicDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	file := configFile(t, dir, "listen = [\"unix:DIR/s\", \"unix:DIR/gone\"]\n"+reloadable+refusing("a", "reject"))
	r := beginReplaceable(t, dir, file)
	before, err := os.Lstat(at("s"))
	if err != nil {
		t.Fatal(err)
	}
	old := sessionAt(t, at("s"))
	configFile(t, dir, "listen = [\"unix:DIR/s\", \"unix:DIR/new\"]\n"+reloadable+refusing("b", "tempfail"))
	pid := restarts(t, file)
	if got := read(t, r.notify); got != "MAINPID="+strconv.Itoa(pid) {
		t.Errorf("systemd was told %q", got)
	}
	if after, err := os.Lstat(at("s")); err != nil || !os.SameFile(before, after) {
		t.Errorf("the socket is another one: %v", err)
	}
	if _, err := os.Lstat(at("gone")); err == nil {
		t.Error("a socket that nobody names is left")
	}
	mailSays(t, old, "reject")
	for _, name := range []string{"s", "new"} {
		m := sessionAt(t, at(name))
		mailSays(t, m, "tempfail")
		m.Quit()
	}
	if status, _ := loads(t, dir); status != 200 {
		t.Errorf("the new process does not load its configuration: %d", status)
	}
	read(t, r.notify)
	read(t, r.notify)
	old.Quit()
	if state, err := r.Process.Wait(); err != nil || !state.Success() {
		t.Errorf("the old process: %v, %v", state, err)
	}
	if _, err := os.Lstat(at("s")); err != nil {
		t.Errorf("the old process has taken the socket with it: %v", err)
	}
	syscall.Kill(pid, syscall.SIGTERM)
	if got := read(t, r.notify); got != "STOPPING=1" {
		t.Errorf("systemd was told %q", got)
	}
	for _, name := range []string{"s", "new", "status"} {
		for range 500 {
			if _, err := os.Lstat(at(name)); err != nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if _, err := os.Lstat(at(name)); err == nil {
			t.Errorf("%s is left at the end", name)
		}
	}
}

// A process that has been replaced keeps the sessions that it has for as long as
// drain_timeout; then idle ones end, and one with a message under way after
// shutdown_timeout.
func TestDrainTimeoutEndsAReplacedProcess(t *testing.T) {
	dir := publicDir(t)
	file := configFile(t, dir, reloadable+"drain_timeout = \"200ms\"\nshutdown_timeout = \"200ms\"\n")
	r := beginReplaceable(t, dir, file)
	r.deaf()
	idle, message := sessionAt(t, filepath.Join(dir, "s")), midMessage(t, dir)
	restarts(t, file)
	r.logs(t, `"sessions that began before another process has taken over are ended" sessions=2`, "messages under way were cut short")
	for _, m := range []*miltertest.MTA{idle, message} {
		if _, err := m.Rcpt("<b@example.org>"); err == nil {
			t.Error("a session of the old process is still open")
		}
	}
	if state, err := r.Process.Wait(); err != nil || !state.Success() {
		t.Errorf("the old process: %v, %v", state, err)
	}
	mailSays(t, sessionAt(t, filepath.Join(dir, "s")), "continue")
}

// Where no new process comes to serve, the old one goes on and says why.
func TestAFailingSuccessorChangesNothing(t *testing.T) {
	dir := publicDir(t)
	path := filepath.Join(dir, "milterkit")
	good := reloadable + refusing("a", "reject")
	file := configFile(t, dir, good)
	r := beginReplaceable(t, dir, file)
	r.deaf()
	goesOn := func() {
		t.Helper()
		m := sessionAt(t, filepath.Join(dir, "s"))
		mailSays(t, m, "reject")
		m.Quit()
		if status, _ := asked(t, over("unix", filepath.Join(dir, "status")), "GET", "/readyz"); status != 200 {
			t.Errorf("/readyz is %d", status)
		}
	}
	configFile(t, dir, good+"options = 1\n")
	r.Process.Signal(syscall.SIGUSR2)
	r.logs(t, "no new process has taken over: this one goes on", "options: this is a whole number")
	goesOn()
	for text, want := range map[string]string{ // what only shows when its sockets are open
		"temp_dir = \"DIR/none\"\n" + good:                                                 ": temp_dir: stat DIR/none: no such file or directory\n",
		good + "[[milter]]\nname = \"r\"\nuse = \"reader\"\noptions.list = \"DIR/none\"\n": ": list: open DIR/none: no such file or directory\n",
	} {
		configFile(t, dir, text)
		status, _, stderr := end(t, "restart", "--config", file)
		if want = strings.ReplaceAll(want, "DIR", dir); status != exitConfig || !strings.HasSuffix(stderr, want) {
			t.Errorf("status %d\n%s\nwant %s", status, stderr, want)
		}
		goesOn()
	}
	busy, err := net.Listen("unix", filepath.Join(dir, "busy"))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	configFile(t, dir, "listen = [\"unix:DIR/s\", \"unix:DIR/busy\"]\n"+good)
	if status, _, stderr := end(t, "restart", "--config", file); status != exitFault || !strings.HasSuffix(stderr, "busy: another server answers on this socket\n") {
		t.Errorf("status %d\n%s", status, stderr)
	}
	goesOn()
	for text, want := range map[string]string{
		"#!/bin/sh\nexit 3\n": "the daemon goes on as it was: the new process has ended without a word; see the log\n",
		"no program":          "exec format error\n",
		"":                    "no such file or directory\n",
	} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if text != "" {
			if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		configFile(t, dir, good)
		status, _, stderr := end(t, "restart", "--config", file)
		if status != exitFault || !strings.HasSuffix(stderr, want) {
			t.Errorf("status %d\n%s\nwant %s", status, stderr, want)
		}
		goesOn()
		os.WriteFile(path, nil, 0o755)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(os.Args[0], path); err != nil {
		t.Fatal(err)
	}
	restarts(t, file)
	goesOn()
}

// The first session after a reload, and after a restart, has the macros that a milter
// asks for: it is asked before.
func TestFirstSessionsHaveTheMacrosOfAMilter(t *testing.T) {
	dir := publicDir(t)
	for _, name := range []string{"odd", "even"} {
		f := &miltertest.Filter{Script: miltertest.Script{Macros: []wire.MacroList{{Stage: wire.StageConnect, Names: []string{"{" + name + "}"}}}}}
		if _, err := f.Start("unix", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
	}
	file := configFile(t, dir, reloadable)
	beginReplaceable(t, dir, file).deaf()
	for name, change := range map[string]func(){"odd": func() { loads(t, dir) }, "even": func() { restarts(t, file) }} {
		configFile(t, dir, reloadable+fmt.Sprintf("[[milter]]\nname = \"a\"\nsocket = \"DIR/%s\"\n", name))
		change()
		if asked := fmt.Sprint(sessionAt(t, filepath.Join(dir, "s")).Negotiated.MacroLists); !strings.Contains(asked, "{"+name+"}") {
			t.Errorf("the MTA is asked for %s", asked)
		}
	}
}

// A signal to end ends a hand-over too, and what was started for it.
func TestSIGTERMEndsAHandOver(t *testing.T) {
	dir := publicDir(t)
	path, started := filepath.Join(dir, "milterkit"), filepath.Join(dir, "started")
	r := beginReplaceable(t, dir, configFile(t, dir, reloadable))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho $$ > "+started+".new; mv "+started+".new "+started+"\nexec sleep 600\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.Process.Signal(syscall.SIGUSR2)
	var text []byte
	for range 500 {
		if text, _ = os.ReadFile(started); text != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	r.stop(t)
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		syscall.Kill(pid, syscall.SIGKILL)
		t.Errorf("what was started is still there: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "s")); err == nil {
		t.Error("the socket is left")
	}
}

// A socket whose file somebody has removed can be had again after a reload, and after a
// restart.
func TestASocketThatIsGoneComesBack(t *testing.T) {
	dir := publicDir(t)
	socket := filepath.Join(dir, "s")
	file := configFile(t, dir, reloadable+refusing("a", "reject"))
	r := beginReplaceable(t, dir, file)
	r.deaf()
	old := sessionAt(t, socket)
	for _, change := range []func(){func() { loads(t, dir) }, func() { restarts(t, file) }} {
		if err := os.Remove(socket); err != nil {
			t.Fatal(err)
		}
		change()
		m := sessionAt(t, socket)
		mailSays(t, m, "reject")
		m.Quit()
	}
	mailSays(t, old, "reject")
	old.Quit()
	if state, err := r.Process.Wait(); err != nil || !state.Success() {
		t.Errorf("the old process: %v, %v", state, err)
	}
	mailSays(t, sessionAt(t, socket), "reject")
}

// Whoever connects while processes replace each other is served by one of them.
func TestNobodyIsRefusedWhileProcessesReplaceEachOther(t *testing.T) {
	dir := publicDir(t)
	file := configFile(t, dir, reloadable+refusing("a", "reject"))
	r := beginReplaceable(t, dir, file)
	r.deaf()
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var served atomic.Int64
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				m, err := miltertest.Dial(ctx, "unix", filepath.Join(dir, "s"), miltertest.Offer{})
				cancel()
				if err != nil {
					t.Error(err)
					return
				}
				m.Connect("client.example", wire.FamilyInet, 25, "192.0.2.1")
				if a, err := m.Mail("<a@example.org>"); err != nil || a.Kind != miltertest.Reject {
					t.Errorf("MAIL is answered %v, %v", a, err)
				}
				m.Quit()
				m.Close()
				served.Add(1)
			}
		})
	}
	for range 3 {
		restarts(t, file)
		loads(t, dir)
	}
	close(stop)
	clients.Wait()
	if served.Load() < 10 {
		t.Errorf("%d sessions are few", served.Load())
	}
}
