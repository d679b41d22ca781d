package main

import (
	"errors"
	"fmt"

	"github.com/milterkit/sdk/bench"
)

// Native children against the same filter as a remote child, on each of the
// libraries.
//
// What a child costs is what one more of it adds: milterkit with no child at all
// has the MTA keep the message to itself, so the base is milterkit with one
// native child, which takes it all in. What a native child adds is little:
// nativeMore of them are added, and one of them counted.

const (
	nativeBase = "one native child"
	nativeMore = 8
)

// native holds the contests and sets the goals.
func (r *run) native() error {
	mail, err := bench.MailNamed(bench.Mails, "short")
	if err != nil {
		return err
	}
	all, err := r.nativeContestants()
	if err != nil {
		return err
	}
	for _, at := range []struct{ sessions, messages int }{{1, 1}, {8, 1}, {1, 20}} {
		p := bench.Point{Scenario: "native", Mail: mail, Messages: at.messages, Sessions: at.sessions, Children: 2, Kind: "native or remote"}
		title := fmt.Sprintf("the same filter as a native child, and on each library: %s, %s", size(mail), sessions(p))
		t, err := r.hold(title, p, all)
		if err != nil {
			return err
		}
		r.report.Goals = append(r.report.Goals, nativeGoals(t)...)
	}
	return nil
}

// nativeNames name the contestants with more native children, and with a remote
// one.
var nativeNames = fmt.Sprintf("and %d native", nativeMore)

func remoteName(library string) string { return "and " + library }

// nativeContestants starts milterkit with each of the children.
func (r *run) nativeContestants() ([]*bench.Contestant, error) {
	start := func(name string, filters []*bench.Part, children ...bench.Child) (*bench.Contestant, error) {
		at, mux, err := r.lab.Milterkit(r.ctx, bench.Mux{Children: children})
		return &bench.Contestant{Name: name, Addrs: []bench.Addr{at}, Between: mux, Filters: filters}, err
	}
	base, err := start(nativeBase, nil, bench.Child{})
	if err != nil {
		return nil, err
	}
	eight, err := start(nativeNames, nil, make([]bench.Child, 1+nativeMore)...)
	if err != nil {
		return nil, err
	}
	all := []*bench.Contestant{base, eight}
	for _, p := range peers {
		at, part, err := p.start(r.ctx, r.lab)
		if lacks := (*missing)(nil); errors.As(err, &lacks) {
			r.leaveOut("a filter on "+p.Name, lacks)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		c, err := start(remoteName(p.Name), []*bench.Part{part}, bench.Child{}, bench.Child{Remote: at})
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// nativeLimit is what a native child may cost of the same filter behind a socket.
const nativeLimit = 0.1

// nativeGoals compares what a native child adds with what a remote one on each
// Go library does. The one in C is told without a goal.
func nativeGoals(t bench.Taken) []bench.Goal {
	var goals []bench.Goal
	for _, p := range peers {
		other := remoteName(p.Name)
		if len(t.Results[other]) == 0 || p.serve == nil {
			continue
		}
		for _, f := range []struct {
			name string
			of   figure
		}{{"time", bench.Wall}, {"CPU", allCPU}} {
			g := atMost(fmt.Sprintf("a native child, %s, %s: %s against the same filter on %s", size(t.Point.Mail), sessions(t.Point), f.name, p.Name),
				added(t.Results, nativeNames, nativeMore, other, nativeBase, f.of), nativeLimit, "")
			g.Note = fmt.Sprintf("one more native child adds %s, one more on %s %s",
				number(more(t.Results, nativeNames, nativeMore, nativeBase, f.of), " µs"), p.Name,
				number(more(t.Results, other, 1, nativeBase, f.of), " µs"))
			goals = append(goals, g)
		}
	}
	return goals
}
