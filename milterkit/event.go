package milterkit

import (
	"slices"
	"time"
)

// An Event is an answer of a child, or of its condition.
type Event struct {
	Child     string
	At        Stage
	Condition bool    // its condition was asked: Continue where it holds, else Accept
	To        string  // the recipient at hand
	Verdict   Verdict // before the slot's DefaultAction
	Start     time.Time
	Took      time.Duration
	Calls     int // 1, but for pieces of a body in a row
}

// Events are bounded for a message, and for the part of a session before it: one that
// goes on for ever is not remembered for ever. Room for some is kept between messages.
const (
	maxEvents        = 1000
	maxRcptEvents    = 900 // of these, up to the last recipient: there is room for what is said of the content
	maxSessionEvents = 100
	keptEvents       = 32
)

// events are what has happened so far, for a Report.
type events struct {
	list    []Event
	session int // how many of them are older than the message
	told    int // how many of these a Report has had
}

// begin forgets the message before.
func (e *events) begin() {
	if cap(e.list) > keptEvents {
		e.list = slices.Clone(e.list[:e.session])
	}
	e.list = e.list[:e.session]
}

// add notes what the child at hand has just answered.
func (e *events) add(p *part, start moment, took time.Duration) {
	w, c := p.walk, p.call // of a child that was given up, the call is its own: it is only read
	if w.d.OnReport == nil || w.opening || w.ending {
		return
	}
	at := Stage(c.stage.Load())
	if at == StageBody && p.answer.kind == KindContinue {
		if last := e.piece(p.Child.Name()); last != nil {
			last.Took += took
			last.Calls++
			return
		}
	}
	limit := maxEvents
	switch {
	case !w.open:
		limit = maxSessionEvents
	case at == StageRcpt || at == StageUnknown:
		limit = maxRcptEvents
	}
	if len(e.list) >= limit {
		return
	}
	event := Event{
		Child: p.Child.Name(), At: at, Condition: c.condition, Verdict: p.answer,
		Start: start.time(), Took: took, Calls: 1,
	}
	if at == StageRcpt {
		event.To = c.to.Addr
	}
	e.list = append(e.list, event)
	if !w.open {
		e.session = len(e.list)
	}
}

// piece returns the child's answer to the piece of the body before; the children of a
// group take turns.
func (e *events) piece(child string) *Event {
	for i := len(e.list) - 1; i >= 0 && e.list[i].At == StageBody; i-- {
		if last := &e.list[i]; last.Child == child && last.Verdict.kind == KindContinue {
			return last
		}
	}
	return nil
}
