package headers

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/milterkit/sdk/milterkit"
)

// What rules may do to one message. Mail that is sent to do harm can have a
// hundred thousand fields, of which an MTA looks for each that is changed. Beyond
// that the message is refused, as is one whose header is too long.
const (
	maxEdits = 500     // fields
	maxNew   = 1 << 20 // bytes of new values
	maxLines = 20      // of the log
	maxReply = 400     // bytes of text in a reply, or in a line of the log
)

// A checker applies rules.
type checker struct {
	rules []rule
	log   *slog.Logger
}

// A pass is the work on one message.
type pass struct {
	*checker
	ctx   context.Context
	m     *milterkit.Message
	nth   map[string]int  // how many fields of each name, in small letters, there were so far
	top   bool            // were all fields so far added or changed by children?
	first map[string]bool // the names of those
	edits []edit
	held  string // the reason of a quarantine
	bytes int    // of new values
	lines int    // of the log
}

// An edit is what is to be done about a field.
type edit struct {
	number   int    // of the field, as [milterkit.Message.Header] counts
	name     string // its own
	nth      int    // of its name
	top      bool   // did nothing but fields of children stand before it, and is it one?
	action   Action // Remove, Replace or Prepend
	newField string // the name that goes before it
	value    string
}

// message is the child's hook.
func (c *checker) message(ctx context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
	p := &pass{checker: c, ctx: ctx, m: m, nth: make(map[string]int), top: true, first: make(map[string]bool)}
	defer p.unlogged()
	for i, f := range m.Header() {
		if v := p.field(i, f); v != milterkit.Continue {
			return v
		}
	}
	p.apply(e)
	return milterkit.Continue
}

// field looks for the rule that fits a field.
func (p *pass) field(number int, f milterkit.Field) milterkit.Verdict {
	name := lower(f.Name)
	p.nth[name]++
	if p.top = p.top && f.Added; p.top {
		p.first[name] = true
	}
	var value []byte
	unfolded := false
	for i := range p.rules {
		r := &p.rules[i]
		if !r.fits(name, f.Added) {
			continue
		}
		if !unfolded {
			value, unfolded = unfold(f.Value), true
		}
		if p.ctx.Err() != nil {
			return milterkit.Fail(context.Cause(p.ctx))
		}
		if loc := r.find(value); loc != nil {
			return p.do(r, edit{number: number, name: string(f.Name), nth: p.nth[name], top: p.top, action: r.action}, value, loc)
		}
	}
	return milterkit.Continue
}

// do does what a rule says about a field that it fits.
func (p *pass) do(r *rule, x edit, value []byte, loc []int) milterkit.Verdict {
	text := func() string { return cleanReply(r.text.expand(value, loc, maxReply), maxReply) }
	switch r.action {
	case Remove, Warn, Discard:
		if len(r.text) > 0 {
			p.tell(r, x.name, value, text())
		}
	case Replace, Prepend:
		x.value = r.text.expand(value, loc, maxNew-p.bytes)
		if p.bytes += len(x.value); p.bytes > maxNew {
			return milterkit.Reply(552, "5.3.4 Message header is too long for the rules it is to be changed by")
		}
		x.value, x.newField = cleanValue(x.value), r.field
	case Quarantine:
		if p.held == "" {
			p.held = orElse(text(), fmt.Sprintf("header rule %d", r.number))
		}
	case Reject:
		return milterkit.Reject(text())
	case TempFail:
		return milterkit.TempFail(text())
	}
	switch r.action {
	case Discard:
		return milterkit.Discard
	case Remove, Replace, Prepend:
		if len(p.edits) == maxEdits {
			return milterkit.Reply(552, "5.3.4 Message has too many header fields that are to be changed")
		}
		p.edits = append(p.edits, x)
	}
	return milterkit.Continue
}

// apply asks for the edits: first for those that count the fields of a name, then for
// those that count all fields, each from the last to the first, so that none moves a
// field that another one counts.
func (p *pass) apply(e *milterkit.Edits) {
	if p.held != "" {
		e.Quarantine(p.held)
	}
	gone := 0
	for _, x := range slices.Backward(p.edits) {
		switch {
		case x.deletes():
			e.DeleteHeader(x.name, x.nth)
			gone++
		case x.action == Replace:
			e.ChangeHeader(x.name, x.nth, fold(x.name, x.value))
		}
	}
	if p.sendmail() {
		gone = 0 // Sendmail goes on counting them
	}
	hidden := p.hidden()
	for _, x := range slices.Backward(p.edits) {
		at := x.number - gone
		switch {
		case gone > 0 && x.deletes():
			gone--
		case x.action == Prepend && x.top:
			e.InsertHeader(at, x.newField, fold(x.newField, x.value))
		case x.action == Prepend:
			e.InsertHeader(at+hidden, x.newField, fold(x.newField, x.value))
		}
	}
}

// deletes reports whether the field is taken away.
func (x *edit) deletes() bool { return x.action == Remove || x.action == Replace && x.value == "" }

// sendmail reports whether the MTA is Sendmail: its version is a number, Postfix's
// begins with its name.
func (p *pass) sendmail() bool {
	v := p.m.Macro("v")
	return v != "" && v[0] >= '0' && v[0] <= '9'
}

// presets are the fields that Sendmail has itself, above those of the message and
// whether it will write them or not. A child that adds one that the message has not
// gives it its value. Source: sendmail's cf/m4/proto.m4, "Format of headers".
var presets = []string{"resent-date", "date", "resent-from", "from", "full-name", "resent-message-id", "message-id"}

// hidden is how many fields of the MTA's own stand above those that came with the
// message, and count for positions: its Received, and those of Sendmail that no
// child has given a value. Fields that children have put at the very top may stand
// above these, and where children have deleted some, Sendmail goes on counting
// them: nobody can tell. So this is never too much, for a new field to stand before
// its field at any rate.
func (p *pass) hidden() int {
	if !p.sendmail() {
		return 1
	}
	hidden := 1 + len(presets)
	for _, name := range presets {
		if p.first[name] {
			hidden--
		}
	}
	return hidden
}

// tell writes a line to the log.
func (p *pass) tell(r *rule, name string, value []byte, text string) {
	if p.lines++; p.lines > maxLines {
		return
	}
	level := slog.LevelInfo
	if r.action == Warn {
		level = slog.LevelWarn
	}
	p.log.LogAttrs(p.ctx, level, "header rule",
		slog.Uint64("session", p.m.ID),
		slog.String("queue_id", p.m.QueueID()),
		slog.Int("rule", r.number),
		slog.String("action", string(r.action)),
		slog.String("text", text),
		slog.String("header", cleanReply(name, maxReply)),
		slog.String("value", cleanReply(string(value[:min(len(value), maxReply+1)]), maxReply)))
}

// unlogged says how many lines are not in the log.
func (p *pass) unlogged() {
	if p.lines > maxLines {
		p.log.LogAttrs(p.ctx, slog.LevelWarn, "header rule: no more of them is logged for this message",
			slog.Uint64("session", p.m.ID), slog.String("queue_id", p.m.QueueID()), slog.Int("unlogged", p.lines-maxLines))
	}
}
