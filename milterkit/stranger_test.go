package milterkit_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

func frame(code byte, payload string) []byte { return wire.AppendFrame(nil, code, []byte(payload)) }

// What is out of turn, or none of the protocol, ends the connection and nothing
// else, with a line in the log; the MTA then does what it does when a filter fails.
func TestStrangers(t *testing.T) {
	negotiated := string(wire.Negotiation{Version: 6, Actions: wire.AllActions, Steps: wire.AllSteps}.Append(nil))
	mail := negotiated + string(frame(wire.CmdMail, "<a@b>\x00"))
	for name, bytes := range map[string]string{
		"SMTP":                     "EHLO mx.example.org\r\n",
		"HTTP":                     "GET / HTTP/1.1\r\n\r\n",
		"TLS":                      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"no length":                "\x00\x00\x00\x00X",
		"oversized":                "\x00\x10\x00\x01B",
		"before negotiation":       string(frame(wire.CmdHelo, "x\x00")),
		"body before negotiation":  string(frame(wire.CmdBody, "x")),
		"unknown code":             negotiated + string(frame('z', "")),
		"second negotiation":       negotiated + negotiated,
		"short negotiation":        string(frame(wire.CmdNegotiate, "abc")),
		"version 1":                string(frame(wire.CmdNegotiate, "\x00\x00\x00\x01\x00\x00\x00\x3f\x00\x00\x00\x7f")),
		"second connect":           negotiated + strings.Repeat(string(frame(wire.CmdConnect, "h\x00U")), 2),
		"malformed connect":        negotiated + string(frame(wire.CmdConnect, "h\x004\x00")),
		"malformed helo":           negotiated + string(frame(wire.CmdHelo, "h")),
		"malformed mail":           negotiated + string(frame(wire.CmdMail, "")),
		"malformed rcpt":           mail + string(frame(wire.CmdRcpt, "<a>")),
		"malformed macros":         negotiated + string(frame(wire.CmdMacros, "Ca")),
		"malformed header":         mail + string(frame(wire.CmdHeader, "a\x00b")),
		"malformed unknown":        negotiated + string(frame(wire.CmdUnknown, "x")),
		"rcpt before mail":         negotiated + string(frame(wire.CmdRcpt, "<a@b>\x00")),
		"data before mail":         negotiated + string(frame(wire.CmdData, "")),
		"header before mail":       negotiated + string(frame(wire.CmdHeader, "a\x00b\x00")),
		"end before mail":          negotiated + string(frame(wire.CmdEOH, "")),
		"body before mail":         negotiated + string(frame(wire.CmdBody, "x")),
		"message before mail":      negotiated + string(frame(wire.CmdEOM, "")),
		"second end of message":    mail + strings.Repeat(string(frame(wire.CmdEOM, "")), 2),
		"closed within a frame":    mail + "\x00\x00\x00\x10B123",
		"closed within the length": mail + "\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			log := &journal{}
			srv, _ := serve(t, milterkit.Slot{Child: &recorder{hooks: milterkit.Hooks{Data: func(context.Context, *milterkit.Envelope) milterkit.Verdict { return milterkit.Continue },
				Unknown: func(context.Context, *milterkit.Session, string) milterkit.Verdict { return milterkit.Continue }}}})
			srv = &milterkit.Server{Dispatcher: srv.Dispatcher, Logger: slog.New(slog.NewTextHandler(log, nil))}
			nc, err := net.Dial("unix", listen(t, srv))
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(10 * time.Second))
			nc.Write([]byte(bytes))
			if strings.HasPrefix(name, "closed") {
				nc.(*net.UnixConn).CloseWrite()
			}
			if _, err := io.ReadAll(nc); err != nil && !strings.Contains(err.Error(), "reset by peer") {
				t.Errorf("the connection was not closed: %v", err)
			}
			shut(t, srv)
			if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "MTA connection ended") {
				t.Errorf("the log: %s", log)
			}
		})
	}
}

