package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/milterkit/sdk/bench"
)

// core holds milterkit against a relay, and against the filters asked one after
// another.
func (r *run) core() error {
	for _, part := range []func() error{r.againstRelay, r.chains, r.slowOnes, r.sizes} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// at holds the contest at a point. A machine that has no room for it is noted.
func (r *run) at(p bench.Point) (bench.Taken, error) {
	t, err := bench.Hold(r.ctx, r.lab, p, r.terms(p.String()))
	if few := (*bench.DescriptorError)(nil); errors.As(err, &few) {
		r.leaveOut(p.String(), &missing{few.Error(), few.Cure()})
		return t, nil
	}
	if err == nil {
		r.note(t)
	}
	return t, err
}

// point is one with children on sockets.
func point(mail string, sessions, children int) bench.Point {
	m, err := bench.MailNamed(bench.Mails, mail)
	if err != nil {
		panic(err) // the name is in this program
	}
	return bench.Point{Scenario: "core", Mail: m, Messages: 1, Sessions: sessions, Children: children, Kind: "remote"}
}

// againstRelay has one child, and a relay before it.
func (r *run) againstRelay() error {
	for _, silent := range []bool{false, true} {
		for _, load := range []struct {
			mail     string
			sessions int
		}{{"short", 8}, {"1MB", 8}, {"short", 1}, {"100KB", 50}} {
			p := point(load.mail, load.sessions, 1)
			p.Silent = silent
			t, err := r.at(p)
			if err != nil {
				return err
			}
			goals := relayGoals(t)
			if err := r.explain(p, goals); err != nil {
				return err
			}
			r.goal(goals...)
		}
	}
	return nil
}

// explain has a profile say why a figure was not reached.
func (r *run) explain(p bench.Point, goals []bench.Goal) (err error) {
	for i := range goals {
		if !goals[i].Held && goals[i].Note == "" && strings.Contains(goals[i].What, "CPU") {
			if goals[i].Note, err = r.why(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// relayLimit is how much milterkit may cost of a relay, in time and in CPU; its
// rate of messages is then 0.8 of the relay's at least.
const relayLimit = 1.25

// relayGoals compares milterkit with a relay in the same place.
func relayGoals(t bench.Taken) []bench.Goal {
	if t.Results == nil {
		return nil
	}
	filter := "one filter"
	if t.Point.Silent {
		filter = "one filter that answers neither header nor body"
	}
	where := fmt.Sprintf("%s, %s, %s: ", filter, size(t.Point.Mail), sessions(t.Point))
	return []bench.Goal{
		atMost(where+"time against a relay", t.Ratio(bench.Milterkit, bench.Relay, bench.Wall), relayLimit, ""),
		atMost(where+"CPU against a relay", t.Ratio(bench.Milterkit, bench.Relay, bench.CPU), relayLimit, ""),
		onceAtMost(where+"bytes of the body that were copied", t.Of(bench.Milterkit, func(s *bench.Sample) float64 { return s.Copied }).High, 0, ""),
	}
}

// chains has several children, and the same ones asked one after another.
func (r *run) chains() error {
	if _, err := r.at(point("short", 64, 1)); err != nil { // for the plot
		return err
	}
	for _, children := range []int{3, 5} {
		for _, n := range []int{1, 8, 64} {
			t, err := r.at(point("short", n, children))
			if err != nil {
				return err
			}
			r.goal(chainGoals(t)...)
		}
	}
	return nil
}

// chainGoals compares milterkit before some filters with the filters asked one
// after another. One hop more is the bound where each waits for the one before
// it; to be faster than without milterkit takes less waiting.
func chainGoals(t bench.Taken) []bench.Goal {
	if t.Results == nil {
		return nil
	}
	n := t.Point.Children
	where := fmt.Sprintf("%d filters, %s, %s: time against the filters one after another", n, size(t.Point.Mail), sessions(t.Point))
	got := t.Ratio(bench.Milterkit, bench.Direct, bench.Wall)
	return []bench.Goal{
		atMost(where+fmt.Sprintf(", (%d + 1) / %d", n, n), got, float64(n+1)/float64(n), ""),
		below(where, got, 1, ""),
	}
}

// slowOnes has children that take their time at the end of a message.
func (r *run) slowOnes() error {
	for _, n := range []int{1, 8} {
		t, err := r.slow(5, 20*time.Millisecond, n)
		if err != nil {
			return err
		}
		r.goal(slowGoal(t, 30))
		if t, err = r.slow(3, 5*time.Millisecond, n); err != nil {
			return err
		}
		r.goal(slowestGoal(t, 1.5))
	}
	return nil
}

// oneAlone is the contestant that is one of some slow filters, asked alone.
const oneAlone = "one of them, direct"

// slow holds the contest of filters that are slow: one after another, together
// behind milterkit, and one of them alone.
func (r *run) slow(children int, delay time.Duration, sessions int) (bench.Taken, error) {
	p := point("short", sessions, children)
	p.Delay, p.Together = delay, true
	addrs, part, err := r.lab.Filters(r.ctx, bench.Filters{Count: children, Delay: delay})
	if err != nil {
		return bench.Taken{}, err
	}
	var mux bench.Mux
	for _, a := range addrs {
		mux.Children = append(mux.Children, bench.Child{Remote: a, Together: true})
	}
	at, between, err := r.lab.Milterkit(r.ctx, mux)
	if err != nil {
		return bench.Taken{}, err
	}
	filters := []*bench.Part{part}
	return r.hold(p.String(), p, []*bench.Contestant{
		{Name: bench.Direct, Addrs: addrs, Filters: filters},
		{Name: oneAlone, Addrs: addrs[:1], Filters: filters},
		{Name: bench.Milterkit, Addrs: []bench.Addr{at}, Between: between, Filters: filters},
	})
}

// inMilliseconds is the time that half of the sessions take at most.
func inMilliseconds(s *bench.Sample) float64 { return 1e3 * bench.P50(s) }

// slowGoal is about the time of a session in milliseconds.
func slowGoal(t bench.Taken, limit float64) bench.Goal {
	what := fmt.Sprintf("%d filters that take %v each, together, %s: a session (p50)", t.Point.Children, t.Point.Delay, sessions(t.Point))
	return below(what, t.Of(bench.Milterkit, inMilliseconds), limit, " ms")
}

// slowestGoal is about what a session takes longer than with the slowest of the
// filters alone, without milterkit.
func slowestGoal(t bench.Taken, limit float64) bench.Goal {
	var more []float64
	for i := range min(len(t.Results[bench.Milterkit]), len(t.Results[oneAlone])) {
		more = append(more, inMilliseconds(&t.Results[bench.Milterkit][i])-inMilliseconds(&t.Results[oneAlone][i]))
	}
	what := fmt.Sprintf("%d filters that take %v each, together, %s: a session (p50), more than with one of them alone",
		t.Point.Children, t.Point.Delay, sessions(t.Point))
	g := atMost(what, bench.SpreadOf(more), limit, " ms")
	g.Note = fmt.Sprintf("%s, and %s with one alone",
		number(t.Of(bench.Milterkit, inMilliseconds), " ms"), number(t.Of(oneAlone, inMilliseconds), " ms"))
	return g
}

// sizes has mails of other sizes past one child, for the plot.
func (r *run) sizes() error {
	for _, mail := range []string{"list", "100KB", "10MB"} {
		if _, err := r.at(point(mail, 8, 1)); err != nil {
			return err
		}
	}
	return nil
}
