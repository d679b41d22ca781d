package rspamd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/milterkit/sdk/milterkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// A fakeRspamd answers as it is told, and notes what it was asked.
type fakeRspamd struct {
	addr string // as the options have it
	ln   net.Listener
	done chan struct{} // closed when the test is over

	mu       sync.Mutex
	requests []request
}

// A request is what a rspamd was asked.
type request struct {
	line    string
	header  http.Header
	message string
}

// startFake starts a rspamd that gives an answer to each message: a result, or, if
// it begins with "HTTP/", all of it.
func startFake(t testing.TB, answer string) *fakeRspamd {
	return startFakeDoing(t, "tcp", func(f *fakeRspamd, conn net.Conn) {
		f.read(conn)
		io.WriteString(conn, inHTTP(answer))
	})
}

// inHTTP is a result with what HTTP has around it.
func inHTTP(answer string) string {
	if strings.HasPrefix(answer, "HTTP/") {
		return answer
	}
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nConnection: close\r\nServer: rspamd/3.4\r\nContent-Length: %d\r\nContent-type: application/json\r\n\r\n%s", len(answer), answer)
}

// startFakeDoing starts a rspamd that does anything with its connections.
func startFakeDoing(t testing.TB, network string, do func(*fakeRspamd, net.Conn)) *fakeRspamd {
	t.Helper()
	f := &fakeRspamd{done: make(chan struct{})}
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
func (f *fakeRspamd) read(conn net.Conn) {
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	text, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, request{r.Method + " " + r.URL.Path, r.Header, string(text)})
}

// hang is a rspamd that takes the message and says nothing.
func hang(f *fakeRspamd, conn net.Conn) {
	f.read(conn)
	<-f.done
}

// last is the last question.
func (f *fakeRspamd) last(t *testing.T) request {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.requests) == 0 {
		t.Fatal("rspamd was asked nothing")
	}
	return f.requests[len(f.requests)-1]
}

func (f *fakeRspamd) count() int {
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
	host, addr, from string
	macros           map[milterkit.Stage][]string // names and values
	to               []string
	text             string
	before           []milterkit.Slot
	limit            time.Duration
}

// options are the defaults with that rspamd.
func options(f *fakeRspamd) Options {
	o := Defaults
	o.Addresses, o.Logger = []string{f.addr}, quiet
	return o
}

// A sent message has an outcome.
type sent struct {
	verdict    milterkit.Verdict // of the child, where it has failed; else what the client is told
	text       string            // the message as it goes on
	sender     string
	recipients []string
	held       string
}

// send sends mail past a child with these options.
func send(t testing.TB, o Options, x mail) sent {
	t.Helper()
	s, err := try(o, x)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func try(o Options, x mail) (s sent, err error) {
	child, err := New(o)
	if err != nil {
		return s, err
	}
	d, err := milterkit.NewDispatcher(append(x.before, milterkit.Slot{Child: child, ContentTimeout: x.limit})...)
	if err != nil {
		return s, err
	}
	var why milterkit.Verdict
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
	macros(milterkit.StageHelo)
	w.Helo(ctx, "helo.example.com")
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
	s.verdict = out.Verdict
	if !out.Verdict.Final() {
		var b strings.Builder
		if err := out.WriteMessage(&b, "Received: by mx"); err != nil {
			return s, err
		}
		s.text = b.String()
		s.sender = out.Sender().Addr
		for _, to := range out.Recipients() {
			s.recipients = append(s.recipients, to.Addr)
		}
		s.held, _ = out.Held()
	}
	w.Reset()
	if why.Kind() == milterkit.KindFail {
		s.verdict = why
	}
	return s, nil
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
