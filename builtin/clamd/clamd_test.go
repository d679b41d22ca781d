package clamd

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
)

const infectedLetter = letter + virus + "\r\n"

func TestACleanMessageGoesOnMarked(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		f := (&fake{version: "ClamAV 1.4.6/27511/Mon Nov 23 09:12:00 2026"}).start(t, network)
		r := scan(t, newChild(t, options(f)), letter)
		wantHeader(t, r, "From: <alice@example.org>", "Subject: hello",
			"X-Virus-Scanned: clamd 1.4.6 at mx.example.net", "X-Virus-Status: Clean")
	})
}

// What a message brings along from elsewhere, or from another scanner, does not
// stand beside the result.
func TestEarlierFieldsAreReplaced(t *testing.T) {
	t.Parallel()
	f := (&fake{}).start(t, "tcp")
	r := scan(t, newChild(t, options(f)), "X-Virus-Status: Infected\r\nx-virus-scanned: yes\r\nX-VIRUS-STATUS: Clean\r\n"+letter)
	wantHeader(t, r, "X-Virus-Status: Clean", "X-Virus-Scanned: clamd at mx.example.net", "From: <alice@example.org>", "Subject: hello")
}

func TestNoHeaders(t *testing.T) {
	t.Parallel()
	f := (&fake{version: "ClamAV 1"}).start(t, "tcp")
	o := with(options(f), func(o *Options) { o.Headers = false; o.Infected = "quarantine"; o.MaxSize = 1000 })
	for _, text := range []string{letter, infectedLetter, letter + strings.Repeat("x\r\n", 1000)} {
		wantHeader(t, scan(t, newChild(t, o), text), "From: <alice@example.org>", "Subject: hello")
	}
	if f.asked != 0 {
		t.Error("the version was asked for, for nothing")
	}
}

func TestAnInfectedMessage(t *testing.T) {
	t.Parallel()
	f := (&fake{}).start(t, "unix")
	infected := func(what string) result {
		return scan(t, newChild(t, with(options(f), func(o *Options) { o.Infected = what })), infectedLetter)
	}
	marked := []string{"From: <alice@example.org>", "Subject: hello", "X-Virus-Scanned: clamd at mx.example.net",
		"X-Virus-Status: Infected (Test:Virus.A(1))"}

	wantRefused(t, infected("reject"), "550 5.7.1 Infected with Test:Virus.A(1)")
	if r := infected("discard"); r.Verdict != milterkit.Discard {
		t.Errorf("discard: got %s", r.Verdict)
	}
	r := infected("quarantine")
	if reason, held := r.Held(); !held || reason != "Infected with Test:Virus.A(1)" {
		t.Errorf("quarantine: held %t for %q", held, reason)
	}
	wantHeader(t, r, marked...)
	r = infected("header")
	if _, held := r.Held(); held {
		t.Error("header: held")
	}
	wantHeader(t, r, marked...)
}

func TestTheWordsOfARefusal(t *testing.T) {
	t.Parallel()
	f := (&fake{}).start(t, "tcp")
	for text, want := range map[string]string{
		"no %v, no %v": "550 no Test:Virus.A(1), no Test:Virus.A(1)",
		"5.7.0 virus":  "550 5.7.0 virus",
		"5.7.1 a\nb":   "550-5.7.1 a\r\n550 b",
		"":             "",
	} {
		r := scan(t, newChild(t, with(options(f), func(o *Options) { o.Text = text })), infectedLetter)
		if r.Verdict.Kind() != milterkit.KindReject || r.Verdict.Text() != want {
			t.Errorf("%q: got %s, want %s", text, r.Verdict, want)
		}
	}
}

// A name is made fit for a reply and a header, whoever says it.
func TestANameIsCleaned(t *testing.T) {
	t.Parallel()
	f := (&fake{reply: func(string, string) string {
		return "stream: a\r\nX-Forged: yes\xff" + strings.Repeat("n", 300) + " FOUND"
	}}).start(t, "tcp")
	name := "a__X-Forged:_yes_" + strings.Repeat("n", 111)
	wantRefused(t, scan(t, newChild(t, options(f)), letter), "550 5.7.1 Infected with "+name)
	r := scan(t, newChild(t, with(options(f), func(o *Options) { o.Infected = "header" })), letter)
	wantHeader(t, r, "From: <alice@example.org>", "Subject: hello", "X-Virus-Scanned: clamd at mx.example.net",
		"X-Virus-Status: Infected\r\n\t("+name+")")
}

