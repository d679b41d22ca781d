package history

import "github.com/milterkit/sdk/daemon/internal/record"

// Outcomes are the words for what becomes of a message, in the order in which they
// are drawn.
var Outcomes = [...]string{"accept", "quarantine", "discard", "tempfail", "reject", "aborted"}

// OutcomeOf is the outcome of a message as it is counted: that of one whose every
// recipient was refused, which the client then gave up, is the refusal.
func OutcomeOf(m *record.Message) string {
	s := lastRefused(m)
	switch {
	case m.Outcome != "aborted" || m.Rcpts > 0 || s == nil:
		return m.Outcome
	case s.Code >= 500:
		return "reject"
	}
	return "tempfail" // also where a milter failed, as its default_action mostly is
}

// Refusal returns who refused a message, or else the last of its recipients, and the
// reply. The code is 0 where nothing was refused, or a milter failed. Of a message that
// is discarded or held, recipients do not count.
func Refusal(m *record.Message) (by string, code int, reply string) {
	if m.Code > 0 {
		return m.By, m.Code, m.Reply
	}
	if s := lastRefused(m); s != nil && m.Outcome != "discard" && m.Outcome != "quarantine" {
		return s.Milter, s.Code, s.Reply
	}
	return "", 0, ""
}

// RefusedRecipient returns the last recipient that was refused, or "".
func RefusedRecipient(m *record.Message) string {
	if s := lastRefused(m); s != nil {
		return s.To
	}
	return ""
}

// lastRefused is the answer that refused the last recipient, or nil.
func lastRefused(m *record.Message) *record.Step {
	all := m.Refusals()
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// indexOf is the place of a word in Outcomes; one that is not known is aborted.
func indexOf(outcome string) int {
	for i, o := range Outcomes {
		if o == outcome {
			return i
		}
	}
	return len(Outcomes) - 1
}
