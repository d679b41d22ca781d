package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

// counting returns a dispatcher whose messages are counted.
func counting(t *testing.T, slots ...milterkit.Slot) (*milterkit.Dispatcher, *Metrics) {
	t.Helper()
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	m := New(Sources{Version: "v1.2.3", Server: &milterkit.Server{Dispatcher: d, MaxSessions: 10},
		Configuration: func() Configuration { return Configuration{Generation: 1, Loaded: time.Unix(1e9, 0)} }})
	m.Use(d.Slots())
	d.OnReport = m.Observe
	return d, m
}

// pass takes messages of one session past the milters.
func pass(d *milterkit.Dispatcher, messages int) {
	ctx := context.Background()
	w := d.Walk(milterkit.AllActions)
	defer w.Close()
	w.Connect(ctx, "mx.example.org", milterkit.FamilyInet, "192.0.2.1", 25)
	w.Helo(ctx, "mx")
	for range messages {
		w.Mail(ctx, milterkit.NewAddress("<alice@example.org>"))
		w.Rcpt(ctx, milterkit.NewAddress("<bob@example.test>"))
		w.Rcpt(ctx, milterkit.NewAddress("<nobody@example.test>"))
		w.Message(ctx, []byte("Subject: x\r\n\r\nHello\r\n"))
		w.Reset()
	}
}

// scraped is what Prometheus is told, with the lines that have a text.
func scraped(t *testing.T, m *Metrics, text string) (lines []string) {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for line := range strings.Lines(w.Body.String()) {
		if strings.Contains(line, text) && !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func want(t *testing.T, m *Metrics, lines ...string) {
	t.Helper()
	for _, line := range lines {
		name, _, _ := strings.Cut(line, " ")
		if i := strings.LastIndex(line, "} "); i > 0 {
			name = line[:i+1]
		}
		got := scraped(t, m, name)
		if len(got) != 1 || got[0] != line {
			t.Errorf("got %q, want %q", got, line)
		}
	}
}

var chain = []milterkit.Slot{
	{Child: milterkit.NewChild("first", func() milterkit.Hooks {
		return milterkit.Hooks{
			Helo: func(context.Context, *milterkit.Session) milterkit.Verdict { return milterkit.Continue },
			Rcpt: func(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
				if to.Local() == "nobody" {
					return milterkit.Reject("5.1.1 no")
				}
				return milterkit.Continue
			},
		}
	})},
	{Child: milterkit.OnMessage("tagger", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.AddHeader("X-Tag", "yes")
		return milterkit.Continue
	}), When: milterkit.Condition{At: milterkit.StageMail, Holds: func(context.Context, *milterkit.Envelope, milterkit.Address) bool { return true }}},
	{Child: milterkit.OnMessage("down", func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
		return milterkit.Fail(remote.ErrDown)
	}), DefaultAction: milterkit.DefaultAccept},
	{Child: milterkit.OnMessage("shy", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.Quarantine("would")
		return milterkit.Accept
	}), Shadow: true},
	{Child: milterkit.OnMessage("last", func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
		return milterkit.Reject("5.7.1 no")
	})},
}

// Each message counts once for its outcome and once for each milter; what was asked
// once in a session counts once, however many messages it has.
func TestMessagesAreCounted(t *testing.T) {
	d, m := counting(t, chain...)
	pass(d, 3)
	want(t, m,
		`milterkit_messages_total{by="last",outcome="reject"} 3`,
		`milterkit_recipients_taken_total 3`,
		`milterkit_recipients_refused_total 3`,
		`milterkit_message_body_bytes_total 21`,
		`milterkit_message_duration_seconds_count 3`,
		`milterkit_milter_messages_total{milter="last",verdict="reject"} 3`,
		`milterkit_milter_messages_total{milter="tagger",verdict="continue"} 3`,
		`milterkit_milter_edits_total{milter="tagger"} 3`,
		`milterkit_milter_conditions_total{milter="tagger",result="holds"} 3`,
		`milterkit_milter_failures_total{milter="down",reason="down"} 3`,
		`milterkit_shadow_messages_total{milter="shy",verdict="accept"} 3`,
		`milterkit_shadow_edits_total{milter="shy"} 3`,
		`milterkit_milter_duration_seconds_count{milter="first"} 3`,
		`milterkit_milter_answer_duration_seconds_count{milter="first",stage="rcpt"} 6`,
		`milterkit_milter_answer_duration_seconds_count{milter="first",stage="helo"} 1`,
		`milterkit_milter_info{default_action="tempfail",kind="native",milter="shy",shadow="true"} 1`,
		`milterkit_milter_timeout_seconds{milter="shy",timeout="content"} 240`,
		`milterkit_sessions_max 10`,
		`milterkit_config_generation 1`,
		`milterkit_config_last_reload_successful 1`,
	)
	if got := scraped(t, m, `milterkit_milter_edits_total{milter="shy"}`); len(got) > 0 {
		t.Errorf("a shadow's edits count as those of others: %q", got)
	}
}

// A session that is refused before it has a message is none.
func TestRefusedSessionsAreCounted(t *testing.T) {
	d, m := counting(t, milterkit.Slot{Child: milterkit.NewChild("strict", func() milterkit.Hooks {
		return milterkit.Hooks{Connect: func(context.Context, *milterkit.Session) milterkit.Verdict { return milterkit.Reject("5.7.1 no") }}
	})})
	w := d.Walk(milterkit.AllActions)
	w.Connect(t.Context(), "mx.example.org", milterkit.FamilyInet, "192.0.2.1", 25)
	w.Close()
	want(t, m, `milterkit_sessions_refused_total{by="strict"} 1`, `milterkit_message_duration_seconds_count 0`)
}

