package test

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// traceListener is the listener of a milterkit that keeps a journal.
const traceListener = "trace"

// addTraced adds it.
func (b *bench) addTraced() {
	b.postfix.Listeners = append(b.postfix.Listeners, stack.Listener{Name: traceListener, Milters: []string{b.traced("").Socket()}})
}

// traced is a milterkit that keeps a journal, and has milters of which some refuse,
// some hold, and one is down.
func (b *bench) traced(journal string) *stack.Milterkit {
	const password = `password = "hunter2"` + "\naddresses = [\"inet:1@127.0.0.1\"]"
	return &stack.Milterkit{Root: b.root, Binary: b.binary, Name: "kit-trace", Server: fmt.Sprintf("journal = %q\nlog_format = \"json\"", journal),
		Children: []stack.Child{
			{Name: "greylist", Use: "greylist", When: "s25r", Options: fmt.Sprintf("database = %q", b.root.Path("kit-trace", "greylist.db"))},
			{Name: "down", Socket: "unix:" + b.root.Path("kit-trace", "nobody"), When: `mail_from == "down@example.org"`},
			{Name: "rspamd", Use: "rspamd", Options: password, DefaultAction: "accept"},
			{Name: "rules", Use: "headers", Options: "[[milter.options.rule]]\nheader = \"Subject\"\nmatch = \"lottery\"\naction = \"reject\"\n" +
				"[[milter.options.rule]]\nheader = \"Subject\"\nmatch = \"odd\"\naction = \"quarantine\"\ntext = \"looks odd\"\n" +
				"[[milter.options.rule]]\nheader = \"Subject\"\nmatch = \"plain\"\naction = \"prepend\"\ntext = \"X-Note: plain\"\n"},
		}}
}

// startTraced starts it, with its journal in that folder, and returns what traces a
// message by a key.
func (b *bench) startTraced(t *testing.T, folder string) (kit *stack.Milterkit, trace func(...string) (string, error)) {
	t.Helper()
	if b.kitErr != nil {
		t.Fatal(b.kitErr)
	}
	kit = b.traced(filepath.Join(folder, "journal.db"))
	if err := kit.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kit.Stop(); err != nil {
			t.Error(err)
		}
	})
	return kit, func(args ...string) (string, error) {
		return b.binary.Output(t.Context(), append([]string{"trace", "--config", b.root.Path("kit-trace", "milterkit.toml")}, args...)...)
	}
}

// mail is one message of a client that XCLIENT names; it returns the queue id that the
// reply names, or "", and the last reply.
func (b *bench) mail(t *testing.T, xclient, sender, subject string) (id, reply string) {
	t.Helper()
	c, err := smtpclient.Dial(b.postfix.Addr(traceListener))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Ehlo(client)
	c.Cmd("XCLIENT %s", xclient)
	c.Ehlo(client)
	last := c.Mail(sender)
	if last.OK() {
		last = c.Rcpt(bob)
	}
	if last.OK() {
		last = c.Data(letter(subject, "", "Hello, secret text."))
	}
	c.Quit()
	if found := wordsOf(route{}).queuedAs.FindStringSubmatch(last.String()); found != nil {
		id = found[1]
	}
	return id, last.String()
}

// TestTrace sends messages that are taken, refused, put off by a milter that is down,
// greylisted and held, and finds each by whatever is known of it, with the reason.
func TestTrace(t *testing.T) {
	b := start(t)
	folder := t.TempDir()
	openTo(t, folder)
	if err := os.Chown(folder, nobodyID(t), 0); err != nil {
		t.Fatal(err)
	}
	kit, trace := b.startTraced(t, folder)
	for i, c := range []struct {
		xclient, sender, subject, reply string
		sentence                        string
		why                             []string
	}{
		{serverClient, "one@example.org", "a plain letter", "250 ", "accepted",
			[]string{"No milter refused it", "rspamd failed at ", "Its default_action is accept", "not asked: its `when` does not hold (s25r)", "insert header", "X-Note: plain"}},
		{serverClient, "two@example.org", "the lottery", "550 ", "rejected by rules at end of message: 550 5.7.1",
			[]string{"rules said reject (550 5.7.1 Message content rejected) at end of message. The first milter"}},
		{serverClient, "down@example.org", "never seen", "451 ", "put off, as down failed at ",
			[]string{"no such file or directory", "its default_action decides; that of down is tempfail."}},
		{lineClient, "four@example.org", "never sent", "451 ", "not sent, as its recipient was refused",
			[]string{"No recipient was left", "greylist refused the recipient <" + bob + ">: tempfail (451 4.7.1 Greylisted"}},
		{serverClient, "five@example.org", "an odd one", "250 ", "held by the mail server (quarantine)", []string{`rules asked the mail server to hold it: "looks odd"`}},
	} {
		id, reply := b.mail(t, c.xclient, c.sender, c.subject)
		if !strings.HasPrefix(reply, c.reply) {
			t.Errorf("%s: the reply is %q", c.sender, reply)
		}
		keys := []string{cmp.Or(id, c.sender)}
		switch c.sender {
		case "one@example.org":
			keys = []string{id, c.sender, bob, "203.0.113.7", "203.0.113.0/24", "mail.example.com", "<a-plain-letter@example.org>"}
		case "four@example.org":
			keys = []string{c.sender, bob, "203-0-113-7.dyn.example.net"}
		}
		for _, key := range keys {
			var text string
			for end := time.Now().Add(deliveryLimit); ; time.Sleep(20 * time.Millisecond) { // it is written in the background
				text, _ = trace(key, "--limit", "1", "--explain")
				if strings.Contains(text, "from     <"+c.sender+">") {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%s of message %d finds\n%s", key, i+1, text)
				}
			}
			for _, want := range append([]string{": " + c.sentence}, c.why...) {
				if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
					t.Errorf("%s of message %d: no %q in\n%s", key, i+1, want, text)
				}
			}
		}
	}
	b.tracedInPrivate(t, kit, folder, trace)
}

