package letter

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
)

// read returns the letter of a message of which an MTA has shown the fields, name and
// value in turn, and the body.
func read(t *testing.T, above string, skip func([]byte) bool, body string, fields ...string) string {
	t.Helper()
	var got string
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: milterkit.OnMessage("reads", func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
		l := New(m, above, skip)
		for range 2 { // it can be sent more than once
			all, err := io.ReadAll(l.Reader())
			if err != nil || int64(len(all)) != l.Size() {
				t.Errorf("%d bytes of %d, %v", len(all), l.Size(), err)
			}
			got = string(all)
		}
		return milterkit.Continue
	})})
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	w := d.Walk(milterkit.AllActions)
	defer w.Close()
	w.Mail(t.Context(), milterkit.NewAddress("<a@b>"))
	w.Rcpt(t.Context(), milterkit.NewAddress("<c@d>"))
	for i := 0; i < len(fields); i += 2 {
		w.Header([]byte(fields[i]), []byte(fields[i+1]))
	}
	w.EndOfHeader(t.Context())
	w.Body(t.Context(), []byte(body))
	w.EndOfMessage(t.Context())
	return got
}

// What a server is shown is the message as it will be delivered: a line in a value
// begins no field and ends no header, whoever wrote it.
func TestLinesOfAValue(t *testing.T) {
	for value, want := range map[string]string{
		"one\n two":            "one\r\n two",
		"one\n\ttwo":           "one\r\n\ttwo",
		"one\ntwo: three":      "one\r\n\ttwo: three",
		"one\n\nnot the body":  "one\r\n\t\r\n\tnot the body",
		"one\r\ntwo\r\n three": "one\r\n\ttwo\r\n three",
		"":                     "",
	} {
		got := read(t, "", nil, "Hello.\r\n", "X", " "+value, "Subject", " x")
		if wanted := "X: " + want + "\r\nSubject: x\r\n\r\nHello.\r\n"; got != wanted {
			t.Errorf("%q: got\n%q\nwant\n%q", value, got, wanted)
		}
	}
}

// Fields can be put above, and others left out.
func TestAboveAndSkipped(t *testing.T) {
	skip := func(name []byte) bool { return string(name) == "X-Gone" }
	got := read(t, "Received: z\r\n", skip, "\x00\xff", "X-Gone", " x", "Subject", " x")
	if want := "Received: z\r\nSubject: x\r\n\r\n\x00\xff"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Text from outside has one line, and not too long a one.
func TestClean(t *testing.T) {
	if got := Clean("a\r\nb\x00\x7fc\u00fc"+strings.Repeat("x", 10), 10); got != "a??b??c\u00fcx" {
		t.Errorf("got %q", got)
	}
	if got := Clean("\u00fc", 1); got != "" {
		t.Errorf("half a character is %q", got)
	}
}
