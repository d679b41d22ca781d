package main

import (
	"fmt"

	"github.com/milterkit/sdk/bench"
)

// number writes a spread: the median, and what half of the rounds lie between.
func number(s bench.Spread, unit string) string {
	return fmt.Sprintf("%.3g%s (%.3g to %.3g)", s.Median, unit, s.Low, s.High)
}

// atMost is the goal that a figure is at most a limit.
func atMost(what string, got bench.Spread, limit float64, unit string) bench.Goal {
	return bench.Goal{What: what, Want: fmt.Sprintf("at most %.3g%s", limit, unit), Got: number(got, unit), Held: got.Median <= limit}
}

// onceAtMost is the goal that a figure of which there is only one is at most a
// limit.
func onceAtMost(what string, got, limit float64, unit string) bench.Goal {
	g := atMost(what, bench.Spread{Median: got}, limit, unit)
	g.Got = fmt.Sprintf("%.3g%s", got, unit)
	return g
}

// below is the goal that a figure is less than a limit.
func below(what string, got bench.Spread, limit float64, unit string) bench.Goal {
	return bench.Goal{What: what, Want: fmt.Sprintf("less than %.3g%s", limit, unit), Got: number(got, unit), Held: got.Median < limit}
}

// A figure is one of a contestant's, of a round.
type figure func(*bench.Sample) float64

// allCPU is the CPU of what stands between and of the filters behind it.
func allCPU(s *bench.Sample) float64 { return s.CPU + s.Filters }

// added returns what a figure of one contestant is more than that of another, as
// a part of what a third one's is more, round by round. With n, the first has so
// many children more than the base, and one of them counts.
func added(r bench.Results, name string, n int, other, base string, f figure) bench.Spread {
	var values []float64
	for i := range min(len(r[name]), len(r[other]), len(r[base])) {
		none := f(&r[base][i])
		values = append(values, (f(&r[name][i])-none)/float64(n)/(f(&r[other][i])-none))
	}
	return bench.SpreadOf(values)
}

// more returns what a figure of one contestant is more than that of another, a
// child, in millionths.
func more(r bench.Results, name string, n int, base string, f figure) bench.Spread {
	var values []float64
	for i := range min(len(r[name]), len(r[base])) {
		values = append(values, (f(&r[name][i])-f(&r[base][i]))/float64(n)*1e6)
	}
	return bench.SpreadOf(values)
}
