package milterkit

import (
	"context"
	"fmt"
)

// A Condition says whether a slot takes part. The zero Condition always holds.
//
// It is settled at the stage At, anew for each message (at connect once for
// the session, at helo at each HELO). Until then the child is not contacted;
// when it holds, the child is told what happened so far before the event at
// hand.
type Condition struct {
	Name string // for logs
	At   Stage  // StageConnect, StageHelo, StageMail or StageRcpt

	// Holds is the test. It has the slot's CommandTimeout, and one that panics or takes longer is a failure of
	// the child, so DefaultAction decides. At connect and helo the envelope has only its Session. At rcpt it
	// is asked for each recipient, and the child is shown only those for which it holds; to is the zero
	// Address before. The child is asked about the content if one of these was taken by all children.
	// e.Recipients are those of them that were taken before.
	Holds func(ctx context.Context, e *Envelope, to Address) bool

	// Macros names the macros that the test needs at a stage, besides those that
	// MTAs send unasked. Names stand as the MTA spells them: "{client_rate}".
	Macros map[Stage][]string
}

func (c *Condition) check() error {
	if c.Holds == nil {
		if c.At != 0 || c.Name != "" {
			return fmt.Errorf("condition %q has no test", c.Name)
		}
		return nil
	}
	if c.At < StageConnect || c.At > StageRcpt {
		return fmt.Errorf("condition %q is to be settled at %s; it can be at connect, helo, mail or rcpt", c.Name, c.At)
	}
	return nil
}
