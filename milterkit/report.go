package milterkit

import (
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// report is what the log tells of a message, besides what the Walk knows.
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
}

// begin starts the report of another message.
func (r *report) begin() { *r = report{since: now()} }

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
			p.walk.logRefusedSession(by, at, v)
		}
	}
}

// client returns the client as it stands in logs: "name[address]".
func (s *Session) client() string {
	if s.Addr == "" {
		return s.Host
	}
	return s.Host + "[" + s.Addr + "]"
}

func (w *Walk) logRefusedSession(by string, at Stage, v Verdict) {
	w.d.logger().Info("session refused",
		"session", w.sess.ID, "client", w.sess.client(), "by", by, "at", at.String(), "verdict", v.String())
}

// logMessage writes the one line that each message gets.
func (w *Walk) logMessage() {
	log, r := w.d.logger(), &w.report
	if !log.Enabled(w.ctx, slog.LevelInfo) {
		return
	}
	outcome := "aborted"
	switch {
	case r.untold:
	case r.held && w.complete:
		outcome = "quarantine"
	case w.ended.Final():
		outcome = w.ended.String()
	case w.complete:
		outcome = "accept"
	case r.data.Final():
		outcome = r.data.String()
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
	if r.by != "" {
		attrs = append(attrs, slog.String("by", r.by), slog.String("at", r.at.String()))
	}
	if r.refused > 0 {
		attrs = append(attrs, slog.Int("refused_rcpts", r.refused), slog.String("refused_by", r.refusedBy),
			slog.String("refusal", r.refusal.String()))
	}
	if w.size > 0 {
		attrs = append(attrs, slog.Int64("body", w.size))
	}
	if r.edits > 0 {
		attrs = append(attrs, slog.Int("edits", r.edits))
	}
	attrs = append(attrs, slog.Duration("time", now().sub(r.since).Round(time.Microsecond)))
	milters := make([]slog.Attr, 0, len(w.parts))
	for i := range w.parts {
		if p := &w.parts[i]; p.in || p.verdict.kind != KindContinue {
			milters = append(milters, slog.String(p.Child.Name(), p.line()))
		}
	}
	attrs = append(attrs, slog.Attr{Key: "milters", Value: slog.GroupValue(milters...)})
	log.LogAttrs(w.ctx, slog.LevelInfo, "message", attrs...)
}

// addresses is a list as it stands in logs: [a@example.org b@example.org] in text,
// a list of strings in JSON.
type addresses []string

func (a addresses) MarshalText() ([]byte, error) {
	return []byte("[" + strings.Join(a, " ") + "]"), nil
}

func (a addresses) MarshalJSON() ([]byte, error) { return json.Marshal([]string(a)) }

// shownRecipients returns the first few recipients.
func (w *Walk) shownRecipients() addresses {
	const few = 5
	list := make(addresses, 0, few)
	for _, a := range w.env.Recipients[:min(few, len(w.env.Recipients))] {
		list = append(list, a.Addr)
	}
	return list
}

// line tells the child's part in the message: verdict, stage, edits, time.
func (p *part) line() string {
	b := make([]byte, 0, 64)
	if p.Shadow {
		b = append(b, "shadow: "...)
	}
	b = append(b, p.verdict.String()...)
	if p.verdict.kind != KindContinue {
		b = append(append(b, " at "...), p.at.String()...)
	}
	switch {
	case p.edits == 1:
		b = append(b, ", 1 edit"...)
	case p.edits > 1:
		b = append(strconv.AppendInt(append(b, ", "...), int64(p.edits), 10), " edits"...)
	}
	b = append(append(b, ", "...), p.spent.Round(time.Microsecond).String()...)
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
		action = "none, it is a shadow"
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
