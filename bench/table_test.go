package bench

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// made makes a sample of sessions that take so many milliseconds each.
func made(rate, cpu float64, ms ...int64) Sample {
	s := Sample{Run: Run{Sessions: len(ms), Messages: len(ms), Times: newHistogram()}, Rate: rate, LoadCPU: 200e-6, CPU: cpu, Filters: 300e-6}
	for _, n := range ms {
		s.Times.RecordValue(n * 1000)
	}
	if cpu > 0 {
		s.Allocs, s.Bytes, s.Peak = 250, 4096, 12<<20
	}
	return s
}

// madeReport is a report in which all there is appears once.
func madeReport() *Report {
	refused := made(500, 200e-6, 4, 16)
	refused.Refused, refused.Refusal = 2, errors.New("refused at RCPT: 451 4.7.1 later")
	p := Point{Scenario: "quick", Mail: Mails[1], Messages: 1, Sessions: 8, Children: 1, Kind: "remote"}
	return &Report{
		Machine: Machine{"A CPU", 2, 8 << 30, "Linux 6.1", "go1.26", "0123456789ab+changes"},
		Began:   time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC),
		Taken: []Taken{{Title: p.String(), Point: p, Names: []string{Direct, Relay, Milterkit}, Results: Results{
			Direct:    {made(1000, 0, 1, 2), made(1100, 0, 1, 2), made(900, 0, 1, 30)},
			Relay:     {made(500, 100e-6, 2, 4), made(550, 100e-6, 2, 4), made(450, 100e-6, 2, 4)},
			Milterkit: {refused, made(500, 250e-6, 4, 8), made(500, 300e-6, 4, 8)},
		}}},
		Goals: []Goal{
			{"one remote child: time against the relay", "at most 1.25", "1.10 (1.00 to 1.20)", true, ""},
			{"five children together: p50", "under 30 ms", "31 ms", false, "the machine was busy"},
		},
		LeftOut: []LeftOut{{"milter-manager", "it is not installed", "apt-get install milter-manager"}},
	}
}

