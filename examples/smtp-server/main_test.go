package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// serve starts a server with these filters, and returns its address and its folder.
func serve(t *testing.T, children ...milterkit.Child) (addr, dir string) {
	var slots []milterkit.Slot
	for _, c := range children {
		slots = append(slots, milterkit.Slot{Child: c})
	}
	chain, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	server := newServer(chain, dir)
	go server.Serve(ln)
	t.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String(), dir
}

// send sends a message to Bob and Eve, in a session of its own.
func send(addr, text string) error {
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.SendMail("a@example.com", []string{"bob@example.org", "eve@example.org"}, strings.NewReader(text))
}

// delivered returns the files that there are, by the end of their names.
func delivered(t *testing.T, dir string) map[string]string {
	files := map[string]string{}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Ext(f.Name())] = string(text)
	}
	return files
}

// The message is delivered as the filter left it.
func TestDelivers(t *testing.T) {
	t.Parallel()
	addr, dir := serve(t, noExe())
	if err := send(addr, "Subject: hello\r\n\r\nHi.\r\n"); err != nil {
		t.Fatal(err)
	}
	want := "X-Envelope: from <a@example.com> to [<bob@example.org> <eve@example.org>]\r\n" +
		"Subject: hello\r\nX-Checked: no-exe\r\n\r\nHi.\r\n"
	if got := delivered(t, dir); len(got) != 1 || got[".eml"] != want {
		t.Errorf("delivered %q, want %q", got, want)
	}
}

// refuse is a filter that says v at one stage.
func refuse(at milterkit.Stage, v milterkit.Verdict) milterkit.Child {
	say := func(stage milterkit.Stage) milterkit.Verdict {
		if stage == at {
			return v
		}
		return milterkit.Continue
	}
	return milterkit.NewChild("refuse", func() milterkit.Hooks {
		return milterkit.Hooks{
			Connect: func(context.Context, *milterkit.Session) milterkit.Verdict { return say(milterkit.StageConnect) },
			Mail:    func(context.Context, *milterkit.Envelope) milterkit.Verdict { return say(milterkit.StageMail) },
			Rcpt: func(context.Context, *milterkit.Envelope, milterkit.Address) milterkit.Verdict {
				return say(milterkit.StageRcpt)
			},
			Data: func(context.Context, *milterkit.Envelope) milterkit.Verdict { return say(milterkit.StageData) },
		}
	})
}

// The client is told what a filter says, at each stage, and nothing is delivered.
func TestRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		child milterkit.Child
		want  string
	}{
		"subject":   {noExe(), "550 [5 7 1] no executables, please"},
		"connect":   {refuse(milterkit.StageConnect, milterkit.TempFail("4.7.1 not now")), "451 [4 7 1] not now"},
		"sender":    {refuse(milterkit.StageMail, milterkit.Reject("5.7.1 not you")), "550 [5 7 1] not you"},
		"two lines": {refuse(milterkit.StageRcpt, milterkit.Reply(452, "4.5.3 one", "4.5.3 two")), "452 [4 5 3] one\ntwo"},
		"no status": {refuse(milterkit.StageData, milterkit.Reject("without a code")), "550 [0 0 0] without a code"},
		"no words":  {refuse(milterkit.StageMail, milterkit.Reject("")), "550 [5 7 1] Command rejected"},
		"a failure": {refuse(milterkit.StageMail, milterkit.Fail(errors.New("broken"))), "451 [4 7 1] Service unavailable - try again later"},
	} {
		t.Run(name, func(t *testing.T) {
			addr, dir := serve(t, c.child)
			var reply *smtp.SMTPError
			if err := send(addr, "Subject: setup.exe\r\n\r\nHi.\r\n"); !errors.As(err, &reply) {
				t.Fatalf("the client is told %v, want %s", err, c.want)
			}
			if got := fmt.Sprintf("%d %d %s", reply.Code, reply.EnhancedCode, reply.Message); got != c.want {
				t.Errorf("the client is told %q, want %q", got, c.want)
			}
			if got := delivered(t, dir); len(got) != 0 {
				t.Errorf("delivered %q", got)
			}
		})
	}
}

// What a filter has held or changed is kept apart, or changed; what it throws away is taken, and not delivered.
func TestHoldsAndDiscards(t *testing.T) {
	t.Parallel()
	addr, dir := serve(t, milterkit.OnMessage("hold", func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		if m.Get("Subject") == "away" {
			return milterkit.Discard
		}
		e.Quarantine("to be looked at")
		e.ChangeSender("<>")
		e.DeleteRecipient("<eve@example.org>")
		e.ReplaceBody([]byte("gone\r\n"))
		return milterkit.Continue
	}))
	for _, subject := range []string{"away", "held"} {
		if err := send(addr, "Subject: "+subject+"\r\n\r\nHi.\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	want := "X-Envelope: from <> to [<bob@example.org>]\r\nSubject: held\r\n\r\ngone\r\n"
	if got := delivered(t, dir); len(got) != 1 || got[".held"] != want {
		t.Errorf("delivered %q, want %q", got, want)
	}
}

// Where the message cannot be written, the client is told to try again.
func TestNoFolder(t *testing.T) {
	t.Parallel()
	addr, dir := serve(t, noExe())
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	var reply *smtp.SMTPError
	if err := send(addr, "Subject: hello\r\n\r\nHi.\r\n"); !errors.As(err, &reply) || reply.Code != 451 {
		t.Errorf("the client is told %v, want 451", err)
	}
}

// Two messages in a session, one broken off, and a client that says goodbye without a word.
func TestSessions(t *testing.T) {
	t.Parallel()
	addr, dir := serve(t, noExe())
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, do := range []error{c.Mail("a@example.com", nil), c.Rcpt("bob@example.org", nil), c.Reset(), c.Mail("a@example.com", nil)} {
		if do != nil {
			t.Fatal(do)
		}
	}
	c.Close()
	if got := delivered(t, dir); len(got) != 0 {
		t.Errorf("delivered %q", got)
	}
}

// The child keeps to the rules of package milterkit.
func TestRules(t *testing.T) {
	t.Parallel()
	miltertest.TestChild(t, noExe)
}
