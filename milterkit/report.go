package milterkit

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// report is what there is to tell of a message, besides what the Walk knows.
type report struct {
	since moment
	edits int // that the MTA was asked for
	held  bool

	untold bool // the MTA has gone before it was told the outcome

	by string // the child that decided
	at Stage

	data Verdict // that DATA was refused with, as nothing came after it

	refused   int    // recipients
	refusedBy string // the child that refused the last of them
	refusal   Verdict

	children []ChildReport // memory for those of the next Report
	events   events
}

// begin starts the report of another message.
func (r *report) begin() {
	*r = report{since: now(), children: r.children, events: r.events}
}

// decide notes a verdict that ended a stage; p is nil if no child gave it.
func (r *report) decide(p *part, at Stage, v Verdict) {
	by := "milterkit" // of its own accord
	if p != nil && v != cutShort {
		by = p.Child.Name()
	}
	switch {
	case at == StageRcpt && v.kind != KindDiscard:
		r.refused++
		r.refusedBy, r.refusal = by, v
	case at == StageUnknown: // it says nothing of the message
	default:
		if at == StageData {
			r.data = v
		}
		r.by, r.at = by, at
		if at < StageMail {
			p.walk.tellRefusedSession(by, at, v)
		}
	}
}

// client returns the client as it stands in logs: "name[address]".
func (s *Session) client() string {
	if s.Addr == "" {
		return s.Host
	}
	name := s.Host
	if strings.HasPrefix(name, "[") { // the address in place of a name that is not known
		name = "unknown"
	}
	return name + "[" + s.Addr + "]"
}

// tellRefusedSession reports on a session that is refused before it has a message.
func (w *Walk) tellRefusedSession(by string, at Stage, v Verdict) {
	if w.d.OnReport != nil {
		m := Message{Envelope: &Envelope{Session: &w.sess}}
		w.report.to(w.d, &Report{Message: &m, Verdict: v, By: by, At: at, Events: w.report.events.list, Told: w.report.events.told})
	}
	w.d.logger().Info("session refused",
		"session", w.sess.ID, "client", w.sess.client(), "by", by, "at", at.String(), "verdict", v.String())
}

// A Report tells what became of one message, and the part of each child in it.
// It and all that it points to hold for the call only.
type Report struct {
	Message  *Message      // as it was in the end, without its body; of a refused session only that
	Verdict  Verdict       // what the MTA was told last; Continue where it took the message
	Held     bool          // the MTA was asked to hold it
	Aborted  bool          // it did not come to an end
	By       string        // the child that decided, "milterkit", or ""
	At       Stage         // where it did; connect or helo: it has refused the session
	Refused  int           // recipients that were refused, by children
	Size     int64         // of the body, in bytes
	Edits    int           // that the MTA was asked for
	Took     time.Duration // from MAIL on
	Children []ChildReport // those that took part or failed, in their order
	Events   []Event       // as they happened, those of the session before the message first; 1000 at most
	Told     int           // so many of the first Events were in an earlier Report of the session too
}

// A ChildReport is a child's part in a message.
type ChildReport struct {
	Name    string
	Verdict Verdict // the last one that was not Continue; a Fail where the child has failed
	At      Stage   // where it gave it
	Edits   int     // that it asked for
	Changes []Edit  // these edits; none of a child that was given up
	Took    time.Duration
	Shadow  bool
}

// Outcome returns one word: accept, reject, tempfail, discard, quarantine or
// aborted.
func (r *Report) Outcome() string {
	switch {
	case r.Aborted:
		return "aborted"
	case r.Held:
		return "quarantine"
	case r.Verdict.Final():
		return r.Verdict.kind.String()
	}
	return "accept"
}

// tell reports on the message that has ended: to the log, one line, and to who
// wants to know.
func (w *Walk) tell() {
	log := w.d.logger()
	if !log.Enabled(w.ctx, slog.LevelInfo) {
		log = nil
	}
	if log == nil && w.d.OnReport == nil {
		return
	}
	r := w.summary()
	if w.d.OnReport != nil {
		w.report.to(w.d, r)
	}
	if log != nil {
		log.LogAttrs(w.ctx, slog.LevelInfo, "message", w.line(r)...)
	}
	clear(r.Children)
	w.report.children = r.Children[:0]
}

