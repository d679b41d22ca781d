package doctor

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/internal/socket"
)

// mtaUser is Postfix's user in the tests: one that every system has.
const mtaUser = "nobody"

// A tree is a Postfix and a milterkit below a folder of the test.
type tree struct {
	dir string
	mta Who
}

func newTree(t *testing.T, main, master string) tree {
	t.Helper()
	mta, err := Lookup(mtaUser)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "doctor") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	tr := tree{dir, mta}
	tr.write(t, "main.cf", "mail_owner = "+mtaUser+"\nqueue_directory = DIR/queue\ncompatibility_level = 3.6\n"+main)
	tr.write(t, "master.cf", master)
	if err := os.MkdirAll(filepath.Join(tr.dir, "queue/milterkit"), 0o755); err != nil {
		t.Fatal(err)
	}
	return tr
}

func (tr tree) text(s string) string {
	return strings.NewReplacer("DIR", tr.dir, "GROUP", tr.mta.group()).Replace(s)
}

func (tr tree) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(tr.dir, name), []byte(tr.text(text)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// examine looks at the Postfix of the tree, with a milterkit that answers.
func (tr tree) examine(t *testing.T, toml string) *Report {
	t.Helper()
	p, err := ReadPostfix(tr.dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("milterkit.toml", []byte(tr.text(toml)), nil)
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	r.Postfix(p, c, func(_ Who, _ string, at socket.Addr) Answer {
		if strings.HasPrefix(at.Addr, "localhost:") {
			return Answer{Unnamed: true, Error: "lookup localhost: no such host"}
		}
		return Answer{Version: 6}
	})
	return &r
}

// want checks that a rule is named, with a line that mends it.
func want(t *testing.T, findings []Finding, rule, line string) {
	t.Helper()
	for _, f := range findings {
		for _, m := range f.Mend {
			if f.Rule == rule && (m.Line == line || m.Section+" "+m.Line == line) {
				return
			}
		}
	}
	t.Errorf("no %s with %q: %+v", rule, line, findings)
}

const inQueue = "[server]\nuser = \"root\"\nlisten = [\"unix:DIR/queue/milterkit/s\"]\nsocket_group = \"GROUP\"\n"

// Each fault between Postfix and the socket is named with the line that mends it.
func TestFaultsOfTheWay(t *testing.T) {
	const smtpd, jailed = "smtp inet n - n - - smtpd\n", "smtp inet n - y - - smtpd\n"
	for name, c := range map[string]struct {
		main, master, toml string
		mode               os.FileMode // of the socket; 0: there is none
		folder             os.FileMode
		rule, line         string
	}{
		"not asked":                {"", smtpd, inQueue, 0o666, 0o755, "not-asked", "smtpd_milters = unix:milterkit/s"},
		"others stay":              {"smtpd_milters = inet:localhost:1234\n", smtpd, inQueue, 0o666, 0o755, "not-asked", "smtpd_milters = unix:milterkit/s, inet:localhost:1234"},
		"path within a chroot":     {"smtpd_milters = unix:DIR/queue/milterkit/s\n", jailed, inQueue, 0o666, 0o755, "chroot", "smtpd_milters = unix:milterkit/s"},
		"outside of the chroot":    {"smtpd_milters = unix:/run/milterkit/s\n", jailed, "[server]\nlisten = [\"unix:/run/milterkit/s\"]\n", 0, 0o755, "chroot", `[server] listen = ["unix:DIR/queue/milterkit/s"]`},
		"the old default":          {"compatibility_level = 0\nsmtpd_milters = unix:/run/milterkit/s\n", "smtp inet n - - - - smtpd\n", "[server]\nlisten = [\"unix:/run/milterkit/s\"]\n", 0, 0o755, "chroot", "smtpd_milters = unix:milterkit/s"},
		"another port":             {"smtpd_milters = inet:192.0.2.1:8890\n", smtpd, "[server]\nlisten = [\"inet:8890@127.0.0.1\"]\n", 0, 0o755, "socket-path", "smtpd_milters = inet:127.0.0.1:8890"},
		"in master.cf":             {"", "smtp inet n - y - - smtpd\n  -o { smtpd_milters = unix:DIR/queue/milterkit/s }\n", inQueue, 0o666, 0o755, "chroot", "smtp inet -o smtpd_milters=unix:milterkit/s"},
		"mode":                     {"smtpd_milters = unix:milterkit/s\n", smtpd, inQueue, 0o600, 0o755, "socket-group", "chmod 0660 DIR/queue/milterkit/s"},
		"group":                    {"smtpd_milters = unix:milterkit/s\n", smtpd, strings.Replace(inQueue, "GROUP", "mail", 1), 0o660, 0o755, "socket-group", `[server] socket_group = "GROUP"`},
		"group of what is not yet": {"smtpd_milters = unix:milterkit/s\n", smtpd, strings.Replace(inQueue, "GROUP", "mail", 1), 0, 0o755, "socket-group", `[server] socket_group = "GROUP"`},
		"mode of what is not yet":  {"smtpd_milters = unix:milterkit/s\n", smtpd, inQueue + "socket_mode = \"0600\"\n", 0, 0o755, "socket-group", `[server] socket_mode = "0660"`},
		"it does not run":          {"smtpd_milters = unix:milterkit/s\n", smtpd, inQueue, 0, 0o755, "not-running", "systemctl restart milterkit"},
		"folder":                   {"smtpd_milters = unix:milterkit/s\n", smtpd, strings.Replace(inQueue, "root", "daemon", 1), 0o666, 0o700, "folder-mode", "chmod o+x DIR/queue/milterkit"},
		"no folder":                {"smtpd_milters = unix:none/s\n", smtpd, strings.Replace(inQueue, "milterkit/s", "none/s", 1), 0, 0o755, "no-folder", "install -d -o root -g GROUP -m 750 DIR/queue/none"},
		"asked twice":              {"smtpd_milters = unix:milterkit/s, inet:localhost:1234\n", smtpd, inQueue + "[[milter]]\nname = \"x\"\nsocket = \"inet:1234@localhost\"\n", 0o666, 0o755, "asked-twice", "smtpd_milters = unix:milterkit/s"},
		"it waits too short":       {"smtpd_milters = unix:milterkit/s\nmilter_command_timeout = 10\n", smtpd, inQueue, 0o666, 0o755, "timeout", "milter_command_timeout = 30s"},
		"for this one alone":       {"smtpd_milters = { unix:milterkit/s, command_timeout=10s }\n", smtpd, inQueue, 0o666, 0o755, "timeout", "smtpd_milters = { unix:milterkit/s, command_timeout=30s }"},
		"we take too long":         {"smtpd_milters = unix:milterkit/s\n", smtpd, inQueue + "message_timeout = \"10m\"\n", 0o666, 0o755, "timeout", `[server] message_timeout = "4m50s"`},
		"a name in a chroot":       {"smtpd_milters = inet:localhost:28891\n", jailed, "[server]\nlisten = [\"inet:28891@127.0.0.1\"]\n", 0, 0o755, "no-host", "smtpd_milters = inet:127.0.0.1:28891"},
		"no time to connect":       {"smtpd_milters = unix:milterkit/s\nmilter_connect_timeout = 1s\n", smtpd, inQueue, 0o666, 0o755, "timeout", "milter_connect_timeout = 30s"},
		"other mail":               {"non_smtpd_milters = $smtpd_milters\nsmtpd_milters = unix:/milterkit/s\n", "cleanup unix n - n - 0 cleanup\n", inQueue, 0o666, 0o755, "socket-path", "non_smtpd_milters = unix:milterkit/s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t, c.main, c.master)
			at := filepath.Join(tr.dir, "queue/milterkit/s")
			if c.mode != 0 {
				ln, err := net.Listen("unix", at)
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				if err := os.Chmod(at, c.mode); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(filepath.Dir(at), c.folder); err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(filepath.Dir(at), 0o755)
			want(t, tr.examine(t, c.toml).Findings, c.rule, tr.text(c.line))
		})
	}
}

// Where all is right nothing is said, for services that share a socket once.
func TestNothingWrong(t *testing.T) {
	t.Parallel()
	tr := newTree(t, "smtpd_milters = unix:milterkit/s\nnon_smtpd_milters = $smtpd_milters\n",
		"smtp inet n - y - - smtpd\nsubmission inet n - n - - smtpd\n  -o smtpd_milters=\ncleanup unix n - y - 0 cleanup\n")
	ln, err := net.Listen("unix", filepath.Join(tr.dir, "queue/milterkit/s"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := os.Chmod(filepath.Join(tr.dir, "queue/milterkit/s"), 0o666); err != nil {
		t.Fatal(err)
	}
	if r := tr.examine(t, inQueue); len(r.Findings) > 0 || len(r.Right) == 0 {
		t.Errorf("%+v", r)
	}
}

// Parameters are read as Postfix reads them: the last one counts, lines go on,
// others are named.
func TestParametersAreRead(t *testing.T) {
	t.Parallel()
	tr := newTree(t, "a = one\na = two\n  three\n# a = four\nb = ${a}, $(c)\nc = ${a?yes}${none:no}${none?x}\nd = ${a?{ $(c) }:{x}}${none?{x}:{${a}}}${a:{x}}${none:{!}}\nloop = $loop\n", "smtp inet n - n - - smtpd\n  -o { a = in braces }\n  -o c=own\n")
	p, err := ReadPostfix(tr.dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.value(nil, "b"); got != "two three, yesno" {
		t.Errorf("b is %q", got)
	}
	if got := p.value(nil, "d"); got != " yesno two three!" {
		t.Errorf("d is %q", got)
	}
	if got := p.value(&p.services[0], "b"); got != "in braces, own" {
		t.Errorf("b of smtp is %q", got)
	}
	p.value(nil, "loop") // ends
	for text, want := range map[string]time.Duration{"30": 30 * time.Second, "5m": 5 * time.Minute, "1h": time.Hour} {
		if d, ok := durationOf(text); !ok || d != want {
			t.Errorf("%s is %v", text, d)
		}
	}
}
