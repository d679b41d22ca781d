package milterkit

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// A Dispatcher asks children, in order, about what happens in SMTP sessions.
// It knows nothing of the milter protocol: a mail server written in Go can
// drive one itself, with [Dispatcher.Walk]. Its fields must not change once a
// session has begun.
type Dispatcher struct {
	// StageTimeout bounds all children together at one stage up to data, catching up with what a late child
	// missed included. Zero: DefaultStageTimeout. Behind Sendmail it is 8 s at most.
	StageTimeout time.Duration

	// MessageTimeout bounds all children together on the content of one message. Zero: DefaultMessageTimeout.
	MessageTimeout time.Duration

	// MaxGivenUp bounds how many hooks of one child, of all sessions, may have been given up and still not
	// have returned; beyond it the child is taken to be down. Zero: DefaultMaxGivenUp.
	MaxGivenUp int

	// Logger is told of each message and of each failure of a child. Nil: slog.Default().
	Logger *slog.Logger

	// OnReport, where it is set, is called after each message, and when a session is refused before it has
	// one, for metrics and the like. Sessions call it at the same time, and wait for it.
	OnReport func(*Report)

	slots        []Slot
	feedFrom     int64         // the constant; tests have less
	hooksTimeout time.Duration // the constant; tests have more

	givenUp []atomic.Int64 // by slot: hooks that have not returned
	prompt  []atomic.Bool  // by slot: the child's hooks have last promised to return
	lastID  *atomic.Uint64 // of its sessions; those that follow each other on a Server share it

	noneLeft seldom // a child wanted for descriptors
}

// NewDispatcher returns a Dispatcher for slots, in their order. It fails if a
// slot has no child, two children have one name, or a condition can never be
// settled.
func NewDispatcher(slots ...Slot) (*Dispatcher, error) {
	names := make(map[string]bool, len(slots))
	for i := range slots {
		s := &slots[i]
		if s.Child == nil {
			return nil, fmt.Errorf("milterkit: slot %d has no child", i+1)
		}
		name := s.Child.Name()
		if name == "" {
			return nil, fmt.Errorf("milterkit: the child in slot %d has no name", i+1)
		}
		if names[name] {
			return nil, fmt.Errorf("milterkit: two children are called %q", name)
		}
		names[name] = true
		if err := s.When.check(); err != nil {
			return nil, fmt.Errorf("milterkit: %s: %w", name, err)
		}
		if int(s.DefaultAction) >= len(defaultActionNames) {
			return nil, fmt.Errorf("milterkit: %s: default action %d is not known", name, s.DefaultAction)
		}
		if i == 0 && s.Together {
			return nil, errors.New("milterkit: the first slot can not run together with one before it")
		}
	}
	return &Dispatcher{
		slots: slots, feedFrom: feedFrom, hooksTimeout: hooksTimeout, lastID: firstID(),
		givenUp: make([]atomic.Int64, len(slots)), prompt: make([]atomic.Bool, len(slots)),
	}, nil
}

// firstID is where the numbers of sessions begin: so that a program that is started
// anew does not use those again that it had, as long as it has less than a thousand
// sessions a second. They are exact in JSON, which has 53 bits.
func firstID() *atomic.Uint64 {
	id := new(atomic.Uint64)
	id.Store(uint64(max(time.Now().UnixMilli(), 0)))
	return id
}

// Slots returns the slots in their order. The caller must not change them.
func (d *Dispatcher) Slots() []Slot { return d.slots }

func (d *Dispatcher) logger() *slog.Logger {
	if d.Logger != nil {
		return d.Logger
	}
	return slog.Default()
}

func (d *Dispatcher) maxGivenUp() int64 { return int64(or(d.MaxGivenUp, DefaultMaxGivenUp)) }

// or returns v, or other where v is zero or less.
func or[T int | time.Duration](v, other T) T {
	if v > 0 {
		return v
	}
	return other
}
