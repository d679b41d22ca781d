package listen

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/milterkit/sdk/daemon/internal/config"
)

// asChild, in the environment, has the test binary play a process that systemd
// has started; its value is the name to ask for.
const asChild = "MILTERKIT_TEST_SYSTEMD"

func TestMain(m *testing.M) {
	if name, set := os.LookupEnv(asChild); set {
		inherited(name)
		return
	}
	os.Exit(m.Run())
}

// anybody is who may connect where a test does not care.
var anybody = Owner{Mode: 0o600, Group: -1}

func unixSocket(t *testing.T) config.Socket {
	return config.Socket{Network: "unix", Addr: filepath.Join(t.TempDir(), "s")}
}

func mustOpen(t *testing.T, s config.Socket, o Owner) *Listener {
	t.Helper()
	lns, err := Open([]config.Socket{s}, o, new(Inherited))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lns[0].Close() })
	return lns[0]
}

func TestASocketHasItsModeWhateverTheUmask(t *testing.T) {
	for _, umask := range []int{0, 0o077, 0o777} {
		old := syscall.Umask(umask)
		for _, mode := range []fs.FileMode{0o600, 0o660, 0o666, 0o777} {
			s := unixSocket(t)
			os.Chmod(filepath.Dir(s.Addr), 0o700)
			mustOpen(t, s, Owner{mode, -1})
			if fi, err := os.Lstat(s.Addr); err != nil || fi.Mode() != fs.ModeSocket|mode {
				t.Errorf("umask %o: %v, %v, want %v", umask, fi.Mode(), err, mode)
			}
		}
		if now := syscall.Umask(old); now != umask {
			t.Errorf("the umask was %o and is %o", umask, now)
		}
	}
}

// Nobody can connect to a socket that has not got its mode and its group: as
// long as they are being set, it refuses connections.
func TestASocketHasModeAndGroupBeforeItAnswers(t *testing.T) {
	gid, path := otherGroup(t), unixSocket(t).Addr
	f, _, err := bindUnix(path, Owner{0o620, gid})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		t.Error("it answers")
	} else if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
	fi, err := os.Lstat(path)
	if err != nil || fi.Mode() != fs.ModeSocket|0o620 || int(fi.Sys().(*syscall.Stat_t).Gid) != gid {
		t.Errorf("%v, %v", fi, err)
	}
}

// otherGroup is a group that this process may give files to.
func otherGroup(t *testing.T) int {
	if os.Geteuid() == 0 {
		return 12345
	}
	groups, err := os.Getgroups()
	if err != nil || len(groups) == 0 {
		return os.Getegid()
	}
	return groups[len(groups)-1]
}

func TestAGroupOfOthersIsAnError(t *testing.T) {
	if os.Geteuid() == 0 {
		s := unixSocket(t)
		mustOpen(t, s, Owner{0o660, 54321})
		fi, err := os.Lstat(s.Addr)
		if err != nil || fi.Sys().(*syscall.Stat_t).Gid != 54321 {
			t.Errorf("%v, %v", fi, err)
		}
		return
	}
	s := unixSocket(t)
	_, err := Open([]config.Socket{s}, Owner{0o660, 0}, new(Inherited))
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(s.Addr); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was left behind: %v", err)
	}
}