// The series of a milter that is gone are gone, and those of one that stays go on.
// Sessions of the old configuration bring nothing back.
func TestMiltersThatAreGone(t *testing.T) {
	d, m := counting(t, chain...)
	pass(d, 1)
	m.Use(chain[:2])
	pass(d, 1)
	for _, gone := range []string{"down", "shy", "last"} {
		if got := append(scraped(t, m, `milter="`+gone+`"`), scraped(t, m, `by="`+gone+`"`)...); len(got) > 0 {
			t.Errorf("there are still %q", got)
		}
	}
	want(t, m, `milterkit_milter_edits_total{milter="tagger"} 2`, `milterkit_messages_total{by="other",outcome="reject"} 1`)
}

// A milter on a socket that cannot be reached is down, and says so.
func TestDownMilter(t *testing.T) {
	gone := &remote.Milter{Label: "gone", Network: "unix", Addr: t.TempDir() + "/none", Logger: slog.New(slog.DiscardHandler)}
	defer gone.Close()
	d, m := counting(t, milterkit.Slot{Child: gone})
	want(t, m, `milterkit_milter_down{milter="gone"} 0`)
	pass(d, 2)
	want(t, m, `milterkit_milter_down{milter="gone"} 1`,
		`milterkit_milter_failures_total{milter="gone",reason="connect"} 1`,
		`milterkit_milter_failures_total{milter="gone",reason="down"} 1`,
		`milterkit_messages_total{by="gone",outcome="tempfail"} 2`)
}

// Each failure has a reason, however deep it lies.
func TestReasons(t *testing.T) {
	for _, c := range []struct {
		err  error
		want reason
	}{
		{milterkit.ErrTimeout, timedOut},
		{os.ErrDeadlineExceeded, timedOut},
		{&net.DNSError{IsTimeout: true}, timedOut},
		{milterkit.ErrNoTimeLeft, noTimeLeft},
		{milterkit.ErrGivenUp, givenUp},
		{milterkit.ErrTooManyGivenUp, givenUp},
		{&milterkit.PanicError{Value: "x"}, panicked},
		{fmt.Errorf("%w: %w", remote.ErrDown, syscall.ECONNREFUSED), down},
		{&net.OpError{Op: "dial", Err: errors.New("x")}, connecting},
		{syscall.ECONNREFUSED, connecting},
		{fmt.Errorf("%w: %w", remote.ErrClosed, io.EOF), closed},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, closed},
		{&wire.ProtocolError{Code: 'x', Reason: "unknown"}, protocol},
		{remote.ErrUnasked, protocol},
		{errors.New("x"), other},
	} {
		if got := reasonOf(fmt.Errorf("while asked: %w", c.err)); got != c.want {
			t.Errorf("%v is %q, want %q", c.err, got, c.want)
		}
	}
}

// What is served keeps to Prometheus' rules of naming.
func TestNames(t *testing.T) {
	d, m := counting(t, chain...)
	pass(d, 1)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "milterkit_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// What is counted takes no memory for each message.
func TestObserveAllocatesNothing(t *testing.T) {
	r, m := aReport(t)
	if n := testing.AllocsPerRun(1000, func() { m.Observe(r) }); n > 0 {
		t.Errorf("%v allocations a message", n)
	}
}

// aReport is the report of a message that five milters on sockets have seen.
func aReport(t testing.TB) (*milterkit.Report, *Metrics) {
	var slots []milterkit.Slot
	r := &milterkit.Report{
		Message: &milterkit.Message{Envelope: &milterkit.Envelope{Session: new(milterkit.Session), Recipients: make([]milterkit.Address, 1)}},
		Size:    5000, Edits: 1, Took: 20 * time.Millisecond,
	}
	for i := range 5 {
		name := fmt.Sprint("milter", i)
		slots = append(slots, milterkit.Slot{Child: &remote.Milter{Label: name}})
		r.Children = append(r.Children, milterkit.ChildReport{Name: name, Edits: 1, Took: 3 * time.Millisecond})
		for _, at := range []milterkit.Stage{milterkit.StageConnect, milterkit.StageHelo, milterkit.StageMail, milterkit.StageRcpt,
			milterkit.StageData, milterkit.StageHeader, milterkit.StageBody, milterkit.StageMessage} {
			r.Events = append(r.Events, milterkit.Event{Child: name, At: at, Took: 300 * time.Microsecond})
		}
	}
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	m := New(Sources{Version: "v1.2.3", Server: &milterkit.Server{Dispatcher: d}})
	m.Use(slots)
	m.Observe(r)
	return r, m
}

// There are so many series with five milters on sockets that have seen every stage.
func TestSeriesOfFiveMilters(t *testing.T) {
	_, m := aReport(t)
	n := len(scraped(t, m, "milterkit_"))
	t.Logf("%d series of five milters, %d with those of Go and the process", n, len(scraped(t, m, "")))
	if n > 1200 {
		t.Errorf("%d series", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	r, m := aReport(b)
	b.ReportAllocs()
	for b.Loop() {
		m.Observe(r)
	}
}

func BenchmarkScrape(b *testing.B) {
	_, m := aReport(b)
	for b.Loop() {
		m.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil))
	}
}
