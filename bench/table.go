package bench

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"
)

// WriteTable writes a report for people: what it was measured on, what was
// measured, the goals and what was left out.
func WriteTable(w io.Writer, r *Report) error {
	out := &printer{w: w}
	out.join(WriteHead(w, r))
	for i := range r.Taken {
		out.printf("\n")
		out.join(WriteTaken(w, &r.Taken[i]))
	}
	if len(r.Goals) > 0 {
		out.printf("\n")
		out.join(WriteGoals(w, r.Goals))
	}
	if len(r.LeftOut) > 0 {
		out.printf("\n")
		out.join(WriteLeftOut(w, r.LeftOut))
	}
	return out.err
}

// WriteHead writes what a report was measured on and how to read it, for those
// who write the contests as they end.
func WriteHead(w io.Writer, r *Report) error {
	out := &printer{w: w}
	out.printf("%s\n", r.Began.UTC().Format("2006-01-02 15:04 MST"))
	out.write(r.Machine.String())
	out.write(legend)
	return out.err
}

const legend = `
messages/s and the times of sessions are medians of all rounds, max is the longest session of all.
CPU and allocations are those of a message: "between" is what stands between the mail server and the
filters, "load" the load generator, which runs on the same machine. memory is the most of any round.
A ± holds half of the rounds; so does what stands in brackets. "-" is what cannot be known.
`

// String writes what something was measured on, in two lines.
func (m Machine) String() string {
	return fmt.Sprintf("machine  %s, %s, %s memory, %s, %s\ncommit   %s\n",
		m.CPU, plural(m.Cores, "core"), bytesText(float64(m.Memory)), m.Kernel, m.Go, m.Commit)
}

// A printer writes until the first error, and keeps that.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) write(text string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, text)
	}
}

func (p *printer) printf(format string, args ...any) { p.write(fmt.Sprintf(format, args...)) }

func (p *printer) join(err error) { p.err = errors.Join(p.err, err) }

// WriteTaken writes one contest: a line for each contestant, and what each costs
// against the first one, and against the first one with something between.
func WriteTaken(w io.Writer, t *Taken) error {
	out := &printer{w: w}
	rounds := 0
	for _, name := range t.Names {
		rounds = max(rounds, len(t.Results[name]))
	}
	out.printf("%s (%s)\n", t.Title, plural(rounds, "round"))
	rows := [][]string{{"", "messages/s", "p50", "p95", "p99", "max", "CPU between", "filters", "load", "allocations", "memory"}}
	for _, name := range t.Names {
		rows = append(rows, t.row(name))
	}
	out.join(writeRows(w, rows))
	if rows := t.ratios(); len(rows) > 1 {
		out.join(writeRows(w, rows))
	}
	for _, name := range t.Names {
		out.write(t.refusals(name))
	}
	return out.err
}

// row is one contestant.
func (t *Taken) row(name string) []string {
	row := []string{name, number(t.Of(name, func(s *Sample) float64 { return s.Rate }))}
	for _, q := range []float64{50, 95, 99} {
		row = append(row, secondsText(t.Of(name, quantile(q)).Median))
	}
	longest := 0.0
	peak := 0.0
	for _, s := range t.Results[name] {
		longest = max(longest, float64(s.Times.Max())/1e6)
		peak = max(peak, s.Peak)
	}
	row = append(row, secondsText(longest))
	for _, figure := range []func(*Sample) float64{CPU, filtersCPU, loadCPU} {
		row = append(row, secondsText(t.Of(name, figure).Median))
	}
	allocations := "-"
	if n := t.Of(name, func(s *Sample) float64 { return s.Allocs }).Median; n > 0 {
		allocations = fmt.Sprintf("%.0f", n)
	}
	return append(row, allocations, bytesText(peak))
}

var (
	filtersCPU = func(s *Sample) float64 { return s.Filters }
	loadCPU    = func(s *Sample) float64 { return s.LoadCPU }
)

// quantile is the figure of a session's time, in seconds.
func quantile(q float64) func(*Sample) float64 {
	return func(s *Sample) float64 { return float64(s.Times.ValueAtPercentile(q)) / 1e6 }
}

// bases returns the contestants that the others are told against: the first one,
// and the first one of which the CPU between is known.
func (t *Taken) bases() []string {
	var list []string
	for i, name := range t.Names {
		if i == 0 {
			list = append(list, name)
		}
		if t.Of(name, CPU).Median > 0 {
			if i > 0 {
				list = append(list, name)
			}
			break
		}
	}
	return list
}

