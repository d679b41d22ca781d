// Package page shows what was measured as one page with plots, for somebody who
// has five minutes. The page is one file, with no script, and loads nothing.
//
// In reading order: page.go puts the page together, load.go and rows.go choose
// the contests that each plot shows and say what they come to, figures.go is
// what they share, chart.go draws, and format.go and names.go write numbers and
// know the contestants.
package page

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"

	"github.com/milterkit/sdk/bench"
)

// File is the name of the page in its folder.
const File = "report.html"

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// view is what the page shows.
type view struct {
	CSS     template.CSS
	Report  *bench.Report
	Date    string
	Memory  string
	Rounds  string
	Failed  []bench.Goal
	Held    []bench.Goal
	Terms   []struct{ Name, Text string }
	Plots   []*plot
	All     []contest
	Columns []string
}

// A contest is one with all of its figures.
type contest struct {
	Title string
	Rows  [][]string
}

// Write writes the page of a report into a folder, which it makes where it is
// not there. What a report has no contests for is not on the page.
func Write(dir string, r *bench.Report) error {
	v, err := look(r)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	t, err := template.New(File).Parse(pageHTML)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, File), b.Bytes(), 0o644)
}

// look puts together what the page shows.
func look(r *bench.Report) (*view, error) {
	v := &view{CSS: template.CSS(pageCSS), Report: r, Rounds: roundsOf(r)}
	if !r.Began.IsZero() {
		v.Date = r.Began.Format("2 January 2006, 15:04")
	}
	if r.Machine.Memory > 0 {
		v.Memory = brief(sizes, float64(r.Machine.Memory))
	}
	for _, g := range r.Goals {
		if g.Held {
			v.Held = append(v.Held, g)
		} else {
			v.Failed = append(v.Failed, g)
		}
	}
	for _, draw := range []func(*bench.Report) (*plot, error){overChildren, overSize, together, overCPU, against, endToEnd} {
		p, err := draw(r)
		if err != nil {
			return nil, err
		}
		if p != nil {
			v.Plots = append(v.Plots, p)
		}
	}
	for _, m := range meanings {
		if played(r, m.Name) {
			v.Terms = append(v.Terms, m)
		}
	}
	v.Columns = []string{"Contestant", "Time per message", "Against the first", "Session, half within", "CPU between", "CPU of filters", "Allocations", "Memory at most"}
	for i := range r.Taken {
		v.All = append(v.All, everything(&r.Taken[i]))
	}
	return v, nil
}

// Few reports whether the goals that held are few enough to be read on the way.
func (v *view) Few() bool { return len(v.Held) <= 10 }

// played reports whether a contestant is in any contest.
func played(r *bench.Report, name string) bool {
	for i := range r.Taken {
		if plays(&r.Taken[i], name) {
			return true
		}
	}
	return false
}

// everything returns all figures of a contest.
func everything(t *bench.Taken) contest {
	c := contest{Title: upper(t.Title)}
	if t.Title == "" {
		c.Title = where(&t.Point)
	}
	for i, n := range t.Names {
		share := "1"
		if i > 0 {
			share = ratio(to(t, n, t.Names[0], bench.Wall))
		}
		row := []string{n, spread(seconds, of(t, n, bench.Wall)), share, spread(seconds, of(t, n, session))}
		for _, figure := range []func(*bench.Sample) float64{bench.CPU, func(s *bench.Sample) float64 { return s.Filters }} {
			row = append(row, unlessZero(of(t, n, figure), func(v bench.Spread) string { return spread(seconds, v) }))
		}
		row = append(row, unlessZero(of(t, n, func(s *bench.Sample) float64 { return s.Allocs }), count),
			unlessZero(of(t, n, func(s *bench.Sample) float64 { return s.Peak }), func(v bench.Spread) string { return spread(sizes, v) }))
		c.Rows = append(c.Rows, row)
	}
	return c
}

// unlessZero writes a figure that is 0 where there was nothing to look at.
func unlessZero(v bench.Spread, write func(bench.Spread) string) string {
	if v.Median == 0 {
		return "–"
	}
	return write(v)
}

// roundsOf says how many rounds there were.
func roundsOf(r *bench.Report) string {
	low, high := 0, 0
	for _, t := range r.Taken {
		for _, s := range t.Results {
			if n := len(s); n > 0 {
				if low == 0 || n < low {
					low = n
				}
				high = max(high, n)
			}
		}
	}
	if low == high {
		return many(high, "round", "rounds")
	}
	return fmt.Sprintf("%d to %d rounds", low, high)
}