// to hands a Report on. A panic there is nothing that the message could help.
func (r *report) to(d *Dispatcher, told *Report) {
	r.events.told = r.events.session
	defer func() {
		if v := recover(); v != nil {
			d.logger().Error("OnReport panicked", "error", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	d.OnReport(told)
}

// summary makes the Report of the message.
func (w *Walk) summary() *Report {
	r := &w.report
	m := &Message{Envelope: &w.env, fields: w.header.Fields(), complete: w.complete}
	if !w.headed { // it ended within the header
		m.fields = w.fields
	}
	s := &Report{Message: m, Events: r.events.list, Told: r.events.told, By: r.by, At: r.at, Refused: r.refused, Size: w.size, Edits: r.edits, Took: now().sub(r.since)}
	switch {
	case r.untold:
		s.Aborted = true
	case r.held && w.complete:
		s.Held = true
	case w.ended.Final():
		s.Verdict = w.ended
	case w.complete:
	case r.data.Final():
		s.Verdict = r.data
	default:
		s.Aborted = true
	}
	s.Children = r.children
	for i := range w.parts {
		p := &w.parts[i]
		if p.Shadow && p.refusal.Final() { // also of the messages after the first
			p.verdict, p.at = p.refusal, p.saidAt
		}
		if p.in || p.verdict.kind != KindContinue {
			c := ChildReport{p.Child.Name(), p.verdict, p.at, p.edits, nil, p.spent, p.Shadow}
			if p.edits > 0 && p.gone == nil { // what one given up holds is its own
				c.Changes = p.call.edits.list
			}
			s.Children = append(s.Children, c)
		}
	}
	return s
}

// line is what is logged of a message.
func (w *Walk) line(r *Report) []slog.Attr {
	outcome := r.Outcome()
	if r.Verdict.Final() {
		outcome = r.Verdict.String()
	}
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		slog.Uint64("session", w.sess.ID),
		slog.String("queue_id", w.env.QueueID()),
		slog.String("client", w.sess.client()),
		slog.String("helo", w.sess.Helo),
		slog.String("from", w.env.Sender.Addr),
		slog.Any("to", w.shownRecipients()),
		slog.Int("rcpts", len(w.env.Recipients)),
		slog.String("outcome", outcome),
	)
	if r.By != "" {
		attrs = append(attrs, slog.String("by", r.By), slog.String("at", r.At.String()))
	}
	if r.Refused > 0 {
		attrs = append(attrs, slog.Int("refused_rcpts", r.Refused), slog.String("refused_by", w.report.refusedBy),
			slog.String("refusal", w.report.refusal.String()))
	}
	if r.Size > 0 {
		attrs = append(attrs, slog.Int64("body", r.Size))
	}
	if r.Edits > 0 {
		attrs = append(attrs, slog.Int("edits", r.Edits))
	}
	attrs = append(attrs, slog.Duration("took", r.Took.Round(time.Microsecond)))
	milters := make([]slog.Attr, 0, len(r.Children))
	for i := range r.Children {
		milters = append(milters, slog.String(r.Children[i].Name, r.Children[i].String()))
	}
	attrs = append(attrs, slog.Attr{Key: "milters", Value: slog.GroupValue(milters...)})
	if r.Edits > 0 {
		attrs = append(attrs, changes("changes", r.Children, false))
	}
	return append(attrs, changes("would", r.Children, true))
}

// changes tells the first few edits of each child, in words: those of shadows or
// those that count. There may be none.
func changes(name string, children []ChildReport, shadows bool) slog.Attr {
	var list []any
	for i := range children {
		if c := &children[i]; c.Shadow == shadows && len(c.Changes) > 0 {
			list = append(list, slog.String(c.Name, inShort(c.Changes)))
		}
	}
	return slog.Group(name, list...)
}

// inShort is edits in words.
func inShort(edits []Edit) string {
	const few, long = 5, 80
	var list []string
	for _, e := range edits {
		if len(list) == few {
			list = append(list, "…")
			break
		}
		text := e.Op.String() + " " + e.Name
		if _, header := headerKind(e.Op); header {
			text += ":" + e.Value
		} else {
			text = strings.TrimSpace(strings.TrimSpace(text) + " " + e.Value)
		}
		if len(text) > long {
			text = strings.ToValidUTF8(text[:long], "") + "…"
		}
		list = append(list, text)
	}
	return strings.Join(list, "; ")
}

// addresses is a list as it stands in logs: [a@example.org b@example.org] in text,
// a list of strings in JSON.
type addresses []string

func (a addresses) MarshalText() ([]byte, error) {
	return []byte("[" + strings.Join(a, " ") + "]"), nil
}

func (a addresses) MarshalJSON() ([]byte, error) { return json.Marshal([]string(a)) }

// shownRecipients returns the first few recipients, with "…" behind them if there
// are more.
func (w *Walk) shownRecipients() addresses {
	const few = 5
	list := make(addresses, 0, few+1)
	for _, a := range w.env.Recipients[:min(few, len(w.env.Recipients))] {
		list = append(list, a.Addr)
	}
	if len(w.env.Recipients) > few {
		list = append(list, "…")
	}
	return list
}

// String tells the child's part as the log has it: verdict, stage, edits, time.
func (c *ChildReport) String() string {
	b := make([]byte, 0, 64)
	if c.Shadow {
		b = append(b, "shadow would: "...)
	}
	b = append(b, c.Verdict.String()...)
	if c.Verdict.kind != KindContinue {
		b = append(append(b, " at "...), c.At.String()...)
	}
	switch {
	case c.Edits == 1:
		b = append(b, ", 1 edit"...)
	case c.Edits > 1:
		b = append(strconv.AppendInt(append(b, ", "...), int64(c.Edits), 10), " edits"...)
	}
	b = append(append(b, ", "...), c.Took.Round(time.Microsecond).String()...)
	return string(b)
}

// warn logs a failure of a child. A want of descriptors is none, and comes in
// crowds.
func (w *Walk) warn(p *part, at Stage, err error) {
	if noneLeft(err) {
		if n, ok := w.d.noneLeft.due(); ok {
			w.d.logger().Warn("no descriptors left: messages are told to come again", "milter", p.Child.Name(), "error", err, "times", n)
		}
		return
	}
	action := p.defaultAction().String()
	switch {
	case p.Shadow:
		action = "none, it is a shadow; else " + action
	case p.defaultAction() != p.DefaultAction:
		action += ", as the MTA offers no " + p.DefaultAction.String()
	}
	attrs := []slog.Attr{
		slog.Uint64("session", w.sess.ID),
		slog.String("queue_id", w.env.QueueID()),
		slog.String("milter", p.Child.Name()),
		slog.String("at", at.String()),
		slog.String("error", err.Error()),
		slog.String("default_action", action),
	}
	if pe, ok := err.(*PanicError); ok && pe.Stack != nil {
		attrs = append(attrs, slog.String("stack", string(pe.Stack)))
	}
	w.d.logger().LogAttrs(w.ctx, slog.LevelWarn, "milter failed", attrs...)
}
