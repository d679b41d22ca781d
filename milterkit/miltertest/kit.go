package miltertest

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

// The kit behind TestChild. It plays mail at a Walk with the child as its only
// one, and stands between the two: it sees what the child is shown, and what it
// does with that.

// reporter is what the kit needs of a *testing.T.
type reporter interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
}

// kit is one run of TestChild.
type kit struct {
	ChildTest
	d       *milterkit.Dispatcher
	letters []*letter               // ordinary mail, all from the same client
	known   map[*letter]expectation // how a child that has seen nothing else answers

	opening sync.Mutex // held while a session is opened
	opened  *visit     // that session

	mu       sync.Mutex
	rule     *rule
	remarks  []remark        // of the rule at hand
	findings int             // errors, of the rule at hand
	said     map[string]bool // what has been found already
	subjects []*subject      // of the rule at hand
	began    time.Time
	stuck    bool            // a hook does not return: nothing of the child is called any more
	slow     bool            // one takes too long: the rules after this one are not tried
	has      []string        // the hooks that the child has, in the order of a session
	called   map[string]bool // those that were called
	acted    bool            // the child has refused something, or asked for an edit
	prompt   bool            // hooks of the child promise to return
	slack    bool            // hooks of the child do not
}

// A remark is what is to be told of a rule. It waits until the rule has been tried:
// only on the goroutine of the test does the testing package find the user's line.
type remark struct {
	text string
	bad  bool // it is an error
}

// maxFindings is how many findings are told for one rule.
const maxFindings = 3

func newKit(c ChildTest) (*kit, error) {
	if c.New == nil {
		return nil, errors.New("miltertest: ChildTest.New is nil: it is to return a new child")
	}
	k := &kit{ChildTest: c, known: map[*letter]expectation{}, said: map[string]bool{}, called: map[string]bool{}}
	k.letters = ordinaryMail(c)
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: stand{k}})
	if err != nil {
		return nil, err
	}
	d.Logger = slog.New(slog.DiscardHandler)
	k.d = d
	return k, nil
}

// stand stands in for the child in the Dispatcher.
type stand struct{ k *kit }

func (stand) Name() string             { return "the child under test" }
func (s stand) Hooks() milterkit.Hooks { return s.k.opened.hooks() }

// applies reports whether a rule is to be tried.
func (k *kit) applies(r *rule) bool {
	return !k.halted() && !k.slow && (r.name != "PromptKeepsItsWord" || k.prompt)
}

// try tries one rule, and tells what is found, also where newChild ends the test.
func (k *kit) try(r *rule, to reporter) {
	to.Helper()
	k.mu.Lock()
	k.rule, k.remarks, k.findings, k.subjects, k.began = r, nil, 0, nil, time.Now()
	k.mu.Unlock()
	defer k.report(r, to)
	r.try(k)
	for _, s := range k.subjects {
		s.close()
	}
}

// report tells what was found of a rule.
func (k *kit) report(r *rule, to reporter) {
	to.Helper()
	k.mu.Lock()
	remarks, n, stop := k.remarks, k.findings, k.stuck || k.slow
	k.mu.Unlock()
	for _, m := range remarks {
		if m.bad {
			to.Errorf("%s", m.text)
		} else {
			to.Logf("%s", m.text)
		}
	}
	if n > maxFindings {
		to.Logf("and %d more like that", n-maxFindings)
	}
	if n > 0 {
		to.Logf("The rule: %s", strings.ReplaceAll(r.why, "\n", " "))
	}
	if stop {
		to.Logf("The rules after this one were not tried. Mend this first: they would only tell of it again, or wait.")
	}
}

// fault tells of an error of the child. What has the same key is told once.
func (k *kit) fault(key, format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.said[key] {
		return
	}
	k.said[key] = true
	if k.findings++; k.findings <= maxFindings {
		k.remarks = append(k.remarks, remark{fmt.Sprintf(format, args...), true})
	}
}

// hint tells of what is no error, once.
func (k *kit) hint(key, format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.said[key] {
		k.said[key] = true
		k.remarks = append(k.remarks, remark{fmt.Sprintf(format, args...), false})
	}
}

// trying reports whether the rule of that name is at hand.
func (k *kit) trying(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.rule.name == name
}

// patience is how long a rule is tried with a child that is slow.
const patience = 3 * time.Second

// over reports whether nothing more is to be tried.
func (k *kit) over() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stuck || k.slow && time.Since(k.began) > patience
}

// halted reports whether a function of the child has not returned: then no other is
// called, and what it was shown is left to it.
func (k *kit) halted() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stuck
}

func (k *kit) giveUp() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stuck = true
}

// tooSlow tells of a function of the child that takes too long.
func (k *kit) tooSlow(what, format string, args ...any) {
	k.fault("slow "+what, format, args...)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.slow = true
}

// lastID is the last number that a child or call of any kit has got: goroutines
// are known by it, and kits may run at the same time.
var lastID atomic.Int64

// act notes that the child has refused something, or asked for an edit.
func (k *kit) act() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.acted = true
}

// hints tells what was not tried.
func (k *kit) hints(to reporter) {
	to.Helper()
	if k.halted() || k.slow {
		return
	}
	for _, name := range k.has {
		if !k.called[name] && name != "RefusedRcpt" {
			to.Logf("%s was never called: the child has refused or accepted all mail before. Give TestChild mail and a client that it takes: ChildTest.Mails, ChildTest.Client.", name)
		}
	}
	if !k.acted {
		to.Logf("The child never asked for an edit, nor refused anything. If it would, for mail of some kind, give it such: ChildTest.Mails, ChildTest.Client.")
	}
}
