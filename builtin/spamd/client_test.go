package spamd

import (
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

var quiet = slog.New(slog.DiscardHandler)

// A message is told to spamd with the length that it has, each one anew: the library
// keeps the length of the first.
func TestEachMessageHasItsOwnLength(t *testing.T) {
	f := startFake(t, hamAnswer)
	for _, text := range []string{letterOf(""), letterOf("X-More: " + strings.Repeat("x", 1000) + "\r\n")} {
		if v, _ := send(t, options(f), mail{text: text}); v != milterkit.Continue {
			t.Fatal(v, v.Err())
		}
		q := f.last(t)
		if !strings.HasSuffix(q.message, text) {
			t.Errorf("spamd was shown %q, want at its end %q", q.message, text)
		}
		if q.end != io.EOF {
			t.Errorf("after the message came %v, want the end", q.end)
		}
		if q.command != "SYMBOLS SPAMC/1.5" {
			t.Errorf("spamd was asked to %q", q.command)
		}
	}
}

// Spamd may be on a unix socket, which the library does not know.
func TestUnixSocket(t *testing.T) {
	f := startFakeDoing(t, "unix", func(f *fakeSpamd, conn net.Conn) {
		f.read(conn)
		io.WriteString(conn, spamAnswer)
	})
	if _, text := send(t, options(f), mail{}); !strings.Contains(text, "X-Spam-Flag: YES") {
		t.Errorf("spam was not tagged:\n%s", text)
	}
	if q := f.last(t); q.end != io.EOF {
		t.Errorf("after the message came %v, want the end", q.end)
	}
}

// What is no whole answer with a score is a failure, and never a clean result.
func TestOddAnswersFail(t *testing.T) {
	for name, x := range map[string]struct{ answer, reason string }{
		"nothing":                   {"", "closed without an answer"},
		"garbage":                   {"\x00\x01\x02garbage of no meaning\r\n", "unrecognised response"},
		"another protocol":          {"220 mail.example.org ESMTP Postfix\r\n", "unrecognised response"},
		"no score":                  {"SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\n\r\n", "header missing"},
		"a score that is no number": {answerOf("False ; nan / 5.0", "A"), "the score is NaN"},
		"an endless score":          {answerOf("False ; -Inf / 5.0", "A"), "the score is -Inf"},
		"two scores":                {"SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\nSpam: False ; 0 / 5\r\nSpam: True ; 9 / 5\r\n\r\n", "not one score"},
		"neither spam nor ham":      {answerOf("Maybe ; 1.0 / 5.0", "A"), "unknown spam status"},
		"no length":                 {"SPAMD/1.1 0 EX_OK\r\nSpam: False ; 0.0 / 5.0\r\n\r\nA", "one length"},
		"a length below zero":       {"SPAMD/1.1 0 EX_OK\r\nContent-length: -1\r\nSpam: False ; 0.0 / 5.0\r\n\r\n", "length is not a number"},
		"cut off within the tests":  {spamAnswer[:len(spamAnswer)-3], "cut off"},
		"cut off within the header": {hamAnswer[:strings.Index(hamAnswer, "-1.0")+2], ""},
		"cut off before the tests":  {strings.TrimSuffix(hamAnswer, "\r\nALL_TRUSTED,NO_SPAM"), ""},
		"more than it says":         {hamAnswer + ",MORE", "longer than it says"},
		"tests that are none":       {answerOf("False ; 0.0 / 5.0", "A,<b>,C"), "not the name of a test"},
		"an error":                  {"SPAMD/1.0 76 Bad header line: x\r\n", "Bad header line"},
		"too busy":                  {"SPAMD/1.0 69 Service Unavailable: full\r\n", "Service Unavailable"},
		"a version of tomorrow":     {strings.Replace(hamAnswer, "1.1", "9.9", 1), "protocol version 9.9"},
		// The library panics at these.
		"a field of another command": {"SPAMD/1.1 0 EX_OK\r\nSet: everything\r\n\r\n", "not an answer of spamd's"},
		"too long":                   {answerOf("False ; 0.0 / 5.0", strings.Repeat("LONG,", 100_000)+"END"), "longer than 16384 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, x.answer)
			v, _ := send(t, options(f), mail{})
			wantFail(t, v, "inet:", x.reason)
		})
	}
}

// The answer is bounded where it has no end, too.
func TestEndlessAnswer(t *testing.T) {
	f := startFakeDoing(t, "tcp", func(f *fakeSpamd, conn net.Conn) {
		f.read(conn)
		io.WriteString(conn, "SPAMD/1.1 0 EX_OK\r\nX-Long: ")
		for line := []byte(strings.Repeat("x", 1000)); ; {
			if _, err := conn.Write(line); err != nil {
				return
			}
		}
	})
	v, _ := send(t, options(f), mail{})
	wantFail(t, v, "longer than 16384 bytes")
}

