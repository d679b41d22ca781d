package main

import (
	"os"
	"testing"
	"time"

	"github.com/milterkit/sdk/bench"
)

// Mail goes through Postfix by every arrangement, and each goal has a figure. Who
// is not root has it left out, with why.
func TestPostfixEndToEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("builds milterkit and starts Postfix")
	}
	r := &run{ctx: t.Context(), rounds: 1, time: 10 * time.Millisecond, quick: true, lab: newLab(t), report: &bench.Report{}}
	if err := r.postfix(); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		if len(r.report.LeftOut) != 1 || r.report.LeftOut[0].Cure == "" {
			t.Errorf("left out: %v", r.report.LeftOut)
		}
		return
	}
	if len(r.report.LeftOut) != 0 {
		t.Fatalf("left out, though test/install.sh installs it: %v", r.report.LeftOut)
	}
	if taken, goals := len(r.report.Taken), len(r.report.Goals); taken != 5 || goals != 7 {
		t.Errorf("%d contests and %d goals, want 5 and 7", taken, goals)
	}
	for _, taken := range r.report.Taken {
		for _, name := range taken.Names {
			if s := taken.Results[name]; len(s) != 1 || s[0].Messages == 0 {
				t.Errorf("%s: %s: %v", taken.Title, name, s)
			}
		}
	}
}
