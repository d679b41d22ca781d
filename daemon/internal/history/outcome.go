package history

import "github.com/milterkit/sdk/daemon/internal/record"

// Outcomes are the words for what becomes of a message, in the order in which they
// are drawn.
var Outcomes = [...]string{"accept", "quarantine", "discard", "tempfail", "reject", "aborted"}

// OutcomeOf is the outcome of a message as it is counted: that of one whose every
// recipient was refused, which the client then gave up, is the refusal.
func OutcomeOf(m *record.Message) string {
	if m.Outcome == "aborted" && m.Refused > 0 && m.Rcpts == 0 {
		switch _, code, _ := Refusal(m); {
		case code >= 500:
			return "reject"
		case code >= 400:
			return "tempfail"
		}
	}
	return m.Outcome
}

// Refusal returns who refused a message, or else the last of its recipients, and the
// reply. The code is 0 where nothing was refused.
func Refusal(m *record.Message) (by string, code int, reply string) {
	if m.Code > 0 {
		return m.By, m.Code, m.Reply
	}
	if s := lastRefused(m); s != nil {
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
	for i := len(m.Steps) - 1; i >= 0; i-- {
		if s := &m.Steps[i]; s.At == "rcpt" && s.Code > 0 {
			return s
		}
	}
	return nil
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
