package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// doctorListener is the listener of the milterkit that is ill.
const doctorListener = "doctor"

// doctorBench is a Postfix, and a milterkit that is started as root and runs as
// nobody, with its configuration in a file that the tests change.
type doctorBench struct {
	*bench
	conf  string // the file
	clamd *stack.Clamd
	kit   *exec.Cmd

	loaded []byte // what Postfix has read the last time that it was told to
}

// A doctorMend is one line that doctor prints.
type doctorMend struct{ File, Section, Line string }

// A doctorFinding is what doctor says of one thing.
type doctorFinding struct {
	Rule, About, Message string
	Mend                 []doctorMend
}

func startDoctor(t *testing.T) *doctorBench {
	t.Helper()
	all := start(t)
	if all.kitErr != nil {
		t.Fatal(all.kitErr)
	}
	root, err := stack.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Remove() })
	port, err := root.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	b := &doctorBench{bench: &bench{root: root, binary: all.binary}, conf: root.Path("milterkit.toml"), clamd: &stack.Clamd{Root: root, Port: port}}
	b.postfix = &stack.Postfix{Root: root, Mailboxes: mailboxes(),
		Listeners: []stack.Listener{{Name: doctorListener, Milters: []string{"unix:" + root.Path("kit", "sock")}}}}
	if err := stack.Start(b.clamd, b.postfix); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.stopKit()
		if err := stack.Stop(b.postfix, b.clamd); err != nil {
			t.Error(err)
		}
	})
	return b
}

// healthy is a configuration of which there is nothing to say; DIR stands for the
// root.
const healthy = `[server]
listen = ["unix:DIR/kit/sock"]
socket_group = "postfix"
user = "nobody"
temp_dir = "/tmp"
`

func (b *doctorBench) milter(name, addr string) string {
	return fmt.Sprintf("\n[[milter]]\nname = %q\nsocket = %q\n", name, addr)
}

// configure writes a configuration, and starts milterkit with it.
func (b *doctorBench) configure(t *testing.T, text string) {
	t.Helper()
	b.stopKit()
	text = strings.ReplaceAll(text, "DIR", b.root.Dir)
	if err := os.WriteFile(b.conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{b.root.Path("kit")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.startKit(t)
}

func (b *doctorBench) startKit(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(b.conf)
	if err != nil {
		t.Fatal(err)
	}
	socket := regexp.MustCompile(`unix:([^"]+)`).FindStringSubmatch(string(text))[1]
	var log bytes.Buffer
	b.kit = b.binary.Command(t.Context(), "serve", "-c", b.conf)
	b.kit.Stderr = &log
	if err := b.kit.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(deliveryLimit); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return
		} else if time.Now().After(end) {
			b.kit.Process.Kill()
			b.kit.Wait()
			t.Fatal(err, log.String())
		}
	}
}

func (b *doctorBench) stopKit() {
	if b.kit != nil {
		b.kit.Process.Signal(syscall.SIGTERM)
		b.kit.Wait()
		b.kit = nil
	}
}

