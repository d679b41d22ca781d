package history

import (
	"slices"
	"time"

	"github.com/milterkit/sdk/daemon/internal/record"
)

// How many messages are kept, and for how long a slow one is.
const (
	keptSlow    = 25
	keptRefused = 50
	slowFor     = 24 * time.Hour
)

// What is left of a message that is kept.
const (
	keptRecipients = 10
	keptSteps      = 60
)

// A Kept is a message that is kept. Its number is no other's.
type Kept struct {
	N       uint64          `json:"n"`
	Message *record.Message `json:"message"`
}

// kept are the messages that were out of the ordinary.
type kept struct {
	N       uint64 // of the last one
	Slow    []Kept // the slowest of the last day, slowest first
	Refused []Kept // the last ones, newest first
}

// add keeps a message, if it is one to be kept.
func (k *kept) add(m *record.Message, now time.Time) {
	refused := m.Code > 0 || m.Refused > 0 || m.Outcome == "discard" || m.Outcome == "quarantine"
	k.Slow = slices.DeleteFunc(k.Slow, func(s Kept) bool { return now.Sub(s.Message.Time) > slowFor })
	at, _ := slices.BinarySearchFunc(k.Slow, m.Took, func(s Kept, took time.Duration) int {
		if s.Message.Took >= took {
			return -1
		}
		return 1
	})
	slow := at < keptSlow && m.Took > 0
	if !refused && !slow {
		return
	}
	k.N++
	one := Kept{k.N, shortened(m)}
	if slow {
		k.Slow = slices.Insert(k.Slow, at, one)
		k.Slow = k.Slow[:min(len(k.Slow), keptSlow)]
	}
	if refused {
		k.Refused = slices.Insert(k.Refused, 0, one)
		k.Refused = k.Refused[:min(len(k.Refused), keptRefused)]
	}
}

// shortened is a message without what would make it long.
func shortened(m *record.Message) *record.Message {
	if len(m.To) <= keptRecipients && len(m.Steps) <= keptSteps {
		return m
	}
	c := *m
	c.To = slices.Clone(c.To[:min(len(c.To), keptRecipients)])
	if n := len(c.Steps) - keptSteps; n > 0 { // the last ones say why
		c.MoreStep += n
		c.Steps = slices.Clone(c.Steps[n:])
	}
	return &c
}

// cut takes away what can be long, but for the last steps.
func (k *kept) cut() {
	const steps = 3
	for _, list := range [][]Kept{k.Slow, k.Refused} {
		for i := range list {
			m := *list[i].Message
			m.To = m.To[:min(len(m.To), 1)]
			n := max(len(m.Steps)-steps, 0)
			m.Steps, m.MoreStep = m.Steps[n:], m.MoreStep+n
			m.Milters = slices.Clone(m.Milters)
			for c := range m.Milters {
				m.Milters[c].Changes = nil
			}
			list[i].Message = &m
		}
	}
}

// empty forgets them all.
func (k *kept) empty() { k.Slow, k.Refused = nil, nil }

// Slowest returns the slowest messages of the last day, slowest first.
func (h *History) Slowest() []Kept {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.kept.Slow)
}

// Refused returns the last messages and sessions that were refused, put off, discarded
// or held, newest first.
func (h *History) Refused() []Kept {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.kept.Refused)
}

// Find returns the message of that number, or nil where it is not kept any more.
func (h *History) Find(n uint64) *record.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, list := range [][]Kept{h.kept.Refused, h.kept.Slow} {
		for _, one := range list {
			if one.N == n {
				return one.Message
			}
		}
	}
	return nil
}
