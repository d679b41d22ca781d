package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func statOf(t *testing.T, f *os.File) *syscall.Stat_t {
	t.Helper()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return fi.Sys().(*syscall.Stat_t)
}

// A running is the program at work.
type running struct {
	*exec.Cmd
	notify *net.UnixConn
	stderr safeBuffer
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// begin starts cmd and waits until it says that it is ready.
func begin(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	path := filepath.Join(publicDir(t), "notify")
	r := &running{Cmd: cmd, notify: fakeSyslog(t, path)}
	if err := os.Chmod(path, 0o777); err != nil { // for STOPPING=1, which comes from another user
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+path)
	cmd.Stderr = &r.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if got := read(t, r.notify); got != "READY=1" {
		t.Fatalf("systemd was told %q", got)
	}
	return r
}

// stop ends it as systemd does.
func (r *running) stop(t *testing.T) {
	t.Helper()
	if err := r.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := read(t, r.notify); got != "STOPPING=1" {
		t.Errorf("systemd was told %q", got)
	}
	if err := r.Wait(); err != nil {
		t.Errorf("%v\n%s", err, r.stderr.String())
	}
}

// deaf reads what systemd is told, which a test does not care about.
func (r *running) deaf() {
	r.notify.SetReadDeadline(time.Time{})
	go io.Copy(io.Discard, r.notify) // until the end of the test
}

// logs waits until the log has all of words.
func (r *running) logs(t *testing.T, words ...string) {
	t.Helper()
	for range 500 {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(r.stderr.String(), w) }) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("the log has not %q:\n%s", words, r.stderr.String())
}

func TestServeRunsUntilSIGTERM(t *testing.T) {
	dir := publicDir(t)
	file := configFile(t, dir, "socket_mode = \"0606\"\nlisten = [\"unix:DIR/s\", \"unix:DIR/t\"]\n")
	r := begin(t, program("serve", "--config", file))
	for _, name := range []string{"s", "t"} {
		if fi, err := os.Lstat(filepath.Join(dir, name)); err != nil || fi.Mode() != fs.ModeSocket|0o606 {
			t.Errorf("%s: %v, %v", name, fi, err)
		}
		conn, err := net.Dial("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	r.logs(t, "milterkit is ready")
	r.stop(t)
	for _, name := range []string{"s", "t"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
}

func TestServeRefusesASocketThatAnswers(t *testing.T) {
	dir := publicDir(t)
	file := configFile(t, dir, "")
	r := begin(t, program("serve", "--config", file))
	status, _, stderr := end(t, "serve", "--config", file)
	if want := "milterkit: unix:" + dir + "/s: another server answers on this socket\n"; status != exitFault || !strings.HasSuffix(stderr, want) {
		t.Errorf("status %d\n%s", status, stderr)
	}
	// One that was killed is replaced.
	r.Process.Kill()
	r.Wait()
	begin(t, program("serve", "--config", file)).stop(t)
}

// groupUser is a user who is in groups besides his own, where there is one.
func groupUser(t *testing.T) *user.User {
	name := "nobody"
	b, err := os.ReadFile("/etc/group")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Split(line, ":"); len(f) == 4 && f[3] != "" && !strings.HasPrefix(f[3], "root") {
			name, _, _ = strings.Cut(f[3], ",")
		}
	}
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Started as root, milterkit has all the groups of its user and none of
// root's, and its socket has its group all the same; started as another user
// it stays that user.
func TestServeGivesUpTheRightsOfRoot(t *testing.T) {
	dir := publicDir(t)
	u := groupUser(t)
	file := configFile(t, dir, fmt.Sprintf("user = %q\n", u.Username))
	cmd := program("serve", "--config", file)
	uid, gid := u.Uid, u.Gid
	groups, err := u.GroupIds()
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		file = configFile(t, dir, fmt.Sprintf("user = %q\nsocket_group = \"12345\"\n", u.Username))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{0, 4, 27}}}
	} else {
		uid, gid = fmt.Sprint(os.Getuid()), fmt.Sprint(os.Getgid())
		own, err := os.Getgroups()
		if err != nil {
			t.Fatal(err)
		}
		groups = nil
		for _, g := range own {
			groups = append(groups, fmt.Sprint(g))
		}
	}
	r := begin(t, cmd)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]string)
	for _, line := range strings.Split(string(b), "\n") {
		key, rest, _ := strings.Cut(line, ":")
		got[key] = strings.Fields(rest)
	}
	slices.Sort(groups)
	slices.Sort(got["Groups"])
	if !slices.Equal(got["Uid"], []string{uid, uid, uid, uid}) || !slices.Equal(got["Gid"], []string{gid, gid, gid, gid}) ||
		!slices.Equal(got["Groups"], slices.Compact(groups)) {
		t.Errorf("%s: uid %v, gid %v, groups %v, want %v", u.Username, got["Uid"], got["Gid"], got["Groups"], groups)
	}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		if os.Geteuid() == 0 && got[set][0] != "0000000000000000" {
			t.Errorf("capabilities: %s %v", set, got[set])
		}
	}
	if fi, err := os.Lstat(filepath.Join(dir, "s")); err != nil || os.Geteuid() == 0 && fi.Sys().(*syscall.Stat_t).Gid != 12345 {
		t.Errorf("the socket: %+v, %v", fi, err)
	}
	r.stop(t)
	if log := r.stderr.String(); os.Geteuid() == 0 && (strings.Contains(log, "root") || strings.Contains(log, "become")) {
		t.Errorf("got\n%s", log)
	}
	if _, err := os.Lstat(filepath.Join(dir, "s")); err == nil && os.Geteuid() != 0 {
		t.Error("the socket is left")
	}
}