// A connection that says nothing, or goodbye, leaves no line in the log.
func TestPortProbesAreSilent(t *testing.T) {
	log := &journal{}
	srv, _ := serve(t, milterkit.Slot{Child: &recorder{}})
	srv = &milterkit.Server{Dispatcher: srv.Dispatcher, Logger: slog.New(slog.NewTextHandler(log, nil))}
	socket := listen(t, srv)
	for _, says := range []string{"", "\x00\x00", string(frame(wire.CmdQuit, "")), string(wire.Negotiation{Version: 6}.Append(nil))} {
		nc, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(nc, says)
		nc.(*net.UnixConn).CloseWrite()
		io.Copy(io.Discard, nc)
		nc.Close()
	}
	shut(t, srv)
	if log.String() != "" {
		t.Errorf("the log: %s", log)
	}
}

// Untrusted text does not break the lines of the log.
func TestLogLinesAreNotBroken(t *testing.T) {
	log, failed := &journal{}, false
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: childOf("c", milterkit.Hooks{
		Helo: func(context.Context, *milterkit.Session) milterkit.Verdict {
			if failed {
				return milterkit.Continue
			}
			failed = true
			return milterkit.Fail(errors.New("a\nlevel=ERROR"))
		},
		Rcpt: func(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
			if strings.HasPrefix(to.Addr, "no") {
				return milterkit.Reject("one\ntwo")
			}
			return milterkit.Continue
		},
	})})
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.NewTextHandler(log, nil))
	srv := &milterkit.Server{Dispatcher: d}
	m := call(t, listen(t, srv), miltertest.Offer{})
	evil := "x\r\nlevel=ERROR msg=evil\x1b[31m\x00"
	evil = evil[:len(evil)-1]
	ok(t)(m.Connect(evil, wire.FamilyUnix, 0, evil))
	ok(t)(m.Helo(evil))
	m.Macros(wire.CmdMail, "i", evil)
	m.Mail("<"+evil+">", evil)
	m.Abort()
	ok(t)(m.Mail("<"+evil+">", evil))
	ok(t)(m.Rcpt("<" + evil + ">"))
	if r, err := m.Rcpt("<no" + evil + ">"); err != nil || !r.Refused() {
		t.Fatal(r, err)
	}
	m.Quit()
	shut(t, srv)
	for line := range strings.Lines(log.String()) {
		if !strings.HasPrefix(line, "time=") || strings.ContainsRune(line, 0x1b) {
			t.Errorf("a line of the log: %q", line)
		}
	}
	if n := strings.Count(log.String(), "msg=message"); n != 2 {
		t.Errorf("%d lines of messages in\n%s", n, log)
	}
}

// Shutdown ends an idle session at once; a message under way has its answer.
func TestShutdownLetsMessagesEnd(t *testing.T) {
	rec := &recorder{}
	srv, socket := serve(t, milterkit.Slot{Child: rec})
	idle, busy := call(t, socket, miltertest.Offer{}), call(t, socket, miltertest.Offer{})
	open(t, idle)
	open(t, busy)
	envelope(t, busy)
	ended := make(chan error)
	go func() { ended <- srv.Shutdown(context.Background()) }()
	if err := idle.Quiet(10 * time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the idle session: %v", err)
	}
	if _, err := net.Dial("unix", socket); err == nil {
		t.Error("another connection was taken")
	}
	ok(t)(busy.Header("Subject", " x"))
	ok(t)(busy.EOH())
	if _, r, err := busy.EOM(); err != nil || r.Final() {
		t.Errorf("the message under way: %v %v", r, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := busy.Quiet(10 * time.Second); err == nil {
		t.Error("the session goes on after its message")
	}
}

// Where its ctx is done, Shutdown cuts messages short and tells their hooks to stop.
func TestShutdownHasAnEnd(t *testing.T) {
	stopped := make(chan error, 1)
	began := make(chan struct{})
	srv, socket := serve(t, milterkit.Slot{Child: childOf("slow", milterkit.Hooks{Mail: func(ctx context.Context, _ *milterkit.Envelope) milterkit.Verdict {
		close(began)
		<-ctx.Done()
		stopped <- context.Cause(ctx)
		return milterkit.Continue
	}})})
	m := call(t, socket, miltertest.Offer{})
	open(t, m)
	go m.Mail("<a@b>")
	<-began
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := srv.Shutdown(ctx); err != context.Canceled {
		t.Error(err)
	}
	if err := <-stopped; err == nil {
		t.Error("the hook was not told to stop")
	}
	if err := srv.Serve(listener(t)); err != milterkit.ErrServerClosed {
		t.Error(err)
	}
}

func listener(t *testing.T) net.Listener {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	return ln
}
