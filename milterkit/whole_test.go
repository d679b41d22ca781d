package milterkit_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
)

// open returns the walk of a session that has come to DATA.
func openWalk(t *testing.T, children ...milterkit.Child) *milterkit.Walk {
	t.Helper()
	var slots []milterkit.Slot
	for _, c := range children {
		slots = append(slots, milterkit.Slot{Child: c})
	}
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	w := d.Walk(milterkit.AllActions)
	t.Cleanup(w.Close)
	w.Connect(t.Context(), "mx.example.org", milterkit.FamilyInet, "192.0.2.1", 25)
	w.Mail(t.Context(), milterkit.NewAddress("<a@example.org>"))
	w.Rcpt(t.Context(), milterkit.NewAddress("<b@example.net>"))
	w.Rcpt(t.Context(), milterkit.NewAddress("<c@example.net>"))
	w.Data(t.Context())
	return w
}

// A message that is not edited is written as it came, but that lines of its header
// end in CRLF.
func TestWholeMessageComesBack(t *testing.T) {
	for in, want := range map[string]string{
		"Subject: a\r\nX-Folded: b\r\n\tc\r\n\r\nbody\r\n": "Subject: a\r\nX-Folded: b\r\n\tc\r\n\r\nbody\r\n",
		"Subject: a\nX-Folded: b\n c\n\nbody\n":            "Subject: a\r\nX-Folded: b\r\n c\r\n\r\nbody\n",
		"Subject:a\r\n":                                    "Subject:a\r\n\r\n",
		"\r\nbody":                                         "\r\nbody",
		"":                                                 "\r\n",
		"no field\r\n\r\nbody":                             "\r\nno field\r\n\r\nbody",
		"A: 1\r\nno field\r\nB: 2\r\n":                     "A: 1\r\n\r\nno field\r\nB: 2\r\n",
		"A: 1\r\n\r\n\r\n\x00\xff\r\n":                     "A: 1\r\n\r\n\r\n\x00\xff\r\n",
		"S : t\nA: 1\n\n":                                  "S: t\r\nA: 1\r\n\r\n",
		"From a@b Mon Jan 1 00:00:00\nA: 1\n\n":            "A: 1\r\n\r\n",
		"A: 1\nB\x00: 2\n":                                 "A: 1\r\n\r\nB\x00: 2\n",
		"A:\r\n\r\n":                                       "A:\r\n\r\n",
		"A: 1\r\n\r\n" + strings.Repeat("x", 200_000):      "A: 1\r\n\r\n" + strings.Repeat("x", 200_000),
	} {
		var seen []byte
		w := openWalk(t, milterkit.OnMessage("reader", func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
			seen, _ = io.ReadAll(m.Reader())
			return milterkit.Continue
		}))
		var out bytes.Buffer
		if err := w.Message(t.Context(), []byte(in)).WriteMessage(&out, ""); err != nil || out.String() != want {
			t.Errorf("%.60q: %.60q, want %.60q; %v", in, out.String(), want, err)
		}
		if string(seen) != want {
			t.Errorf("%.60q: the child reads %.60q, want %.60q", in, seen, want)
		}
	}
}

// An embedder has the sender, the recipients and the message as the children left
// them.
func TestOutcomeIsTheMessageAsTheChildrenLeftIt(t *testing.T) {
	w := openWalk(t, milterkit.OnMessage("editor", func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.ChangeSender("<bounce@example.org>", "RET=HDRS")
		e.DeleteRecipient("<b@example.net>")
		e.AddRecipient("<d@example.net>")
		e.AddRecipient("<c@example.net>") // is one already
		if got := strings.Join(m.Values("X-OLD"), " "); got != "1 2" {
			t.Errorf("values %q", got)
		}
		e.SetHeader("Subject", "[list] "+m.Get("subject"))
		e.DeleteHeaders("X-Old")
		e.Quarantine("for a look")
		e.ReplaceBody([]byte("another "), []byte("body\r\n"))
		return milterkit.Continue
	}))
	o := w.Message(t.Context(), []byte("X-Old: 1\nSubject: hello\nx-old: 2\n\nbody\n"))
	var out bytes.Buffer
	if err := o.WriteMessage(&out, ""); err != nil || out.String() != "Subject: [list] hello\r\n\r\nanother body\r\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if s := o.Sender(); s.Addr != "bounce@example.org" || !slices.Equal(s.Args, []string{"RET=HDRS"}) {
		t.Errorf("sender %+v", s)
	}
	var to []string
	for _, a := range o.Recipients() {
		to = append(to, a.String())
	}
	if got := strings.Join(to, " "); got != "<c@example.net> <d@example.net>" {
		t.Errorf("recipients %s", got)
	}
	if reason, held := o.Held(); !held || reason != "for a look" {
		t.Errorf("held %v, %q", held, reason)
	}
}

