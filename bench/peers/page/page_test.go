package page

import (
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/bench"
)

// written returns the page of a report.
func written(t *testing.T, r *bench.Report) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	if err := Write(dir, r); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wellFormed fails the test where elements are not closed as they were opened.
func wellFormed(t *testing.T, text string, isHTML bool) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	if isHTML {
		d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	}
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v\n%.300s", err, text)
		}
	}
}

// pictures returns the plots of a part of the page.
func pictures(text string) []string {
	return regexp.MustCompile(`(?s)<svg role="img".*?</svg>`).FindAllString(text, -1)
}

// section returns a part of the page.
func section(t *testing.T, text, id string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, `<section id="`+id+`"`)
	if !ok {
		t.Fatalf("the page has no part %q", id)
	}
	part, _, _ := strings.Cut(rest, "</section>")
	return part
}

// Each kind of contest has its plots, in well-formed SVG with a text for who
// does not see it, and the page is well formed.
func TestEveryKindOfContestHasItsPlots(t *testing.T) {
	text := written(t, sample())
	wellFormed(t, text, true)
	for id, n := range map[string]int{"children": 3, "size": 2, "together": 4, "cpu": 7, "native": 4, "postfix": 4} {
		part := section(t, text, id)
		all := pictures(part)
		if len(all) != n {
			t.Errorf("%s has %d pictures, want %d", id, len(all), n)
		}
		for _, svg := range all {
			wellFormed(t, svg, false)
			if !regexp.MustCompile(`aria-label="[^"]{20,}"`).MatchString(svg) {
				t.Errorf("%s: a picture has no text: %.200s", id, svg)
			}
		}
		if !strings.Contains(part, `<p class="finding">`) || !strings.Contains(part, "<table>") {
			t.Errorf("%s has no finding, or no table", id)
		}
	}
}

// The page loads nothing, runs nothing, and has no colour but its own.
func TestPageLoadsNothing(t *testing.T) {
	text := written(t, sample())
	for _, bad := range []string{"<script", "<iframe", "@import", "url(", "src=", "http-equiv", "rgb(", "rgba("} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if m[1] != "data:," && !strings.HasPrefix(m[1], "#") {
			t.Errorf("the page links to %s", m[1])
		}
	}
	css := pageCSS
	for _, m := range regexp.MustCompile(`var\(--([a-z-]+)\)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(css, "--"+m[1]+":") {
			t.Errorf("the colour %s is not set", m[1])
		}
	}
}

// Every contestant's figures are on the page as they were measured.
func TestFiguresAreTheData(t *testing.T) {
	r := sample()
	text := html.UnescapeString(section(t, written(t, r), "all"))
	for _, c := range r.Taken {
		_, part, ok := strings.Cut(text, ">"+upper(c.Title)+"<")
		if !ok {
			t.Errorf("%q is not on the page", c.Title)
			continue
		}
		part, _, _ = strings.Cut(part, "</tbody>")
		for _, n := range c.Names {
			wall := c.Of(n, bench.Wall)
			s := fit(seconds, wall.Median)
			want := fmt.Sprintf(`<th scope="row">%s</th><td>%s %s (`, n, digits(wall.Median/s.of), s.name)
			if !strings.Contains(part, want) {
				t.Errorf("%s: no %q in\n%s", c.Title, want, part)
			}
		}
	}
}

// The findings are those of the data.
func TestFindingsAreTheData(t *testing.T) {
	r := sample()
	text := html.UnescapeString(written(t, r))
	var three bench.Taken
	for _, c := range r.Taken {
		if p := c.Point; p.Scenario == "children" && p.Children == 3 && p.Sessions == 8 {
			three = c
		}
	}
	for _, want := range []string{
		fmt.Sprintf("milterkit takes 0.90 (1 session), %.2f (8 sessions)", three.Ratio(bench.Milterkit, bench.Direct, bench.Wall).Median),
		"Five children that take 20 ms each: a message waits 21.1 ms when they run together, and 102 ms when they run in order.",
		"against a relay that only passes bytes on, milterkit takes 1.10 (4 KB), 1.15 (1 MB) and 1.15 (10 MB), and with a filter that answers neither header nor body 1.95 (4 KB) of the CPU.",
		"milterkit takes 1.08 (4 KB), 1.07 (1 MB) and 1.07 (10 MB), and with a filter that answers neither header nor body 1.40 (4 KB) of the time.",
		"adds 2.50 µs to a 4 KB mail; the same filter as a program of its own, on emersion/go-milter, adds 110 µs: 44 times as much.",
		"Postfix with milterkit takes from 0.82 (OpenDKIM, clamav-milter and spamass-milter, 1 session, together) to 1.02 (one filter that does no work, 1 session)",
		"1 of 2 held.", "seven rounds", "26 November 2026", "0123456789ab", "apt-get install gcc libc6-dev libmilter-dev",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// Bars are as long as their figures are to each other, and lines stand as high.
func TestPicturesAreToScale(t *testing.T) {
	list := []bar{
		barOf("relay", "relay", bench.Spread{Median: 2e-5, Low: 1.9e-5, High: 2.1e-5}),
		barOf("milterkit", "milterkit", bench.Spread{Median: 1e-4, Low: 0.9e-4, High: 1.1e-4}),
	}
	f, err := draw("load", list)
	if err != nil {
		t.Fatal(err)
	}
	length := func(key string) float64 {
		m := regexp.MustCompile(`<path d="M (\d+) \d+\s+L (\d+) [^"]*" style="[^"]*fill:var\(--` + key + `\)`).FindStringSubmatch(string(f.SVG))
		if m == nil {
			t.Fatalf("no bar of %s in %s", key, f.SVG)
		}
		a, _ := strconv.ParseFloat(m[1], 64)
		b, _ := strconv.ParseFloat(m[2], 64)
		return b - a
	}
	if got := length("milterkit") / length("relay"); math.Abs(got-5) > 0.2 {
		t.Errorf("a figure five times another one has a bar of %.2f times the length", got)
	}
	l := lines{Alt: "a", Labels: []string{"1", "2", "3"}, Top: 10, Unit: 1, Lines: []line{{"direct", []bench.Spread{{Median: 10, Low: 10, High: 10}, {Median: 5, Low: 5, High: 5}, none}}}}
	svg, err := l.svg()
	if err != nil {
		t.Fatal(err)
	}
	dots := regexp.MustCompile(`cy="(\d+)"`).FindAllStringSubmatch(string(svg), -1)
	if len(dots) != 2 {
		t.Errorf("there are %d dots for two figures", len(dots))
	}
}

