package milterkit_test

import (
	"bytes"
	"context"
	"github.com/emersion/go-message/textproto"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-milter"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/remote"
)

// serve runs a Server for slots on a unix socket until the test ends.
func serve(t *testing.T, slots ...milterkit.Slot) (srv *milterkit.Server, socket string) {
	t.Helper()
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	srv = &milterkit.Server{Dispatcher: d, TempDir: t.TempDir()}
	return srv, listen(t, srv)
}

func listen(t *testing.T, srv *milterkit.Server) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-served; err != milterkit.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	return socket
}

// dial opens a session with go-milter's client, an MTA that is not ours.
func dial(t *testing.T, socket string) *milter.ClientSession {
	t.Helper()
	c := milter.NewClientWithOptions("unix", socket, milter.ClientOptions{
		Dialer:       &net.Dialer{},
		ReadTimeout:  10 * time.Second,
		WriteTimeout: 10 * time.Second,
		ActionMask:   0x7f,
		ProtocolMask: 0,
	})
	s, err := c.Session()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); c.Close() })
	return s
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A native child and a remote one that is itself a milterkit Server work behind
// go-milter's client.
func TestChainBehindGoMilter(t *testing.T) {
	_, inner := serve(t, milterkit.Slot{Child: milterkit.OnMessage("inner",
		func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
			e.AddHeader("X-Inner", m.Get("Subject"))
			e.ChangeHeader("Subject", 1, "changed")
			var b bytes.Buffer
			for _, p := range m.Body() {
				b.Write(p)
			}
			e.ReplaceBody(bytes.ToUpper(b.Bytes()))
			return milterkit.Continue
		})})
	_, outer := serve(t,
		milterkit.Slot{Child: milterkit.OnMessage("tag", func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
			e.InsertHeader(0, "X-Tag", m.Macro("i"))
			return milterkit.Continue
		})},
		milterkit.Slot{Child: &remote.Milter{Label: "inner", Network: "unix", Addr: inner}},
		milterkit.Slot{Child: milterkit.OnMessage("last", func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
			if m.Get("Subject") != "changed" || m.Get("X-Tag") != "Q1" {
				return milterkit.Reject("5.7.1 not 100% changed")
			}
			return milterkit.Continue
		})})

	s := dial(t, outer)
	act := must[*milter.Action](t)
	act(s.Conn("client.example.org", milter.FamilyInet, 4711, "192.0.2.1"))
	act(s.Helo("client.example.org"))
	act(s.Mail("<alice@example.org>", []string{"SIZE=100"}))
	act(s.Rcpt("<bob@example.test>", nil))
	if err := s.Macros(milter.CodeEOB, "i", "Q1"); err != nil {
		t.Fatal(err)
	}
	h := textproto.Header{}
	h.Add("Subject", "hello")
	act(s.Header(h))
	mods, a, err := s.BodyReadFrom(strings.NewReader(strings.Repeat("text\r\n", 30000)))
	if err != nil {
		t.Fatal(err)
	}
	if a.Code != milter.ActContinue {
		t.Fatalf("end of message: %c %s", a.Code, a.SMTPText)
	}
	for _, m := range mods {
		t.Logf("%c %d %s %s %d", m.Code, m.HeaderIndex, m.HeaderName, m.HeaderValue, len(m.Body))
	}
	if len(mods) != 6 {
		t.Errorf("%d edits, want 6", len(mods))
	}
}

// A Server can be asked for its figures while it begins to serve.
func TestStatsWhileAServerBegins(t *testing.T) {
	d, err := milterkit.NewDispatcher()
	if err != nil {
		t.Fatal(err)
	}
	s := &milterkit.Server{Dispatcher: d}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- s.Serve(ln) }()
	if got := s.Stats(); got != (milterkit.Stats{}) {
		t.Errorf("%+v", got)
	}
	s.Close()
	if err := <-served; err != milterkit.ErrServerClosed {
		t.Error(err)
	}
}
