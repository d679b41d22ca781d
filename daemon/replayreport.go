package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/replay"
	"github.com/milterkit/sdk/daemon/internal/tracetext"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// A replayReport tells what became of messages, while they go by.
type replayReport struct {
	paint
	w        io.Writer
	options  *replayOptions
	files    []string           // the configurations
	milters  []tracetext.Milter // of the first
	masks    replay.Masks
	progress *replayProgress
	began    time.Time

	first    *replay.Turn // not told yet: it may be the only one
	count    int          // of messages
	unread   int          // of these could not be read, or were not taken past the milters
	refused  int          // were not accepted for all
	differ   int
	outcomes tally // by outcome, and who decided
	changes  tally // by what differs
	written  outFolder
}

func newReplayReport(o *replayOptions, files []string, c *config.Config, masks replay.Masks, stdout, stderr io.Writer, total int64) *replayReport {
	return &replayReport{paint: newPaint(stdout, o.color), w: stdout, options: o, files: files, milters: traced(c), masks: masks,
		progress: newReplayProgress(stderr, total), began: time.Now(), written: outFolder{dir: o.out}}
}

// turn tells of the next message.
func (r *replayReport) turn(t *replay.Turn) error {
	r.count++
	r.progress.add(t.Letter.Size)
	if t.Err == nil {
		if err := r.written.write(t); err != nil {
			return err
		}
	}
	switch {
	case r.options.json:
		return r.print(func() error { return r.line(t) })
	case r.count == 1 && !r.options.verbose && r.options.against == "":
		r.first = t
		return nil
	case r.first != nil:
		first := r.first
		r.first = nil
		if err := r.print(func() error { return r.text(first, false) }); err != nil {
			return err
		}
	}
	return r.print(func() error { return r.text(t, r.options.verbose) })
}

// print calls do while the terminal has no line of the progress.
func (r *replayReport) print(do func() error) error {
	r.progress.clear()
	defer r.progress.show()
	return do()
}

// end tells of all messages together, and returns the error that the program ends
// with.
func (r *replayReport) end(failed error) error {
	r.progress.end()
	if r.first != nil {
		if err := r.text(r.first, true); err != nil {
			return err
		}
	} else if !r.options.json && (r.count > 1 || r.options.against != "") {
		r.summary()
	}
	switch {
	case errors.Is(failed, context.Canceled):
		return trouble(fmt.Errorf("interrupted after %d message%s", r.count, plural(r.count)))
	case failed != nil:
		return trouble(failed)
	case r.unread > 0:
		return trouble(fmt.Errorf("%d of %d message%s could not be read, or not be taken past the milters", r.unread, r.count, plural(r.count)))
	case r.differ > 0:
		return &statusError{exitFault, fmt.Errorf("%d of %d message%s differ%s", r.differ, r.count, plural(r.count), third(r.differ))}
	case r.refused == 1 && r.count == 1:
		return &statusError{exitNotAccepted, errors.New("the message was not accepted for all recipients")}
	case r.refused > 0:
		return &statusError{exitNotAccepted, fmt.Errorf("%d of %d message%s not accepted for all recipients", r.refused, r.count, plural(r.count))}
	}
	return nil
}

func third(n int) string {
	if n == 1 {
		return "s"
	}
	return ""
}

// count1 counts a message, and returns what differs of it.
func (r *replayReport) count1(t *replay.Turn) []replay.Difference {
	if t.Err != nil {
		r.unread++
		return nil
	}
	if r.options.against == "" {
		one := t.Results[0]
		if !one.Taken() {
			r.refused++
		}
		r.outcomes.add(one.Record.Outcome, by(one))
		return nil
	}
	differ := r.masks.Compare(t.Results[0], t.Results[1])
	if len(differ) > 0 {
		r.differ++
		first := differ[0]
		if first.What == "outcome" {
			r.changes.add(first.First+" → "+first.Other, by(t.Results[1]))
		} else {
			what := first.What
			if what == "message" {
				what = "message as delivered"
			}
			r.changes.add(what, "")
		}
	}
	return differ
}