// The mail server's own Received stands below what a child has put above it.
func TestReceivedStandsWhereChildrenTakeItToBe(t *testing.T) {
	for position, want := range []string{"X-In: 1\r\nReceived: by mx\r\n\tfor b\r\nA: 1\r\n\r\n", "Received: by mx\r\n\tfor b\r\nX-In: 1\r\nA: 1\r\n\r\n"} {
		w := openWalk(t, milterkit.OnMessage("inserter", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
			e.InsertHeader(position, "X-In", "1")
			return milterkit.Continue
		}))
		var out bytes.Buffer
		if err := w.Message(t.Context(), []byte("A: 1\n\n")).WriteMessage(&out, "Received: by mx\r\n\tfor b"); err != nil || out.String() != want {
			t.Errorf("at %d: %q, want %q; %v", position, out.String(), want, err)
		}
	}
}

// An Outcome tells of nothing when the next message is at hand: that is somebody
// else's.
func TestOutcomeOfAMessageBeforeTellsOfNothing(t *testing.T) {
	w := openWalk(t)
	o := w.Message(t.Context(), []byte("A: 1\n\n"))
	w.Mail(t.Context(), milterkit.NewAddress("<other@example.org>"))
	w.Rcpt(t.Context(), milterkit.NewAddress("<d@example.net>"))
	w.Message(t.Context(), []byte("B: 2\n\n"))
	if err := o.WriteMessage(io.Discard, ""); err == nil || o.Recipients() != nil || o.Sender().Addr != "" {
		t.Errorf("%v, to %v from %v", err, o.Recipients(), o.Sender())
	}
}

// What reads a message reads no field that somebody has put into a value, behind
// Sendmail either.
func TestLinesOfAValueAreContinuations(t *testing.T) {
	w := openWalk(t, milterkit.OnMessage("editor", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.SetHeader("Z", "a\r\n\r\nevil: x")
		return milterkit.Continue
	}))
	w.Macros(milterkit.StageConnect, func(yield func(string, string) bool) { yield("v", "8.17.1") })
	var out bytes.Buffer
	if err := w.Message(t.Context(), []byte("A: 1\n\n")).WriteMessage(&out, ""); err != nil || out.String() != "A: 1\r\nZ: a\r\n\t\r\n\tevil: x\r\n\r\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// A panic of the program's own metrics costs no message.
func TestOnReportMayPanic(t *testing.T) {
	d, err := milterkit.NewDispatcher()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	d.Logger = slog.New(slog.NewTextHandler(&log, nil))
	d.OnReport = func(*milterkit.Report) { panic("boom") }
	w := d.Walk(milterkit.AllActions)
	for range 2 {
		w.Mail(t.Context(), milterkit.NewAddress("<a@example.org>"))
		w.Reset()
	}
	w.Close()
	if n := strings.Count(log.String(), "OnReport panicked"); n != 2 {
		t.Errorf("told of %d times in\n%s", n, log.String())
	}
}

// A message that does not go on is not written.
func TestRefusedMessageIsNotWritten(t *testing.T) {
	w := openWalk(t, milterkit.OnMessage("no", func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
		return milterkit.Reject("no")
	}))
	o := w.Message(t.Context(), []byte("\n"))
	if err := o.WriteMessage(io.Discard, ""); err == nil || o.Verdict.Kind() != milterkit.KindReject {
		t.Errorf("%v, %v", o.Verdict, err)
	}
}

func TestAddressTellsItsParts(t *testing.T) {
	a := milterkit.NewAddress("<Bob@Sub@Example.ORG>", "SIZE=10", "SMTPUTF8")
	if a.Local() != "Bob@Sub" || a.Domain() != "example.org" || a.String() != "<Bob@Sub@Example.ORG>" {
		t.Errorf("%q %q %s", a.Local(), a.Domain(), a)
	}
	size, ok := a.Arg("size")
	_, none := a.Arg("BODY")
	if flag, there := a.Arg("SMTPUTF8"); size != "10" || !ok || none || flag != "" || !there {
		t.Errorf("%q %v %v %v", size, ok, none, there)
	}
	if n := milterkit.NewAddress("<>"); n.Local() != "" || n.Domain() != "" || n.String() != "<>" {
		t.Errorf("null sender: %q %q %s", n.Local(), n.Domain(), n)
	}
	if p := milterkit.NewAddress("postmaster"); p.Local() != "postmaster" || p.Domain() != "" {
		t.Errorf("postmaster: %q %q", p.Local(), p.Domain())
	}
}

