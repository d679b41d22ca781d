package daemon

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A lockedBuffer can be read while a command writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// sink runs the command until stop, which waits until it has printed a text and
// returns all that it printed and its error.
func sink(t *testing.T, args ...string) (socket string, stop func(after string) (string, error)) {
	t.Helper()
	return sinkIn(t, t.TempDir(), args...)
}

// sinkIn is sink with its socket in dir. What makes a socket changes the umask
// of the process for a moment, so tests that run side by side make their
// directories beforehand.
func sinkIn(t *testing.T, dir string, args ...string) (socket string, stop func(after string) (string, error)) {
	t.Helper()
	path := filepath.Join(dir, "s")
	ctx, cancel := context.WithCancel(t.Context())
	out := &lockedBuffer{}
	c := newSinkCommand()
	c.SetArgs(append(args, "--quiet=false", "unix:"+path)) // what it prints says when it listens
	c.SetOut(out)
	c.SetErr(out)
	ended := make(chan error, 1)
	var run sync.WaitGroup
	run.Go(func() { ended <- c.ExecuteContext(ctx) })
	t.Cleanup(func() { cancel(); run.Wait() })
	// The file is there before anybody can connect to it, so it is no sign.
	for deadline := time.Now().Add(5 * time.Second); !strings.Contains(out.String(), "listening on"); time.Sleep(5 * time.Millisecond) {
		if len(ended) > 0 || time.Now().After(deadline) {
			t.Fatal("sink does not listen: ", out.String())
		}
	}
	return "unix:" + path, func(after string) (string, error) {
		for deadline := time.Now().Add(5 * time.Second); !strings.Contains(out.String(), after) && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
		err := <-ended
		return out.String(), err
	}
}

func TestSinkAnswersAsTold(t *testing.T) {
	body := filepath.Join(t.TempDir(), "body")
	os.WriteFile(body, []byte("other\n"), 0o600)
	socket, stop := sink(t,
		"--rcpt", "if:nobody@,550 5.1.1 no, never", "--eom", "delay:20ms,progress:1,accept",
		"--add-header", "X-End: 1", "--insert-header", "0 X-Top: 2", "--change-header", "1 Subject: new", "--delete-header", "1 X-Bad",
		"--add-rcpt", "<new@d>", "--delete-rcpt", "b@d", "--change-from", "<n@d> RET=HDRS", "--replace-body", body, "--quarantine", "so")
	out, status := call(t, newSendCommand(), "Subject: old\nX-Bad: 1\n\ntext\n", socket, "-", "--rcpt", "<nobody@d>", "--rcpt", "<b@d>")
	if status != 0 {
		t.Fatal(out)
	}
	for _, want := range []string{
		"550 5.1.1 no, never", "+X-Top: 2\n", "-Subject: old\n", "-X-Bad: 1\n", "+Subject: new\n", "+X-End: 1\n", "+other\n",
		"from <n@d>", "to   <new@d>", "quarantined: so", "accept after 1× progress",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	printed, err := stop("  1  quit\n")
	if err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		"listening on unix:", "  1  connect mx.example.net 4 192.0.2.1 50443 -> continue\n", "rcpt <nobody@d> -> 550 5.1.1 no, never\n",
		"macros connect j=", "eom -> accept\n      change sender <n@d> RET=HDRS\n", "  1  quit\n",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("no %q in:\n%s", want, printed)
		}
	}
}

func TestSinkNegotiatesAsTold(t *testing.T) {
	socket, _ := sink(t, "--no", "helo,data", "--no-reply", "header,body", "--leading-space",
		"--protocol-version", "4", "--macros", "connect: j, {client_addr}")
	m, err := miltertest.Dial(t.Context(), "unix", strings.TrimPrefix(socket, "unix:"), miltertest.Offer{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	n := m.Negotiated
	want := wire.NoHelo | wire.NoData | wire.NoReplyHeader | wire.NoReplyBody | wire.LeadingSpace
	if n.Version != 4 || n.Steps != want || len(n.MacroLists) != 1 || strings.Join(n.MacroLists[0].Names, " ") != "j {client_addr}" {
		t.Errorf("%+v", n)
	}
}

func TestSinkEndsAfterTheFirstSession(t *testing.T) {
	socket, _ := sink(t, "--once")
	if out, status := call(t, newSendCommand(), "", socket); status != 0 {
		t.Fatal(out)
	}
	path := strings.TrimPrefix(socket, "unix:")
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the socket is still there")
		}
	}
}

func TestSinkSocketIsPrivate(t *testing.T) {
	for mode, args := range map[os.FileMode][]string{0o600: nil, 0o660: {"--mode", "0660"}} {
		socket, _ := sink(t, args...)
		info, err := os.Stat(strings.TrimPrefix(socket, "unix:"))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%v: %v, %v", mode, info.Mode(), err)
		}
	}
}

func TestSinkMisbehaves(t *testing.T) {
	for verdict, want := range map[string]string{
		"close": "has closed the connection", "hang": "does not answer within", "delay:300ms,accept": "does not answer within",
	} {
		socket, _ := sink(t, "--mail", verdict)
		if out, status := call(t, newSendCommand(), "", socket, "--timeout", "100ms"); status != 3 || !strings.Contains(out, want) {
			t.Errorf("%s: status %d: %s", verdict, status, out)
		}
	}
}

func TestSinkRefusesWrongCommandLines(t *testing.T) {
	for _, args := range [][]string{
		{"--rcpt", "maybe"}, {"--rcpt", "delay:long,reject"}, {"--add-header", "no colon"}, {"--change-header", "Subject: x"},
		{"--delete-header", "1 A: b"}, {"--no", "eom"}, {"--no-reply", "eom"}, {"--macros", "body: i"}, {"--macros", "i"},
		{"--replace-body", "/no/such/file"}, {"--mode", "rw"}, {"--rcpt", "250 fine"},
	} {
		if out, status := call(t, newSinkCommand(), "", append(args, "unix:/nowhere/s")...); status != exitUsage {
			t.Errorf("%q: status %d: %s", args, status, out)
		}
	}
	if _, status := call(t, newSinkCommand(), "", "unix:/nowhere/s"); status != exitTrouble {
		t.Errorf("a socket that cannot be: status %d", status)
	}
}

func TestSinkIsQuietWhereItIsTold(t *testing.T) {
	var out bytes.Buffer
	o := &sinkOptions{quiet: true, once: true, mode: "0600"}
	o.verdicts = map[byte]*[]string{}
	for _, cmd := range sinkStages {
		o.verdicts[cmd] = &[]string{}
	}
	path := filepath.Join(t.TempDir(), "s")
	var run sync.WaitGroup
	run.Go(func() {
		if err := o.run(t.Context(), "unix:"+path, &out); err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, status := call(t, newSendCommand(), "", "unix:"+path); status == 0 {
			break
		}
	}
	run.Wait()
	if out.Len() > 0 {
		t.Errorf("%q", out.String())
	}
}