// by is who decided of a message, and where.
func by(r *replay.Result) string {
	if r.Record.By == "" {
		return ""
	}
	return r.Record.By + " at " + r.Record.At
}

// text prints a message, in one line or with all there is of it.
func (r *replayReport) text(t *replay.Turn, whole bool) error {
	differ := r.count1(t)
	switch {
	case t.Err != nil:
		r.say("%s  %s: %v\n", r.red("not taken   "), miltertest.Escape(t.Letter.Name), miltertest.Escape(t.Err.Error()))
	case r.options.against != "":
		if len(differ) > 0 {
			r.differences(t, differ)
		}
	case whole:
		return r.trace(t)
	default:
		r.oneLine(t)
	}
	return nil
}

func (r *replayReport) say(format string, args ...any) { fmt.Fprintf(r.w, format, args...) }

// oneLine is a message in one line.
func (r *replayReport) oneLine(t *replay.Turn) {
	one := t.Results[0]
	line := fmt.Sprintf("%s %9s  %s", r.outcomeWord(one), took(one.Outcome.Elapsed), miltertest.Escape(t.Letter.Name))
	if who := by(one); who != "" {
		line += "  " + who
	}
	if one.Record.Code != 0 {
		line += ": " + replyText(one)
	}
	if one.Outcome.Held {
		line += ": " + miltertest.Escape(strings.TrimSpace(one.Outcome.Reason))
	}
	if n := len(one.Outcome.Refused); n > 0 && one.Outcome.Result == miltertest.Accepted {
		line += fmt.Sprintf("  %d of %d recipients refused", n, len(one.Mail.To))
	}
	r.say("%s\n", line)
}

func took(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }

// outcomeWord is the outcome in colour, as wide as the longest.
func (r *paint) outcomeWord(one *replay.Result) string {
	word := fmt.Sprintf("%-10s", one.Record.Outcome)
	if one.Taken() {
		return r.green(word)
	}
	return r.red(word)
}

// replyText is the reply in one line, fit to be printed.
func replyText(one *replay.Result) string {
	return miltertest.Escape(fmt.Sprintf("%d %s", one.Record.Code, strings.NewReplacer("\r\n", " / ", "\n", " / ").Replace(one.Record.Reply)))
}

// differences prints what two configurations make of a message.
func (r *replayReport) differences(t *replay.Turn, list []replay.Difference) {
	r.say("%s\n", r.bold(miltertest.Escape(t.Letter.Name)))
	for _, d := range list {
		if d.What == "message" {
			r.say("%s", r.textDiff(r.files[0], d.First, r.files[1], d.Other))
			continue
		}
		r.say("  %-18s  %s\n  %-18s  %s\n", d.What, r.red("- "+flat(d.First)), "", r.green("+ "+flat(d.Other)))
	}
}

// flat is a text in one line.
func flat(text string) string {
	if text == "" {
		return "(none)"
	}
	return miltertest.Escape(strings.NewReplacer("\r\n", " / ", "\n", " / ").Replace(text))
}

// summary tells of all messages.
func (r *replayReport) summary() {
	r.say("\n%s in %v\n", r.bold(fmt.Sprintf("%d message%s", r.count, plural(r.count))), time.Since(r.began).Round(time.Millisecond))
	if r.options.against != "" {
		r.say("  %7d  the same\n", r.count-r.differ-r.unread)
	}
	for _, row := range append(r.outcomes.rows(), r.changes.rows()...) {
		r.say("  %7d  %s\n", row.n, row.text())
	}
	if r.unread > 0 {
		r.say("  %7d  %s\n", r.unread, r.red("not taken past the milters"))
	}
}

// line prints a message as JSON, where there is something to tell.
func (r *replayReport) line(t *replay.Turn) error {
	differ := r.count1(t)
	if t.Err == nil && r.options.against != "" && len(differ) == 0 {
		return nil
	}
	enc := json.NewEncoder(r.w)
	enc.SetEscapeHTML(false)
	return enc.Encode(documentOf(t, differ))
}
