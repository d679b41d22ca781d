package rspamd

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

const clean = `{"is_skipped":false,"score":0.1,"required_score":15.0,"action":"no action","symbols":{},"messages":{},"message-id":"undef"}`

// Rspamd is told what its own milter would tell it, and shown the whole message.
func TestRequest(t *testing.T) {
	f := startFake(t, clean)
	o := options(f)
	o.Password = "secret"
	text := letterOf("X-Folded: one\r\n\ttwo\r\nX-Spam: No\r\n")
	s := send(t, o, mail{text: text, to: []string{"<bob@example.org>", "<carol@example.org>"}, macros: map[milterkit.Stage][]string{
		milterkit.StageConnect: {"j", "mx.example.org", "{daemon_name}", "smtpd", "v", "Postfix 3.7.11"},
		milterkit.StageHelo:    {"{tls_version}", "TLSv1.3", "{cipher}", "TLS_AES_256_GCM_SHA384", "{cert_issuer}", "CA"},
		milterkit.StageMail:    {"{auth_authen}", "alice"},
		milterkit.StageRcpt:    {"{rcpt_mailer}", "local"},
		milterkit.StageMessage: {"i", "4C0FFEE001"},
	}})
	if s.verdict != milterkit.Continue {
		t.Fatal(s.verdict, s.verdict.Err())
	}
	want := http.Header{
		"Hostname": {"mail.example.com"}, "Ip": {"192.0.2.7"}, "Helo": {"helo.example.com"}, "From": {"<alice@example.com>"},
		"Rcpt": {"<bob@example.org>", "<carol@example.org>"}, "Queue-Id": {"4C0FFEE001"}, "User": {"alice"},
		"Tls-Version": {"TLSv1.3"}, "Tls-Cipher": {"TLS_AES_256_GCM_SHA384"}, "Tls-Cert-Issuer": {"CA"}, "Mta-Name": {"smtpd"},
		"User-Agent": {"Postfix 3.7.11"}, "Password": {"secret"}, "Flags": {"milter,body_block"},
	}
	q := f.last(t)
	delete(q.header, "Content-Length")
	delete(q.header, "Connection")
	delete(q.header, "Mailer")
	if q.line != "POST /checkv2" || !reflect.DeepEqual(q.header, want) {
		t.Errorf("rspamd was asked %s with %v, want %v", q.line, q.header, want)
	}
	if q.message != text {
		t.Errorf("rspamd was shown %q, want %q", q.message, text)
	}
}

// What is not known is not said.
func TestRequestOfLittle(t *testing.T) {
	f := startFake(t, clean)
	for _, x := range []struct{ host, addr, ip string }{{"[192.0.2.7]", "192.0.2.7", "192.0.2.7"}, {"unknown", "IPv6:2001:db8::7", "2001:db8::7"}} {
		if s := send(t, options(f), mail{host: x.host, addr: x.addr, from: "<>"}); s.verdict != milterkit.Continue {
			t.Fatal(s.verdict, s.verdict.Err())
		}
		h := f.last(t).header
		for _, name := range []string{"Hostname", "Queue-Id", "User", "Tls-Version", "Mta-Name", "User-Agent", "Password"} {
			if h[name] != nil {
				t.Errorf("rspamd was told %s: %q", name, h[name])
			}
		}
		if h.Get("From") != "<>" || h.Get("Ip") != x.ip {
			t.Errorf("rspamd was told of %q at %q", h.Get("From"), h.Get("Ip"))
		}
	}
}

// A client cannot add to what rspamd is told of it.
func TestRequestForged(t *testing.T) {
	f := startFake(t, clean)
	send(t, options(f), mail{from: "<a\r\nUser: root\r\n\r\nx@example.com>"})
	if h := f.last(t).header; h["User"] != nil || h.Get("From") != "<a??User: root????x@example.com>" {
		t.Errorf("rspamd was told %v", h)
	}
}

// Rspamd may be on a unix socket, and no proxy of the environment comes between.
func TestUnixSocket(t *testing.T) {
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	f := startFakeDoing(t, "unix", func(f *fakeRspamd, conn net.Conn) {
		f.read(conn)
		io.WriteString(conn, inHTTP(clean))
	})
	if s := send(t, options(f), mail{}); s.verdict != milterkit.Continue {
		t.Error(s.verdict, s.verdict.Err())
	}
	if s := send(t, options(startFake(t, clean)), mail{}); s.verdict != milterkit.Continue {
		t.Error(s.verdict, s.verdict.Err())
	}
}

