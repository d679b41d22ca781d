package page

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/milterkit/sdk/bench"
)

// wobble is what rounds differ by; its median is 1.
var wobble = []float64{0.97, 1.02, 1, 0.99, 1.05, 1.01, 0.98}

// samples are those of one contestant: seconds a message, CPU of what stands
// between and of the filters.
func samples(p bench.Point, wall, cpu, filters float64) []bench.Sample {
	var list []bench.Sample
	for _, w := range wobble {
		times := hdrhistogram.New(1, 60_000_000, 3)
		times.RecordValue(int64(wall * w * 1e6 * float64(p.Sessions*max(p.Messages, 1))))
		s := bench.Sample{Rate: 1 / (wall * w), CPU: cpu * w, Filters: filters * w, Allocs: 12, Peak: 9 << 20}
		s.Run.Times = times
		list = append(list, s)
	}
	return list
}

// A way is a contestant and its figures.
type way struct {
	name               string
	wall, cpu, filters float64
}

func taken(title string, p bench.Point, ways ...way) bench.Taken {
	t := bench.Taken{Title: title, Point: p, Results: bench.Results{}}
	for _, w := range ways {
		t.Names = append(t.Names, w.name)
		t.Results[w.name] = samples(p, w.wall, w.cpu, w.filters)
	}
	return t
}

// sample is a report with all kinds of contests.
func sample() *bench.Report {
	r := &bench.Report{
		Machine: bench.Machine{CPU: "Example CPU 2.5 GHz", Cores: 2, Memory: 8 << 30, Kernel: "Linux 6.1.0", Go: "go1.26.0", Commit: "0123456789ab"},
		Began:   time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC),
		Goals: []bench.Goal{
			{What: "one remote child, 4 KB, 8 sessions: time against the relay", Want: "at most 1.25", Got: "1.08 (1.02 to 1.11)", Held: true},
			{What: "three children, 64 sessions: time against asking one after another", Want: "at most 1.33", Got: "1.41 (1.39 to 1.44)", Note: "the profile says: writes of one frame each"},
		},
		LeftOut: []bench.LeftOut{{Name: "a filter on libmilter", Why: "there is no C compiler", Cure: "apt-get install gcc libc6-dev libmilter-dev"}},
	}
	add := func(t bench.Taken) { r.Taken = append(r.Taken, t) }
	short := bench.Mails[1]
	for _, n := range []int{1, 8, 64} {
		for _, c := range []int{1, 3, 5, 10} {
			each := 95e-6 * (1 + 1/float64(n)) / 2
			p := bench.Point{Scenario: "children", Mail: short, Messages: 1, Sessions: n, Children: c, Kind: "remote"}
			ways := []way{{bench.Direct, each * float64(c), 0, 30e-6 * float64(c)}, {bench.Milterkit, each * (0.7*float64(c) + 0.6), 20e-6 * float64(c), 30e-6 * float64(c)}}
			if c == 1 {
				ways = append(ways, way{bench.Relay, each * 1.2, 18.2e-6, 30e-6})
			}
			add(taken(p.String(), p, ways...))
		}
		for _, c := range []int{1, 3, 5, 10} {
			p := bench.Point{Scenario: "native", Mail: short, Messages: 1, Sessions: n, Children: c, Kind: "native"}
			add(taken(p.String(), p, way{bench.Milterkit, 60e-6 * (1 + 1/float64(n)) / 2 * (1 + 0.02*float64(c)), 25e-6, 0}))
		}
	}
	crowd := bench.Point{Scenario: "core", Mail: short, Messages: 1, Sessions: 1000, Children: 5, Kind: "remote"} // no line, and no picture
	add(taken(crowd.String(), crowd, way{bench.Direct, 4e-4, 0, 0}, way{bench.Milterkit, 5e-4, 1e-4, 0}))
	for i, m := range []int{0, 2, 3, 4, 5} {
		p := bench.Point{Scenario: "size", Mail: bench.Mails[m], Messages: 1, Sessions: 8, Children: 1, Kind: "remote"}
		base := []float64{70e-6, 120e-6, 160e-6, 900e-6, 8.4e-3}[i]
		add(taken(p.String(), p, way{bench.Direct, base, 0, base / 2}, way{bench.Relay, base * 1.5, base * 0.4, base / 2}, way{bench.Milterkit, base * 1.6, base * 0.46, base / 2}))
	}
	quiet := bench.Point{Scenario: "size", Mail: short, Messages: 1, Sessions: 8, Children: 1, Kind: "remote", Silent: true}
	add(taken(quiet.String(), quiet, way{bench.Direct, 40e-6, 0, 0}, way{bench.Relay, 50e-6, 20e-6, 0}, way{bench.Milterkit, 70e-6, 39e-6, 0}))
	for _, n := range []int{1, 8} {
		for _, c := range []int{3, 5} {
			for _, side := range []bool{false, true} {
				p := bench.Point{Scenario: "together", Mail: short, Messages: 1, Sessions: n, Children: c, Kind: "remote", Delay: 20 * time.Millisecond, Together: side}
				wall := 20.4e-3 * float64(c)
				if side {
					wall = 21.1e-3
				}
				add(taken(p.String(), p, way{bench.Direct, 20.3e-3 * float64(c) / float64(n), 0, 0}, way{bench.Milterkit, wall / float64(n), 20e-6, 0}))
			}
		}
	}
	for _, n := range []int{1, 20} {
		p := bench.Point{Scenario: "native", Mail: short, Messages: n, Sessions: 1, Children: 2, Kind: "native or remote"}
		add(taken(fmt.Sprintf("the same filter as a native child, and on each library: 4 KB, 1 session, %d messages", n), p,
			way{"one native child", 52e-6, 30e-6, 0}, way{"and 8 native", 52e-6 + 8*2.5e-6, 30e-6 + 8*2e-6, 0},
			way{"and emersion/go-milter", 52e-6 + 110e-6, 50e-6, 90e-6}, way{"and d--j/go-milter", 52e-6 + 98e-6, 50e-6, 80e-6}, way{"and libmilter", 52e-6 + 70e-6, 50e-6, 41e-6}))
	}
	for _, n := range []int{1, 8} {
		p := bench.Point{Scenario: "postfix", Mail: short, Messages: 1, Sessions: n, Children: 1, Kind: "remote"}
		add(taken(fmt.Sprintf("through Postfix, its queue in memory: one filter that does no work, %s", sessions(n)), p,
			way{"no milter", 4.4e-3, 0, 0}, way{"one, direct", 5.1e-3, 0, 0}, way{"one, milterkit", 5.2e-3, 90e-6, 0}))
		p.Children = 3
		add(taken(fmt.Sprintf("through Postfix, its queue in memory: OpenDKIM, clamav-milter and spamass-milter, %s", sessions(n)), p,
			way{"real three, direct", 250e-3, 0, 0}, way{"real three, milterkit together", 205e-3, 90e-6, 0}))
	}
	return r
}
