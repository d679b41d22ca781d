package daemon

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/milterkit/sdk/daemon/internal/detect"
	"github.com/milterkit/sdk/internal/socket"
)

// detectRoot makes the files of a system that has three milters: one that is
// enabled, one that is not, and one that is known by its name only.
func detectRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	const units = "usr/lib/systemd/system/"
	for name, text := range map[string]string{
		units + "opendkim.service":                                    "[Service]\nExecStart=/usr/sbin/opendkim\n",
		"etc/systemd/system/multi-user.target.wants/opendkim.service": "",
		"usr/sbin/opendkim":                                           "",
		"etc/opendkim.conf":                                           "Mode v\nSocket inet:8891@localhost\n",
		units + "opendmarc.service":                                   "[Service]\nExecStart=/usr/sbin/opendmarc -p unix:/run/opendmarc/sock\n",
		units + "clamav-milter.service":                               "[Service]\nExecStart=/usr/sbin/clamav-milter\n",
		units + "torn.service":                                        "[Service]\n[\n",
	} {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestDetectPrintsATable(t *testing.T) {
	t.Parallel()
	status, stdout, stderr := end(t, "detect", "--root", detectRoot(t))
	const want = `NAME           ENABLED  ANSWERS  SOCKET                      FROM                                          WHY
opendkim       yes      -        inet:8891@localhost         /etc/opendkim.conf:2                          /etc/systemd/system/multi-user.target.wants/opendkim.service
opendmarc      no       -        unix:/run/opendmarc/sock    /usr/lib/systemd/system/opendmarc.service:2   no link in a .wants folder: systemctl enable opendmarc
clamav-milter  no       -        -                           /usr/lib/systemd/system/clamav-milter.service  no link in a .wants folder: systemctl enable clamav-milter
/usr/lib/systemd/system/torn.service:2: skipped, and with it the whole file: a section has no ] at its end
`
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	if status != exitOK || stderr != "" || squeeze(stdout) != squeeze(want) {
		t.Errorf("status %d, stderr %s\n%s", status, stderr, stdout)
	}
	if status, stdout, _ := end(t, "detect", "--root", t.TempDir()); status != exitOK || stdout != "no milter was found\n" {
		t.Errorf("of an empty folder: status %d\n%s", status, stdout)
	}
}

func TestDetectPrintsJSON(t *testing.T) {
	t.Parallel()
	status, stdout, _ := end(t, "detect", "--json", "--root", detectRoot(t))
	var got struct {
		Milters []detectedMilter
		Skipped []skippedFile
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || status != exitOK {
		t.Fatalf("status %d: %v\n%s", status, err, stdout)
	}
	if len(got.Milters) != 3 || len(got.Skipped) != 1 || got.Skipped[0].Line != 2 {
		t.Fatalf("got %+v", got)
	}
	if m := got.Milters[0]; m.Name != "opendkim" || m.Kind != "opendkim" || m.Socket != "inet:8891@localhost" || m.File != "/etc/opendkim.conf" || m.Line != 2 || !m.Enabled || m.Answers != nil {
		t.Errorf("got %+v", m)
	}
}

// A file that is there is never written over.
func TestDetectWrites(t *testing.T) {
	t.Parallel()
	root, file := detectRoot(t), filepath.Join(t.TempDir(), "milterkit.toml")
	status, stdout, stderr := end(t, "detect", "--root", root, "--write", file)
	written, err := os.ReadFile(file)
	if err != nil || status != exitOK || !strings.HasPrefix(stdout, "NAME") || stderr != "written to "+file+"\n" {
		t.Fatalf("status %d, %v\n%s%s", status, err, stdout, stderr)
	}
	if status, stdout, _ := end(t, "detect", "--root", root, "--write", "-"); status != exitOK || stdout != string(written) {
		t.Errorf("with --write -: status %d\n%s", status, stdout)
	}
	if status, stdout, stderr := end(t, "show-config", "--config", file); status != exitOK || !strings.Contains(stdout, `name             = "opendkim"`) {
		t.Errorf("show-config: status %d\n%s%s", status, stdout, stderr)
	}
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, stderr = end(t, "detect", "--root", root, "--write", file)
	if text, _ := os.ReadFile(file); status != exitFault || string(text) != "mine" || !strings.Contains(stderr, file+" is there already, and stays as it is") {
		t.Errorf("status %d: %s\nthe file: %s", status, stderr, text)
	}
}

func TestDetectUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--root", "/nowhere"}, {"--json", "--write", "-"}, {"file"}} {
		if status, stdout, stderr := end(t, append([]string{"detect"}, args...)...); status != exitUsage || stdout != "" || stderr == "" {
			t.Errorf("%q: status %d\n%s%s", args, status, stdout, stderr)
		}
	}
}

// detect = true adds the milters of the machine, and each value says where it is
// from.
func TestDetectInTheConfiguration(t *testing.T) {
	was := systemRoot
	systemRoot = detectRoot(t)
	defer func() { systemRoot = was }()
	file := filepath.Join(t.TempDir(), "milterkit.toml")
	if err := os.WriteFile(file, []byte("[server]\ndetect = true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder // in this process, which is to look elsewhere for the machine's files
	if status := run("milterkit", nil, []string{"show-config", "--config", file}, &stdout, &stderr); status != exitOK {
		t.Fatal(stderr.String())
	}
	for _, want := range []string{
		`detect = true # ` + file + `:2`,
		`name = "opendkim" # /usr/lib/systemd/system/opendkim.service`,
		`socket = "inet:8891@localhost" # /etc/opendkim.conf:2`,
		`when = "!authenticated && !local" # detect`,
		`enabled = false # detect`,
	} {
		if !strings.Contains(strings.Join(strings.Fields(stdout.String()), " "), want) {
			t.Errorf("there is no %s in\n%s", want, stdout.String())
		}
	}
	c, err := natives{}.load(file)
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(advice(c), "\n"); !strings.Contains(notes, "detect: /usr/lib/systemd/system/torn.service:2: skipped") {
		t.Errorf("check and serve say:\n%s", notes)
	}
}

// Whoever is in no group of a socket or its folder is told in which to be.
func TestGroupsTo(t *testing.T) {
	t.Parallel()
	dir := publicDir(t)
	path := filepath.Join(dir, "sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, c := range []struct {
		dir, sock os.FileMode
		n         int
	}{{0o755, 0o666, 0}, {0o755, 0o660, 1}, {0o750, 0o666, 1}, {0o750, 0o660, 1}, {0o700, 0o600, 0}} {
		if err := os.Chmod(path, c.sock); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, c.dir); err != nil {
			t.Fatal(err)
		}
		if got := groupsTo(path); len(got) != c.n {
			t.Errorf("folder %v, socket %v: groups %q", c.dir, c.sock, got)
		}
	}
	if got := groupsTo(filepath.Join(dir, "none")); got != nil {
		t.Errorf("of a socket that is not there: %q", got)
	}
	notes := groupNotes([]detect.Found{{Enabled: true, Socket: socket.Addr{Network: "tcp", Addr: "127.0.0.1:1"}}})
	if notes != nil {
		t.Errorf("of a port: %q", notes)
	}
}