// A report without contests says so, and has no empty parts.
func TestEmptyReport(t *testing.T) {
	text := written(t, &bench.Report{})
	wellFormed(t, text, true)
	if !strings.Contains(text, "Nothing was measured.") {
		t.Error("the page does not say that nothing was measured")
	}
	for _, bad := range []string{"<section", "<table", "NaN", "1 January", "<svg"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}

// Names are text, whatever they hold.
func TestNamesAreEscaped(t *testing.T) {
	const evil = `</svg><script>alert("1")</script>&'`
	r := sample()
	for i := range r.Taken {
		c := &r.Taken[i]
		c.Title, c.Point.Kind, c.Point.Mail.Name = c.Title+evil, c.Point.Kind+evil, c.Point.Mail.Name+evil
		c.Names = append(c.Names, "postfix+"+evil, "and "+evil, evil)
		for _, n := range c.Names[len(c.Names)-3:] {
			c.Results[n] = c.Results[c.Names[0]]
		}
	}
	r.Machine.CPU, r.Machine.Commit = evil, evil
	r.Goals = append(r.Goals, bench.Goal{What: evil, Want: evil, Got: evil, Note: evil})
	r.LeftOut = append(r.LeftOut, bench.LeftOut{Name: evil, Why: evil, Cure: evil})
	text := written(t, r)
	wellFormed(t, text, true)
	if strings.Contains(text, "<script") {
		t.Error("a name became an element")
	}
	for _, svg := range pictures(text) {
		wellFormed(t, svg, false)
	}
}

// What is half there, makes no sense, or is of no kind the page knows, is no
// reason to have no page.
func TestOddReports(t *testing.T) {
	odd := sample()
	odd.Taken = append(odd.Taken,
		bench.Taken{},
		bench.Taken{Title: "no samples", Names: []string{bench.Direct, bench.Milterkit}},
		bench.Taken{Title: "no messages", Names: []string{bench.Direct, bench.Milterkit},
			Results: bench.Results{bench.Direct: {{}}, bench.Milterkit: {{}, {}}}, Point: bench.Point{Children: 3, Delay: time.Second}},
		bench.Taken{Title: "what nobody knows", Names: []string{"x", "y"}, Results: bench.Results{"x": {{Rate: 4}}}},
	)
	text := written(t, odd)
	for _, bad := range []string{"NaN", "Inf", "%!"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, want := range []string{"What nobody knows", "250 ms (250 to 250)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	for i := range odd.Taken { // each contest alone
		written(t, &bench.Report{Taken: odd.Taken[i : i+1]})
	}
}

// Figures are written with three digits that count, and in a unit that fits.
func TestAmounts(t *testing.T) {
	for v, want := range map[float64]string{0.000214: "214 µs", 0.0214: "21.4 ms", 2.5e-6: "2.50 µs", 0: "0 µs", 12: "12.0 s", 0.9996: "1.00 s", 4e-8: "0.0400 µs"} {
		if got := amount(seconds, v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
	if got, want := ratio(bench.Spread{Median: 0.864, Low: 0.851, High: 0.872}), "0.86 (0.85 to 0.87)"; got != want {
		t.Errorf("a ratio is %q, want %q", got, want)
	}
	for m, want := range map[int]string{1: "4 KB", 2: "40 KB", 4: "1 MB", 5: "10 MB"} {
		if got := size(bench.Mails[m]); got != want {
			t.Errorf("%s is %q, want %q", bench.Mails[m].Name, got, want)
		}
	}
}