// reload has Postfix read its configuration, once it is no younger than it likes. It
// does nothing where that has not changed.
func (b *doctorBench) reload(t *testing.T) {
	t.Helper()
	var now []byte
	for _, name := range []string{"main.cf", "master.cf"} {
		text, err := os.ReadFile(filepath.Join(b.postfix.ConfigDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		now = append(now, text...)
	}
	if bytes.Equal(now, b.loaded) {
		return
	}
	b.loaded = now
	old := time.Now().Add(-time.Minute)
	for _, name := range []string{"main.cf", "master.cf"} {
		if err := os.Chtimes(filepath.Join(b.postfix.ConfigDir(), name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(b.postfix.Pid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// examine has the doctor come. The status is that of the program.
func (b *doctorBench) examine(t *testing.T) (findings []doctorFinding, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := b.binary.Command(t.Context(), "doctor", "--json", "-c", b.conf, "--postfix-config", b.postfix.ConfigDir())
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Run()
	var report struct{ Findings []doctorFinding }
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err, out.String(), errs.String())
	}
	return report.Findings, cmd.ProcessState.ExitCode()
}

// asked reports whether Postfix takes a sender, which it does not where it cannot ask
// milterkit. It tries for a while: a reload takes its time.
func (b *doctorBench) asked(t *testing.T, want bool) {
	t.Helper()
	var reply smtpclient.Reply
	for end := time.Now().Add(deliveryLimit); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		c, err := smtpclient.Dial(b.postfix.Addr(doctorListener))
		if err != nil {
			continue
		}
		c.Ehlo(client)
		reply = c.Mail(alice)
		c.Close()
		if reply.OK() == want {
			return
		}
	}
	t.Errorf("Postfix asks milterkit: %t is wanted, and MAIL has %q\n%s", want, reply, b.postfix.Log())
}

// mend does what the lines say, as an administrator would.
func (b *doctorBench) mend(t *testing.T, mends []doctorMend) {
	t.Helper()
	for _, m := range mends {
		if m.File == "" {
			if strings.HasPrefix(m.Line, "systemctl ") {
				continue // everything is started anew
			}
			if out, err := exec.Command("sh", "-c", m.Line).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", m.Line, err, out)
			}
			continue
		}
		text, err := os.ReadFile(m.File)
		if err != nil {
			t.Fatal(err)
		}
		mended := mendText(t, string(text), m)
		if mended == string(text) {
			t.Fatalf("%+v changes nothing", m)
		}
		if err := os.WriteFile(m.File, []byte(mended), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var moveLine = regexp.MustCompile(`^move \[\[milter\]\] "(.*?)" .*(above|below) \[\[milter\]\] "(.*?)"`)

// mendText puts a line into a file: main.cf, master.cf or milterkit.toml.
func mendText(t *testing.T, text string, m doctorMend) string {
	t.Helper()
	key, _, _ := strings.Cut(m.Line, " = ")
	own := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(key) + ` *=.*\n`)
	switch filepath.Base(m.File) {
	case "main.cf":
		return own.ReplaceAllString(text, "") + m.Line + "\n"
	case "master.cf":
		name, _, _ := strings.Cut(strings.TrimPrefix(m.Line, "-o "), "=")
		service, _, _ := strings.Cut(m.Section, " ")
		return regexp.MustCompile(`(?m)(^`+regexp.QuoteMeta(service)+` .*\n)  -o \{ *`+strings.TrimSpace(name)+` = .*\n`).ReplaceAllString(text, "${1}  "+m.Line+"\n")
	}
	sections := strings.SplitAfter(text, "\n\n")
	at := func(name string) int {
		for i, s := range sections {
			if strings.Contains(s, fmt.Sprintf("name = %q\n", name)) || name == "" && i == 0 {
				return i
			}
		}
		t.Fatalf("%+v: no %s", m, name)
		return 0
	}
	if move := moveLine.FindStringSubmatch(m.Line); move != nil {
		i := at(move[1])
		s := strings.TrimSpace(sections[i]) + "\n\n"
		sections = append(sections[:i], sections[i+1:]...)
		j := at(move[3])
		if move[2] == "below" {
			sections[j] = strings.TrimSpace(sections[j]) + "\n\n" + s
		} else {
			sections[j] = s + sections[j]
		}
		return strings.Join(sections, "")
	}
	i := at(strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(m.Section, "[server]"), "[[milter]] "), "[milter.options] of "))
	if key == "use" {
		own = regexp.MustCompile(`(?m)^socket *=.*\n`)
	}
	if strings.HasPrefix(m.Section, "[milter.options]") && !strings.Contains(sections[i], "[milter.options]") {
		m.Line = "[milter.options]\n" + m.Line
	}
	if own.MatchString(sections[i]) {
		sections[i] = own.ReplaceAllString(sections[i], strings.ReplaceAll(m.Line, "$", "$$")+"\n")
	} else {
		sections[i] = strings.TrimSpace(sections[i]) + "\n" + m.Line + "\n\n"
	}
	return strings.Join(sections, "")
}

// An illness is something wrong with an installation.
type illness struct {
	name   string
	config string // "": healthy
	plant  func(*testing.T, *doctorBench)
	rule   string
	line   string // one of those that mend it
	deaf   bool   // Postfix does not get to milterkit
}

// TestDoctor plants faults, one at a time: each is named with the lines that mend it;
// when these are done it is gone, and mail passes.
func TestDoctor(t *testing.T) {
	b := startDoctor(t)
	b.configure(t, healthy)
	b.asked(t, true)
	if findings, status := b.examine(t); len(findings) > 0 || status != 0 {
		t.Fatalf("status %d of what is right: %+v", status, findings)
	}
	child := startRecorder(t, b.root, "child", miltertest.Script{}).socket
	other := startRecorder(t, b.root, "other", miltertest.Script{}).socket
	group := strings.Replace(healthy, `"postfix"`, `"mail"`, 1)
	for _, f := range []illness{
		{name: "wrong group", config: group, rule: "socket-group", line: `socket_group = "postfix"`, deaf: true},
		{name: "wrong mode", config: healthy + "socket_mode = \"0600\"\n", rule: "socket-mode", line: `socket_mode = "0660"`, deaf: true},
		{name: "folder that is shut", plant: func(t *testing.T, b *doctorBench) {
			if err := os.Chmod(b.root.Path("kit"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, rule: "folder-mode", line: "chmod o+x " + b.root.Path("kit"), deaf: true},
		{name: "chroot", plant: plantChroot, rule: "chroot", line: "-o smtpd_milters=unix:milterkit/sock", deaf: true},
		{name: "clamd's port", config: healthy + b.milter("clamav", fmt.Sprintf("inet:%d@127.0.0.1", b.clamd.Port)), rule: "not-a-milter", line: `use = "clamd"  # in place of socket`},
		{name: "dead child", config: healthy + b.milter("gone", "unix:"+b.root.Path("gone")), rule: "dead-child", line: "enabled = false  # until it is started"},
		{name: "child that wants more", config: healthy + b.milter("child", "unix:"+child), plant: plantMain("milter_protocol = 2\n"), rule: "not-offered", line: "milter_protocol = 6"},
		{name: "edits after signing", config: healthy + b.milter("dkim-signer", "unix:"+child) + b.milter("other", "unix:"+other), rule: "edits-after-signing",
			line: `move [[milter]] "dkim-signer" (line 7) below [[milter]] "other" (line 11)`},
		{name: "DMARC first", config: healthy + b.milter("opendmarc", "unix:"+child) + b.milter("opendkim-verify", "unix:"+other), rule: "dmarc-first",
			line: `move [[milter]] "opendmarc" (line 7) below [[milter]] "opendkim-verify" (line 11)`},
		{name: "time longer than Postfix's", config: healthy + "stage_timeout = \"40s\"\n", rule: "timeout", line: `stage_timeout = "25s"`},
		{name: "times of Postfix too short", plant: plantMain("milter_command_timeout = 20s\n"), rule: "timeout", line: "milter_command_timeout = 30s"},
		{name: "names that disagree", config: healthy + "\n[[milter]]\nname = \"verify\"\nuse = \"dkim-verify\"\n[milter.options]\nauthserv_id = \"a.example\"\n" +
			"\n[[milter]]\nname = \"dmarc\"\nuse = \"dmarc\"\n[milter.options]\nauthserv_id = \"b.example\"\n", rule: "authserv-id", line: `authserv_id = "b.example"`},
	} {
		t.Run(f.name, func(t *testing.T) { b.suffer(t, f) })
	}
}

// suffer plants a fault, and has it mended.
func (b *doctorBench) suffer(t *testing.T, f illness) {
	saved := map[string][]byte{}
	for _, name := range []string{"main.cf", "master.cf"} {
		file := filepath.Join(b.postfix.ConfigDir(), name)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		saved[file] = text
	}
	t.Cleanup(func() {
		for file, text := range saved {
			os.WriteFile(file, text, 0o644)
		}
		b.reload(t)
		os.Chmod(b.root.Path("kit"), 0o755)
	})
	if f.config == "" {
		f.config = healthy
	}
	b.configure(t, f.config)
	if f.plant != nil {
		f.plant(t, b)
		b.reload(t)
	}
	if f.deaf {
		b.asked(t, false)
	}
	findings, status := b.examine(t)
	found := -1
	for i := range findings {
		if findings[i].Rule == f.rule {
			found = i
			break
		}
	}
	if found < 0 || status != 1 {
		t.Fatalf("status %d, no %s: %+v", status, f.rule, findings)
	}
	lines := ""
	for _, m := range findings[found].Mend {
		lines += m.Line + "\n"
	}
	if !strings.Contains(lines, f.line+"\n") {
		t.Errorf("%s: no %q in\n%s", findings[found].Message, f.line, lines)
	}
	b.mend(t, findings[found].Mend)
	b.stopKit()
	b.startKit(t)
	b.reload(t)
	b.asked(t, true)
	again, _ := b.examine(t)
	for _, g := range again {
		if g.Rule == f.rule {
			t.Errorf("after it was mended: %+v", g)
		}
	}
}

// plantMain adds a line to main.cf.
func plantMain(line string) func(*testing.T, *doctorBench) {
	return func(t *testing.T, b *doctorBench) {
		t.Helper()
		f, err := os.OpenFile(filepath.Join(b.postfix.ConfigDir(), "main.cf"), os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(line)
			f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// plantChroot has the smtpd run in a chroot.
func plantChroot(t *testing.T, b *doctorBench) {
	t.Helper()
	file := filepath.Join(b.postfix.ConfigDir(), "master.cf")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	addr := b.postfix.Addr(doctorListener)
	mended := strings.Replace(string(text), addr+" inet n - n ", addr+" inet n - y ", 1)
	if err := os.WriteFile(file, []byte(mended), 0o644); err != nil || mended == string(text) {
		t.Fatal(err, mended)
	}
}
