package page

import (
	"fmt"
	"html/template"
	"math"
	"slices"

	"github.com/milterkit/sdk/bench"
)

// A plot is a part of the page: a question, its answer in a sentence, pictures,
// and the figures that they show.
type plot struct {
	ID, Title string
	Finding   string
	Method    string // what is shown, and of which contests
	Legend    []legend
	Figures   []figure
	Table     table
}

// A figure is one picture.
type figure struct {
	Caption string
	X, Y    string // what the axes are, with the unit; empty where the picture has none
	SVG     template.HTML
}

// A legend says which line is whose.
type legend struct{ Name, Key, Shape string }

// A table has a heading for each column; the first cell of a row is what the
// row is about.
type table struct {
	Caption string
	Head    []string
	Rows    [][]string
}

func (t *table) add(cells ...string) { t.Rows = append(t.Rows, cells) }

// none stands for a figure that there is not.
var none = bench.Spread{Median: math.NaN(), Low: math.NaN(), High: math.NaN()}

// of returns a figure of a contestant, none where it was not there.
func of(t *bench.Taken, name string, figure func(*bench.Sample) float64) bench.Spread {
	return rounds(t, name, name, figure, func(a, _ float64) float64 { return a })
}

// to returns a figure against that of another contestant, round by round.
func to(t *bench.Taken, name, base string, figure func(*bench.Sample) float64) bench.Spread {
	return rounds(t, name, base, figure, func(a, b float64) float64 { return a / b })
}

// rounds has two contestants compared round by round. What makes no sense, as
// the time of no message, is not counted.
func rounds(t *bench.Taken, name, base string, figure func(*bench.Sample) float64, compare func(a, b float64) float64) bench.Spread {
	var list []float64
	for i := range min(len(t.Results[name]), len(t.Results[base])) {
		if v := compare(figure(&t.Results[name][i]), figure(&t.Results[base][i])); finite(v) {
			list = append(list, v)
		}
	}
	return spreadOf(list)
}

func spreadOf(list []float64) bench.Spread {
	if len(list) == 0 {
		return none
	}
	return bench.SpreadOf(list)
}

// session is what half of the sessions take at most.
func session(s *bench.Sample) float64 {
	if s.Times == nil || s.Times.TotalCount() == 0 {
		return math.NaN()
	}
	return bench.P50(s)
}

// work is the CPU of what stands between and of the filters.
func work(s *bench.Sample) float64 { return s.CPU + s.Filters }

// best returns the key with the most points; of those with as many, the first
// that is better.
func best[K comparable](groups map[K][]*bench.Taken, count func([]*bench.Taken) int, better func(a, b K) bool) (K, []*bench.Taken) {
	var key K
	found := 0
	for k, g := range groups {
		if n := count(g); n > found || n == found && n > 0 && better(k, key) {
			key, found = k, n
		}
	}
	return key, groups[key]
}

// distinct returns how many different values there are.
func distinct[T comparable](list []*bench.Taken, value func(*bench.Taken) T) int {
	seen := map[T]bool{}
	for _, t := range list {
		seen[value(t)] = true
	}
	return len(seen)
}

// values returns the different values in order.
func values(list []*bench.Taken, value func(*bench.Taken) int) []int {
	var all []int
	for _, t := range list {
		all = append(all, value(t))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func childrenOf(t *bench.Taken) int { return t.Point.Children }
func sessionsOf(t *bench.Taken) int { return t.Point.Sessions }
func sizeOf(t *bench.Taken) int     { return t.Point.Mail.Size() }

// where says at what load a contest was held.
func where(p *bench.Point) string {
	s := upper(children(p.Children)) + ", " + sessions(p.Sessions)
	if p.Mail.Name != "" {
		s += ", " + mail(p.Mail)
	}
	return s
}

// mail names a mail by its size.
func mail(m bench.Mail) string {
	s := size(m) + " mail"
	if m.Recipients > 1 {
		s += fmt.Sprintf(" to %d recipients", m.Recipients)
	}
	return s
}

// kindOf says what the children are, where it is not the usual.
func kindOf(p *bench.Point) string {
	switch p.Kind {
	case "", "remote":
		return "filters that do no work, each behind its own socket"
	case "native":
		return "filters that do no work, in milterkit's own process"
	case "mixed":
		return "filters that do no work, half of them in milterkit's own process"
	case "own":
		return "filters of the reader's own"
	}
	return p.Kind
}

// quiet says that filters do not answer all commands.
func quiet(p *bench.Point) string {
	if p.Silent {
		return " The filters do not answer header and body."
	}
	return ""
}

// legends returns the legend of lines.
func legends(list []line) []legend {
	var all []legend
	for _, l := range list {
		all = append(all, legend{l.Name, keyOf(l.Name), string(shapeOf(l.Name))})
	}
	return all
}

// highest returns the highest quartile of bars or lines.
func highest(list ...bench.Spread) float64 {
	top := 0.0
	for _, v := range list {
		if finite(v.High) {
			top = max(top, v.High)
		}
	}
	return top
}

// barOf makes a bar of a figure in seconds.
func barOf(name, label string, v bench.Spread) bar {
	return bar{Name: name, Label: label, Value: v, Text: amount(seconds, v.Median)}
}

// draw draws bars of figures in seconds.
func draw(caption string, list []bar) (figure, error) {
	b := bars{Alt: caption + ": ", Bars: list}
	for i, one := range list {
		if i > 0 {
			b.Alt += ", "
		}
		b.Alt += one.Label + " " + one.Text
		b.Top = max(b.Top, highest(one.Value))
	}
	b.Alt += "."
	svg, err := b.svg()
	return figure{Caption: caption, SVG: svg}, err
}

// told is a ratio found for a mail.
type told struct {
	bench.Mail
	ratio  float64
	silent bool
}

// tell writes ratios, those with filters that do not answer header and body
// apart: nobody waits for answers there, which a multiplexer could spare.
func tell(all []told) string {
	var loud, silent []told
	for _, t := range all {
		if t.silent {
			silent = append(silent, t)
		} else {
			loud = append(loud, t)
		}
	}
	switch {
	case silent == nil:
		return few(loud)
	case loud == nil:
		return few(silent)
	}
	return few(loud) + ", and with a filter that answers neither header nor body " + few(silent)
}

// few writes ratios. Of many it takes those of the mails that goals are set for,
// and of the largest.
func few(all []told) string {
	var text []string
	for i, t := range all {
		if len(all) <= 3 || t.Name == "short" || t.Name == "1MB" || i == len(all)-1 {
			text = append(text, fmt.Sprintf("%.2f (%s)", t.ratio, size(t.Mail)))
		}
	}
	return listed(text)
}
