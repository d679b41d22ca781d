package daemon

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// reloadable begins a configuration that can be asked to load it again.
const reloadable = "status = \"unix:DIR/status\"\n"

// refusing is a milter whose absence refuses all mail, with the code of an action.
func refusing(name, action string) string {
	return fmt.Sprintf("[[milter]]\nname = %q\nsocket = \"DIR/none\"\ndefault_action = %q\n", name, action)
}

// sessionAt opens a session with a daemon.
func sessionAt(t *testing.T, socket string) *miltertest.MTA {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	m, err := miltertest.Dial(ctx, "unix", socket, miltertest.Offer{})
	if err == nil {
		_, err = m.Connect("client.example", wire.FamilyInet, 25, "192.0.2.1")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// mailSays begins a message, and checks the kind of answer.
func mailSays(t *testing.T, m *miltertest.MTA, want string) {
	t.Helper()
	r, err := m.Mail("<a@example.org>")
	if err != nil || r.Kind.String() != want {
		t.Errorf("MAIL is answered %v %q, %v, want %s", r.Kind, r.Text, err, want)
	}
}

// loads asks the daemon in dir to load its configuration again.
func loads(t *testing.T, dir string) (status int, body string) {
	t.Helper()
	return asked(t, over("unix", filepath.Join(dir, "status")), http.MethodPost, "/reload")
}

// counts waits until the daemon in dir has a line in its metrics.
func counts(t *testing.T, dir, line string) {
	t.Helper()
	text := ""
	for range 500 {
		if _, text = asked(t, over("unix", filepath.Join(dir, "status")), http.MethodGet, "/metrics"); strings.Contains(text, "\n"+line+"\n") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("the metrics have no %s:\n%s", line, text)
}

// New sessions have the new configuration, those under way keep the old one, and both
// a signal and a request load it.
func TestReload(t *testing.T) {
	dir := publicDir(t)
	socket := filepath.Join(dir, "s")
	file := configFile(t, dir, reloadable+refusing("a", "reject"))
	r := begin(t, program("serve", "--config", file))
	old := sessionAt(t, socket)
	mailSays(t, old, "reject")
	configFile(t, dir, reloadable+refusing("b", "tempfail"))
	if status, body := loads(t, dir); status != 200 || body != "generation 2 is in effect, milters: added b; removed a\nno answer yet from b: the log says why\n" {
		t.Errorf("%d %q", status, body)
	}
	if first, second := read(t, r.notify), read(t, r.notify); !strings.HasPrefix(first, "RELOADING=1\nMONOTONIC_USEC=") || second != "READY=1" {
		t.Errorf("systemd was told %q, %q", first, second)
	}
	mailSays(t, old, "reject")
	now := sessionAt(t, socket)
	mailSays(t, now, "tempfail")
	now.Quit()
	counts(t, dir, `milterkit_messages_total{by="b",outcome="tempfail"} 1`)
	old.Quit()
	r.logs(t, "no session has the configuration before any more", "generation=1")

	configFile(t, dir, reloadable)
	r.Process.Signal(syscall.SIGHUP)
	read(t, r.notify)
	read(t, r.notify)
	last := sessionAt(t, socket)
	mailSays(t, last, "continue")
	last.Quit()
	r.stop(t)
}

// Whatever is wrong with a configuration, the daemon tells all of it, goes on with the
// one that it has, and takes the next one that is right.
func TestAWrongConfigurationIsNotLoaded(t *testing.T) {
	dir := publicDir(t)
	busy, err := net.Listen("unix", filepath.Join(dir, "busy"))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	good := reloadable + refusing("a", "reject")
	file := configFile(t, dir, good)
	r := begin(t, program("serve", "--config", file))
	r.deaf()
	for _, c := range []struct {
		text   string
		status int
		want   string
	}{
		{reloadable + "lisen = 1\n[[milter]]\n", 422, "FILE:6:1: unknown key \"lisen\" in [server]; did you mean \"listen\"?\nFILE:7:3: this milter has no name; add name = \"…\"\nFILE:7:3: this milter has neither a socket nor use; add socket = \"unix:/…\" or \"inet:PORT@HOST\"\n"},
		{reloadable + "[[milter]]\nname = \"r\"\nuse = \"reader\"\noptions.list = \"DIR/none\"\n", 422, "FILE:9:9: list: open DIR/none: no such file or directory\n"},
		{reloadable + "temp_dir = \"DIR/none\"\n[[milter]]\nname = \"r\"\nuse = \"reader\"\noptions.list = \"DIR/none\"\n", 422,
			"FILE:5:1: temp_dir: stat DIR/none: no such file or directory\nFILE:9:9: list: open DIR/none: no such file or directory\n"},
		{reloadable + "user = \"no-such-user\"\n", 422, "FILE:5:1: user: the system has no user \"no-such-user\"; make it with useradd --system, or name another\n"},
		{"status = [\"unix:DIR/status\", \"unix:DIR/busy\"]\nlisten = [\"unix:DIR/s\", \"unix:DIR/new\"]\n", 409, "status: unix:DIR/busy: another server answers on this socket\n"},
	} {
		configFile(t, dir, c.text)
		status, body := loads(t, dir)
		if want := strings.NewReplacer("FILE", file, "DIR", dir).Replace(c.want); status != c.status || body != want {
			t.Errorf("%d\n%s\nwant %d\n%s", status, body, c.status, want)
		}
		mailSays(t, sessionAt(t, filepath.Join(dir, "s")), "reject")
	}
	if status, _ := asked(t, over("unix", filepath.Join(dir, "status")), "GET", "/readyz"); status != 200 {
		t.Errorf("/readyz is %d", status)
	}
	if _, err := os.Lstat(filepath.Join(dir, "new")); err == nil {
		t.Error("a socket of the configuration that was not taken is open")
	}
	r.logs(t, "the configuration can not be loaded again", `unknown key \"lisen\"`, "milterkit goes on with the configuration that it has", "generation=1")
	configFile(t, dir, good)
	if status, body := loads(t, dir); status != 200 || body != "generation 2 is in effect, the same milters on the same terms\nno answer yet from a: the log says why\n" {
		t.Errorf("%d %q", status, body)
	}
}

// A socket that stays is not touched; one that is gone is closed, and its sessions
// go on; a new one is there before the old one goes.
func TestReloadFollowsListen(t *testing.T) {
	dir := publicDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	configFile(t, dir, "status = [\"unix:DIR/status\", \"unix:DIR/status1\"]\nlisten = [\"unix:DIR/s\", \"unix:DIR/gone\"]\n")
	r := begin(t, program("serve", "--config", at("milterkit.toml")))
	before, err := os.Lstat(at("s"))
	if err != nil {
		t.Fatal(err)
	}
	stay, old := sessionAt(t, at("s")), sessionAt(t, at("gone"))
	configFile(t, dir, "status = [\"unix:DIR/status\", \"unix:DIR/status2\"]\nlisten = [\"unix:DIR/new\", \"unix:DIR/s\"]\nmax_sessions = 3\nlog_format = \"json\"\nsocket_mode = \"0666\"\n")
	status, body := loads(t, dir)
	read(t, r.notify)
	read(t, r.notify)
	const want = "generation 2 is in effect, the same milters on the same terms; in [server]: listen, status\nthese take effect at the next restart: max_sessions, log_format\n" +
		"these take effect for sockets that are opened from now on: socket_mode\n"
	if status != 200 || body != want {
		t.Errorf("%d %q", status, body)
	}
	if after, err := os.Lstat(at("s")); err != nil || !os.SameFile(before, after) {
		t.Errorf("the socket that stays is another one: %v", err)
	}
	for _, name := range []string{"gone", "status1"} {
		if _, err := os.Lstat(at(name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
	for _, m := range []*miltertest.MTA{stay, old, sessionAt(t, at("s")), sessionAt(t, at("new"))} {
		mailSays(t, m, "continue")
		m.Quit()
	}
	if status, _ := asked(t, over("unix", at("status2")), "GET", "/readyz"); status != 200 {
		t.Errorf("the new status address says %d", status)
	}
	r.stop(t)
	for _, name := range []string{"s", "new", "status", "status2"} {
		if _, err := os.Lstat(at(name)); err == nil {
			t.Errorf("%s is left at the end", name)
		}
	}
}

// The children of a configuration are closed when its last session has ended, and at
// once where it is not taken.
func TestReloadClosesChildren(t *testing.T) {
	dir := publicDir(t)
	busy, err := net.Listen("unix", filepath.Join(dir, "busy"))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	says := func(want string) {
		t.Helper()
		var text []byte
		for range 500 {
			if text, _ = os.ReadFile(filepath.Join(dir, "ledger")); string(text) == want {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("the children were %s, want %s", text, want)
	}
	const good = reloadable + "[[milter]]\nname = \"l\"\nuse = \"ledger\"\noptions.file = \"DIR/ledger\"\n"
	r := begin(t, program("serve", "--config", configFile(t, dir, good)))
	r.deaf()
	old := sessionAt(t, filepath.Join(dir, "s"))
	loads(t, dir)
	says("made made ")
	old.Quit()
	says("made made closed ")
	configFile(t, dir, "temp_dir = \"DIR/none\"\n"+good)
	loads(t, dir)
	says("made made closed made closed ")
	configFile(t, dir, "listen = [\"unix:DIR/s\", \"unix:DIR/busy\"]\n"+good)
	loads(t, dir)
	says("made made closed made closed made closed ")
	r.Process.Signal(syscall.SIGTERM)
	says("made made closed made closed made closed closed ")
}

// Sessions that do not end are ended after drain_timeout: idle ones at once, one with a
// message under way after shutdown_timeout.
func TestDrainTimeoutEndsOldSessions(t *testing.T) {
	dir := publicDir(t)
	const text = reloadable + "drain_timeout = \"200ms\"\nshutdown_timeout = \"200ms\"\n"
	configFile(t, dir, text)
	r := begin(t, program("serve", "--config", filepath.Join(dir, "milterkit.toml")))
	idle, message := sessionAt(t, filepath.Join(dir, "s")), midMessage(t, dir)
	loads(t, dir)
	read(t, r.notify)
	read(t, r.notify)
	r.logs(t, "sessions that began before the configuration was loaded again are ended", "messages under way were cut short", "no session has the configuration before")
	for _, m := range []*miltertest.MTA{idle, message} {
		if _, err := m.Rcpt("<b@example.org>"); err == nil {
			t.Error("a session of the old configuration is still open")
		}
	}
	last := sessionAt(t, filepath.Join(dir, "s"))
	mailSays(t, last, "continue")
	last.Quit()
	r.stop(t)
}

// However many signals come, the daemon goes on, and the last configuration is in effect.
// No signal is lost because of others of another kind.
func TestManyReloads(t *testing.T) {
	dir := publicDir(t)
	r := beginReplaceable(t, dir, configFile(t, dir, reloadable))
	r.deaf()
	for i := range 50 {
		configFile(t, dir, reloadable+refusing(fmt.Sprint("m", i), "reject"))
		r.Process.Signal(syscall.SIGHUP)
	}
	if status, body := loads(t, dir); status != 200 {
		t.Errorf("%d %q", status, body)
	}
	mailSays(t, sessionAt(t, filepath.Join(dir, "s")), "reject")
	for range 50 {
		r.Process.Signal(syscall.SIGHUP)
	}
	r.Process.Signal(syscall.SIGUSR2)
	r.logs(t, "a new process has taken over")
	r.Process.Signal(syscall.SIGTERM)
	if state, err := r.Process.Wait(); err != nil || !state.Success() {
		t.Errorf("%v, %v\n%s", state, err, r.stderr.String())
	}
}

// The command tells what has changed, what is wrong with the file, which the daemon
// hears of as well, and what to do where nobody can be asked.
func TestReloadCommand(t *testing.T) {
	dir := publicDir(t)
	file := configFile(t, dir, reloadable)
	says := func(want int, words ...string) {
		t.Helper()
		status, stdout, stderr := end(t, "reload", "--config", file)
		for _, w := range words {
			if status != want || !strings.Contains(stdout+stderr, w) {
				t.Errorf("status %d, want %d with %q\n%s%s", status, want, w, stdout, stderr)
			}
		}
	}
	says(exitFault, "no daemon answers on unix:"+dir+"/status: no such file or directory", "SIGHUP")
	wrong := file + ":6:1: unknown key \"x\" in [server]\n"
	configFile(t, dir, reloadable+"x = 1\n")
	says(exitConfig, wrong)
	configFile(t, dir, reloadable)
	r := begin(t, program("serve", "--config", file))
	configFile(t, dir, reloadable+refusing("a", "reject"))
	says(exitOK, "generation 2 is in effect, milters: added a\n")
	configFile(t, dir, reloadable+"x = 1\n")
	says(exitConfig, wrong)
	if _, body := asked(t, over("unix", filepath.Join(dir, "status")), http.MethodGet, "/metrics"); !strings.Contains(body, "milterkit_config_last_reload_successful 0\n") {
		t.Error("the metric does not say that the reload was refused")
	}
	configFile(t, dir, reloadable+"[[server\n")
	says(exitConfig, file+":6:")
	configFile(t, dir, reloadable+"temp_dir = \"DIR/none\"\n")
	says(exitConfig, "the daemon goes on as it was, since the configuration is wrong:\n"+file+":5:1: temp_dir: stat "+dir+"/none: no such file or directory\n")
	configFile(t, dir, "status = \"127.0.0.1:8891\"\n")
	says(exitFault, "unix socket", `status = ["unix:/run/milterkit/status.sock"]`, "SIGHUP")
	r.Process.Kill()
}

// Other users may ask how the daemon is, and not have it do anything.
func TestOthersMayNotReload(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root can play another user
	}
	dir := publicDir(t)
	file := configFile(t, dir, reloadable+"socket_mode = \"0666\"\n")
	begin(t, program("serve", "--config", file))
	cmd := program("reload", "--config", file)
	cmd.Env = append(cmd.Env, asProgram+"=nobody")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "this is for root and the user 0, whom milterkit runs as; you are the user 65534") {
		t.Errorf("%v\n%s", err, out)
	}
}
