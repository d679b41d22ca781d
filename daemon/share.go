package daemon

import (
	"context"
	"fmt"

	"github.com/milterkit/sdk/builtin/conditions"
	"github.com/milterkit/sdk/milterkit"
)

// golden is 2^64 divided by the golden ratio. Its multiples lie evenly in what 64 bits
// hold, however many there are of them. Source: Knuth, TAOCP 3, 6.4.
const golden = 0x9E3779B97F4A7C15

// inShare narrows a condition to a share of the sessions. Which these are goes by
// their numbers: of any that follow each other it is that part, with at most one or two
// more or less, and milters with the same share have the same sessions.
func inShare(share float64, c milterkit.Condition) milterkit.Condition {
	if share >= 1 {
		return c
	}
	limit := uint64(share * (1 << 64))
	narrowed := milterkit.Condition{
		Name: fmt.Sprintf("in %g of the sessions", share),
		At:   milterkit.StageConnect,
		Holds: func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) bool {
			return e.ID*golden < limit
		},
	}
	if c.Holds == nil {
		return narrowed
	}
	return conditions.All(narrowed, c)
}
