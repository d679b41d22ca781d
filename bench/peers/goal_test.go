package main

import (
	"math"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/milterkit/sdk/bench"
)

// made makes samples of one contestant: time a message and CPU in microseconds.
func made(wall, cpu, filters float64) []bench.Sample {
	s := bench.Sample{Rate: 1e6 / wall, CPU: cpu / 1e6, Filters: filters / 1e6}
	return []bench.Sample{s, s, s}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

// What a native child adds is an eighth of what eight add.
func TestNativeGoals(t *testing.T) {
	taken := bench.Taken{Point: point("short", 8, 2), Results: bench.Results{
		nativeBase:                       made(100, 50, 0),
		nativeNames:                      made(180, 90, 0),   // 10 and 5 each
		remoteName("emersion/go-milter"): made(300, 100, 50), // 200 and 100
		remoteName("d--j/go-milter"):     made(150, 60, 10),  // 50 and 20
		remoteName("libmilter"):          made(150, 60, 10),
	}}
	goals := nativeGoals(taken)
	want := []bool{true, true, false, false} // 0.05, 0.05, 0.2, 0.25
	if len(goals) != len(want) {
		t.Fatalf("%d goals, want %d: the one in C has none", len(goals), len(want))
	}
	for i, g := range goals {
		if g.Held != want[i] {
			t.Errorf("%s: %s: held is %t", g.What, g.Got, g.Held)
		}
	}
	if got := added(taken.Results, nativeNames, nativeMore, remoteName("d--j/go-milter"), nativeBase, allCPU); !near(got.Median, 0.25) {
		t.Errorf("CPU: %v", got)
	}
	if got := more(taken.Results, nativeNames, nativeMore, nativeBase, bench.Wall); !near(got.Median, 10) {
		t.Errorf("time: %v", got)
	}
}

// A peer that did not take part has no goal.
func TestNoGoalWithoutThePeer(t *testing.T) {
	taken := bench.Taken{Point: point("short", 8, 2), Results: bench.Results{
		nativeBase: made(100, 50, 0), nativeNames: made(180, 90, 0), remoteName("d--j/go-milter"): made(300, 100, 50)}}
	if got := len(nativeGoals(taken)); got != 2 {
		t.Errorf("%d goals, want 2", got)
	}
}

func TestRelayGoals(t *testing.T) {
	taken := bench.Taken{Point: point("short", 8, 1), Results: bench.Results{
		bench.Relay: made(100, 50, 0), bench.Milterkit: made(125, 65, 0)}}
	goals := relayGoals(taken)
	if !goals[0].Held || goals[1].Held {
		t.Errorf("got %v, want 1.25 held and 1.3 missed", goals)
	}
}

func TestChainGoals(t *testing.T) {
	taken := bench.Taken{Point: point("short", 8, 3), Results: bench.Results{
		bench.Direct: made(100, 0, 0), bench.Milterkit: made(120, 65, 0)}}
	goals := chainGoals(taken)
	if !goals[0].Held || goals[1].Held {
		t.Errorf("got %v, want 1.2 within 4/3 and not below 1", goals)
	}
	if chainGoals(bench.Taken{}) != nil || relayGoals(bench.Taken{}) != nil {
		t.Error("a goal of a contest that was not held")
	}
}

// The time of one filter alone is taken off.
func TestSlowestGoal(t *testing.T) {
	times := func(ms int64) []bench.Sample {
		h := hdrhistogram.New(1, 60_000_000, 3)
		h.RecordValue(1000 * ms)
		return []bench.Sample{{Run: bench.Run{Times: h}}}
	}
	taken := bench.Taken{Point: point("short", 8, 3), Results: bench.Results{bench.Milterkit: times(8), oneAlone: times(6)}}
	if g := slowestGoal(taken, 2.1); !g.Held {
		t.Errorf("%v, want 2 ms to be within 2.1", g)
	}
	if g := slowestGoal(taken, 1.9); g.Held {
		t.Errorf("%v, want 2 ms to be beyond 1.9", g)
	}
	if g := slowGoal(taken, 7); g.Held {
		t.Errorf("%v, want 8 ms to be beyond 7", g)
	}
}

func TestLimits(t *testing.T) {
	s := bench.Spread{Median: 1, Low: 0.5, High: 2}
	if !atMost("", s, 1, "").Held || below("", s, 1, "").Held || atMost("", s, 0.9, "").Held || !below("", s, 1.1, "").Held {
		t.Error("the median is the measure: 1 is at most 1, and not less")
	}
	if got := atMost("", s, 6.5, " ms"); got.Want != "at most 6.5 ms" || got.Got != "1 ms (0.5 to 2)" {
		t.Errorf("%q, %q", got.Want, got.Got)
	}
}

// What is not installed is told with the package that has it.
func TestLackingProgram(t *testing.T) {
	if got := lacking("nothing", "sh"); got != nil {
		t.Errorf("sh: %v", got)
	}
	got := lacking("some-package", "sh", "no-such-program-here")
	if got == nil || got.cure != "apt-get install some-package" {
		t.Errorf("got %v", got)
	}
}

// A section has a name, and another name is told which there are.
func TestChoose(t *testing.T) {
	if got, err := choose("many, core"); err != nil || len(got) != 2 || got[0].name != "many" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := choose(""); err != nil || len(got) != len(sections) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := choose("cores"); err == nil {
		t.Error("no error")
	}
}

// A turn of smtp-source is as long as it was asked for, by what a message took
// last time.
func TestTurnsOfASource(t *testing.T) {
	s := source{least: 4}
	if got := s.messages(time.Second); got != 4 {
		t.Errorf("first: %d", got)
	}
	s.each = 10 * time.Millisecond
	if got := s.messages(time.Second); got != 100 {
		t.Errorf("then: %d", got)
	}
	s.each = time.Second
	if got := s.messages(time.Second); got != 4 {
		t.Errorf("slow: %d", got)
	}
}
