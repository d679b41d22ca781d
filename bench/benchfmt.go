package bench

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"unicode"
)

// WriteBenchfmt writes a report for benchstat, in the format of Go's benchmarks:
// a line for each round of each contestant, so that benchstat computes the
// spreads itself. Commit and date are comments: as keys of the configuration
// they would keep benchstat from comparing two commits. Source: Proposal 14313,
// Go Benchmark Data Format.
func WriteBenchfmt(w io.Writer, r *Report) error {
	out := &printer{w: w}
	out.printf("# commit %s, %s\n", r.Machine.Commit, date(r.Began))
	for _, l := range r.LeftOut {
		out.printf("# left out: %s: %s\n", oneLine(l.Name), oneLine(l.Why))
	}
	out.printf("goos: %s\ngoarch: %s\npkg: github.com/milterkit/sdk/bench\n", runtime.GOOS, runtime.GOARCH)
	for _, kv := range [][2]string{{"cpu", r.Machine.CPU}, {"kernel", r.Machine.Kernel}, {"toolchain", r.Machine.Go}} {
		if kv[1] != "" {
			out.printf("%s: %s\n", kv[0], oneLine(kv[1]))
		}
	}
	for i := range r.Taken {
		t := &r.Taken[i]
		for _, name := range t.Names {
			for k := range t.Results[name] {
				out.write(benchLine(&t.Point, name, &t.Results[name][k]))
			}
		}
	}
	return out.err
}

// benchLine is one round of one contestant. A figure that is not known is left
// out.
func benchLine(p *Point, name string, s *Sample) string {
	line := fmt.Sprintf("%s/name=%s %d", p.benchName(), benchWord(name), s.Messages)
	for _, f := range []struct {
		value float64
		unit  string
	}{
		{Wall(s) * 1e9, "ns/op"},
		{s.Rate, "messages/s"},
		{quantile(50)(s) * 1e9, "p50-ns"},
		{quantile(95)(s) * 1e9, "p95-ns"},
		{quantile(99)(s) * 1e9, "p99-ns"},
		{float64(s.Times.Max()) * 1e3, "max-ns"},
		{s.CPU * 1e9, "cpu-ns"},
		{s.Filters * 1e9, "filters-cpu-ns"},
		{s.LoadCPU * 1e9, "load-cpu-ns"},
		{s.Bytes, "B/op"},
		{s.Allocs, "allocs/op"},
		{s.Peak, "peak-bytes"},
		{float64(s.Refused), "refused-sessions"},
	} {
		if f.value != 0 {
			line += fmt.Sprintf(" %.6g %s", f.value, f.unit)
		}
	}
	return line + "\n"
}

// benchName is the point as the name of a benchmark, without what is as usual.
func (p *Point) benchName() string {
	scenario := benchWord(p.Scenario)
	if scenario == "" {
		scenario = "bench"
	}
	letters := []rune(scenario)
	letters[0] = unicode.ToUpper(letters[0])
	name := fmt.Sprintf("Benchmark%s/mail=%s/sessions=%d/children=%d", string(letters), benchWord(p.Mail.Name), p.Sessions, p.Children)
	if p.Kind != "" {
		name += "/kind=" + benchWord(p.Kind)
	}
	if p.Messages > 1 {
		name += fmt.Sprintf("/messages=%d", p.Messages)
	}
	if p.Delay > 0 {
		name += "/delay=" + p.Delay.String()
	}
	if p.Together {
		name += "/together=true"
	}
	if p.Silent {
		name += "/silent=true"
	}
	return name
}

// benchWord makes text fit for a part of a benchmark's name.
func benchWord(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '/' || r == '=' {
			return '_'
		}
		return r
	}, text)
}

// oneLine keeps text in its line.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