// hang is a spamd that takes the message and says nothing.
func hang(f *fakeSpamd, conn net.Conn) {
	io.Copy(io.Discard, conn)
	<-f.done
}

// A spamd that is not there, or hangs at any point, costs its own time and no more.
func TestDownOrHung(t *testing.T) {
	for name, x := range map[string]struct {
		do     func(*fakeSpamd, net.Conn)
		size   int
		reason string
	}{
		"hung before the answer":    {hang, 100, "no answer within 200ms"},
		"hung within the answer":    {func(f *fakeSpamd, conn net.Conn) { io.WriteString(conn, hamAnswer[:30]); hang(f, conn) }, 100, "no answer within 200ms"},
		"does not read the message": {func(f *fakeSpamd, _ net.Conn) { <-f.done }, 32 << 20, "no answer within 200ms"},
		"closes at once":            {func(*fakeSpamd, net.Conn) {}, 100, ""},
		"resets":                    {func(_ *fakeSpamd, conn net.Conn) { conn.(*net.TCPConn).SetLinger(0) }, 100, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(startFakeDoing(t, "tcp", x.do))
			o.Timeout, o.MaxSize = 200*time.Millisecond, 0
			v, _ := send(t, o, mail{text: letterOf("") + strings.Repeat("x", x.size)})
			wantFail(t, v, o.Addresses[0][strings.LastIndex(o.Addresses[0], ":")+1:], x.reason)
		})
	}
	t.Run("not there", func(t *testing.T) {
		f := startFake(t, hamAnswer)
		f.ln.Close()
		v, _ := send(t, options(f), mail{})
		wantFail(t, v, "cannot connect: connection refused")
	})
}

// The slot's own time ends the wait as well.
func TestSlotTimeout(t *testing.T) {
	t.Parallel()
	f := startFakeDoing(t, "tcp", hang)
	o := options(f)
	o.Timeout = 0
	began := time.Now()
	v, _ := send(t, o, mail{limit: 200 * time.Millisecond})
	wantFail(t, v, milterkit.ErrTimeout.Error())
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Where one spamd fails, the next is asked, and gets the whole message.
func TestFailOver(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(*fakeSpamd, net.Conn){
		"hung":    hang,
		"garbage": func(f *fakeSpamd, conn net.Conn) { f.read(conn); io.WriteString(conn, "what?\r\n") },
		"cut off": func(f *fakeSpamd, conn net.Conn) { f.read(conn); io.WriteString(conn, hamAnswer[:len(hamAnswer)-1]) },
		"busy": func(f *fakeSpamd, conn net.Conn) {
			f.read(conn)
			io.WriteString(conn, "SPAMD/1.0 69 EX_UNAVAILABLE\r\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := startFakeDoing(t, "tcp", do), startFake(t, spamAnswer)
			o := options(first)
			o.Addresses = append(o.Addresses, second.addr)
			o.Timeout = 300 * time.Millisecond
			_, text := send(t, o, mail{})
			wantText(t, text, "X-Spam-Flag: YES")
			if q := second.last(t); !strings.HasSuffix(q.message, letterOf("")) {
				t.Errorf("the second spamd was shown %q", q.message)
			}
		})
	}
}

// A spamd that dies at a random moment never makes a message look clean.
func TestDyingSpamdIsNeverClean(t *testing.T) {
	t.Parallel()
	const tries, workers = 1000, 8
	f := startFakeDoing(t, "tcp", func(f *fakeSpamd, conn net.Conn) {
		if rand.IntN(4) == 0 { // dies while it reads
			io.CopyN(io.Discard, conn, rand.Int64N(600))
		} else {
			f.read(conn)
			io.WriteString(conn, hamAnswer[:rand.IntN(len(hamAnswer))])
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
				v, text, err := try(o, mail{})
				if err != nil || v.Kind() != milterkit.KindFail {
					t.Errorf("the child said %v (%v):\n%s", v, err, text)
					return
				}
			}
		})
	}
	wg.Wait()
}

// FuzzAnswer has spamd say anything: there is no crash, and no result that the
// answer does not have.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{hamAnswer, spamAnswer, noTests, "", "SPAMD/1.0 76 Bad header line: x\r\n", "SPAMD/1.1 0 EX_OK\r\nSet: x\r\n\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parse(text)
		if (r == nil) == (err == nil) {
			t.Fatalf("result %v, error %v", r, err)
		}
		if r == nil {
			return
		}
		if len(text) > maxAnswer || !strings.Contains(text, ":") {
			t.Errorf("%q is %+v", text, r)
		}
		for line := range strings.Lines(r.status()) {
			if len(line) > 160 || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\x00") {
				t.Errorf("X-Spam-Status has a line %q", line)
			}
		}
	})
}
