package history

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/daemon/internal/record"
)

// A clock stands still until it is set.
type clock struct{ now time.Time }

// begun is a moment that is the first of a minute, an hour and six hours.
var begun = time.Date(2030, 5, 6, 12, 0, 0, 0, time.UTC)

func counting() (*History, *clock) {
	c := &clock{begun}
	h := New()
	h.clock = func() time.Time { return c.now }
	return h, c
}

// message is one that was taken, past milters that took so long each.
func message(outcome string, at time.Time, took ...time.Duration) *record.Message {
	sender := "alice@example.org"
	m := &record.Message{Time: at, Sender: &sender, Outcome: outcome, Rcpts: 1}
	for i, t := range took {
		m.Took += t
		m.Milters = append(m.Milters, record.Milter{Name: fmt.Sprintf("m%d", i+1), Took: t})
	}
	return m
}

func refused(code int, at time.Time) *record.Message {
	m := message("reject", at, time.Millisecond)
	m.Code, m.Reply, m.By = code, "no", "m1"
	return m
}

func total(h *History, span int, outcome string) (n uint32) {
	for _, v := range h.Series(Spans[span]).Messages[outcome] {
		n += v
	}
	return n
}

// A message counts in the minute in which it came, in the quarter of an hour, and in
// the six hours; and no longer than these are drawn.
func TestAMessageCountsForAsLongAsItIsDrawn(t *testing.T) {
	h, c := counting()
	h.record(message("accept", c.now, time.Millisecond))
	for _, step := range []struct {
		after            time.Duration
		hour, day, month uint32
	}{
		{0, 1, 1, 1}, {59 * time.Minute, 1, 1, 1}, {60 * time.Minute, 0, 1, 1}, {23*time.Hour + 59*time.Minute, 0, 1, 1},
		{24 * time.Hour, 0, 0, 1}, {30*24*time.Hour - time.Hour, 0, 0, 1}, {30 * 24 * time.Hour, 0, 0, 0}, {400 * 24 * time.Hour, 0, 0, 0},
	} {
		c.now = begun.Add(step.after)
		if a, b, m := total(h, 0, "accept"), total(h, 1, "accept"), total(h, 2, "accept"); a != step.hour || b != step.day || m != step.month {
			t.Errorf("after %v: %d in the hour, %d in the day, %d in the month", step.after, a, b, m)
		}
	}
}

// The last minute goes on by seconds, not from minute to minute.
func TestTheLastMinute(t *testing.T) {
	h, c := counting()
	c.now = begun.Add(58 * time.Second)
	h.record(message("reject", c.now))
	for _, step := range []struct {
		after time.Duration
		want  uint64
	}{{3, 1}, {57, 1}, {67, 0}} {
		c.now = begun.Add((58 + step.after) * time.Second)
		if minute, hour, day := h.Sums(); minute.Messages["reject"] != step.want || hour.Messages["reject"] != 1 || day.Messages["reject"] != 1 {
			t.Errorf("after %d s: %v, %v, %v", step.after, minute, hour, day)
		}
	}
}

// The points of a series are in order, and end at now.
func TestPointsEndNow(t *testing.T) {
	h, c := counting()
	c.now = begun.Add(7 * time.Minute)
	h.record(message("accept", c.now))
	c.now = c.now.Add(time.Minute)
	h.record(message("tempfail", c.now))
	h.sessions(2, 9)
	h.sessions(1, 4)
	s := h.Series(Spans[0])
	if s.Start != begun.Add(-51*time.Minute).Unix() || s.Messages["accept"][58] != 1 || s.Messages["tempfail"][59] != 1 || s.Sessions[59] != 3 || s.Peak[59] != 9 {
		t.Errorf("%+v", s)
	}
	if s := h.Series(Spans[2]); s.Start != begun.Add(-119*6*time.Hour).Unix() || s.Messages["accept"][119] != 1 {
		t.Errorf("%+v", s)
	}
}

// Where sessions have begun and ended between two looks there was one at least.
func TestPeakOfShortSessions(t *testing.T) {
	h, _ := counting()
	h.sessions(0, 0)
	if peak := h.Series(Spans[0]).Peak[59]; peak != 0 {
		t.Error(peak)
	}
	h.sessions(3, 0)
	if peak := h.Series(Spans[0]).Peak[59]; peak != 1 {
		t.Error(peak)
	}
}

