// Package tracetext prints what is known of a message so that it can be read: who sent
// what to whom, what came of it, what each milter said and where the time went.
package tracetext

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/milterkit/sdk/daemon/internal/record"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// Options say how a message is printed.
type Options struct {
	Explain bool     // say why the outcome was what it was, and show conditions that held too
	Color   bool     // with colours, for a terminal
	Milters []Milter // those of the configuration, in their order, where it is at hand
}

// A Milter is what the configuration has of one.
type Milter struct {
	Name          string
	When          string // "": it always takes part
	DefaultAction string
}

func (o Options) milter(name string) (Milter, bool) {
	for _, m := range o.Milters {
		if m.Name == name {
			return m, true
		}
	}
	return Milter{}, false
}

// Print writes one message, in several lines.
func Print(w io.Writer, m *record.Message, o Options) error {
	var b bytes.Buffer
	title(&b, m, o)
	fact := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %-8s %s\n", name, text)
		}
	}
	if m.Sender != nil {
		fact("from", address(*m.Sender))
		fact("to", recipients(m))
	}
	fact("refused", refused(m))
	fact("client", client(m))
	if m.Sender != nil {
		fact("id", miltertest.Escape(m.ID))
	}
	if m.Size > 0 {
		fact("body", size(m.Size))
	}
	if o.Explain {
		b.WriteString("\n")
		for _, sentence := range Why(m, o) {
			fill(&b, sentence)
		}
	}
	steps(&b, m, o)
	edits(&b, m)
	_, err := w.Write(b.Bytes())
	return err
}

// title is what the message is known by, when it was, and what came of it.
func title(b *bytes.Buffer, m *record.Message, o Options) {
	name := "message " + miltertest.Escape(m.QueueID)
	switch {
	case m.Sender == nil:
		name = "session"
	case m.QueueID == "":
		name = "message without a queue id"
	}
	fmt.Fprintf(b, "%s\n", o.bold(name+": ")+o.outcome(m, Sentence(m)))
	took := ""
	if m.Took > 0 {
		took = "took " + span(m.Took) + ", "
	}
	fmt.Fprintf(b, "  %-8s %s, %ssession %d\n", "when", m.Time.Local().Format(time.DateTime), took, m.Session)
}

// Line returns a message in one line, for a list of several.
func Line(m *record.Message, o Options) string {
	what := "session refused"
	if m.Sender != nil {
		to := "nobody"
		if len(m.To) > 0 {
			to = address(m.To[0])
		} else if all := m.Refusals(); len(all) > 0 {
			to = address(all[0].To)
		}
		if m.Rcpts > 1 {
			to += fmt.Sprintf(" and %d more", m.Rcpts-1)
		}
		what = address(*m.Sender) + " to " + to
	}
	id := miltertest.Escape(m.QueueID)
	if id == "" {
		id = fmt.Sprint(m.Session)
	}
	return fmt.Sprintf("%s  %-13s %s, from %s: %s", m.Time.Local().Format(time.DateTime), id, what, host(m), o.outcome(m, Sentence(m)))
}

// Sentence says in a few words what came of a message.
func Sentence(m *record.Message) string {
	by := ""
	if m.By != "" {
		by = " by " + m.By + " at " + m.At
		if c := milterOf(m, m.By); c != nil && c.Error != "" {
			by = ", as " + m.By + " failed at " + m.At
		}
	}
	answer := ""
	if m.Code != 0 {
		answer = ": " + reply(m.Code, m.Reply)
	}
	some := ""
	if m.Refused > 0 {
		some = fmt.Sprintf(", but %d recipient%s refused", m.Refused, plural(m.Refused, " was", "s were"))
	}
	switch m.Outcome {
	case "accept":
		return "accepted" + some
	case "quarantine":
		return "held by the mail server (quarantine)" + some
	case "reject":
		return "rejected" + by + answer
	case "tempfail":
		return "put off" + by + answer
	case "discard":
		return "discarded" + by
	case "aborted":
		if m.Rcpts == 0 && m.Refused > 0 {
			return fmt.Sprintf("not sent, as %s refused", plural(m.Refused, "its recipient was", fmt.Sprintf("all of its %d recipients were", m.Refused)))
		}
		return "ended before it was complete"
	}
	return miltertest.Escape(m.Outcome)
}

func reply(code int, text string) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", code, miltertest.Escape(strings.ReplaceAll(text, "\n", " / "))))
}

func milterOf(m *record.Message, name string) *record.Milter {
	for i := range m.Milters {
		if m.Milters[i].Name == name {
			return &m.Milters[i]
		}
	}
	return nil
}

func address(a string) string { return "<" + miltertest.Escape(a) + ">" }

func recipients(m *record.Message) string {
	const few = 10
	var list []string
	for _, to := range m.To[:min(few, len(m.To))] {
		list = append(list, address(to))
	}
	if more := m.Rcpts - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, ", ")
}

func refused(m *record.Message) string {
	if m.Refused == 0 {
		return ""
	}
	const few = 10
	var list []string
	for _, s := range m.Refusals() {
		if len(list) < min(few, m.Refused) {
			list = append(list, address(s.To))
		}
	}
	if more := m.Refused - len(list); more > 0 {
		list = append(list, fmt.Sprintf("%d%s", more, plural(len(list), "", " more")))
	}
	return strings.Join(list, ", ")
}

// host is the client as it stands in logs.
func host(m *record.Message) string {
	name := miltertest.Escape(m.Client)
	if m.Addr != "" {
		if strings.HasPrefix(name, "[") { // the address in place of a name that is not known
			name = "unknown"
		}
		name += "[" + miltertest.Escape(m.Addr) + "]"
	}
	if name == "" {
		return "a client that is not known"
	}
	return name
}

func client(m *record.Message) string {
	text := host(m)
	if m.Helo != "" {
		text += ", helo " + miltertest.Escape(m.Helo)
	}
	if m.Auth != "" {
		text += ", logged in as " + miltertest.Escape(m.Auth)
	}
	return text
}

func size(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}

// span is a time in three digits or so.
func span(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.0fms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.1fms", d.Seconds()*1e3)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// fill writes a sentence in lines of some 100 letters.
func fill(b *bytes.Buffer, text string) {
	const long = 98
	line := "  *"
	for word := range strings.FieldsSeq(text) {
		if len(line)+len(word) > long {
			b.WriteString(line + "\n")
			line = "   "
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}

func (o Options) in(code, text string) string {
	if !o.Color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (o Options) bold(text string) string { return o.in("1", text) }
func (o Options) dim(text string) string  { return o.in("2", text) }

// outcome paints what came of the message.
func (o Options) outcome(m *record.Message, text string) string {
	switch {
	case m.Outcome == "accept" && m.Refused == 0:
		return o.in("32", text)
	case m.Outcome == "reject" || m.Outcome == "tempfail":
		return o.in("31", text)
	}
	return o.in("33", text)
}
