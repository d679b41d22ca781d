package daemon

import (
	"fmt"
	"slices"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/replay"
	"github.com/milterkit/sdk/daemon/internal/tracetext"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// trace prints all there is of a message: who sent it, what each milter said, what was
// changed.
func (r *replayReport) trace(t *replay.Turn) error {
	one := t.Results[0]
	r.say("%s\n", r.bold(miltertest.Escape(t.Letter.Name)))
	for _, row := range sourcesOf(one.Facts) {
		r.say("  %s\n", row)
	}
	if one.Stripped > 0 {
		r.say("  taken off: %d field%s of the header\n", one.Stripped, plural(one.Stripped))
	}
	r.say("\n")
	o := tracetext.Options{Explain: true, Color: bool(r.paint), Milters: r.milters}
	if err := tracetext.Print(r.w, one.Record, o); err != nil {
		return err
	}
	if one.Outcome.Result == miltertest.Accepted {
		if d := r.messageDiff(one.Before, one.Outcome.Message); d != "" {
			r.say("\n%s", d)
		}
		r.envelope(one)
	}
	if one.Outcome.Held {
		r.say("\n%s %s\n", r.red("held for:"), miltertest.Escape(strings.TrimSpace(one.Outcome.Reason)))
	}
	r.say("\n")
	return nil
}

// sourcesOf tells where facts are from, in a line for each source.
func sourcesOf(facts []replay.Fact) (rows []string) {
	var sources []string
	names := map[string][]string{}
	for _, f := range facts {
		if !slices.Contains(sources, f.From) {
			sources = append(sources, f.From)
		}
		names[f.From] = append(names[f.From], fmt.Sprintf("%s %s", f.Name, miltertest.Escape(f.Value)))
	}
	for _, source := range sources {
		rows = append(rows, "by "+source+": "+strings.Join(names[source], ", "))
	}
	return rows
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
