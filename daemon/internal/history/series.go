package history

import (
	"maps"
	"slices"
	"time"
)

// A Span is a time that is drawn: so many points of that length.
type Span struct {
	Name   string
	Step   time.Duration
	Points int

	ring int
}

// Spans are those that there are.
var Spans = []Span{
	{"hour", time.Minute, 60, 1},
	{"day", 15 * time.Minute, 96, 1},
	{"month", 6 * time.Hour, 120, 2},
}

// A Series is what happened in a span, point by point. The last point is not full yet.
type Series struct {
	Span     string              `json:"span"`
	Start    int64               `json:"start"` // of the first point, in seconds since 1970
	Step     int64               `json:"step"`  // from point to point, in seconds
	Messages map[string][]uint32 `json:"messages"`
	Sessions []uint32            `json:"sessions"` // that began
	Peak     []uint32            `json:"peak"`     // the most sessions at one time
	Milters  []MilterSeries      `json:"milters"`  // in the order of their names
}

// A MilterSeries is the part of one milter. Times are in milliseconds, null where
// there was no message.
type MilterSeries struct {
	Name     string     `json:"name"`
	Messages []uint32   `json:"messages"`
	Failures []uint32   `json:"failures"`
	P50      []*float64 `json:"p50"`
	P95      []*float64 `json:"p95"`
	Total    Totals     `json:"total"`
}

// Totals are the figures of one milter over all of a span.
type Totals struct {
	Messages uint64   `json:"messages"`
	Failures uint64   `json:"failures"`
	P50      *float64 `json:"p50"`
	P95      *float64 `json:"p95"`
}

// Series returns what happened in a span until now.
func (h *History) Series(s Span) Series {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.advance()
	r := &h.rings[s.ring]
	wide := int64(s.Step/time.Second) / r.Seconds // slots a point
	first := r.Last/wide - int64(s.Points) + 1    // in points since 1970
	out := Series{
		Span: s.Name, Start: first * wide * r.Seconds, Step: wide * r.Seconds, Messages: map[string][]uint32{},
		Sessions: make([]uint32, s.Points), Peak: make([]uint32, s.Points), Milters: []MilterSeries{},
	}
	for _, o := range Outcomes {
		out.Messages[o] = make([]uint32, s.Points)
	}
	each := func(f func(point, k int)) {
		r.each(first*wide, r.Last, func(n int64, k int) { f(int(n/wide-first), k) })
	}
	each(func(point, k int) {
		for i, o := range Outcomes {
			out.Messages[o][point] += r.Slots[k].Outcomes[i]
		}
		out.Sessions[point] += r.Slots[k].Sessions
		out.Peak[point] = max(out.Peak[point], r.Slots[k].Peak)
	})
	for _, name := range slices.Sorted(maps.Keys(h.milters)) {
		cells := h.milters[name].Cells[s.ring]
		m := MilterSeries{Name: name, Messages: make([]uint32, s.Points), Failures: make([]uint32, s.Points)}
		var all times
		points := make([]times, s.Points)
		each(func(point, k int) {
			c := &cells[k]
			m.Messages[point] += c.Messages
			m.Failures[point] += c.Failures
			m.Total.Messages += uint64(c.Messages)
			m.Total.Failures += uint64(c.Failures)
			points[point].merge(&c.Times)
			all.merge(&c.Times)
		})
		for i := range points {
			m.P50 = append(m.P50, points[i].milliseconds(0.5))
			m.P95 = append(m.P95, points[i].milliseconds(0.95))
		}
		m.Total.P50, m.Total.P95 = all.milliseconds(0.5), all.milliseconds(0.95)
		out.Milters = append(out.Milters, m)
	}
	return out
}

// milliseconds is a quantile as it is written, or nil.
func (t *times) milliseconds(q float64) *float64 {
	d, ok := t.quantile(q)
	if !ok {
		return nil
	}
	ms := float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
	return &ms
}

// A Sum is what happened in the last minute, hour or day.
type Sum struct {
	Messages map[string]uint64 `json:"messages"`
	Sessions uint64            `json:"sessions"`
	Peak     uint32            `json:"peak"`
}

// Sums returns what happened in the last minute, hour and day.
func (h *History) Sums() (minute, hour, day Sum) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.advance()
	return h.rings[0].sum(tickCount), h.rings[1].sum(60), h.rings[1].sum(minuteCount)
}

// sum adds up the last n slots.
func (r *ring) sum(n int64) Sum {
	s := Sum{Messages: map[string]uint64{}}
	for _, o := range Outcomes {
		s.Messages[o] = 0
	}
	r.each(r.Last-n+1, r.Last, func(_ int64, k int) {
		for i, o := range Outcomes {
			s.Messages[o] += uint64(r.Slots[k].Outcomes[i])
		}
		s.Sessions += uint64(r.Slots[k].Sessions)
		s.Peak = max(s.Peak, r.Slots[k].Peak)
	})
	return s
}