// What the user may not do is found out after root's rights are gone.
func TestTempDirMustBeWritableForTheUser(t *testing.T) {
	dir := publicDir(t)
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	file := configFile(t, dir, "temp_dir = \"DIR/closed\"\nuser = \"nobody\"\n")
	for _, command := range []string{"check", "serve"} {
		status, _, stderr := end(t, command, "-c", file)
		if status != exitConfig || !strings.HasPrefix(stderr, file+":") || !strings.Contains(stderr, "temp_dir: ") || !strings.Contains(stderr, "permission denied") {
			t.Errorf("%s: status %d\n%s", command, status, stderr)
		}
	}
}

// Where there is no such user, check says so and goes on, without the rights of
// root: it tells of the milters, too.
func TestCheckGoesOnWithoutTheUser(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root changes its user
	}
	dir := publicDir(t)
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const noUser = `4:1: user: the system has no user "no-such-user"; make it with useradd --system, or name another` + "\n"
	const tail = "user = \"no-such-user\"\n[[milter]]\nname = \"far\"\nsocket = \"unix:DIR/far\"\n[[milter]]\nname = \"r\"\nuse = \"reader\"\n"
	for _, c := range []struct{ options, stderr string }{
		{"", noUser + `10:1: [milter.options] needs "list", for example list = "/etc/list"` + "\n"},
		{"options.list = \"DIR/none\"", noUser + "11:9: list: open DIR/none: no such file or directory (tried as nobody)\n"},
		{"options.list = \"DIR/secret\"", noUser + "11:9: list: open DIR/secret: permission denied (tried as nobody)\n"},
	} {
		file := configFile(t, dir, tail+c.options)
		status, stdout, stderr := end(t, "check", "-c", file)
		want := file + ":" + strings.ReplaceAll(strings.TrimSuffix(c.stderr, "\n"), "\n", "\n"+file+":") + "\n"
		if want = strings.ReplaceAll(want, "DIR", dir); status != exitConfig || stderr != want {
			t.Errorf("status %d\ngot  %swant %s", status, stderr, want)
		}
		if c.options != "" && (!strings.Contains(stdout, "tried out as nobody") || !strings.Contains(stdout, "far does not answer on unix:") || strings.Contains(stdout, "good")) {
			t.Errorf("got\n%s", stdout)
		}
	}
}

// A default that does not fit the system is a warning, not the end.
func TestTheDefaultGroupIsNoDuty(t *testing.T) {
	dir := publicDir(t)
	file := configFile(t, dir, "")
	cmd := program("serve", "--config", file)
	if os.Geteuid() == 0 {
		cmd.Env = append(cmd.Env, asProgram+"=nobody")
	}
	r := begin(t, cmd)
	r.logs(t, "sockets keep the group of the process", "mail")
	r.stop(t)

	file = configFile(t, dir, "socket_group = \"mail\"\n") // now it was asked for
	cmd = program("serve", "--config", file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if os.Geteuid() == 0 {
		cmd.Env = append(cmd.Env, asProgram+"=nobody")
	}
	cmd.Run()
	if cmd.ProcessState.ExitCode() != exitConfig || !strings.Contains(stderr.String(), "socket_group: this process is neither root nor in the group \"mail\"") {
		t.Errorf("status %d\n%s", cmd.ProcessState.ExitCode(), stderr.String())
	}
}

func TestServeTakesTheSocketsOfSystemd(t *testing.T) {
	dir := publicDir(t)
	file := configFile(t, dir, "listen = [\"systemd:milter\"]\n")
	path := filepath.Join(dir, "theirs")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain := program()
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=milter:spare exec "$0" serve --config "$1"`, os.Args[0], file)
	cmd.Env, cmd.ExtraFiles = plain.Env, []*os.File{f, f}
	r := begin(t, cmd)
	r.logs(t, "listen=systemd:milter", "socket=systemd:spare")
	r.stop(t)
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("systemd's socket is gone: %v", err)
	}
}

func TestStatus(t *testing.T) {
	dir := publicDir(t)
	file := configFile(t, dir, "status = [\"unix:DIR/status\", \"unix:DIR/status2\"]\n")
	r := begin(t, program("serve", "--config", file))
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "status"))
	}}}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/": 200, "/status.json": 200, "/page.js": 200, "/nothing": 404, "/metrics": 200, "/debug/pprof/heap": 200} {
		resp, err := client.Get("http://milterkit" + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	if resp, err := client.Post("http://milterkit/healthz", "", nil); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("%v, %v", resp, err)
	}
	client.CloseIdleConnections()
	r.stop(t)
	for _, name := range []string{"status", "status2"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
}

func TestNotReadyIsSaidWhileAlive(t *testing.T) {
	s := newStatusServer(slog.New(slog.DiscardHandler))
	for _, c := range []struct {
		path  string
		ready bool
		want  int
		body  string
	}{
		{"/readyz", true, 200, "ok\n"}, {"/healthz", true, 200, "ok\n"},
		{"/readyz", false, 503, "not ready\n"}, {"/healthz", false, 200, "ok\n"},
	} {
		s.ready.Store(c.ready)
		w := httptest.NewRecorder()
		s.mux.ServeHTTP(w, httptest.NewRequest("GET", c.path, nil))
		if w.Code != c.want || w.Body.String() != c.body {
			t.Errorf("%s: %d %q", c.path, w.Code, w.Body)
		}
	}
}