// What is no whole answer with an action is a failure, and never a clean result.
func TestOddAnswersFail(t *testing.T) {
	for name, x := range map[string]struct{ answer, reason string }{
		"a word":               {"HTTP/", "not an answer in HTTP"},
		"an empty result":      {"", "not an answer of rspamd"},
		"another protocol":     {"HTTP/x y\r\n\r\n", "not an answer in HTTP"},
		"no JSON":              {"action: no action", "not an answer of rspamd's"},
		"JSON that is cut off": {clean[:len(clean)-1], "not an answer of rspamd's"},
		"two results":          {clean + clean, "not an answer of rspamd's"},
		"no action":            {`{"score":1.0}`, "has no action"},
		"an action of null":    {`{"action":null}`, "has no action"},
		"another type":         {`{"action":5}`, "not an answer of rspamd's"},
		"a list":               {`[]`, "not an answer of rspamd's"},
		"an error":             {`{"error":"cannot scan","action":"no action"}`, "rspamd says: cannot scan"},
		"an unknown action":    {`{"action":"explode"}`, `the action "explode"`},
		"HTTP 403":             {"HTTP/1.1 403 Unauthorized\r\nContent-Length: 8\r\n\r\nno entry", "403 Unauthorized: no entry"},
		"HTTP 500":             {"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n", "500 Broken"},
		"HTTP 302":             {"HTTP/1.1 302 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "302 Elsewhere"},
		"cut off":              {fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(clean)+1, clean), "broke off"},
		"an early end of body": {fmt.Sprintf("HTTP/1.1 200 OK\r\nMessage-Offset: %d\r\nContent-Length: %d\r\n\r\n%s", len(clean)+1, len(clean), clean), "new body"},
		"half of a new body":   {fmt.Sprintf("HTTP/1.1 200 OK\r\nMessage-Offset: %d\r\nConnection: close\r\n\r\n%sHalf", len(clean), clean), "half of one"},
		"an endless result":    {`{"action":"no action","x":"` + strings.Repeat("x", maxAnswer+2000) + `"}`, "longer than"},
		"an endless head":      {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100_000), "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := send(t, options(startFake(t, x.answer)), mail{})
			wantFail(t, s.verdict, x.reason)
		})
	}
}

// The answer is bounded where it has no end, too: its time is not up long before.
func TestEndlessAnswer(t *testing.T) {
	for _, head := range []string{"Connection: close", "Content-Length: 9000000000000"} {
		f := startFakeDoing(t, "tcp", func(f *fakeRspamd, conn net.Conn) {
			f.read(conn)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+head+"\r\n\r\n{\"action\":\"no action\",\"x\":\"")
			for text := []byte(strings.Repeat("x", 100_000)); ; {
				if _, err := conn.Write(text); err != nil {
					return
				}
			}
		})
		s := send(t, options(f), mail{})
		wantFail(t, s.verdict, "longer than")
	}
}

// A rspamd that is not there, or hangs at any point, costs its own time and no more.
func TestDownOrHung(t *testing.T) {
	for name, x := range map[string]struct {
		do     func(*fakeRspamd, net.Conn)
		size   int
		reason string
	}{
		"hung before the answer":    {hang, 100, "no answer within 200ms"},
		"hung within the answer":    {func(f *fakeRspamd, conn net.Conn) { io.WriteString(conn, inHTTP(clean)[:150]); hang(f, conn) }, 100, "no answer within 200ms"},
		"does not read the message": {func(f *fakeRspamd, _ net.Conn) { <-f.done }, 32 << 20, "no answer within 200ms"},
		"closes at once":            {func(*fakeRspamd, net.Conn) {}, 100, ""},
		"closes without an answer":  {func(f *fakeRspamd, conn net.Conn) { f.read(conn) }, 100, "closed without an answer"},
		"resets":                    {func(_ *fakeRspamd, conn net.Conn) { conn.(*net.TCPConn).SetLinger(0) }, 100, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(startFakeDoing(t, "tcp", x.do))
			o.Timeout, o.MaxSize = 200*time.Millisecond, 0
			s := send(t, o, mail{text: letterOf("") + strings.Repeat("x", x.size)})
			wantFail(t, s.verdict, "inet:", x.reason)
		})
	}
	t.Run("not there", func(t *testing.T) {
		f := startFake(t, clean)
		f.ln.Close()
		wantFail(t, send(t, options(f), mail{}).verdict, "cannot connect: connection refused")
	})
	t.Run("the slot's own time", func(t *testing.T) {
		t.Parallel()
		o := options(startFakeDoing(t, "tcp", hang))
		o.Timeout = 0
		wantFail(t, send(t, o, mail{limit: 200 * time.Millisecond}).verdict, milterkit.ErrTimeout.Error())
	})
}