// ratios is a row for each contestant and base before it.
func (t *Taken) ratios() [][]string {
	rows := [][]string{{"", "time", "CPU between"}}
	for _, base := range t.bases() {
		behind := false
		for _, name := range t.Names {
			if behind {
				rows = append(rows, []string{name + " / " + base, t.Ratio(name, base, Wall).String(), t.Ratio(name, base, CPU).String()})
			}
			behind = behind || name == base
		}
	}
	return rows
}

// refusals says how many sessions of a contestant were refused, where any was.
func (t *Taken) refusals(name string) string {
	refused, taken := 0, 0
	var why error
	for _, s := range t.Results[name] {
		refused += s.Refused
		taken += s.Sessions
		why = cmp.Or(why, s.Refusal)
	}
	if refused == 0 {
		return ""
	}
	return fmt.Sprintf("%s: %d of %d sessions were refused and are counted nowhere above; the first: %v\n", name, refused, refused+taken, why)
}

// writeRows writes rows in columns, the first one to the left, the others to the
// right.
func writeRows(w io.Writer, rows [][]string) error {
	width := 0
	for _, row := range rows {
		width = max(width, utf8.RuneCountInString(row[0]))
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range rows {
		first := row[0] + strings.Repeat(" ", width-utf8.RuneCountInString(row[0]))
		fmt.Fprintf(tw, "%s\t%s\t\n", first, strings.Join(row[1:], "\t"))
	}
	return tw.Flush()
}

// String writes the median, and what it lies between; of one value, that alone.
func (s Spread) String() string {
	if math.IsNaN(s.Median) || math.IsInf(s.Median, 0) || s.Median == 0 {
		return "-"
	}
	if s.Values == 1 {
		return fmt.Sprintf("%.2f", s.Median)
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", s.Median, s.Low, s.High)
}

// number writes a count, and how far the half of the rounds next to it lie away,
// which one round does not tell.
func number(s Spread) string {
	if s.Median == 0 {
		return "-"
	}
	off := max(s.High-s.Median, s.Median-s.Low) / s.Median
	digits := 0
	if s.Median < 100 {
		digits = 1
	}
	if s.Values == 1 {
		return fmt.Sprintf("%.*f ±  -", digits, s.Median)
	}
	return fmt.Sprintf("%.*f ±%2.0f%%", digits, s.Median, 100*off)
}

// secondsText writes a time in seconds, to three digits; 0 is one that is not
// known.
func secondsText(s float64) string {
	if s == 0 || math.IsNaN(s) || math.IsInf(s, 0) {
		return "-"
	}
	for _, u := range []struct {
		name string
		of   float64
	}{{"s", 1}, {"ms", 1e-3}, {"µs", 1e-6}} {
		if s >= u.of {
			return threeDigits(s/u.of) + u.name
		}
	}
	return threeDigits(s/1e-9) + "ns"
}

// bytesText writes a number of bytes; 0 is one that is not known.
func bytesText(n float64) string {
	if n == 0 {
		return "-"
	}
	for _, u := range []struct {
		name string
		of   float64
	}{{" GiB", 1 << 30}, {" MiB", 1 << 20}, {" KiB", 1 << 10}} {
		if n >= u.of {
			return threeDigits(n/u.of) + u.name
		}
	}
	return threeDigits(n) + " B"
}

func threeDigits(x float64) string {
	switch {
	case x < 9.995:
		return fmt.Sprintf("%.2f", x)
	case x < 99.95:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

// WriteGoals writes the figures to reach, and what they were found to be.
func WriteGoals(w io.Writer, goals []Goal) error {
	out := &printer{w: w}
	missed := 0
	for _, g := range goals {
		if !g.Held {
			missed++
		}
	}
	out.printf("Figures to reach: %d of %d reached\n", len(goals)-missed, len(goals))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, g := range goals {
		mark := "reached"
		if !g.Held {
			mark = "MISSED"
		}
		line := fmt.Sprintf("  %s\t%s\t%s\t%s", mark, g.What, g.Want, g.Got)
		if g.Note != "" {
			line += "\t" + g.Note
		}
		fmt.Fprintln(tw, line)
	}
	out.join(tw.Flush())
	return out.err
}

// WriteLeftOut writes what could not take part, why, and what would bring it in.
func WriteLeftOut(w io.Writer, list []LeftOut) error {
	out := &printer{w: w}
	out.printf("Left out, and counted nowhere:\n")
	for _, l := range list {
		out.printf("  %s: %s\n", l.Name, l.Why)
		if l.Cure != "" {
			out.printf("    to bring it in: %s\n", l.Cure)
		}
	}
	return out.err
}

// date is how a time is written for programs.
func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
