package tracetext

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/milterkit/sdk/daemon/internal/record"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// A row is a line of the table: a step, or several that were the same.
type row struct {
	milter, at, to, answer string
	count                  int
	took                   time.Duration
	begin, end             time.Duration // since the message began
	plain                  bool          // nothing came of it
	shadow                 bool
}

// longHold is how long a condition that holds has taken that is shown at any rate.
const longHold = 10 * time.Millisecond

// steps writes the table of what each milter was asked and said.
func steps(b *bytes.Buffer, m *record.Message, o Options) {
	rows := rowsOf(m, o)
	if len(rows) == 0 {
		b.WriteString("\n  no milter was asked\n")
		return
	}
	const most = 24 // letters of a name
	name, stage := len("milter"), len("stage")
	for i := range rows {
		r := &rows[i]
		if r.count > 1 {
			r.at += fmt.Sprintf(" ×%d", r.count)
		}
		name, stage = max(name, min(most, len([]rune(r.milter)))), max(stage, len([]rune(r.at)))
	}
	head := fmt.Sprintf("  %-*s  %-*s  %7s  %-*s  %s", name, "milter", stage, "stage", "time", barWidth, scale(m.Took), "answer")
	b.WriteString("\n" + o.dim(head) + "\n")
	for _, r := range rows {
		answer := r.answer
		if r.to != "" && r.count == 1 {
			answer = address(r.to) + ": " + answer
		}
		if r.shadow {
			answer = "(shadow) " + answer
		}
		if r.plain {
			answer = o.dim(answer)
		}
		took := span(r.took)
		if r.took == 0 && r.end == 0 {
			took = ""
		}
		fmt.Fprintf(b, "  %-*s  %-*s  %7s  %s  %s\n", name, r.milter, stage, r.at, took, bar(r.begin, r.end, m.Took), answer)
	}
	if m.MoreStep > 0 {
		fmt.Fprintf(b, "  … and %d more that were not kept\n", m.MoreStep)
	}
}

// rowsOf makes the rows. Answers of one kind at one stage, of which nothing came, are
// one row.
func rowsOf(m *record.Message, o Options) (rows []row) {
	same := map[row]int{}
	told := map[string]bool{} // failures that have a row
	for i := range m.Steps {
		s := &m.Steps[i]
		if s.Condition == "holds" && !o.Explain && s.Took < longHold {
			continue
		}
		r := row{milter: s.Milter, at: s.At, answer: answer(s, o), count: max(s.Calls, 1)}
		r.plain = s.Error == "" && s.Code == 0 && (s.Verdict == "continue" || s.Condition != "")
		if c := milterOf(m, s.Milter); c != nil {
			r.shadow = c.Shadow
		}
		told[s.Milter] = told[s.Milter] || s.Error != ""
		kind := r
		kind.count = 0
		r.to, r.took, r.begin, r.end = s.To, s.Took, s.After, s.After+s.Took
		if at, ok := same[kind]; ok && r.plain {
			rows[at].count += r.count
			rows[at].took += r.took
			rows[at].begin, rows[at].end = min(rows[at].begin, r.begin), max(rows[at].end, r.end)
			continue
		}
		same[kind] = len(rows)
		rows = append(rows, r)
	}
	for i := range m.Milters { // one that is known to be down is not asked
		if c := &m.Milters[i]; c.Error != "" && !told[c.Name] {
			rows = append(rows, row{milter: c.Name, at: c.At, answer: "failed: " + miltertest.Escape(c.Error), count: 1, shadow: c.Shadow})
		}
	}
	return rows
}

// answer is a step in words.
func answer(s *record.Step, o Options) string {
	switch s.Condition {
	case "":
	case "holds":
		return "its `when` holds"
	case "does not hold":
		text := ""
		if c, ok := o.milter(s.Milter); ok && c.When != "" {
			text = " (" + miltertest.Escape(strings.Join(strings.Fields(c.When), " ")) + ")"
		}
		return "not asked: its `when` does not hold" + text
	default:
		return "its `when` could not be settled: " + miltertest.Escape(s.Error)
	}
	switch {
	case s.Error != "":
		return "failed: " + miltertest.Escape(s.Error)
	case s.Code != 0:
		return s.Verdict + " " + reply(s.Code, s.Reply)
	}
	return s.Verdict
}

// barWidth is how many letters the time of a message has.
const barWidth = 20

// scale is what stands above the bars.
func scale(took time.Duration) string {
	if took <= 0 {
		return ""
	}
	return fmt.Sprintf("0%*s", barWidth-1, span(took))
}

// bar shows when in the time of the message something was.
func bar(begin, end, whole time.Duration) string {
	if whole <= 0 || end <= 0 {
		return strings.Repeat(" ", barWidth) // before the message
	}
	at := func(d time.Duration) int { return int(int64(barWidth) * int64(max(d, 0)) / int64(whole)) }
	from := min(at(begin), barWidth-1)
	to := min(max(at(end), from+1), barWidth)
	return strings.Repeat("·", from) + strings.Repeat("█", to-from) + strings.Repeat("·", barWidth-to)
}

// edits writes what the milters have changed.
func edits(b *bytes.Buffer, m *record.Message) {
	first := true
	for i := range m.Milters {
		c := &m.Milters[i]
		if c.Edits == 0 {
			continue
		}
		if first {
			b.WriteString("\n")
		}
		first = false
		did := "changed"
		switch {
		case c.Shadow:
			did = "(shadow) would have changed"
		case m.Outcome != "accept" && m.Outcome != "quarantine":
			did = "would have changed, had it been taken"
		}
		fmt.Fprintf(b, "  %s %s:\n", c.Name, did)
		for _, change := range c.Changes {
			fmt.Fprintf(b, "    %s\n", Change(change))
		}
		if more := c.Edits - len(c.Changes); more > 0 {
			fmt.Fprintf(b, "    %d more that were not kept\n", more)
		}
	}
}

// Change is an edit in words, in one line.
func Change(c record.Change) string {
	const long = 160
	text := c.Op
	header := strings.HasSuffix(c.Op, "header")
	switch {
	case header && c.Index > 0:
		text += fmt.Sprintf(" %d", c.Index)
		fallthrough
	case header:
		text += " " + c.Name + ":" + c.Value
	case c.Bytes > 0 || c.Op == "replace body":
		text += fmt.Sprintf(", %d bytes", c.Bytes)
	default:
		text += strings.TrimRight(" "+strings.TrimSpace(c.Name+" "+c.Value), " ")
	}
	text = strings.Join(strings.Fields(text), " ")
	if letters := []rune(text); len(letters) > long {
		text = string(letters[:long]) + "…"
	}
	return miltertest.Escape(text)
}