// p50 and p95 are right to a size of the histogram, for any time.
func TestQuantiles(t *testing.T) {
	h, c := counting()
	for i := range 100 {
		h.record(message("accept", c.now, time.Duration(i+1)*time.Millisecond, 0, time.Hour))
	}
	m := h.Series(Spans[0]).Milters
	near := func(got *float64, want float64) bool { return got != nil && *got > want/1.78 && *got < want*1.78 }
	if !near(m[0].Total.P50, 50) || !near(m[0].Total.P95, 95) || !near(m[0].P50[59], 50) || m[0].P50[58] != nil {
		t.Errorf("%v %v", *m[0].Total.P50, *m[0].Total.P95)
	}
	if *m[1].Total.P95 > 0.1 || *m[2].Total.P50 < 100e3 || m[0].Total.Messages != 100 {
		t.Errorf("%v %v", *m[1].Total.P95, *m[2].Total.P50)
	}
}

// A milter that fails is known to do so since the first failure in a row.
func TestAMilterThatFails(t *testing.T) {
	h, c := counting()
	failing := message("tempfail", c.now, time.Second)
	failing.Milters[0].Error = "no answer in time"
	h.record(message("accept", c.now, time.Second))
	c.now = begun.Add(time.Second)
	h.record(failing)
	c.now = begun.Add(2 * time.Second)
	h.record(failing)
	s := h.State("m1")
	if !s.Failed.Equal(begun.Add(time.Second)) || s.Why != "no answer in time" || !s.Asked.Equal(c.now) || h.Series(Spans[0]).Milters[0].Total.Failures != 2 {
		t.Errorf("%+v", s)
	}
	h.record(message("accept", c.now, time.Second))
	if s := h.State("m1"); !s.Failed.IsZero() || s.Why != "" {
		t.Errorf("%+v", s)
	}
}

// A message whose recipients were all refused, so that the client gave up, counts as
// refused, and is kept.
func TestRefusedRecipients(t *testing.T) {
	h, c := counting()
	m := message("aborted", c.now, time.Millisecond)
	m.Rcpts, m.Refused = 0, 1
	m.Steps = []record.Step{{Milter: "m1", At: "rcpt", To: "bob@example.test", Verdict: "tempfail", Code: 451, Reply: "4.7.1 later"}}
	h.record(m)
	if by, _, reply := Refusal(h.Refused()[0].Message); total(h, 0, "tempfail") != 1 || by != "m1" || reply != "4.7.1 later" || RefusedRecipient(m) != "bob@example.test" {
		t.Errorf("by %s: %s", by, reply)
	}
	failed := message("aborted", c.now, time.Millisecond)
	failed.Rcpts, failed.Refused = 0, 1
	failed.Steps = []record.Step{{Milter: "m1", At: "rcpt", To: "bob@example.test", Verdict: "fail", Error: "no answer in time"}}
	h.record(failed)
	if by, _, _ := Refusal(failed); total(h, 0, "tempfail") != 2 || by != "m1" || len(h.Refused()) != 2 {
		t.Errorf("where the milter fails: by %s", by)
	}
}

// A session that was refused is no message, and is kept.
func TestASessionIsNoMessage(t *testing.T) {
	h, c := counting()
	m := refused(550, c.now)
	m.Sender = nil
	h.record(m)
	if total(h, 0, "reject") != 0 || len(h.Refused()) != 1 {
		t.Errorf("%d messages, %d kept", total(h, 0, "reject"), len(h.Refused()))
	}
}

// What a shadow would have refused is not refused, nor is a message that is held
// refused because a recipient was.
func TestWhatIsNoRefusal(t *testing.T) {
	h, c := counting()
	m := message("accept", c.now, time.Millisecond)
	m.Milters[0].Shadow = true
	m.Steps = []record.Step{{Milter: m.Milters[0].Name, At: "rcpt", To: "bob@example.test", Verdict: "reject", Code: 550}}
	h.record(m)
	if by, code, _ := Refusal(m); by != "" || code != 0 || len(h.Refused()) != 0 {
		t.Errorf("a shadow: by %s, %d", by, code)
	}
	m = message("quarantine", c.now, time.Millisecond)
	m.Refused = 1
	m.Steps = []record.Step{{Milter: "m1", At: "rcpt", To: "bob@example.test", Verdict: "reject", Code: 550}}
	if by, code, _ := Refusal(m); by != "" || code != 0 {
		t.Errorf("held: by %s, %d", by, code)
	}
}

// A clock that was years ahead does not stop the counting, and forgets nothing but
// what it has counted there.
func TestAClockThatIsSetBack(t *testing.T) {
	h, c := counting()
	h.record(message("accept", c.now))
	c.now = begun.Add(10 * time.Minute)
	h.record(message("accept", c.now))
	c.now = begun.Add(5 * time.Minute)
	h.record(message("accept", c.now))
	if n := total(h, 0, "accept"); n != 2 {
		t.Errorf("%d", n)
	}
	c.now = begun.AddDate(60, 0, 0)
	h.record(message("accept", c.now))
	c.now = begun
	h.record(message("accept", c.now))
	if n := total(h, 0, "accept"); n != 1 {
		t.Errorf("%d", n)
	}
}

