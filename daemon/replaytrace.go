package daemon

import (
	"fmt"
	"strings"
	"time"

	"github.com/milterkit/sdk/daemon/internal/record"
	"github.com/milterkit/sdk/daemon/internal/replay"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// trace prints all there is of a message: who sent it, what each milter said, what was
// changed.
func (r *replayReport) trace(t *replay.Turn) {
	one := t.Results[0]
	r.say("%s\n", r.bold(miltertest.Escape(t.Letter.Name)))
	for _, f := range one.Facts {
		r.say("  %-7s %-44s  %s\n", f.Name, miltertest.Escape(f.Value), r.dim(f.From))
	}
	if one.Stripped > 0 {
		r.say("  %d field%s of the header taken off\n", one.Stripped, plural(one.Stripped))
	}
	r.say("\n")
	for i := range one.Record.Steps {
		r.step(&one.Record.Steps[i])
	}
	if n := one.Record.MoreStep; n > 0 {
		r.say("%d more\n", n)
	}
	if edits := one.Outcome.Edits; len(edits) > 0 {
		r.say("\n%s\n", r.bold(editsTitle(one.Outcome)))
		for _, e := range edits {
			r.say("  %s\n", e)
		}
	}
	if one.Outcome.Result == miltertest.Accepted {
		if d := r.messageDiff(one.Before, one.Outcome.Message); d != "" {
			r.say("\n%s", d)
		}
		r.envelope(one)
	}
	r.say("\n%s", r.outcomeWord(one))
	if who := by(one); who != "" {
		r.say("by %s", who)
	}
	if one.Record.Code != 0 {
		r.say(": %s", replyText(one))
	}
	if one.Outcome.Held {
		r.say(": %s", miltertest.Escape(strings.TrimSpace(one.Outcome.Reason)))
	}
	r.say("  in %s\n\n", took(one.Outcome.Elapsed))
}

// step prints one answer of a milter, or of its condition.
func (r *replayReport) step(s *record.Step) {
	answer := s.Verdict
	switch {
	case s.Condition != "":
		answer = r.dim("condition " + s.Condition)
	case s.Verdict == "reject" || s.Verdict == "tempfail" || s.Verdict == "discard" || s.Verdict == "fail":
		answer = r.red(answer)
	}
	if s.Code != 0 {
		answer += " " + flat(fmt.Sprintf("%d %s", s.Code, s.Reply))
	}
	if s.Error != "" {
		answer += ": " + flat(s.Error)
	}
	what := s.Milter
	if s.To != "" {
		what += " <" + miltertest.Escape(s.To) + ">"
	}
	if s.Calls > 1 {
		what += fmt.Sprintf(", %d times", s.Calls)
	}
	r.say("%-14s %9s  %-32s %s\n", s.At, s.Took.Round(10*time.Microsecond), what, answer)
}

// envelope tells who the message is for where a filter had a say in it.
func (r *replayReport) envelope(one *replay.Result) {
	was := miltertest.Envelope{From: one.Mail.From}
	for _, to := range one.Mail.To {
		was.To = append(was.To, to.Addr)
	}
	old, now := envelopeText(was), envelopeText(one.Outcome.Envelope)
	if old != now {
		r.say("\n%s", r.textDiff("envelope sent", old, "envelope delivered", now))
	}
}

func envelopeText(e miltertest.Envelope) string {
	text := "from " + e.From + "\n"
	for _, to := range e.To {
		text += "to   " + to + "\n"
	}
	return text
}