// What belongs to a session is the variables of the function.
func TestNewChildHasItsOwnVariablesInEachSession(t *testing.T) {
	c := milterkit.NewChild("counter", func() milterkit.Hooks {
		seen := 0
		return milterkit.Hooks{Rcpt: func(context.Context, *milterkit.Envelope, milterkit.Address) milterkit.Verdict {
			if seen++; seen > 2 {
				return milterkit.TempFail("too many")
			}
			return milterkit.Continue
		}}
	})
	for range 2 {
		w := openWalk(t, c)
		if v := w.Rcpt(t.Context(), milterkit.NewAddress("<d@example.net>")); v.Kind() != milterkit.KindTempFail {
			t.Errorf("the third recipient: %v", v)
		}
	}
}

// A report says what became of each message, who decided it, and what each child
// had to do with it.
func TestReports(t *testing.T) {
	verdict := milterkit.Continue
	var reports []string
	d, err := milterkit.NewDispatcher(
		milterkit.Slot{Child: milterkit.OnMessage("first", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
			e.AddHeader("X-First", "1")
			return milterkit.Continue
		})},
		milterkit.Slot{Child: milterkit.OnMessage("second", func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict { return verdict })},
	)
	if err != nil {
		t.Fatal(err)
	}
	d.OnReport = func(r *milterkit.Report) {
		line := r.Outcome() + " by " + r.By
		for _, c := range r.Children {
			line += ", " + c.Name + " " + c.Verdict.String()
		}
		reports = append(reports, line+", "+r.Message.Sender.Addr)
		if r.Size != 6 && r.Outcome() != "aborted" || r.Took <= 0 || len(r.Message.Recipients) != 1 {
			t.Errorf("%+v", r)
		}
	}
	d.Logger = slog.New(slog.DiscardHandler)
	w := d.Walk(milterkit.AllActions)
	defer w.Close()
	w.Connect(t.Context(), "mx.example.org", milterkit.FamilyInet, "192.0.2.1", 25)
	for _, v := range []milterkit.Verdict{milterkit.Continue, milterkit.Reject("no"), milterkit.Discard, milterkit.Fail(io.EOF)} {
		verdict = v
		w.Mail(t.Context(), milterkit.NewAddress("<a@example.org>"))
		w.Rcpt(t.Context(), milterkit.NewAddress("<b@example.net>"))
		w.Message(t.Context(), []byte("A: 1\n\nbody\r\n"))
		w.Reset()
	}
	w.Mail(t.Context(), milterkit.NewAddress("<a@example.org>"))
	w.Rcpt(t.Context(), milterkit.NewAddress("<b@example.net>"))
	w.Reset()
	want := []string{
		"accept by , first continue, second continue, a@example.org",
		"reject by second, first continue, second reject 550 no, a@example.org",
		"discard by second, first continue, second discard, a@example.org",
		"tempfail by second, first continue, second fail: EOF, a@example.org",
		"aborted by , first continue, second continue, a@example.org",
	}
	if !slices.Equal(reports, want) {
		t.Errorf("\n%s\nwant\n%s", strings.Join(reports, "\n"), strings.Join(want, "\n"))
	}
}

// A mail server that is no milter's MTA has the reply as SMTP has it.
func TestReplyInSMTP(t *testing.T) {
	for _, c := range []struct {
		v    milterkit.Verdict
		code int
		text string
	}{
		{milterkit.Continue, 0, ""},
		{milterkit.Accept, 0, ""},
		{milterkit.Discard, 0, ""},
		{milterkit.Reject("5.7.1 no"), 550, "5.7.1 no"},
		{milterkit.Reject("no"), 550, "no"},
		{milterkit.Reject(""), 550, "5.7.1 Command rejected"},
		{milterkit.TempFail(""), 451, "4.7.1 Service unavailable - try again later"},
		{milterkit.Reply(452, "4.5.3 one", "4.5.3 two"), 452, "4.5.3 one\n4.5.3 two"},
		{milterkit.Reply(421), 421, ""},
	} {
		if code, text := c.v.SMTP(); code != c.code || text != c.text {
			t.Errorf("%v: %d %q, want %d %q", c.v, code, text, c.code, c.text)
		}
	}
}

func TestConnectAddr(t *testing.T) {
	for _, c := range []struct {
		host   string
		client net.Addr
		want   string
	}{
		{"", &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25}, "[192.0.2.1] 192.0.2.1:25"},
		{"mx.example.org", &net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.1"), Port: 25}, "mx.example.org 192.0.2.1:25"},
		{"", &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 25, Zone: "eth0"}, "[2001:db8::1] [2001:db8::1]:25"},
		{"", &net.UnixAddr{Net: "unix", Name: "/run/x"}, "localhost invalid AddrPort"},
	} {
		d, err := milterkit.NewDispatcher()
		if err != nil {
			t.Fatal(err)
		}
		w := d.Walk(milterkit.AllActions)
		w.ConnectAddr(t.Context(), c.host, c.client)
		if got := w.Session().Host + " " + w.Session().Client().String(); got != c.want {
			t.Errorf("%v: %q, want %q", c.client, got, c.want)
		}
		w.Close()
	}
}
