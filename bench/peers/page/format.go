package page

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/milterkit/sdk/bench"
)

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// plain writes a number of an axis.
func plain(v float64) string {
	return strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64)
}

// digits writes a number with three digits that count.
func digits(v float64) string {
	if v == 0 {
		return "0"
	}
	n := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	if n <= 0 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	if v >= 0.9995 && n > 2 { // rounds up to one digit more
		n = 2
	}
	return strconv.FormatFloat(v, 'f', min(n, 6), 64)
}

// A scale is a unit and what it is of the base unit.
type scale struct {
	name string
	of   float64
}

var (
	seconds = []scale{{"s", 1}, {"ms", 1e-3}, {"µs", 1e-6}}
	sizes   = []scale{{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1}}
)

// fit returns the unit in which v is a number that is not small.
func fit(scales []scale, v float64) scale {
	v = math.Abs(v)
	for _, s := range scales {
		if v >= s.of {
			return s
		}
	}
	return scales[len(scales)-1]
}

// rounds3 takes what three digits round up to the next unit there.
const rounds3 = 1.0005

// amount writes a figure with its unit.
func amount(scales []scale, v float64) string {
	if !finite(v) {
		return "–"
	}
	s := fit(scales, v*rounds3)
	return digits(v/s.of) + " " + s.name
}

// spread writes a figure and its quartiles, in one unit.
func spread(scales []scale, v bench.Spread) string {
	if !finite(v.Median) || !finite(v.Low) || !finite(v.High) {
		return "–"
	}
	s := fit(scales, v.Median*rounds3)
	return fmt.Sprintf("%s %s (%s to %s)", digits(v.Median/s.of), s.name, digits(v.Low/s.of), digits(v.High/s.of))
}

// count writes a figure that has no unit.
func count(v bench.Spread) string {
	if !finite(v.Median) || v.Median == 0 {
		return "–"
	}
	return fmt.Sprintf("%s (%s to %s)", digits(v.Median), digits(v.Low), digits(v.High))
}

// ratio writes how one figure is to another.
func ratio(v bench.Spread) string {
	if !finite(v.Median) || !finite(v.Low) || !finite(v.High) {
		return "–"
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", v.Median, v.Low, v.High)
}

var words = []string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"}

// many writes so many of something.
func many(n int, one, more string) string {
	s := strconv.Itoa(n)
	if n >= 0 && n < len(words) {
		s = words[n]
	}
	if n == 1 {
		return s + " " + one
	}
	return s + " " + more
}

func children(n int) string { return many(n, "child", "children") }
func sessions(n int) string {
	if n == 1 {
		return "1 session"
	}
	return strconv.Itoa(n) + " sessions"
}

// upper begins a sentence.
func upper(s string) string {
	s = strings.TrimSpace(s)
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

// lower puts what began a sentence into one, but for a name.
func lower(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if next, _ := utf8.DecodeRuneInString(s[n:]); unicode.IsLower(next) && !strings.ContainsFunc(firstWord(s)[n:], unicode.IsUpper) {
		return string(unicode.ToLower(r)) + s[n:]
	}
	return s
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// listed writes what there is, with "and" before the last.
func listed(items []string) string {
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	return strings.Join(items[:len(items)-1], ", ") + " and " + items[len(items)-1]
}

// size writes the size of a mail as people say it.
func size(m bench.Mail) string {
	n := float64(m.Size())
	s := fit(sizes, n*1.02) // 1 MB of body and a header is 1 MB
	v := n / s.of
	if v < 10 && math.Abs(v-math.Round(v)) > 0.05 {
		return fmt.Sprintf("%.1f %s", v, s.name)
	}
	return fmt.Sprintf("%.0f %s", v, s.name)
}

// fold writes how many times as much something is.
func fold(v float64) string {
	if v >= 10 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// brief writes a round figure.
func brief(scales []scale, v float64) string {
	s := fit(scales, v*(1+1e-9))
	return plain(math.Round(v/s.of*10)/10) + " " + s.name
}

// pause writes a delay.
func pause(d time.Duration) string { return brief(seconds, d.Seconds()) }
