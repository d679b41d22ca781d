package replay

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/milterkit/sdk/milterkit/miltertest"
)

// A Difference is something of a message that two chains do not have alike.
type Difference struct {
	What  string `json:"what"` // outcome, reply, decided by, refused recipients, held for, from, to, message
	First string `json:"first"`
	Other string `json:"other"`
}

// Compare returns what differs of what two chains have made of a message, as far as
// somebody outside would see it: edits that come to the same are none. Of a
// message whose outcome differs there is no more to compare. Of the difference
// "message" the texts are the whole messages, with the masks.
func (m Masks) Compare(a, b *Result) []Difference {
	var list []Difference
	add := func(what, first, other string) {
		if m.text(first) != m.text(other) {
			list = append(list, Difference{what, first, other})
		}
	}
	add("outcome", a.Record.Outcome, b.Record.Outcome)
	add("reply", replyOf(a), replyOf(b))
	add("decided by", decider(a), decider(b))
	add("refused recipients", strings.Join(a.Outcome.Refused, ", "), strings.Join(b.Outcome.Refused, ", "))
	if !goesOn(a) || !goesOn(b) {
		return list
	}
	add("held for", a.Outcome.Reason, b.Outcome.Reason)
	add("from", from(a), from(b))
	add("to", strings.Join(a.Outcome.Envelope.To, ", "), strings.Join(b.Outcome.Envelope.To, ", "))
	// The masks are of what filters write into headers.
	first, other := m.message(a.Outcome.Message), m.message(b.Outcome.Message)
	if x, y := first.Bytes(), other.Bytes(); !bytes.Equal(x, y) {
		list = append(list, Difference{"message", first.String(), other.String()})
	}
	return list
}

// goesOn reports whether the mail server has taken the message to deliver or hold it.
func goesOn(r *Result) bool { return r.Outcome.Result == miltertest.Accepted }

func replyOf(r *Result) string {
	if r.Record.Code == 0 {
		return r.Record.Reply
	}
	return fmt.Sprintf("%d %s", r.Record.Code, r.Record.Reply)
}

func decider(r *Result) string {
	if r.Record.By == "" {
		return ""
	}
	return r.Record.By + " at " + r.Record.At
}

func from(r *Result) string {
	return strings.Join(append([]string{r.Outcome.Envelope.From}, r.Outcome.Envelope.FromArgs...), " ")
}
