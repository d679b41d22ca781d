package page

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/go-analyze/charts"

	"github.com/milterkit/sdk/bench"
)

// A line is a contestant's figures, one for each label of the axis below.
type line struct {
	Name   string
	Values []bench.Spread // a Median that is not a number where there is none
}

// lines is a plot of lines with their quartiles.
type lines struct {
	Alt    string // what the plot shows, for who does not see it
	Labels []string
	Lines  []line
	Top    float64 // of the axis, in its unit
	Unit   float64 // what the figures are divided by
	Log    bool
	Power  func(float64) string // writes a power of ten on the axis, where it is of such
}

// A bar is one contestant's figure.
type bar struct {
	Name  string // the contestant, which gives the colour
	Label string
	Value bench.Spread
	Text  string // the figure as it is written at the end of the bar
}

// bars is a plot of horizontal bars with their quartiles.
type bars struct {
	Alt  string
	Bars []bar
	Top  float64 // the longest of them
}

// full is how long the longest bar is for the library, which has an axis of
// stacked bars begin one below the least of them: that must be next to nothing.
const full = 1000

// Sizes are chosen for a telephone, where a plot is as wide as the screen: it is
// never drawn much larger than this, and its letters stay those of the page.
const (
	width      = 400
	lineHeight = 260
	barHeight  = 34
	fontSize   = 10 // points: 13 pixels
)

// The library writes colours into each element, and the page has two sets of
// them. So it is given colours that stand for names, which are put in their
// place afterwards: each is (1, 2, n), and no other colour is used.
var inks = []string{unseen, "paper", "text", "grid", "axis", "whisker"}

// unseen is the ink of what is taken out again: what a second layer has drawn
// before, and what only holds its place.
const unseen = "unseen"

func init() {
	inks = append(inks, keys...)
}

func ink(name string) charts.Color {
	for i, s := range inks {
		if s == name {
			return charts.Color{R: 1, G: 2, B: uint8(i), A: 255}
		}
	}
	panic("page: no ink is called " + name)
}

// nothing is no colour. The zero Color would be replaced by a default of the
// library's.
var nothing = charts.Color{R: 1, G: 1, B: 1, A: 0}

func theme(series ...charts.Color) charts.ColorPalette {
	return charts.MakeTheme(charts.ThemeOption{
		AxisStrokeColor: ink("axis"), AxisSplitLineColor: ink("grid"), BackgroundColor: nothing,
		TextColor: ink("text"), SeriesColors: series,
	})
}

// layer is a theme for a second layer: its axes take the room that those of the
// first one take.
func layer(series ...charts.Color) charts.ColorPalette {
	no := ink(unseen)
	return charts.MakeTheme(charts.ThemeOption{
		AxisStrokeColor: no, AxisSplitLineColor: no, BackgroundColor: nothing, TextColor: no, SeriesColors: series,
		SeriesUpDownColors: [][2]charts.Color{{no, no}}, CandleWickColor: series[0],
	})
}

var (
	small   = charts.FontStyle{FontSize: fontSize}
	padding = charts.NewBox(4, 10, 12, 4)
	hidden  = charts.Ptr(false)
)

// shapeOf tells lines apart where colours do not.
func shapeOf(name string) charts.SymbolShape {
	switch keyOf(name) {
	case "direct":
		return charts.SymbolDot
	case "milterkit":
		return charts.SymbolSquare
	case "relay":
		return charts.SymbolDiamond
	}
	return charts.SymbolCircle
}

// svg draws the lines: first the quartiles, line by line, then the lines.
func (c lines) svg() (template.HTML, error) {
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: width, Height: lineHeight})
	x := charts.XAxisOption{Labels: c.Labels, LabelFontStyle: small,
		BoundaryGap: charts.Ptr(true), LabelCount: len(c.Labels)}
	y := c.axis()
	opt := charts.LineChartOption{Padding: padding, XAxis: x, YAxis: []charts.YAxisOption{y}, LineStrokeWidth: 2,
		Legend: charts.LegendOption{Show: hidden}}
	var colours []charts.Color
	for _, l := range c.Lines {
		colour := ink(keyOf(l.Name))
		colours = append(colours, colour)
		series := charts.LineSeries{Name: l.Name, Symbol: charts.Symbol{Shape: shapeOf(l.Name), Size: 3.5}}
		var candles []charts.OHLCData
		for _, v := range l.Values {
			m := c.place(v.Median)
			series.Values = append(series.Values, m)
			candles = append(candles, charts.OHLCData{Open: m, Close: m, Low: min(c.place(v.Low), m), High: max(c.place(v.High), m)})
		}
		opt.SeriesList = append(opt.SeriesList, series)
		quartiles := charts.NewCandlestickOptionWithData(candles)
		quartiles.Theme, quartiles.Padding, quartiles.Legend = layer(colour), padding, opt.Legend
		quartiles.XAxis, quartiles.YAxis = x, []charts.YAxisOption{y}
		quartiles.CandleWidth, quartiles.WickWidth = 0.25, 1
		if err := p.CandlestickChart(quartiles); err != nil {
			return "", err
		}
	}
	opt.Theme = theme(colours...)
	if err := p.LineChart(opt); err != nil {
		return "", err
	}
	return finish(p, c.Alt)
}

// place returns where a figure stands on the axis.
func (c lines) place(v float64) float64 {
	switch {
	case !finite(v):
		return charts.GetNullValue()
	case c.Log:
		return math.Log10(v / c.Unit)
	}
	return v / c.Unit
}

