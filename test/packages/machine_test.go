package packages

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var withSystemd = flag.Bool("systemd", false, "boot systemd in the machines")

// debian is the tree that test/install.sh has made.
const debian = "/var/cache/milterkit-test/debian"

// patience is how long anything may take on a busy machine.
const patience = 90 * time.Second

// A machine is a Debian with a process, network and file system of its own. What it
// writes goes with it.
type machine struct {
	t    *testing.T
	root string // its files
	pid  int    // its first process
	base *exec.Cmd
}

// newMachine makes one, and starts it.
func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the tests of packages must be run as root: they mount and make namespaces")
	}
	if _, err := os.Stat(debian); err != nil {
		t.Fatalf("%v: `make test` makes it, or run test/install.sh as root", err)
	}
	m := &machine{t: t}
	m.mount()
	if *withSystemd {
		m.start("run/systemd/private", exec.Command("systemd-nspawn", "--directory", m.root, "--private-network", "--register=no", "--keep-unit",
			"--console=passive", "--kill-signal=SIGRTMIN+4", "--boot"))
		m.await("systemd to run", func() bool {
			state, _ := m.try("systemctl is-system-running")
			return strings.HasPrefix(state, "running") || strings.HasPrefix(state, "degraded")
		})
	} else {
		m.bind("/dev") // the tree may be where devices are none
		m.start("proc/uptime", exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc", "--uts", "--root", m.root,
			"sh", "-c", "mount -t proc proc /proc && exec sleep infinity"))
	}
	if out, err := exec.Command("nsenter", "--target", strconv.Itoa(m.pid), "--net", "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return m
}

// mount puts a layer in memory over the tree, which stays as it is.
func (m *machine) mount() {
	dir, err := os.MkdirTemp("", "mkpkg")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		err = unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755")
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		if err := errors.Join(unix.Unmount(dir, unix.MNT_DETACH), os.Remove(dir)); err != nil {
			m.t.Error(err)
		}
	})
	m.root = filepath.Join(dir, "root")
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{m.root, upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			m.t.Fatal(err)
		}
	}
	if err := unix.Mount("overlay", m.root, "overlay", 0, "lowerdir="+debian+",upperdir="+upper+",workdir="+work); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		if err := unix.Unmount(m.root, unix.MNT_DETACH); err != nil {
			m.t.Error(err)
		}
	})
}

// bind shows a folder of this system in the machine.
func (m *machine) bind(dir string) {
	at := filepath.Join(m.root, dir)
	if err := unix.Mount(dir, at, "", unix.MS_BIND, ""); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) })
}

// start starts what holds the machine, and finds its first process: the one that
// makes a file there.
func (m *machine) start(sign string, base *exec.Cmd) {
	m.base = base
	log := new(bytes.Buffer)
	base.Stdout, base.Stderr = log, log
	base.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	base.WaitDelay = time.Second
	if err := base.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		if m.pid > 0 {
			syscall.Kill(m.pid, syscall.SIGKILL) // the first process of a namespace takes all others along
		}
		base.Process.Kill()
		base.Wait()
		if m.t.Failed() {
			m.t.Logf("%v: %s", base.Args, log)
		}
	})
	m.await("first process", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", base.Process.Pid))
		m.pid, _ = strconv.Atoi(strings.TrimSpace(string(children)))
		_, err := os.Stat(fmt.Sprintf("/proc/%d/root/%s", m.pid, sign))
		return m.pid > 0 && err == nil
	})
}

// try runs a script in the machine, and returns what it printed.
func (m *machine) try(script string) (string, error) {
	cmd := exec.Command("nsenter", "--target", strconv.Itoa(m.pid), "--all", "--root", "--wd",
		"sh", "-c", script)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "HOME=/root"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run runs a script that must not fail.
func (m *machine) run(script string) string {
	m.t.Helper()
	out, err := m.try(script)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// await waits for something that happens by itself.
func (m *machine) await(what string, happened func() bool) {
	m.t.Helper()
	for end := time.Now().Add(patience); !happened(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatalf("there is no %s after %v", what, patience)
		}
	}
}

// give copies a file into /root.
func (m *machine) give(file string) string {
	m.t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(filepath.Join(m.root, "root", filepath.Base(file)), text, 0o644)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return "/root/" + filepath.Base(file)
}

// tree returns all files and folders, by name with owner and mode, and the accounts:
// all that a package could leave behind. What any installation writes is left out.
func (m *machine) tree() map[string]string {
	m.t.Helper()
	all := map[string]string{}
	list := m.run(`find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /root -o -path /var/log -o -path /var/cache \
		-o -path /var/lib/dpkg -o -path /var/lib/rpm -o -path /var/lib/systemd -o -path /var/spool/postfix -o -path /var/lib/postfix -o -path /var/tmp -o -path '/run/systemd/*' -o -name '*-' -path '/etc/*' -o -name .pwd.lock \) \
		-prune -o -printf '%p %u:%g %m\n'`)
	for line := range strings.Lines(list) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		all[name] = rest
	}
	for line := range strings.Lines(m.run("cat /etc/passwd /etc/group /etc/shadow /etc/gshadow; dpkg-query -W -f '${Package} ${Status}\n'")) {
		all[strings.TrimSpace(line)] = "a line"
	}
	return all
}
