package letter

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
)

// read returns the letter of a message to which a child before has added a field.
func read(t *testing.T, text, added, above string, skip func([]byte) bool) string {
	t.Helper()
	adds := milterkit.OnMessage("adds", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.AddHeader("X-Added", added)
		return milterkit.Continue
	})
	var got string
	reads := milterkit.OnMessage("reads", func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
		l := New(m, above, skip)
		for range 2 { // it can be sent more than once
			all, err := io.ReadAll(l.Reader())
			if err != nil || int64(len(all)) != l.Size() {
				t.Errorf("%d bytes of %d, %v", len(all), l.Size(), err)
			}
			got = string(all)
		}
		return milterkit.Continue
	})
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: adds}, milterkit.Slot{Child: reads})
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	w := d.Walk(milterkit.AllActions)
	defer w.Close()
	w.Mail(t.Context(), milterkit.NewAddress("<a@b>"))
	w.Rcpt(t.Context(), milterkit.NewAddress("<c@d>"))
	w.Message(t.Context(), []byte(text))
	return got
}

// What a server is shown is the message as it will be delivered: a line in a value
// begins no field and ends no header, whoever wrote it.
func TestLinesOfAValue(t *testing.T) {
	for added, want := range map[string]string{
		"one\n two":            "one\r\n two",
		"one\n\ttwo":           "one\r\n\ttwo",
		"one\ntwo: three":      "one\r\n\ttwo: three",
		"one\n\nnot the body":  "one\r\n\t\r\n\tnot the body",
		"one\r\ntwo\r\n three": "one\r\n\ttwo\r\n three",
		"":                     "",
	} {
		got := read(t, "Subject: x\r\n\ty\r\n\r\nHello.\r\n", added, "", nil)
		if wanted := "Subject: x\r\n\ty\r\nX-Added: " + want + "\r\n\r\nHello.\r\n"; got != wanted {
			t.Errorf("%q: got\n%q\nwant\n%q", added, got, wanted)
		}
	}
}

// Fields can be put above, and others left out.
func TestAboveAndSkipped(t *testing.T) {
	got := read(t, "X-Gone: x\r\nSubject: x\r\n\r\n\x00\xff", "y", "Received: z\r\n", func(name []byte) bool { return string(name) == "X-Gone" })
	if want := "Received: z\r\nSubject: x\r\nX-Added: y\r\n\r\n\x00\xff"; got != want {
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
