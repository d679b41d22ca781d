package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/milterkit/sdk/bench"
)

// A short contest comes out as text, for benchstat, as data and as a page, with
// what was left out.
func TestReportIsWritten(t *testing.T) {
	r := &run{ctx: t.Context(), rounds: 2, time: 10 * time.Millisecond, lab: newLab(t),
		report: &bench.Report{Machine: bench.ThisMachine(), Began: time.Now()}}
	taken, err := r.at(point("short", 2, 1))
	if err != nil {
		t.Fatal(err)
	}
	r.goal(relayGoals(taken)...)
	r.leaveOut("a filter on libmilter", &missing{"there is no C compiler", cureC})
	dir := filepath.Join(t.TempDir(), "new")
	if err := write(r.report, io.Discard, dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"report.txt", "bench.txt", "report.html"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Taken []struct {
			Samples map[string][]struct{ P50, Rate float64 }
		}
		Goals   []bench.Goal
		LeftOut []bench.LeftOut
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Goals) != 3 || len(got.LeftOut) != 1 || got.LeftOut[0].Cure != cureC {
		t.Errorf("goals %v, left out %v", got.Goals, got.LeftOut)
	}
	for _, name := range []string{bench.Direct, bench.Relay, bench.Milterkit} {
		samples := got.Taken[0].Samples[name]
		if len(samples) != 2 || samples[0].P50 <= 0 || samples[0].Rate <= 0 {
			t.Errorf("%s: %v", name, samples)
		}
	}
}
