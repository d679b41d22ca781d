package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A sendReport prints what send does, while it does it, or as JSON at the end.
type sendReport struct {
	paint
	w       io.Writer
	options *sendOptions
	same    sameSteps
	doc     sendDocument
}

func newSendReport(w io.Writer, o *sendOptions) *sendReport {
	return &sendReport{w: w, options: o, paint: newPaint(w, o.color)}
}

// text prints, unless JSON is asked for.
func (r *sendReport) text(format string, args ...any) {
	if !r.options.json {
		fmt.Fprintf(r.w, format, args...)
	}
}

// negotiated tells what the milter has chosen.
func (r *sendReport) negotiated(m *miltertest.MTA, took time.Duration) {
	n := m.Negotiated
	r.doc.Negotiated = sendChoice{n.Version, maskWords(uint32(n.Actions), actionNames), maskWords(uint32(n.Steps), stepNames), millis(took)}
	r.text("%s\n", stepLine("negotiate", took, fmt.Sprintf("version %d", n.Version), ""))
	r.text("%24sactions %s\n%24ssteps   %s\n", "", maskString(uint32(n.Actions), actionNames), "", maskString(uint32(n.Steps), stepNames))
}

// begin begins the report of a message.
func (r *sendReport) begin(n int) {
	if r.options.repeat > 1 {
		r.flush()
		r.text("\n%s\n", r.bold(fmt.Sprintf("message %d of %d", n, r.options.repeat)))
	}
}

// step tells of one command. Commands of one kind that follow one another with
// the same answer, the fields of a header and the pieces of a body, are one line.
func (r *sendReport) step(s miltertest.Step) {
	if r.options.json {
		r.doc.add(s)
		return
	}
	if !r.options.verbose && r.same.add(s) {
		return
	}
	r.flush()
	if !r.options.verbose && r.same.begin(s) {
		return
	}
	r.printStep(s)
}

func (r *sendReport) printStep(s miltertest.Step) {
	reply := s.Reply.String()
	if s.Reply.Progress > 0 {
		reply += fmt.Sprintf(" after %d× progress", s.Reply.Progress)
	}
	switch {
	case s.Reply.Refused() || s.Reply.Kind == miltertest.Discard:
		reply = r.red(reply)
	case s.Reply.Final():
		reply = r.green(reply)
	}
	r.text("%s\n", stepLine(miltertest.Word(s.Cmd), s.Reply.Elapsed, s.What, reply))
}

// flush prints the line of the commands that were gathered.
func (r *sendReport) flush() {
	if s, ok := r.same.end(); ok {
		r.printStep(s)
	}
}

// stepLine is one line of the session: stage, time, argument, answer.
func stepLine(stage string, took time.Duration, what, reply string) string {
	const widest = 44
	if n := len([]rune(what)); n > widest {
		what = string([]rune(what)[:widest-1]) + "…"
	}
	return strings.TrimRight(fmt.Sprintf("%-11s%10s   %-*s  %s", stage, took.Round(10*time.Microsecond), widest, what, reply), " ")
}

// outcome tells how a message ended.
func (r *sendReport) outcome(mail miltertest.Mail, o *miltertest.Outcome) {
	r.flush()
	if r.options.json {
		r.doc.outcome(mail, o)
		return
	}
	if len(o.Edits) > 0 {
		r.text("\n%s\n", r.bold(editsTitle(o)))
		for _, e := range o.Edits {
			r.text("  %s\n", e)
		}
	}
	if o.Result == miltertest.Accepted {
		if d := r.messageDiff(mail.Message, o.Message); d != "" {
			r.text("\n%s", d)
		}
		r.envelope(mail, o)
	}
	r.text("\n%s  in %v\n", r.verdict(o), o.Elapsed.Round(10*time.Microsecond))
}

func editsTitle(o *miltertest.Outcome) string {
	if o.Result == miltertest.Accepted {
		return "edits"
	}
	return "edits, which do not count"
}

// envelope tells who the message is for where a filter had a say in it.
func (r *sendReport) envelope(mail miltertest.Mail, o *miltertest.Outcome) {
	if o.Envelope.From != mail.From || len(o.Refused) > 0 || len(o.Envelope.To) != len(mail.To) || hasRcptEdit(o.Edits) {
		r.text("\n%s\n  from %s\n  to   %s\n", r.bold("envelope"),
			miltertest.Escape(o.Envelope.From), miltertest.Escape(strings.Join(o.Envelope.To, ", ")))
	}
}

