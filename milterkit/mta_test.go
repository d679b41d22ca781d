package milterkit_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// call opens a connection of an MTA that takes nothing but what it should.
func call(t *testing.T, socket string, offer miltertest.Offer) *miltertest.MTA {
	t.Helper()
	offer.Strict = true
	if offer.Timeout == 0 {
		offer.Timeout = 10 * time.Second
	}
	m, err := miltertest.Dial(t.Context(), "unix", socket, offer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// A step is what is said to the filter; all that say something return as it does.
func ok(t *testing.T) func(r miltertest.Reply, err error) {
	return func(r miltertest.Reply, err error) {
		t.Helper()
		if err != nil || r.Final() {
			t.Fatalf("%v, %v", r, err)
		}
	}
}

// open takes the session to the point where a message may come.
func open(t *testing.T, m *miltertest.MTA) {
	t.Helper()
	ok(t)(m.Connect("mx.example.org", wire.FamilyInet, 4711, "192.0.2.1"))
	ok(t)(m.Helo("mx.example.org"))
}

func envelope(t *testing.T, m *miltertest.MTA) {
	t.Helper()
	ok(t)(m.Mail("<alice@example.org>", "SIZE=100"))
	ok(t)(m.Rcpt("<bob@example.test>"))
	ok(t)(m.Data())
}

// deliver takes a message past the filter.
func deliver(t *testing.T, m *miltertest.MTA, header []miltertest.Field, pieces ...[]byte) ([]miltertest.Edit, miltertest.Reply) {
	t.Helper()
	envelope(t, m)
	for _, f := range header {
		ok(t)(m.Header(f.Name, f.Value))
	}
	ok(t)(m.EOH())
	for _, p := range pieces {
		ok(t)(m.Body(p))
	}
	edits, r, err := m.EOM()
	if err != nil {
		t.Fatal(err)
	}
	return edits, r
}

var someHeader = []miltertest.Field{{Name: "Subject", Value: " hello"}, {Name: "X-Folded", Value: "\tone\n two"}, {Name: "X-Empty", Value: ""}}

// journal is what was logged.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// recorder is a child that keeps what it saw of each message.
type recorder struct {
	mu     sync.Mutex
	header []string
	body   []string
	hooks  milterkit.Hooks
}

func (r *recorder) Name() string { return "recorder" }

func (r *recorder) Hooks() milterkit.Hooks {
	h := r.hooks
	h.Message = func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
		var head strings.Builder
		for _, f := range m.Header() {
			fmt.Fprintf(&head, "%s:%s|", f.Name, f.Value)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.header = append(r.header, head.String())
		r.body = append(r.body, string(bytes.Join(m.Body(), nil)))
		return milterkit.Continue
	}
	return h
}

// Every operation reaches the MTA, with or without leading space agreed on, in
// every version of the protocol.
func TestEditsReachTheMTA(t *testing.T) {
	editor := milterkit.OnMessage("editor", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.AddHeader("X-Added", "one")
		e.InsertHeader(0, "X-Top", "two")
		e.ChangeHeader("Subject", 1, "changed")
		e.DeleteHeader("X-Empty", 1)
		e.ChangeHeader("X-Folded", 1, "")
		if e.ReplaceBody([]byte(strings.Repeat("new body\r\n", 10000))); e.Err() != nil {
			return milterkit.Fail(e.Err())
		}
		e.DeleteRecipient("<bob@example.test>")
		e.AddRecipient("<carol@example.test>")
		return milterkit.Continue
	})
	extra := milterkit.OnMessage("extra", func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		if m.Actions&wire.ActChangeFrom != 0 {
			e.ChangeSender("<new@example.org>", "RET=HDRS")
			e.AddRecipient("<dave@example.test>", "NOTIFY=NEVER")
		}
		e.Quarantine("why not")
		return milterkit.Continue
	})
	rec := &recorder{}
	_, socket := serve(t, milterkit.Slot{Child: editor}, milterkit.Slot{Child: extra}, milterkit.Slot{Child: rec})
	offers := map[string]miltertest.Offer{"all": {}, "without leading space": {Version: 6, Actions: wire.AllActions, Steps: wire.AllSteps &^ wire.LeadingSpace}}
	for v := uint32(2); v <= 6; v++ {
		o := miltertest.VersionOffer(v)
		if v < 6 {
			o.Actions = 0x3f
		}
		offers[fmt.Sprint("version ", v)] = o
	}
	for name, offer := range offers {
		t.Run(name, func(t *testing.T) {
			m := call(t, socket, offer)
			open(t, m)
			edits, r := deliver(t, m, someHeader, []byte("body\r\n"))
			if r.Final() {
				t.Fatal(r)
			}
			var got []string
			for _, e := range edits {
				if e.Body != "" {
					e.Body = e.Body[:10] + fmt.Sprint(len(e.Body))
				}
				got = append(got, fmt.Sprintf("%c %d %s|%s|%s", e.Code, e.Index, e.Name, e.Value, e.Body))
			}
			want := []string{
				"- 0 <bob@example.test>||", "+ 0 <carol@example.test>||",
				"m 1 X-Empty||", "m 1 X-Folded| |", "m 1 Subject| changed|",
				"i 0 X-Top| two|", "h 0 X-Added| one|",
				"q 0 |why not|", "b 0 ||new body\r\n100000",
			}
			if m.Offer().Actions&wire.ActChangeFrom != 0 {
				want = append([]string{"e 0 <new@example.org>|RET=HDRS|"}, want...)
				want = append(want[:3], append([]string{"2 0 <dave@example.test>|NOTIFY=NEVER|"}, want[3:]...)...)
			}
			if m.Negotiated.Steps&wire.LeadingSpace == 0 {
				// The MTA puts a space in front; an empty value would be a delete.
				for i := range want {
					want[i] = strings.Replace(want[i], "X-Folded| |", "X-Folded|  |", 1)
				}
			}
			if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
				t.Errorf("got\n%s\nwant\n%s", a, b)
			}
			rec.mu.Lock()
			defer rec.mu.Unlock()
			if s := rec.header[len(rec.header)-1]; s != "X-Top: two|Subject: changed|X-Folded: |X-Added: one|" {
				t.Errorf("the next child saw %q", s)
			}
		})
	}
}

