package packages

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var built = sync.OnceValues(func() (dir string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if dir, err = os.MkdirTemp("", "mkpkg"); err != nil {
		return dir, err
	}
	cmd := exec.CommandContext(ctx, "../../packaging/build.sh", "packages", runtime.GOARCH)
	cmd.Env = append(os.Environ(), "BIN="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := built(); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// packageFile returns the package of that kind, made of this tree.
func packageFile(t *testing.T, kind string) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "release", "*."+kind))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	return files[0]
}

// From the deb to the first message by the lines that the installation prints; a
// removal leaves configuration and data, and a purge leaves nothing.
func TestInstalledFromTheDeb(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	deb := m.give(packageFile(t, "deb"))
	m.startPostfix()
	m.message()
	before := m.tree()

	began := time.Now()
	told := m.run("dpkg -i " + deb)
	m.startService()
	for _, line := range linesOf(t, told) {
		m.run(line + " 2>&1")
	}
	m.message()
	m.await("message in the journal", func() bool { _, err := m.try("test -s /var/lib/milterkit/journal.db"); return err == nil })
	m.await("message in milterkit's log", func() bool { return strings.Contains(m.log(), "from=") })
	t.Logf("from dpkg -i to the first message: %v", time.Since(began).Round(10*time.Millisecond))
	m.run("milterkit doctor")
	m.unprivileged()

	m.reloads()

	m.run("echo '# mine' >>/etc/milterkit/milterkit.toml; dpkg -i " + deb) // as an upgrade does
	if log := m.log(); *withSystemd && (!strings.Contains(log, "a new process has taken over") || strings.Contains(log, "Stopping")) {
		t.Errorf("the upgrade has not handed the sockets over:\n%s", log)
	}
	if text := m.run("cat /etc/milterkit/milterkit.toml"); !strings.HasSuffix(text, "# mine\n") {
		t.Error("an upgrade has written over the configuration")
	}
	m.message()
	m.run("postfix stop 2>/dev/null")

	m.run("dpkg -r milterkit")
	m.gone()
	left := slices.Sorted(maps.Keys(difference(before, m.tree())))
	for _, name := range left {
		if !regexp.MustCompile(`milterkit[:!].*|^postfix:|^milterkit deinstall ok config-files|^/etc/milterkit|^/var/lib/milterkit|^/etc/systemd/system/multi-user.target.wants`).MatchString(name) {
			t.Errorf("the removal leaves %s", name)
		}
	}
	for _, name := range []string{"/etc/milterkit/milterkit.toml", "/var/lib/milterkit/journal.db"} {
		if !slices.Contains(left, name) {
			t.Errorf("the removal takes %s", name)
		}
	}
	m.run("dpkg -P milterkit")
	for name, what := range difference(before, m.tree()) {
		t.Errorf("the purge leaves %s: %s", name, what)
	}
}

// linesOf are the commands that an installation prints.
func linesOf(t *testing.T, told string) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(told) {
		if command, ok := strings.CutPrefix(line, "  post"); ok {
			lines = append(lines, "post"+strings.TrimSpace(command))
		}
	}
	if len(lines) != 2 {
		t.Fatalf("it prints %d lines for Postfix:\n%s", len(lines), told)
	}
	return lines
}

// startService starts milterkit where systemd has not done so.
func (m *machine) startService() {
	m.t.Helper()
	if !*withSystemd {
		m.run("milterkit serve >/var/log/milterkit 2>&1 &")
	}
	m.await("milterkit that is ready", func() bool { return strings.Contains(m.log(), "milterkit is ready") })
}

// log is what milterkit has said.
func (m *machine) log() string {
	if *withSystemd {
		out, _ := m.try("journalctl --unit milterkit --no-pager")
		return out
	}
	out, _ := m.try("cat /var/log/milterkit")
	return out
}

// startPostfix starts it as Debian has it, but for its name and where it logs.
func (m *machine) startPostfix() {
	m.t.Helper()
	m.run(`postconf -e myhostname=mx.example.test maillog_file=/var/log/mail.log mydestination=localhost inet_interfaces=loopback-only \
		inet_protocols=ipv4 alias_maps= local_recipient_maps=`)
	m.run("postfix status 2>/dev/null || postfix start 2>&1")
}

// message sends one through Postfix. It comes into the mailbox of its recipient.
func (m *machine) message() {
	m.t.Helper()
	mails := m.mails()
	var reply string
	m.await("Postfix that takes a message", func() bool {
		var err error
		reply, err = m.try("smtp-source -4 -f alice@example.org -t games@localhost 127.0.0.1:25")
		return err == nil
	})
	m.await("message in the mailbox ("+reply+")", func() bool { return m.mails() > mails })
}

// mails counts those in the mailbox.
func (m *machine) mails() int {
	box, _ := m.try("cat /var/mail/games")
	return strings.Count("\n"+box, "\nFrom ")
}

// unprivileged sees to it that the daemon is the user of its own, without a
// capability, and cannot get any.
func (m *machine) unprivileged() {
	m.t.Helper()
	status := m.run("cat /proc/$(pidof milterkit | cut -d' ' -f1)/status; echo; id -u milterkit")
	uid := strings.TrimSpace(status[strings.LastIndex(strings.TrimSpace(status), "\n"):])
	for name, want := range map[string]string{
		"Uid": strings.Join([]string{uid, uid, uid, uid}, "\t"), "CapPrm": "0000000000000000", "CapEff": "0000000000000000",
		"CapInh": "0000000000000000", "CapAmb": "0000000000000000", "NoNewPrivs": "1",
	} {
		if !strings.Contains(status, "\n"+name+":\t"+want+"\n") {
			m.t.Errorf("%s is not %s in\n%s", name, want, status)
		}
	}
}

// reloads has the daemon load a configuration again, and a wrong one, which is an error
// and changes nothing.
func (m *machine) reloads() {
	m.t.Helper()
	reload := "milterkit reload 2>&1"
	if *withSystemd {
		reload = "systemctl reload milterkit 2>&1"
	}
	m.run(reload)
	if out, err := m.try("echo 'lissten = 1' >>/etc/milterkit/milterkit.toml; " + reload); err == nil {
		m.t.Errorf("a wrong configuration is loaded: %s", out)
	}
	m.run("sed -i /lissten/d /etc/milterkit/milterkit.toml; " + reload)
}

// gone ends a milterkit that no systemd has ended.
func (m *machine) gone() {
	m.t.Helper()
	if !*withSystemd {
		m.run("kill $(pidof milterkit)")
	}
	m.await("end of milterkit", func() bool { _, err := m.try("pidof milterkit"); return err != nil })
}

// difference returns what is in one and not, or otherwise, in the other.
func difference(before, after map[string]string) map[string]string {
	d := map[string]string{}
	for name, what := range after {
		if before[name] != what {
			d[name] = "now " + what
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			d[name] = "gone"
		}
	}
	return d
}