func TestASocketThatACrashLeftIsReplaced(t *testing.T) {
	s := unixSocket(t)
	ln, err := net.Listen("unix", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	mustOpen(t, s, anybody)
	conn, err := net.Dial("unix", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestASocketThatAnswersStays(t *testing.T) {
	s := unixSocket(t)
	mustOpen(t, s, anybody)
	_, err := Open([]config.Socket{s}, anybody, new(Inherited))
	if err == nil || err.Error() != s.String()+": another server answers on this socket" {
		t.Errorf("got %v", err)
	}
	if conn, err := net.Dial("unix", s.Addr); err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}
}

func TestWhatIsNoSocketStays(t *testing.T) {
	dir := t.TempDir()
	file, link, datagram := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "datagram")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("unixgram", datagram)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	for path, want := range map[string]string{
		file:                          "what is there is not a socket; it stays as it is",
		link:                          "what is there is not a socket; it stays as it is",
		datagram:                      "a socket is there that cannot be asked whether it is in use: protocol wrong type for socket",
		filepath.Join(dir, "no", "s"): "the directory " + dir + "/no does not exist",
		filepath.Join(file, "s"):      file + " is not a directory",
	} {
		_, err := Open([]config.Socket{{Network: "unix", Addr: path}}, anybody, new(Inherited))
		if err == nil || err.Error() != "unix:"+path+": "+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if b, err := os.ReadFile(file); string(b) != "precious" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestAllOpenOrNone(t *testing.T) {
	good, bad := unixSocket(t), config.Socket{Network: "unix", Addr: "/nonexistent/s"}
	_, err := Open([]config.Socket{good, bad}, anybody, new(Inherited))
	if err == nil {
		t.Fatal("no error")
	}
	if _, err := os.Lstat(good.Addr); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s was left behind: %v", good, err)
	}
	lns, err := Open([]config.Socket{good, {Network: "tcp", Addr: "127.0.0.1:0"}}, anybody, new(Inherited))
	if err != nil || len(lns) != 2 {
		t.Fatal(lns, err)
	}
	for _, ln := range lns {
		ln.Close()
	}
}

func TestATCPPortInUseIsToldWithItsSocket(t *testing.T) {
	ln := mustOpen(t, config.Socket{Network: "tcp", Addr: "127.0.0.1:0"}, anybody)
	s := config.Socket{Network: "tcp", Addr: ln.Addr().String()}
	if _, err := Open([]config.Socket{s}, anybody, new(Inherited)); err == nil || err.Error() != s.String()+": address already in use" {
		t.Errorf("got %v", err)
	}
}

func TestCloseRemovesOnlyItsOwn(t *testing.T) {
	s := unixSocket(t)
	ln := mustOpen(t, s, anybody)
	ln.Close()
	if _, err := os.Lstat(s.Addr); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	ln = mustOpen(t, s, anybody)
	if err := os.Remove(s.Addr); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, s, anybody) // another server
	ln.Close()
	if _, err := os.Lstat(s.Addr); err != nil {
		t.Errorf("the other server's socket was removed: %v", err)
	}
}

// inherited is the process that systemd has started.
func inherited(name string) {
	in, err := Inherit()
	if err != nil {
		fmt.Println(err)
		return
	}
	lns, err := Open([]config.Socket{{Network: "systemd", Addr: name}}, anybody, in)
	fmt.Println(len(lns), err, in.Rest(), os.Getenv("LISTEN_FDS") == "")
	for _, ln := range lns {
		conn, err := ln.Accept()
		if err == nil {
			conn.Write([]byte("hello"))
			conn.Close()
		}
		fmt.Println(errors.Join(err, ln.Close()))
	}
}

func TestSocketsOfSystemdAreTaken(t *testing.T) {
	path := unixSocket(t).Addr
	for name, c := range map[string]struct{ env, want string }{
		"milter":  {"LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=milter:other", "1 <nil> [other] true\n<nil>\n"},
		"other":   {"LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=milter:milter", "0 systemd:other: systemd has passed no socket of this name; it has passed milter [milter milter] true\n"},
		"unknown": {"LISTEN_PID=$$ LISTEN_FDS=1", "1 <nil> [] true\n<nil>\n"},
		"theirs":  {"LISTEN_PID=1 LISTEN_FDS=1 LISTEN_FDNAMES=theirs", "0 systemd:theirs: systemd has passed no socket; is milterkit started by a socket unit? [] true\n"},
		"broken":  {"LISTEN_PID=$$ LISTEN_FDS=x", "LISTEN_FDS is \"x\", which is not a number of sockets\n"},
	} {
		t.Run(name, func(t *testing.T) {
			os.Remove(path)
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
			conn, err := net.Dial("unix", path) // waits to be taken
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			cmd := exec.Command("/bin/sh", "-c", c.env+` exec "$0"`, os.Args[0])
			cmd.Env = append(os.Environ(), asChild+"="+name)
			cmd.ExtraFiles = []*os.File{f, f}
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != c.want {
				t.Errorf("%v\n%s", err, out)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("systemd's own socket was removed: %v", err)
			}
		})
	}
}

func TestNotify(t *testing.T) {
	for _, path := range []string{unixSocket(t).Addr, fmt.Sprintf("@milterkit-test-%d", os.Getpid())} {
		pc, err := net.ListenPacket("unixgram", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("NOTIFY_SOCKET", path)
		if err := Notify("READY=1"); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		b := make([]byte, 100)
		if n, _, err := pc.ReadFrom(b); err != nil || string(b[:n]) != "READY=1" {
			t.Errorf("%s: %q, %v", path, b[:n], err)
		}
		pc.Close()
	}
	t.Setenv("NOTIFY_SOCKET", "vsock:2:1")
	if err := Notify("READY=1"); err == nil || !strings.Contains(err.Error(), "vsock") {
		t.Errorf("got %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify("READY=1"); err != nil {
		t.Error(err)
	}
}