// A value has its leading space, whether the MTA sent that or ate it.
func TestHeaderValuesKeepTheirLeadingSpace(t *testing.T) {
	rec := &recorder{}
	_, socket := serve(t, milterkit.Slot{Child: rec})
	for i, offer := range []miltertest.Offer{{}, miltertest.VersionOffer(4)} {
		m := call(t, socket, offer)
		open(t, m)
		deliver(t, m, append(someHeader, miltertest.Field{Name: "X-8bit", Value: " gr\xfc\xdfe"}, miltertest.Field{Name: "X-Two", Value: "  spaces"}), []byte("a\x00b\xff"))
		rec.mu.Lock()
		if rec.header[i] != "Subject: hello|X-Folded:\tone\n two|X-Empty:|X-8bit: gr\xfc\xdfe|X-Two:  spaces|" || rec.body[i] != "a\x00b\xff" {
			t.Errorf("%q %q", rec.header[i], rec.body[i])
		}
		rec.mu.Unlock()
	}
}

// A message that is larger than the memory there is stays as it is, byte by byte,
// for every child, and all memory is given back.
func TestSpilledMessageIsIntact(t *testing.T) {
	var pieces [][]byte
	whole := make([]byte, 3<<20)
	for i := range whole {
		whole[i] = byte(i*7 + i>>9)
	}
	for rest := whole; len(rest) > 0; {
		n := min(len(rest), wire.MaxBody)
		pieces, rest = append(pieces, rest[:n]), rest[n:]
	}
	for name, limit := range map[string]int64{"no memory": 1, "some memory": 1 << 20, "enough": 0} {
		t.Run(name, func(t *testing.T) {
			before := openFiles()
			rec, last := &recorder{}, &recorder{}
			var live, kept bytes.Buffer
			body := func(b *bytes.Buffer) milterkit.Hooks {
				return milterkit.Hooks{Body: func(_ context.Context, _ *milterkit.Message, p []byte) milterkit.Verdict {
					b.Write(p)
					return milterkit.Continue
				}}
			}
			d, err := milterkit.NewDispatcher(
				milterkit.Slot{Child: childOf("live", body(&live))},
				milterkit.Slot{Child: rec},
				milterkit.Slot{Child: childOf("kept", body(&kept))},
				milterkit.Slot{Child: childOf("last", last.Hooks())})
			if err != nil {
				t.Fatal(err)
			}
			d.Logger = slog.New(slog.DiscardHandler)
			srv := &milterkit.Server{Dispatcher: d, TempDir: t.TempDir(), MaxMemory: limit}
			m := call(t, listen(t, srv), miltertest.Offer{})
			open(t, m)
			for i := range 2 {
				if _, r := deliver(t, m, someHeader, pieces...); r.Final() {
					t.Fatal(r)
				}
				for j, got := range []string{rec.body[i], last.body[i], live.String(), kept.String()} {
					if got != string(whole) {
						t.Errorf("message %d, child %d has %d bytes, or others", i, j, len(got))
					}
				}
				if rec.header[i] != "Subject: hello|X-Folded:\tone\n two|X-Empty:|" || last.header[i] != rec.header[i] {
					t.Errorf("header %q", rec.header[i])
				}
				live.Reset()
				kept.Reset()
			}
			m.Quit()
			shut(t, srv)
			if n := milterkit.MemoryInUse(srv); n != 0 {
				t.Errorf("%d bytes are still in use", n)
			}
			if n := openFiles(); n > before {
				t.Errorf("%d descriptors, %d before", n, before)
			}
		})
	}
}

