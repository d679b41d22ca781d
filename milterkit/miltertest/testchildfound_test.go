package miltertest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// found is what the kit has found, as a user would read it.
type found struct {
	mu    sync.Mutex
	rule  string
	lines []string // errors
	logs  []string
}

func (f *found) Helper() {}

func (f *found) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, f.rule+": "+fmt.Sprintf(format, args...))
}

func (f *found) Logf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs = append(f.logs, f.rule+": "+fmt.Sprintf(format, args...))
}

func (f *found) String() string { return strings.Join(append(f.lines, f.logs...), "\n") }

// findings runs the kit as ChildTest.Run does, without failing the test, up to the
// rule of that name; "" is all.
func findings(t *testing.T, test ChildTest, upTo string) *found {
	t.Helper()
	k, err := newKit(test)
	if err != nil {
		t.Fatal(err)
	}
	f := &found{}
	for i := range rules {
		if k.applies(&rules[i]) {
			f.rule = rules[i].name
			k.try(&rules[i], f)
		}
		if rules[i].name == upTo {
			return f
		}
	}
	k.hints(f)
	return f
}