// clamd is shown the bytes of the message, whatever they are.
func TestClamdSeesTheMessageAsItIs(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		f := (&fake{}).start(t, network)
		child := newChild(t, options(f))
		for name, text := range map[string]string{
			"plain":       letter,
			"no header":   "\r\nonly a body\r\n",
			"empty body":  "Subject: none\r\n\r\n",
			"no body":     "Subject: none\r\n",
			"nothing":     "",
			"folded":      "Subject: a\r\n\tb\r\n c\r\nTo:\r\n\r\nx",
			"8-bit":       "Subject: \xe4\xff\r\n\r\n\x80\xfe\xff\r\n",
			"NULs":        "Subject: n\r\n\r\n\x00\x00a\x00\r\n\x00",
			"5 MB":        letter + strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz\r\n", 140000),
			"a long line": letter + strings.Repeat("x", 300000),
		} {
			scan(t, child, text)
			saw, want := f.saw(), reading(t, text)
			if len(saw) == 0 || saw[len(saw)-1] != want {
				t.Errorf("%s: clamd did not see the %d bytes of it", name, len(want))
			}
		}
	})
}

func TestAClamdOnThisMachineIsHandedTheMessage(t *testing.T) {
	t.Parallel()
	for network, want := range map[string]string{"unix": "FILDES", "tcp": "INSTREAM"} {
		f := (&fake{}).start(t, network)
		wantClean(t, scan(t, newChild(t, options(f)), letter))
		if got := f.got(); len(got) != 1 || got[0] != want {
			t.Errorf("%s: the commands are %q, want %s", network, got, want)
		}
	}
}

// The log names the virus and the message.
func TestTheLogTellsOfAVirus(t *testing.T) {
	t.Parallel()
	f := (&fake{}).start(t, "tcp")
	var log bytes.Buffer
	o := options(f)
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	scan(t, newChild(t, o), infectedLetter)
	scan(t, newChild(t, o), letter)
	for _, want := range []string{"msg=infected ", " from=alice@example.org ", " virus=Test:Virus.A(1) ", " becomes=reject ", " clamd=" + f.addr()} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, log.String())
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines for one virus and one clean message:\n%s", n, log.String())
	}
}

// maxOfBig is how many bytes of a message are scanned.
const maxOfBig = 1000

func TestAMessageThatIsTooLarge(t *testing.T) {
	t.Parallel()
	f := (&fake{}).start(t, "tcp")
	filler := strings.Repeat("x\r\n", 400)
	tooLarge := func(what, text string) result {
		return scan(t, newChild(t, with(options(f), func(o *Options) { o.MaxSize = maxOfBig; o.Oversize = what })), text)
	}
	size := "1257 bytes, 1000 at most"
	wantRefused(t, tooLarge("reject", letter+filler), "552 5.3.4 Message too large to be scanned for viruses: "+size)
	wantRefused(t, tooLarge("tempfail", letter+filler), "451 4.3.4 Message too large to be scanned for viruses: "+size)

	// The rest is not looked at, and nobody says that it was.
	forged := "X-Virus-Scanned: clamd\r\nX-Virus-Status: Clean\r\n" + letter + filler + virus
	want := []string{"X-Virus-Status: Not scanned (too large)", "From: <alice@example.org>", "Subject: hello"}
	r := tooLarge("accept", forged)
	wantHeader(t, r, want...)
	if _, held := r.Held(); held {
		t.Error("accept: held")
	}
	r = tooLarge("quarantine", forged)
	wantHeader(t, r, want...)
	if reason, held := r.Held(); !held || reason != "Too large to be scanned for viruses" {
		t.Errorf("quarantine: held %t for %q", held, reason)
	}
	if saw := f.saw(); len(saw) != 2 || len(saw[0]) != maxOfBig {
		t.Errorf("clamd has seen %d messages, the first with %d bytes", len(saw), len(saw[0]))
	}

	// A virus at the beginning is one.
	wantRefused(t, tooLarge("accept", infectedLetter+filler), "550 5.7.1 Infected with Test:Virus.A(1)")

	// What is just small enough is scanned.
	wantClean(t, tooLarge("reject", letter+strings.Repeat("x", maxOfBig-len(letter))))
}
