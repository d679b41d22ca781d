// Package history counts what becomes of messages over time, in fixed memory: by the
// minute for a day and by the hour for 30 days, and keeps the slowest and the last
// refused messages. It is what the status page and `milterkit status` draw.
//
// A History takes a good 230 KB for each milter that it has seen, MaxMilters at most,
// and 1.5 MB for the messages that it keeps: 17 MB with all of that, 2 MB with three
// milters.
package history

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/milterkit/sdk/daemon/internal/record"
)

// MaxMilters is how many milters are counted. One more takes the place of that which
// was asked longest ago.
const MaxMilters = 64

// The rings: how long a slot of each is in seconds, and how many there are.
const (
	ticks, tickCount     = 5, 13 // a minute, and the one that is not full
	minutes, minuteCount = 60, 24 * 60
	hours, hourCount     = 3600, 30 * 24
)

// A History is what is remembered. Its methods may be called at the same time.
type History struct {
	clock func() time.Time
	queue chan *record.Message

	mu      sync.Mutex
	rings   [3]ring // ticks, minutes, hours
	milters map[string]*milter
	kept    kept
}

// A ring has the counts of the last slots of one length.
type ring struct {
	Seconds int64
	Last    int64 // the slot that was counted in last, in slots since 1970
	Slots   []slot
}

// A slot is what happened in one span of time.
type slot struct {
	Outcomes [len(Outcomes)]uint32
	Sessions uint32 // that began
	Peak     uint32 // the most at one time
}

// A milter is what is counted of one.
type milter struct {
	Cells [3][]cell // as the slots of the rings
	State State
}

// A cell is the part of a milter in one span of time.
type cell struct {
	Messages, Failures uint32
	Times              times
}

// A State is how a milter fared the last time.
type State struct {
	Asked  time.Time // the last message; zero: none yet
	Failed time.Time // since when each message has failed; zero: the last one did not
	Why    string    // the last failure
}

// New returns an empty History.
func New() *History {
	h := &History{clock: time.Now, queue: make(chan *record.Message, queued), milters: map[string]*milter{}}
	for i, r := range [3]struct{ seconds, n int }{{ticks, tickCount}, {minutes, minuteCount}, {hours, hourCount}} {
		h.rings[i] = ring{Seconds: int64(r.seconds), Slots: make([]slot, r.n)}
	}
	return h
}

// record counts a message, and keeps it if it is one of the slowest or was refused,
// without its long parts.
func (h *History) record(m *record.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.advance()
	if m.Sender != nil {
		o := indexOf(OutcomeOf(m))
		for i := range h.rings {
			h.rings[i].now().Outcomes[o]++
		}
	}
	for i := range m.Milters {
		h.count(&m.Milters[i], now)
	}
	h.kept.add(m, now)
}

// count counts the part of a milter.
func (h *History) count(part *record.Milter, now time.Time) {
	m := h.milter(part.Name)
	failed := part.Error != ""
	m.State.Asked, m.State.Why = now, part.Error
	switch {
	case !failed:
		m.State.Failed = time.Time{}
	case m.State.Failed.IsZero():
		m.State.Failed = now
	}
	for i := range h.rings {
		c := &m.Cells[i][h.rings[i].index()]
		c.Messages++
		c.Times.add(part.Took)
		if failed {
			c.Failures++
		}
	}
}

// milter returns the one of that name.
func (h *History) milter(name string) *milter {
	m := h.milters[name]
	if m != nil {
		return m
	}
	if len(h.milters) == MaxMilters {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(h.milters)), func(a, b string) int {
			return cmp.Or(h.milters[a].State.Asked.Compare(h.milters[b].State.Asked), cmp.Compare(a, b))
		})
		delete(h.milters, oldest)
	}
	m = &milter{}
	for i := range h.rings {
		m.Cells[i] = make([]cell, len(h.rings[i].Slots))
	}
	h.milters[name] = m
	return m
}

// sessions counts sessions that have begun since the last call, and notes how many
// there are now. Where some have begun and ended in between, there was one at least.
func (h *History) sessions(begun, now int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.advance()
	for i := range h.rings {
		s := h.rings[i].now()
		s.Sessions += uint32(max(begun, 0))
		s.Peak = max(s.Peak, uint32(max(now, min(begun, 1), 0)))
	}
}

// State returns how a milter fared the last time.
func (h *History) State(name string) State {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m := h.milters[name]; m != nil {
		return m.State
	}
	return State{}
}

// advance makes the slots of now the ones to count in, and empties those that are new.
// Where the clock was set back, what is in the future is forgotten.
func (h *History) advance() (now time.Time) {
	now = h.clock()
	for i := range h.rings {
		r := &h.rings[i]
		at, n := now.Unix()/r.Seconds, int64(len(r.Slots))
		from, to := r.Last+1, at
		if at < r.Last-1 {
			from, to = at, r.Last
		}
		for k := max(from, to-n+1); k <= to; k++ {
			r.Slots[k%n] = slot{}
			for _, m := range h.milters {
				m.Cells[i][k%n] = cell{}
			}
		}
		if from <= to {
			r.Last = at
		}
	}
	return now
}

func (r *ring) index() int { return int(r.Last % int64(len(r.Slots))) }
func (r *ring) now() *slot { return &r.Slots[r.index()] }

// each calls f for the slots from..to, numbers as Last is, that are remembered; k is
// their place in the ring.
func (r *ring) each(from, to int64, f func(n int64, k int)) {
	for n := max(from, r.Last-int64(len(r.Slots))+1); n <= min(to, r.Last); n++ {
		f(n, int(n%int64(len(r.Slots))))
	}
}