// Where one rspamd fails, the next is asked, and gets the whole message.
func TestFailOver(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(*fakeRspamd, net.Conn){
		"hung":      hang,
		"garbage":   func(f *fakeRspamd, conn net.Conn) { f.read(conn); io.WriteString(conn, "what?\r\n") },
		"HTTP 503":  func(f *fakeRspamd, conn net.Conn) { f.read(conn); io.WriteString(conn, "HTTP/1.1 503 Busy\r\n\r\n") },
		"half JSON": func(f *fakeRspamd, conn net.Conn) { f.read(conn); io.WriteString(conn, inHTTP(clean[:20])) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := startFakeDoing(t, "tcp", do), startFake(t, `{"action":"add header"}`)
			o := options(first)
			o.Addresses = append(o.Addresses, second.addr)
			o.Timeout = 300 * time.Millisecond
			if s := send(t, o, mail{}); !strings.Contains(s.text, "X-Spam: Yes") {
				t.Errorf("%v %v:\n%s", s.verdict, s.verdict.Err(), s.text)
			}
			if q := second.last(t); q.message != letterOf("") {
				t.Errorf("the second rspamd was shown %q", q.message)
			}
		})
	}
}

// A rspamd that does not want all of a message has a say before it hangs up.
func TestRefusedWhileSending(t *testing.T) {
	t.Parallel()
	f := startFakeDoing(t, "tcp", func(_ *fakeRspamd, conn net.Conn) {
		io.CopyN(io.Discard, conn, 1000)
		io.WriteString(conn, "HTTP/1.1 413 Too big\r\nContent-Length: 0\r\n\r\n")
		conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, conn)
	})
	wantFail(t, send(t, options(f), mail{text: letterOf("") + strings.Repeat("x", 1<<20)}).verdict, "413 Too big")
}

// A rspamd that dies at a random moment never makes a message look clean.
func TestDyingRspamdIsNeverClean(t *testing.T) {
	t.Parallel()
	const tries, workers = 1000, 8
	f := startFakeDoing(t, "tcp", func(f *fakeRspamd, conn net.Conn) {
		if rand.IntN(4) == 0 { // dies while it reads
			io.CopyN(io.Discard, conn, rand.Int64N(100))
		} else {
			f.read(conn)
			answer := inHTTP(clean)
			if rand.IntN(2) == 0 { // the end of the connection is the end of the answer
				answer = "HTTP/1.0 200 OK\r\n\r\n" + clean
			}
			io.WriteString(conn, answer[:rand.IntN(len(answer))])
		}
		if rand.IntN(2) == 0 {
			conn.(*net.TCPConn).SetLinger(0) // as if it had been killed
		}
	})
	o := options(f)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range tries / workers {
				s, err := try(o, mail{})
				if err != nil || s.verdict.Kind() != milterkit.KindFail {
					t.Errorf("the child said %v (%v):\n%s", s.verdict, err, s.text)
					return
				}
			}
		})
	}
	wg.Wait()
}

// FuzzAnswer has rspamd say anything, and the child do it: there is no crash, and
// no clean result without an action.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{clean, everything, `{"action":"reject","milter":{"remove_headers":[]}}`, `{"action":"add header","milter":{"spam_header":{"A":"b"}}}`, `{`} {
		f.Add(s, "")
	}
	f.Add(clean+"new body", fmt.Sprint(len(clean)))
	f.Fuzz(func(t *testing.T, text, offset string) {
		a, err := split([]byte(text), offset)
		if err != nil {
			return
		}
		if a.Action == nil || !strings.Contains(text, "ction") && !strings.Contains(text, `\u`) && !strings.Contains(strings.ToLower(text), "action") {
			t.Fatalf("%q is clean", text)
		}
		child := &filter{Options: Options{Logger: quiet}}
		d, err := milterkit.NewDispatcher(milterkit.Slot{Child: milterkit.OnMessage("x", child.with(a))})
		if err != nil {
			t.Fatal(err)
		}
		d.Logger = quiet
		obeyed(d)
	})
}
