package spamd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/milterkit/sdk/milterkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Answers of a spamd.
const (
	hamAnswer  = "SPAMD/1.1 0 EX_OK\r\nContent-length: 19\r\nSpam: False ; -1.0 / 5.0\r\n\r\nALL_TRUSTED,NO_SPAM"
	spamAnswer = "SPAMD/1.1 0 EX_OK\r\nContent-length: 16\r\nSpam: True ; 6.0 / 5.0\r\n\r\nBAD_WORDS,FORGED"
	noTests    = "SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\nSpam: False ; 0.0 / 5.0\r\n\r\n"
)

// A fakeSpamd answers as it is told, and notes what it was asked.
type fakeSpamd struct {
	addr string // as the options have it
	ln   net.Listener
	done chan struct{} // closed when the test is over

	mu       sync.Mutex
	requests []request
}

// A request is what a spamd was asked.
type request struct {
	command string
	header  textproto.MIMEHeader
	message string
	end     error // what came after it: io.EOF where the client has closed for writing
}

// startFake starts a spamd that gives an answer to each message.
func startFake(t testing.TB, answer string) *fakeSpamd {
	return startFakeDoing(t, "tcp", func(f *fakeSpamd, conn net.Conn) {
		f.read(conn)
		io.WriteString(conn, answer)
	})
}

// startFakeDoing starts a spamd that does anything with its connections.
func startFakeDoing(t testing.TB, network string, do func(*fakeSpamd, net.Conn)) *fakeSpamd {
	t.Helper()
	f := &fakeSpamd{done: make(chan struct{})}
	where := "127.0.0.1:0"
	if network == "unix" {
		where = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, where)
	if err != nil {
		t.Fatal(err)
	}
	f.ln = ln
	if f.addr = ln.Addr().String(); network == "unix" {
		f.addr = "unix:" + where
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				do(f, conn)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		close(f.done)
		wg.Wait()
	})
	return f
}

// read reads a question, and notes it.
func (f *fakeSpamd) read(conn net.Conn) {
	r := textproto.NewReader(bufio.NewReader(conn))
	var q request
	q.command, _ = r.ReadLine()
	q.header, _ = r.ReadMIMEHeader()
	n, _ := strconv.Atoi(q.header.Get("Content-Length"))
	text := make([]byte, n)
	n, q.end = io.ReadFull(r.R, text)
	q.message = string(text[:n])
	if q.end == nil {
		_, q.end = r.R.ReadByte()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, q)
}

// last is the last question.
func (f *fakeSpamd) last(t *testing.T) request {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.requests) == 0 {
		t.Fatal("spamd was asked nothing")
	}
	return f.requests[len(f.requests)-1]
}

func (f *fakeSpamd) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.requests)
}

// letterOf is a message with fields.
func letterOf(fields string) string {
	return "From: Alice <alice@example.com>\r\nSubject: figures\r\n" + fields + "\r\nHello Bob.\r\n"
}

// mail is a message on its way. What is empty is usual.
type mail struct {
	host, addr, helo, from string
	macros                 map[milterkit.Stage][]string // names and values
	to                     []string
	text                   string
	before                 []milterkit.Slot
	limit                  time.Duration
}

// options are the defaults with that spamd.
func options(f *fakeSpamd) Options {
	o := Defaults
	o.Addresses = []string{f.addr}
	o.Clock = func() time.Time { return time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) }
	return o
}

// send sends mail past a child with these options, and returns what the client is
// told, and the message as it goes on.
func send(t testing.TB, o Options, x mail) (milterkit.Verdict, string) {
	t.Helper()
	verdict, text, err := try(o, x)
	if err != nil {
		t.Fatal(err)
	}
	return verdict, text
}

func try(o Options, x mail) (milterkit.Verdict, string, error) {
	child, err := New(o)
	if err != nil {
		return milterkit.Verdict{}, "", err
	}
	var why milterkit.Verdict
	slot := milterkit.Slot{Child: child, ContentTimeout: x.limit}
	d, err := milterkit.NewDispatcher(append(x.before, slot)...)
	if err != nil {
		return milterkit.Verdict{}, "", err
	}
	d.OnReport = func(r *milterkit.Report) { why = r.Children[len(r.Children)-1].Verdict }
	d.Logger = quiet
	ctx := context.Background()
	w := d.Walk(milterkit.AllActions)
	defer w.Close()
	macros := func(at milterkit.Stage) {
		w.Macros(at, func(yield func(string, string) bool) {
			for p := x.macros[at]; len(p) > 1 && yield(p[0], p[1]); p = p[2:] {
			}
		})
	}
	family := milterkit.FamilyInet
	if strings.Contains(x.addr, "::") {
		family = milterkit.FamilyInet6
	}
	macros(milterkit.StageConnect)
	w.Connect(ctx, or(x.host, "mail.example.com"), family, or(x.addr, "192.0.2.7"), 25)
	if x.helo != "-" {
		macros(milterkit.StageHelo)
		w.Helo(ctx, or(x.helo, "helo.example.com"))
	}
	macros(milterkit.StageMail)
	w.Mail(ctx, milterkit.NewAddress(or(x.from, "<alice@example.com>")))
	if x.to == nil {
		x.to = []string{"<bob@example.org>"}
	}
	for _, to := range x.to {
		w.Rcpt(ctx, milterkit.NewAddress(to))
	}
	macros(milterkit.StageMessage)
	text := []byte(or(x.text, letterOf("")))
	out := w.Message(ctx, text)
	var b strings.Builder
	if !out.Verdict.Final() {
		if err := out.WriteMessage(&b, ""); err != nil {
			return out.Verdict, "", err
		}
	}
	w.Reset()
	if why.Kind() == milterkit.KindFail {
		return why, b.String(), nil
	}
	return out.Verdict, b.String(), nil
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// wantFail looks whether the child has failed, for a reason with these words.
func wantFail(t *testing.T, v milterkit.Verdict, words ...string) {
	t.Helper()
	if v.Kind() != milterkit.KindFail {
		t.Fatalf("the child said %v, want a failure", v)
	}
	for _, w := range words {
		if !strings.Contains(v.Err().Error(), w) {
			t.Errorf("the reason is %q, want %q in it", v.Err(), w)
		}
	}
}

// wantText looks whether a text has these parts.
func wantText(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("want %q in\n%s", p, text)
		}
	}
}

// wantNoText looks whether a text has none of these parts.
func wantNoText(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(text, p) {
			t.Errorf("do not want %q in\n%s", p, text)
		}
	}
}

// answerOf is an answer with a body of the right length.
func answerOf(spam, tests string) string {
	return fmt.Sprintf("SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: %s\r\n\r\n%s", len(tests), spam, tests)
}