// openFiles returns how many descriptors are open, where the system tells.
func openFiles() int {
	fds, _ := filepath.Glob("/proc/self/fd/*")
	return len(fds)
}

type simple struct {
	name  string
	hooks milterkit.Hooks
}

func (c simple) Name() string           { return c.name }
func (c simple) Hooks() milterkit.Hooks { return c.hooks }

func childOf(name string, h milterkit.Hooks) milterkit.Child { return simple{name, h} }

// shut waits until all sessions have ended.
func shut(t *testing.T, srv *milterkit.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

// Where a message can neither be held nor be written, the client is to try again.
func TestMessageThatCannotBeKept(t *testing.T) {
	rec := &recorder{}
	srv, _ := serve(t, milterkit.Slot{Child: rec})
	srv = &milterkit.Server{Dispatcher: srv.Dispatcher, MaxMemory: 1, TempDir: filepath.Join(t.TempDir(), "none")}
	m := call(t, listen(t, srv), miltertest.Offer{})
	open(t, m)
	for range 2 {
		if _, r := deliver(t, m, someHeader, make([]byte, wire.MaxBody), make([]byte, wire.MaxBody)); r.SMTP() != "452 4.3.1 Insufficient system storage" {
			t.Errorf("%v", r)
		}
	}
	if _, r := deliver(t, m, someHeader, []byte("small\r\n")); r.Final() {
		t.Errorf("a small message: %v", r)
	}
	if len(rec.body) != 1 {
		t.Errorf("the child was asked about %d messages", len(rec.body))
	}
}

// A long command outside a message does not take the memory of the next one away.
func TestLongCommandBeforeMessage(t *testing.T) {
	rec := &recorder{}
	srv, _ := serve(t, milterkit.Slot{Child: rec})
	srv = &milterkit.Server{Dispatcher: srv.Dispatcher, TempDir: filepath.Join(t.TempDir(), "none")}
	m := call(t, listen(t, srv), miltertest.Offer{})
	ok(t)(m.Connect("mx.example.org", wire.FamilyInet, 4711, "192.0.2.1"))
	ok(t)(m.Helo(strings.Repeat("x", 10000)))
	for i, arg := range []string{"SIZE=1", "X=" + strings.Repeat("y", 9000)} {
		ok(t)(m.Mail("<a@b>", arg))
		ok(t)(m.Rcpt("<c@d>"))
		ok(t)(m.EOH())
		for range 3 {
			ok(t)(m.Body(make([]byte, 5000)))
		}
		if _, r, err := m.EOM(); err != nil || r.Final() {
			t.Errorf("message %d: %v %v", i, r, err)
		}
	}
}

func TestHeaderThatIsTooLong(t *testing.T) {
	for _, offer := range []miltertest.Offer{{}, miltertest.VersionOffer(2)} {
		rec := &recorder{}
		srv, _ := serve(t, milterkit.Slot{Child: rec})
		srv = &milterkit.Server{Dispatcher: srv.Dispatcher, TempDir: t.TempDir(), MaxHeader: 10000}
		m := call(t, listen(t, srv), offer)
		open(t, m)
		long := []miltertest.Field{{Name: "A", Value: " b"}, {Name: "X", Value: " " + strings.Repeat("y", 9000)}, {Name: "Z", Value: strings.Repeat("z", 2000)}}
		if _, r := deliver(t, m, long, []byte("body\r\n")); !strings.HasPrefix(r.SMTP(), "552 5.3.4 ") {
			t.Errorf("%v", r)
		}
		if _, r := deliver(t, m, long[:2], []byte("body\r\n")); r.Final() {
			t.Errorf("the next message: %v", r)
		}
		if len(rec.header) != 1 {
			t.Errorf("the child was asked about %d messages", len(rec.header))
		}
	}
}

// What is known of the pieces of a body takes memory besides their bytes.
func TestBodyInTooManyPieces(t *testing.T) {
	rec := &recorder{}
	_, socket := serve(t, milterkit.Slot{Child: rec})
	nc, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	m, err := miltertest.New(nc, miltertest.Offer{Version: 6, Actions: wire.AllActions, Steps: wire.AllSteps})
	if err != nil {
		t.Fatal(err)
	}
	open(t, m)
	envelope(t, m)
	ok(t)(m.EOH())
	many := bytes.Repeat(wire.AppendFrame(nil, wire.CmdBody, []byte("x")), 1<<16)
	for range 17 {
		if _, err := nc.Write(many); err != nil {
			t.Fatal(err)
		}
	}
	if _, r, err := m.EOM(); err != nil || r.SMTP() != "552 5.3.4 Message body comes in more than 1048576 pieces" {
		t.Errorf("%v %v", r, err)
	}
	envelope(t, m)
	if _, r, err := m.EOM(); err != nil || r.Final() || len(rec.body) != 1 {
		t.Errorf("the next message: %v %v; the child was asked about %d", r, err, len(rec.body))
	}
}

func TestLastPieceOfTheBodyWithItsEnd(t *testing.T) {
	rec := &recorder{}
	_, socket := serve(t, milterkit.Slot{Child: rec})
	m := call(t, socket, miltertest.Offer{})
	open(t, m)
	envelope(t, m)
	ok(t)(m.Header("Subject", " hello"))
	ok(t)(m.EOH())
	ok(t)(m.Body([]byte("one ")))
	if _, r, err := m.EOMWith([]byte("two")); err != nil || r.Final() || rec.body[0] != "one two" {
		t.Errorf("%v %v %q", r, err, rec.body)
	}
	// Neither header nor body.
	ok(t)(m.Mail("<>"))
	ok(t)(m.Rcpt("<c@d>"))
	if _, r, err := m.EOM(); err != nil || r.Final() || rec.body[1] != "" || rec.header[1] != "" {
		t.Errorf("%v %v %q", r, err, rec.body)
	}
}

// After QUIT_NC the connection goes on with another session: the first one's
// hooks are closed, nothing of it is left, and no negotiation is needed.
func TestQuitAndNewSession(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	see := func(s string) { mu.Lock(); defer mu.Unlock(); seen = append(seen, s) }
	_, socket := serve(t, milterkit.Slot{Child: childOf("c", milterkit.Hooks{
		Connect: func(_ context.Context, s *milterkit.Session) milterkit.Verdict {
			see("connect " + s.Host + s.Helo + s.Macro("j"))
			return milterkit.Continue
		},
		Mail: func(_ context.Context, e *milterkit.Envelope) milterkit.Verdict {
			see("mail " + e.Sender.Addr)
			return milterkit.Continue
		},
		Reset: func() { see("reset") },
		Close: func() { see("close") },
	})})
	m := call(t, socket, miltertest.Offer{})
	m.Macros(wire.CmdConnect, "j", "J")
	open(t, m)
	ok(t)(m.Mail("<a@b>"))
	m.QuitNew()
	ok(t)(m.Connect("other", wire.FamilyUnix, 0, "/run/x"))
	ok(t)(m.Mail("<c@d>"))
	ok(t)(m.Mail("<e@f>")) // ends the message before it
	m.Abort()
	m.Abort() // without MAIL: nothing
	ok(t)(m.Helo("again"))
	mu.Lock()
	defer mu.Unlock()
	want := "connect mx.example.orgJ|mail a@b|reset|close|connect other|mail c@d|reset|mail e@f|reset"
	if got := strings.Join(seen, "|"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
