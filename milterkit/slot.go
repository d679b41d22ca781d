package milterkit

import "time"

// A Slot is a child's place in the order, and the terms on which it runs. Its
// zero values serve.
type Slot struct {
	Child Child

	// When says whether the child takes part. The zero Condition always holds.
	When Condition

	// CommandTimeout bounds one hook up to Data, and Unknown. Zero: DefaultCommandTimeout. (Reset and Close
	// have a second, for all children together.)
	CommandTimeout time.Duration

	// ContentTimeout bounds each of the hooks Header, Body and Message; a
	// call of [Progress] starts it anew. Zero: DefaultContentTimeout.
	ContentTimeout time.Duration

	// DefaultAction is what becomes of the message when the child fails, panics or takes too long.
	DefaultAction DefaultAction

	// Shadow has the child run and be logged, and change nothing.
	Shadow bool

	// Together has the child's Header, Body and Message run at the same time as those of the slot before. Both
	// see the same message. The outcome is as if they had run in order on that message.
	Together bool
}

func (s *Slot) commandTimeout() time.Duration { return or(s.CommandTimeout, DefaultCommandTimeout) }
func (s *Slot) contentTimeout() time.Duration { return or(s.ContentTimeout, DefaultContentTimeout) }

// A DefaultAction says what becomes of a message when a child fails. The zero
// value has the client try again later.
type DefaultAction uint8

const (
	DefaultTempFail   DefaultAction = iota // refused for now
	DefaultAccept                          // the child is out of this message
	DefaultReject                          // refused for good
	DefaultDiscard                         // taken and thrown away
	DefaultQuarantine                      // goes on, and is held by the MTA; tempfail where the MTA cannot
)

var defaultActionNames = [...]string{"tempfail", "accept", "reject", "discard", "quarantine"}

// String returns the action's name as it stands in configuration.
func (a DefaultAction) String() string { return nameOf(defaultActionNames[:], a) }