// axis returns the axis of the figures: from zero in even steps, or powers of ten.
func (c lines) axis() charts.YAxisOption {
	y := charts.YAxisOption{LabelFontStyle: small, SplitLineShow: charts.Ptr(true)}
	if !c.Log {
		top, steps := ceiling(c.Top)
		y.Min, y.Max, y.LabelCount = charts.Ptr(0.0), charts.Ptr(top), steps+1
		y.ValueFormatter = plain
		return y
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, l := range c.Lines {
		for _, v := range l.Values {
			if finite(v.Median) {
				low, high = min(low, c.place(v.Low)), max(high, c.place(v.High))
			}
		}
	}
	low, high = math.Floor(low), math.Ceil(high)
	y.Min, y.Max, y.LabelCount = charts.Ptr(low), charts.Ptr(high), int(high-low)+1
	y.ValueFormatter = func(v float64) string { return c.Power(math.Pow(10, math.Round(v))) }
	return y
}

// svg draws the bars: first the bars, a series each as each has a colour, then
// the quartiles, which stand on a bar that is not seen. The label is at their
// end, and takes the place of an axis.
func (c bars) svg() (template.HTML, error) {
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: width, Height: 8 + barHeight*len(c.Bars)})
	c.Bars = slices.Clone(c.Bars)
	slices.Reverse(c.Bars) // the library draws them from the bottom up
	opt := charts.BarChartOption{Horizontal: true, StackSeries: charts.Ptr(true), Padding: charts.NewBox(6, 4, 64, 4), BarSize: 0.62,
		CategoryAxis: charts.CategoryAxisOption{LabelFontStyle: small},
		ValueAxis:    []charts.ValueAxisOption{{Show: hidden, Min: charts.Ptr(-1.0), Max: charts.Ptr(full + 1.0)}},
		Legend:       charts.LegendOption{Show: hidden}}
	quartiles := opt
	quartiles.BarSize = 0.12
	long := func(v float64) float64 { return max(v/c.Top, 0) * full }
	ground := charts.BarSeries{}
	var colours []charts.Color
	for i, b := range c.Bars {
		opt.CategoryAxis.Labels = append(opt.CategoryAxis.Labels, b.Label)
		low, high := long(b.Value.Low), long(b.Value.High)
		opt.SeriesList = append(opt.SeriesList, charts.BarSeries{Values: c.alone(i, long(b.Value.Median))})
		colours = append(colours, ink(keyOf(b.Name)))
		ground.Values = append(ground.Values, low)
		quartiles.SeriesList = append(quartiles.SeriesList, charts.BarSeries{Values: c.alone(i, high-low),
			Label: charts.SeriesLabel{Show: charts.Ptr(true), FontStyle: charts.FontStyle{FontSize: fontSize, FontColor: ink("text")},
				LabelFormatter: func(int, string, float64) (string, *charts.LabelStyle) { return b.Text, nil }}})
	}
	opt.Theme = theme(colours...)
	if err := p.BarChart(opt); err != nil {
		return "", err
	}
	over := []charts.Color{ink(unseen)}
	for range c.Bars {
		over = append(over, ink("whisker"))
	}
	quartiles.SeriesList = append(charts.BarSeriesList{ground}, quartiles.SeriesList...)
	quartiles.CategoryAxis = opt.CategoryAxis
	quartiles.Theme = layer(over...)
	if err := p.BarChart(quartiles); err != nil {
		return "", err
	}
	return finish(p, c.Alt)
}

// alone returns a value for one bar, and none for the others.
func (c bars) alone(at int, v float64) []float64 {
	values := make([]float64, len(c.Bars))
	for i := range values {
		values[i] = charts.GetNullValue()
	}
	values[at] = v
	return values
}

// fontFamily is the library's font, which readers do not have.
var fontFamily = regexp.MustCompile(`font-family:'[^']*',sans-serif`)

// unseenElement is what has the first of the inks.
var unseenElement = regexp.MustCompile(`<(path|circle)[^>]*rgb\(1,2,0\)[^>]*/>|<text[^>]*rgb\(1,2,0\)[^>]*>[^<]*</text>`)

// finish returns the picture with the page's colours and letters, and its name.
func finish(p *charts.Painter, alt string) (template.HTML, error) {
	raw, err := p.Bytes()
	if err != nil {
		return "", err
	}
	var old []string
	for i, name := range inks {
		old = append(old, fmt.Sprintf("rgb(1,2,%d)", i), "var(--"+name+")")
	}
	old = append(old, `xmlns:xlink="http://www.w3.org/1999/xlink" `, "")
	s := strings.NewReplacer(old...).Replace(unseenElement.ReplaceAllString(string(raw), ""))
	s = fontFamily.ReplaceAllString(s, "font-family:var(--plot-font)")
	s = strings.Replace(s, "<svg ", `<svg role="img" aria-label="`+html.EscapeString(alt)+`" `, 1)
	return template.HTML(s), nil
}

// ceiling returns the end of an axis that has room for max, and how many even
// steps there are up to it.
func ceiling(max float64) (float64, int) {
	if !finite(max) || max <= 0 {
		return 1, 2
	}
	best, count := 0.0, 0
	for _, n := range []int{3, 4, 5} {
		unit := math.Pow(10, math.Floor(math.Log10(max/float64(n))))
		for _, s := range []float64{1, 2, 2.5, 5, 10} {
			if top := s * unit * float64(n); top >= max*1.02 && (best == 0 || top < best) {
				best, count = top, n
			}
		}
	}
	return best, count
}