func hasRcptEdit(edits []miltertest.Edit) bool {
	for _, e := range edits {
		switch e.Code {
		case wire.RepAddRcpt, wire.RepAddRcptArgs, wire.RepDelRcpt:
			return true
		}
	}
	return false
}

// verdict is the outcome in a few words.
func (r *paint) verdict(o *miltertest.Outcome) string {
	text := o.Result.String()
	if o.At != 0 && o.At != wire.CmdEOM {
		text += " at " + miltertest.Word(o.At)
	}
	if o.Reply != "" {
		text += ": " + miltertest.Escape(strings.ReplaceAll(o.Reply, "\r\n", " / "))
	}
	if o.Held {
		text += ", quarantined: " + miltertest.Escape(o.Reason)
	}
	if o.Result == miltertest.Accepted && !o.Held {
		return r.green(text)
	}
	return r.red(text)
}

// messageDiff is what has become of a message, as a unified diff fit for a
// terminal; "" where it is the same.
func (r *paint) messageDiff(before, after *miltertest.Message) string {
	return r.textDiff("sent", before.String(), "delivered", after.String())
}

// textDiff is a unified diff of two texts, fit for a terminal; "" where they are the
// same.
func (r *paint) textDiff(oldName, before, newName, after string) string {
	text := string(diff.Diff(oldName, []byte(before), newName, []byte(after)))
	if text == "" {
		return ""
	}
	var b strings.Builder
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		switch line = miltertest.Escape(line); {
		case i == 0: // "diff sent delivered"
			continue
		case i < 3:
			line = r.bold(line)
		case strings.HasPrefix(line, "+"):
			line = r.green(line)
		case strings.HasPrefix(line, "-"):
			line = r.red(line)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// broken tells that the session cannot go on.
func (r *sendReport) broken(err error) {
	r.flush()
	if r.options.json {
		r.doc.Error = err.Error()
		r.end(0)
	}
}

// end ends the report.
func (r *sendReport) end(took time.Duration) error {
	r.flush()
	if !r.options.json {
		r.text("session of %d message%s, %v in all\n", r.options.repeat, plural(r.options.repeat), took.Round(10*time.Microsecond))
		return nil
	}
	r.doc.Elapsed = millis(took)
	enc := json.NewEncoder(r.w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(&r.doc)
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// sameSteps gathers commands of one kind that were answered alike.
type sameSteps struct {
	first miltertest.Step
	count int
	bytes int
	took  time.Duration
}

// begin begins to gather, where s is of a kind of which there are many.
func (g *sameSteps) begin(s miltertest.Step) bool {
	if s.Cmd != wire.CmdHeader && s.Cmd != wire.CmdBody || s.Reply.Final() {
		return false
	}
	*g = sameSteps{first: s}
	return g.add(s)
}

// add adds one more, where it is like the first.
func (g *sameSteps) add(s miltertest.Step) bool {
	if s.Cmd != g.first.Cmd || s.Reply.String() != g.first.Reply.String() {
		return false
	}
	var n int
	fmt.Sscanf(s.What, "%d bytes", &n)
	g.count++
	g.bytes += n
	g.took += s.Reply.Elapsed
	g.first.Reply.Progress = max(g.first.Reply.Progress, s.Reply.Progress)
	return true
}

// end returns what was gathered as one step.
func (g *sameSteps) end() (s miltertest.Step, ok bool) {
	if g.count == 0 {
		return s, false
	}
	s = g.first
	s.Reply.Elapsed = g.took
	if s.Cmd == wire.CmdHeader {
		s.What = fmt.Sprintf("%d field%s", g.count, plural(g.count))
	} else {
		s.What = fmt.Sprintf("%d piece%s, %d bytes", g.count, plural(g.count), g.bytes)
	}
	*g = sameSteps{}
	return s, true
}

// paint puts colours around text, or does not.
type paint bool

// newPaint paints where when says so, and for "auto" on a terminal that knows
// colours. Source: no-color.org.
func newPaint(w io.Writer, when string) paint {
	if when != "auto" {
		return when == "always"
	}
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" || os.Getenv("TERM") == "" {
		return false
	}
	info, err := f.Stat()
	return paint(err == nil && info.Mode()&os.ModeCharDevice != 0)
}

func (p paint) in(code, text string) string {
	if !p || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p paint) red(text string) string   { return p.in("31", text) }
func (p paint) green(text string) string { return p.in("32", text) }
func (p paint) bold(text string) string  { return p.in("1", text) }
func (p paint) dim(text string) string   { return p.in("2", text) }