func TestATableTellsAll(t *testing.T) {
	var b bytes.Buffer
	if err := WriteTable(&b, madeReport()); err != nil {
		t.Fatal(err)
	}
	const want = `2026-11-26 10:00 UTC
machine  A CPU, 2 cores, 8.00 GiB memory, Linux 6.1, go1.26
commit   0123456789ab+changes
` + legend + `
short mail, 8 sessions at one time, 1 remote child (3 rounds)
             messages/s     p50     p95     p99     max  CPU between  filters   load  allocations    memory
  direct      1000 ± 5%  1.00ms  2.00ms  2.00ms  30.0ms            -    300µs  200µs            -         -
  relay        500 ± 5%  2.00ms  4.00ms  4.00ms  4.00ms        100µs    300µs  200µs          250  12.0 MiB
  milterkit    500 ± 0%  4.00ms  8.00ms  8.00ms  16.0ms        250µs    300µs  200µs          250  12.0 MiB
                                     time          CPU between
  relay / direct      2.00 (2.00 to 2.00)                    -
  milterkit / direct  2.00 (1.90 to 2.10)                    -
  milterkit / relay   1.00 (0.95 to 1.05)  2.50 (2.25 to 2.75)
milterkit: 2 of 8 sessions were refused and are counted nowhere above; the first: refused at RCPT: 451 4.7.1 later

Figures to reach: 1 of 2 reached
  reached  one remote child: time against the relay  at most 1.25  1.10 (1.00 to 1.20)
  MISSED   five children together: p50               under 30 ms   31 ms  the machine was busy

Left out, and counted nowhere:
  milter-manager: it is not installed
    to bring it in: apt-get install milter-manager
`
	// Histograms are exact to three digits, and no further.
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestBenchfmtHasALineForEachRound(t *testing.T) {
	var b bytes.Buffer
	if err := WriteBenchfmt(&b, madeReport()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	counts := map[string]int{}
	// Source: Proposal 14313, Go Benchmark Data Format.
	configuration := regexp.MustCompile(`^[a-z][^A-Z\s]*: .+$`)
	result := regexp.MustCompile(`^Benchmark[A-Z]\S* \d+( [0-9.e+-]+ \S+)+$`)
	for _, line := range lines {
		switch {
		case strings.HasPrefix(line, "#"), configuration.MatchString(line):
		case result.MatchString(line):
			name, _, _ := strings.Cut(line, " ")
			counts[name]++
		default:
			t.Errorf("neither a key nor a result: %q", line)
		}
	}
	const point = "BenchmarkQuick/mail=short/sessions=8/children=1/kind=remote/name="
	if diff := cmp.Diff(map[string]int{point + "direct": 3, point + "relay": 3, point + "milterkit": 3}, counts); diff != "" {
		t.Error(diff)
	}
	const first = point + "direct 2 1e+06 ns/op 1000 messages/s"
	if !strings.Contains(b.String(), "\n"+first) {
		t.Errorf("%q is missing in\n%s", first, b.String())
	}
	for _, want := range []string{"# commit 0123456789ab+changes, 2026-11-26T10:00:00Z", "cpu: A CPU", "# left out: milter-manager"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	odd := Point{Scenario: "my own/é", Mail: Mail{Name: "a b=c"}, Messages: 2, Delay: time.Second, Together: true, Silent: true}
	if got, want := odd.benchName(), "BenchmarkMy_own_é/mail=a_b_c/sessions=0/children=0/messages=2/delay=1s/together=true/silent=true"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestSpreadsHoldHalfOfTheSamples(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{7}, Spread{7, 7, 7, 1}},
		{[]float64{5, 1, 2, 4, 3}, Spread{3, 2, 4, 5}},
		{[]float64{1, 2}, Spread{1.5, 1.25, 1.75, 2}},
	} {
		if got := SpreadOf(c.values); got != c.want {
			t.Errorf("%v: got %v, want %v", c.values, got, c.want)
		}
	}
	// Rounds are told against each other one by one: what disturbed a round
	// disturbed both.
	r := Results{"a": {made(100, 0), made(10, 0)}, "b": {made(200, 0), made(20, 0)}}
	if got := r.Ratio("a", "b", Wall); got != (Spread{2, 2, 2, 2}) {
		t.Errorf("the ratio is %v", got)
	}
}

func TestOneRoundHasNoSpread(t *testing.T) {
	taken := madeReport().Taken[0]
	for name, samples := range taken.Results {
		taken.Results[name] = samples[:1]
	}
	var b bytes.Buffer
	if err := WriteTaken(&b, &taken); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"(1 round)", "  direct      1000 ±  -  1.00ms", "  milterkit / direct  2.00            -\n", "  milterkit / relay   1.00         2.00\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &b)
		}
	}
}

func TestFiguresAreWrittenToThreeDigits(t *testing.T) {
	for s, want := range map[float64]string{0: "-", 1.234: "1.23s", 0.01234: "12.3ms", 123.4e-6: "123µs", 5e-9: "5.00ns", 0.09996: "100ms"} {
		if got := secondsText(s); got != want {
			t.Errorf("%v is written %s, want %s", s, got, want)
		}
	}
	for n, want := range map[float64]string{0: "-", 100: "100 B", 1536: "1.50 KiB", 12 << 20: "12.0 MiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%v is written %s, want %s", n, got, want)
		}
	}
}

func TestTheMachineIsTold(t *testing.T) {
	m := ThisMachine()
	if m.CPU == "" || m.Cores < 1 || m.Memory < 1<<20 || !strings.Contains(m.Kernel, " ") || !strings.HasPrefix(m.Go, "go") {
		t.Errorf("%+v", m)
	}
	if !regexp.MustCompile(`^([0-9a-f]{12}(\+changes)?|v.+|unknown)$`).MatchString(m.Commit) {
		t.Errorf("the commit is %q", m.Commit)
	}
	t.Log(m)
}