// tracedInPrivate looks that root's reading leaves the files to milterkit, that its
// group may read, and that neither log nor journal has a password or a body.
func (b *bench) tracedInPrivate(t *testing.T, kit *stack.Milterkit, folder string, trace func(...string) (string, error)) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(folder, "journal.db*"))
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil || info.Mode().Perm() != 0o640 || int(info.Sys().(*syscall.Stat_t).Uid) != nobodyID(t) {
			t.Errorf("%s: %v %v", f, info, err)
		}
	}
	info, err := os.Stat(filepath.Join(folder, "journal.db"))
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	member := b.binary.Command(t.Context(), "trace", "--journal", filepath.Join(folder, "journal.db"), "--config", os.DevNull)
	member.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 61234, Gid: info.Sys().(*syscall.Stat_t).Gid}}
	if out, err := member.CombinedOutput(); err != nil || strings.Count(string(out), " from ") != 5 {
		t.Errorf("a member of the group is told %v\n%s", err, out)
	}
	all, err := trace("--json")
	if err != nil || strings.Count(all, "\n") != 5 {
		t.Errorf("%v\n%s", err, all)
	}
	lines, err := kit.LogOf(`"queue_id"`)
	if err != nil || len(lines) < 5 {
		t.Errorf("%v\n%s", err, lines)
	}
	for _, secret := range []string{"hunter2", "secret text"} {
		if strings.Contains(all+strings.Join(lines, "\n"), secret) {
			t.Errorf("%q is in the log or the journal", secret)
		}
	}
}

// openTo lets other users than the test's come to its folder.
func openTo(t *testing.T, dir string) {
	t.Helper()
	for ; strings.Contains(dir, t.Name()); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// nobodyID is the user that milterkit runs as.
func nobodyID(t *testing.T) int {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	id, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestFullDiskUnderTheJournal fills the disk: mail goes on without its history, and
// has one again when there is room.
func TestFullDiskUnderTheJournal(t *testing.T) {
	b := start(t)
	dir := t.TempDir()
	openTo(t, dir)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=0777"); err != nil {
		t.Fatalf("cannot mount a tmpfs: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil { // the daemon ends later
			t.Error(err)
		}
	}()
	kit, trace := b.startTraced(t, dir)
	send := func(sender string) {
		t.Helper()
		if _, err := b.binary.Output(t.Context(), "send", kit.Socket(), "--mail-from", "<"+sender+">", "--queue-id", sender[:4]); err != nil {
			t.Error(err)
		}
	}
	await := func(what string, holds func() bool) {
		t.Helper()
		for end := time.Now().Add(deliveryLimit); !holds(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("never: " + what)
			}
		}
	}
	found := func(sender string) bool { _, err := trace(sender); return err == nil }
	logged := func(text string) bool { lines, err := kit.LogOf(text); return err == nil && len(lines) == 1 }
	send("early@example.org")
	await("the first is found", func() bool { return found("early@example.org") })
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 2<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	for i := 0; !logged("the journal cannot be written"); i++ {
		send(fmt.Sprintf("full%d@example.org", i))
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	await("it is written again", func() bool { return logged("the journal is written again") })
	send("late@example.org")
	await("the last is found", func() bool { return found("late@example.org") && found("early@example.org") })
}
