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
		if first != other {
			list = append(list, Difference{what, first, other})
		}
	}
	words := func(what, first, other string) { // of a milter, where masks count
		if m.text(first) != m.text(other) {
			add(what, first, other)
		}
	}
	add("outcome", a.Record.Outcome, b.Record.Outcome)
	words("reply", replyOf(a), replyOf(b))
	add("decided by", decider(a), decider(b))
	if m.refused(a) != m.refused(b) {
		add("refused recipients", Masks.refused(nil, a), Masks.refused(nil, b))
	}
	if !goesOn(a) || !goesOn(b) {
		return list
	}
	words("held for", a.Outcome.Reason, b.Outcome.Reason)
	add("from", from(a), from(b))
	add("to", strings.Join(a.Outcome.Envelope.To, ", "), strings.Join(b.Outcome.Envelope.To, ", "))
	// The masks are of what filters write into headers.
	first, other := m.message(a.Outcome.Message), m.message(b.Outcome.Message)
	if x, y := first.Bytes(), other.Bytes(); !bytes.Equal(x, y) {
		list = append(list, Difference{"message", first.String(), other.String()})
	}
	return list
}

// refused is the recipients that were refused, with the replies as far as they are
// known, masked unless m is nil.
func (m Masks) refused(r *Result) string {
	replies := map[string]string{}
	for _, s := range r.Record.Refusals() {
		if s.Code > 0 {
			reply := fmt.Sprintf("%d %s", s.Code, s.Reply)
			if m != nil {
				reply = m.text(reply)
			}
			replies[s.To] = ": " + reply
		}
	}
	list := make([]string, len(r.Outcome.Refused))
	for i, to := range r.Outcome.Refused {
		list[i] = to + replies[strings.Trim(to, "<>")]
	}
	return strings.Join(list, ", ")
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
