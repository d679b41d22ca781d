package action

import (
	"context"

	"github.com/milterkit/sdk/milterkit"
)

// MaxEdits is how many edits a child may ask for because of what a message has in it.
// Postfix looks for each field that is deleted from the top of the header: for 5,000
// that takes it 2 seconds, and four times that for twice as many.
const MaxEdits = 500

// A Hook is the hook Message of a child.
type Hook = func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict

// Bounded is a hook that refuses messages for which it would have to ask for more than
// MaxEdits: one with so many forged fields is sent to do harm.
func Bounded(hook Hook) Hook {
	return func(ctx context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		v := hook(ctx, m, e)
		if e.Len() > MaxEdits && (v == milterkit.Continue || v == milterkit.Accept) {
			return milterkit.Reply(552, "5.3.4 Message has too many header fields that are to be changed")
		}
		return v
	}
}
