package clamd

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// soon is the time that a clamd has in tests of those that do not answer.
const soon = 150 * time.Millisecond

// letter is a message, as it is scanned.
const letter = "From: <alice@example.org>\r\nSubject: hello\r\n\r\nHello Bob.\r\n"

// options are those of a child that asks these clamds.
func options(clamds ...*fake) Options {
	o := Defaults
	o.Addresses = nil
	for _, f := range clamds {
		o.Addresses = append(o.Addresses, f.addr())
	}
	o.Logger = slog.New(slog.DiscardHandler)
	return o
}

// with returns the options with a change.
func with(o Options, change func(*Options)) Options {
	change(&o)
	return o
}

// result is what became of a message.
type result struct {
	milterkit.Outcome
	child milterkit.Verdict // the child's own verdict
	text  string            // the message as it goes on
}

// scan has a child look at a message.
func scan(t *testing.T, child milterkit.Child, text string) result {
	t.Helper()
	return scanIn(t.Context(), t, child, []byte(text))
}

func scanIn(ctx context.Context, t *testing.T, child milterkit.Child, text []byte) result {
	t.Helper()
	return scanAs(ctx, t, milterkit.Slot{Child: child}, text)
}

// scanAs is scanIn, of a child on terms of its own.
func scanAs(ctx context.Context, t *testing.T, slot milterkit.Slot, text []byte) result {
	t.Helper()
	d, err := milterkit.NewDispatcher(slot)
	if err != nil {
		t.Fatal(err)
	}
	var r result
	d.Logger = slog.New(slog.DiscardHandler)
	d.OnReport = func(report *milterkit.Report) {
		for _, c := range report.Children {
			r.child = c.Verdict
		}
	}
	w := d.Walk(milterkit.AllActions)
	w.Macros(milterkit.StageConnect, maps.All(map[string]string{"j": "mx.example.net"}))
	w.Connect(ctx, "client.example.org", milterkit.FamilyInet, "192.0.2.7", 1234)
	w.Mail(ctx, milterkit.NewAddress("<alice@example.org>"))
	w.Rcpt(ctx, milterkit.NewAddress("<bob@example.net>"))
	r.Outcome = w.Message(ctx, text)
	if k := r.Verdict.Kind(); k == milterkit.KindContinue {
		var b strings.Builder
		if err := r.WriteMessage(&b, ""); err != nil {
			t.Error(err)
		}
		r.text = b.String()
	}
	w.Close()
	return r
}

// newChild makes a child of options that are right.
func newChild(t *testing.T, o Options) milterkit.Child {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// notHanded has the child send each message, as it does where too much is handed
// over already.
func notHanded(c milterkit.Child) milterkit.Child {
	c.(*child).inHand.Store(maxInHand)
	return c
}

// wantFailed wants the message to be put off, for that reason.
func wantFailed(t *testing.T, r result, reason string) {
	t.Helper()
	if code, _ := r.Verdict.SMTP(); code != 451 {
		t.Errorf("got %s, want the client to be told to try again", r.Verdict)
	}
	if err := r.child.Err(); err == nil || !strings.Contains(err.Error(), reason) {
		t.Errorf("the reason is %v, want %s", err, reason)
	}
}

// wantClean wants the message to go on as clean.
func wantClean(t *testing.T, r result) {
	t.Helper()
	if r.Verdict != milterkit.Continue || !strings.Contains(r.text, "\r\nX-Virus-Status: Clean\r\n") {
		t.Errorf("got %s, %v; want a clean message", r.Verdict, r.child.Err())
	}
}

// wantRefused wants the message to be refused in those words.
func wantRefused(t *testing.T, r result, want string) {
	t.Helper()
	if r.Verdict.Text() != want {
		t.Errorf("got %s, %v; want %s", r.Verdict, r.child.Err(), want)
	}
}

// wantHeader wants the header to be that.
func wantHeader(t *testing.T, r result, fields ...string) {
	t.Helper()
	header, _, _ := strings.Cut(r.text, "\r\n\r\n")
	if want := strings.Join(fields, "\r\n"); header != want {
		t.Errorf("got %s with the header\n%s\nwant\n%s", r.Verdict, header, want)
	}
}

// each runs a test for each way to clamd.
func each(t *testing.T, test func(t *testing.T, network string)) {
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			test(t, network)
		})
	}
}

// The child keeps to the rules of package milterkit.
func TestRules(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		f := (&fake{version: "ClamAV 1.4.6/27511/Mon Nov 23 09:12:00 2026"}).start(t, network)
		miltertest.TestChild(t, func() milterkit.Child { return newChild(t, options(f)) })
	})
}

// reading is what a message is read as.
func reading(t *testing.T, text string) (read string) {
	t.Helper()
	scan(t, milterkit.OnMessage("reads", func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
		b, err := io.ReadAll(m.Reader())
		if err != nil {
			return milterkit.Fail(err)
		}
		read = string(b)
		return milterkit.Continue
	}), text)
	return read
}
