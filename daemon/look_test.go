package daemon

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/milterkit/sdk/daemon/internal/history"
	"github.com/milterkit/sdk/daemon/internal/statuspage"
)

// probed is a child that answers with an error, or nil, after a while.
type probed struct {
	asked int
	err   error
	wait  chan struct{}
}

func (p *probed) Probe(ctx context.Context) error {
	p.asked++
	if p.wait != nil {
		select {
		case <-p.wait:
		case <-ctx.Done():
		}
	}
	return p.err
}

// A milter that stops and comes back is seen to do so, with the time of each; and is
// not asked more often than that takes.
func TestALookSeesWhoStops(t *testing.T) {
	child := &probed{}
	l, begun, probes := new(look), time.Now(), []probe{{prober: child, name: "a"}}
	at := func(after time.Duration) statuspage.Milter {
		l.ask(context.Background(), probes, begun.Add(after))
		m := statuspage.Milter{Name: "a", Kind: "remote"}
		l.judge(&m, history.State{}, nil)
		return m
	}
	if m := at(0); m.State != statuspage.StateUp || m.Since != nil {
		t.Errorf("%+v", m)
	}
	child.err = errors.New("connection refused")
	if m := at(time.Second); m.State != statuspage.StateUp || child.asked != 1 {
		t.Errorf("it is asked too often: %+v, %d times", m, child.asked)
	}
	for _, after := range []time.Duration{2 * time.Second, 4 * time.Second} {
		if m := at(after); m.State != statuspage.StateDown || m.Why != "connection refused" || !m.Since.Equal(begun.Add(2*time.Second)) {
			t.Errorf("%+v", m)
		}
	}
	child.err = nil
	if m := at(6 * time.Second); m.State != statuspage.StateUp || m.Why != "" || !m.Since.Equal(begun.Add(6*time.Second)) {
		t.Errorf("%+v", m)
	}
}

// Who asks does not wait for a milter that hangs.
func TestALookDoesNotWaitForAMilterThatHangs(t *testing.T) {
	child := &probed{wait: make(chan struct{})}
	l, probes := new(look), []probe{{prober: child, name: "a"}}
	began := time.Now()
	for range 2 {
		l.ask(context.Background(), probes, began)
	}
	if took := time.Since(began); took > 1900*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	close(child.wait)
	<-l.done
	if child.asked != 1 {
		t.Errorf("%d questions at one time", child.asked)
	}
}

// One that answers and failed in the last message is failing, unless it has come back
// since.
func TestAMilterThatAnswersAndFails(t *testing.T) {
	now := time.Now()
	failed := history.State{Asked: now, Failed: now.Add(-time.Minute), Why: "no answer in time"}
	for _, c := range []struct {
		seen *seen
		kind string
		fare history.State
		want string
	}{
		{nil, "remote", history.State{}, statuspage.StateUnknown},
		{nil, "native", history.State{}, statuspage.StateUp},
		{nil, "native", failed, statuspage.StateFailing},
		{&seen{at: now}, "remote", failed, statuspage.StateFailing},
		{&seen{at: now, since: now.Add(-time.Hour)}, "remote", failed, statuspage.StateFailing},
		{&seen{at: now, since: now.Add(time.Second)}, "remote", failed, statuspage.StateUp},
		{&seen{at: now, since: now, why: "refused"}, "remote", failed, statuspage.StateDown},
	} {
		l := new(look)
		if c.seen != nil {
			l.states = map[string]*seen{"a": c.seen}
		}
		m := statuspage.Milter{Name: "a", Kind: c.kind}
		if l.judge(&m, c.fare, nil); m.State != c.want {
			t.Errorf("%+v: %+v", c, m)
		}
		if m.State == statuspage.StateDown && !m.Since.Equal(failed.Failed) {
			t.Errorf("down since %v", m.Since)
		}
	}
}
