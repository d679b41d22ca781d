package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// A message that is taken is in the folder, whole; of one that is not, nothing is left.
func TestCopies(t *testing.T) {
	dir := t.TempDir()
	noSpam := milterkit.OnMessage("no-spam", func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
		if m.Get("Subject") == "spam" {
			return milterkit.Reject("5.7.1 spam")
		}
		return milterkit.Continue
	})
	miltertest.Run(t, "testdata/archive.txt", milterkit.Slot{Child: noSpam}, milterkit.Slot{Child: archive(dir)})
	want := []string{
		"X-Envelope: from <a@example.com> to [<bob@example.org> <eve@example.org>]\r\n" +
			"Subject: two\r\n lines\r\nX-Empty:\r\n\r\nHello Bob.\r\n",
		"X-Envelope: from <> to [<bob@example.org>]\r\nSubject: large\r\n\r\n" +
			strings.Repeat("forty bytes in each line, with the end.\r\n", 100_000),
	}
	files, err := os.ReadDir(dir) // in the order of their names
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(want) {
		t.Fatalf("in the folder: %v, want %d files", files, len(want))
	}
	for i, f := range files {
		got, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want[i] {
			t.Errorf("%s: %d bytes, %.200q, want %d, %.200q", f.Name(), len(got), got, len(want[i]), want[i])
		}
	}
}

// Nothing of a body is kept in memory.
func TestStreams(t *testing.T) {
	chain, err := milterkit.NewDispatcher(milterkit.Slot{Child: archive(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	w := chain.Walk(milterkit.AllActions)
	defer w.Close()
	w.Mail(t.Context(), milterkit.NewAddress("<a@example.com>"))
	w.Rcpt(t.Context(), milterkit.NewAddress("<bob@example.org>"))
	w.Header([]byte("Subject"), []byte(" large"))
	w.EndOfHeader(t.Context())
	for range 2 {
		w.Body(t.Context(), make([]byte, 64<<10)) // up to that a message is shown when it is complete
	}
	if w.KeepsBody() {
		t.Error("pieces of the body are kept until the end of the message")
	}
}

// Where there is no folder, the client is told to try again.
func TestNoFolder(t *testing.T) {
	miltertest.Run(t, "testdata/nofolder.txt", milterkit.Slot{Child: archive(filepath.Join(t.TempDir(), "none"))})
}

// The child keeps to the rules of package milterkit.
func TestRules(t *testing.T) {
	t.Parallel()
	miltertest.TestChild(t, func() milterkit.Child { return archive(t.TempDir()) })
}
