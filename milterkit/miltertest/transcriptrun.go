package miltertest

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/milterkit/sdk/milterkit"
)

// updateVariable is the environment variable that has scripts rewritten.
const updateVariable = "MILTERTEST_UPDATE"

// Run plays the script in a file at children, in their order, in this process and
// without a socket, and fails the test where an answer is not the one that the
// script has. A child alone is a slot too:
//
//	miltertest.Run(t, "testdata/spam.txt", milterkit.Slot{Child: spam})
//
// A script opens with the rule that it holds. Then come commands of an MTA, each
// with the answers to it:
//
//	# Mail for nobody is refused, and other mail is marked.
//	> connect mail.example.org 192.0.2.7
//	< continue
//	> mail <a@example.org>
//	> rcpt <nobody@example.net>
//	< 550 5.1.1 ... unknown
//	> rcpt <bob@example.net>
//	> header Subject: hello
//	> body Hello Bob.
//	> eom
//	< add header X-Seen: yes
//	< continue
//
// The commands are connect (name, address, port), helo, mail, rcpt, data, header,
// eoh, body, eom, unknown, abort, quit and quit_nc; "macros mail {auth_authen}=alice"
// gives macros that go with a command until the session ends, besides those that
// Postfix sends, and "wait 10m" lets time pass. A body is a line of text, bytes
// between quotes, "1000 lines of text", or "file NAME", from where the script is;
// several stand one behind the other. "\n", "\x00" and the like are bytes, and
// "\\" is a backslash. A data or an eoh that is left out is played.
//
// The answers are continue, accept, reject, tempfail, discard, skip, or a reply
// such as "550 5.7.1 no", its lines joined by " / ". Before them stand the edits, as
// [Edit.String] has them, and last a new body: replace body "Hello.\r\n". "..."
// stands for any text, alone on a line for any answers. A command without an answer
// is one with continue, and so is one with edits only. That holds too where the filter accepts, skips, or does not
// want to see the command, as the client notices no difference: one script serves
// for a filter alone and behind milterkit. After a refusal the rest of what was
// refused has the same answer; edits that go with one do not count, and are not shown.
//
// With MILTERTEST_UPDATE=1 in the environment the answers in the file are written
// anew instead, those that hold stay as they are. So they are by `go test -update`
// in a test package that has a flag of that name:
//
//	var _ = flag.Bool("update", false, "write scripts anew")
//
// The log of the test tells why a child failed, where one did. Nothing else of what
// milterkit logs is shown; what a child logs goes where its own logger writes.
//
// In a bubble of testing/synctest waiting takes no time, and the children's clock
// is the bubble's.
func Run(t testing.TB, file string, slots ...milterkit.Slot) {
	t.Helper()
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = warnings(t.Output())
	srv := &milterkit.Server{Dispatcher: d, TempDir: t.TempDir()}
	ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	var served sync.WaitGroup
	served.Go(func() { srv.Serve(ln) })
	defer served.Wait()
	defer srv.Close()
	playFile(t, file, ln.dial)
}

// warnings returns a logger of what explains an unexpected answer: the failures of
// children. That each message is told of is of no use beside the script.
func warnings(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// Play plays the script in a file, as [Run] does, at a filter that listens on a
// socket. It can be any milter.
func Play(t testing.TB, file, network, addr string) {
	t.Helper()
	playFile(t, file, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	})
}

// playFile plays a file, and tells the test of what is not as it has it.
func playFile(t testing.TB, file string, dial func(context.Context) (net.Conn, error)) {
	t.Helper()
	script, err := readTranscript(file)
	if err != nil {
		t.Fatal(err)
	}
	update, wrong := updating(), []string{}
	err = script.play(t.Context(), dial, func(x *exchange, got []given) {
		switch {
		case !answered(x.cmd):
		case update:
			x.take(got)
		case !right(x.wanted(), got):
			wrong = append(wrong, fmt.Sprintf("%s:%d: wanted (-) and answered (+):\n%s", file, x.line, x.difference(got)))
		}
	})
	for _, text := range wrong {
		t.Error(text)
	}
	switch {
	case err != nil:
		t.Error(err)
	case update:
		if err := script.write(); err != nil {
			t.Error(err)
		}
	case len(wrong) > 0:
		t.Logf("if the answers are right and %s is not: %s=1 go test writes them into it", file, updateVariable)
	}
}

// write writes the transcript to its file, where that has another text.
func (t *transcript) write() error {
	old, err := os.ReadFile(t.file)
	if text := t.String(); err == nil && text != string(old) {
		err = os.WriteFile(t.file, []byte(text), 0o644)
	}
	return err
}

// updating reports whether scripts are to be written anew. The flag is the test's
// own: one that this package had would clash with it.
func updating() bool {
	if f := flag.Lookup("update"); f != nil {
		if g, ok := f.Value.(flag.Getter); ok && g.Get() == true {
			return true
		}
	}
	on := os.Getenv(updateVariable)
	return on != "" && on != "0"
}

// A pipeListener is a listener in memory.
type pipeListener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// dial returns the other end of a connection to the listener.
func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	a, b := Pipe()
	select {
	case l.conns <- b:
		return a, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements [net.Listener].
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *pipeListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

// Addr implements [net.Listener].
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