// Of slow messages the slowest of a day are kept, of refused ones the last.
func TestWhatIsKept(t *testing.T) {
	h, c := counting()
	for i := range 100 {
		h.record(message("accept", c.now, time.Duration(1+i*37%100)*time.Second))
		h.record(refused(550+i%2, c.now))
	}
	slow, last := h.Slowest(), h.Refused()
	if len(slow) != keptSlow || slow[0].Message.Took != 100*time.Second || slow[24].Message.Took != 76*time.Second {
		t.Errorf("%d: %v to %v", len(slow), slow[0].Message.Took, slow[24].Message.Took)
	}
	if len(last) != keptRefused || last[0].Message.Code != 551 || last[0].N <= last[1].N || h.Find(last[49].N) != last[49].Message || h.Find(1e6) != nil {
		t.Errorf("%d %+v", len(last), last[0])
	}
	c.now = begun.Add(25 * time.Hour)
	h.record(message("accept", c.now, time.Second))
	if slow := h.Slowest(); len(slow) != 1 {
		t.Errorf("%d are kept after a day", len(slow))
	}
}

// What is saved is there again, with time passed in between.
func TestSavedAndLoaded(t *testing.T) {
	h, c := counting()
	h.record(refused(550, c.now))
	h.record(message("accept", c.now, time.Second))
	blob, err := h.save("one")
	if err != nil || Owner(blob) != "one" {
		t.Fatal(err)
	}
	later, c2 := counting()
	c2.now = begun.Add(time.Hour)
	if err := later.Load(blob); err != nil {
		t.Fatal(err)
	}
	if total(later, 0, "accept") != 0 || total(later, 1, "accept") != 1 || len(later.Refused()) != 1 || later.Refused()[0].Message.Sender == nil {
		t.Errorf("%+v", later.Series(Spans[1]))
	}
	later.record(message("accept", c2.now, time.Second))
	if m := later.Series(Spans[1]).Milters[0]; m.Total.Messages != 3 || total(later, 1, "accept") != 2 {
		t.Errorf("%+v", m.Total)
	}
	for _, broken := range [][]byte{nil, []byte("x"), []byte("one\n"), blob[:len(blob)/2], bytes.ToUpper(blob), append([]byte("one\n"), blob...)} {
		if err := later.Load(broken); err == nil {
			t.Errorf("%q is taken", broken[:min(len(broken), 20)])
		}
	}
	if total(later, 1, "accept") != 2 {
		t.Error("what can not be read changes what there was")
	}
}

// However much happens, and whatever it is called, it takes no more memory than is
// said at the top of the package.
func TestBounds(t *testing.T) {
	h, c := counting()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 3000 {
		c.now = c.now.Add(time.Second)
		m := refused(550, c.now)
		m.Took = time.Duration(i) * time.Second
		m.Milters[0].Name = fmt.Sprintf("milter %d", i%200)
		for range 300 {
			m.Steps = append(m.Steps, record.Step{Milter: "x", Reply: strings.Repeat("x", 100)})
		}
		h.record(m)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if took := int64(after.HeapAlloc) - int64(before.HeapAlloc); took > 20<<20 || len(h.milters) != MaxMilters {
		t.Errorf("%d KiB, %d milters", took>>10, len(h.milters))
	}
	if n := len(h.Refused()[0].Message.Steps); n != keptSteps {
		t.Errorf("%d steps are kept", n)
	}
	blob, err := h.save("me")
	if err != nil || len(blob) > 2<<20 {
		t.Errorf("%d bytes to save, %v", len(blob), err)
	}
}

func BenchmarkRecord(b *testing.B) {
	h := New()
	m := message("accept", time.Now(), time.Millisecond, 2*time.Millisecond, 3*time.Millisecond, 40*time.Millisecond, 500*time.Microsecond)
	m.Took = 0
	b.ReportAllocs()
	for b.Loop() {
		h.record(m)
	}
}

func BenchmarkSave(b *testing.B) {
	h, c := counting()
	for range 10000 {
		c.now = c.now.Add(7 * time.Second)
		h.record(message("accept", c.now, time.Millisecond, 2*time.Millisecond, 3*time.Millisecond, 40*time.Millisecond, 500*time.Microsecond))
	}
	for b.Loop() {
		blob, _ := h.save("me")
		b.ReportMetric(float64(len(blob)), "bytes")
	}
}

func BenchmarkSeries(b *testing.B) {
	h := New()
	h.record(message("accept", time.Now(), time.Millisecond, 2*time.Millisecond, 3*time.Millisecond, 40*time.Millisecond, 500*time.Microsecond))
	for b.Loop() {
		h.Series(Spans[1])
	}
}
