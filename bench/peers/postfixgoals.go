package main

import (
	"fmt"
	"time"

	"github.com/milterkit/sdk/bench"
)

// sessionsOf writes how many sessions there are at one time.
func sessionsOf(n int) string { return sessions(bench.Point{Sessions: n}) }

// trivialContests are those with filters that do no work.
func (o *office) trivialContests() error {
	r := o.run
	turn := r.turn(time.Second)
	s := source{least: 16}
	for _, n := range []int{1, 8} {
		t, err := o.contest("one filter that does no work", 1, n, turn, s, noMilter, oneDirect, oneRelay, oneBehind)
		if err != nil {
			return err
		}
		g := atMost("Postfix, one filter that does no work, "+sessionsOf(n)+": time with milterkit against without",
			t.Ratio(oneBehind, oneDirect, bench.Wall), 1.05, "")
		g.Note = "a relay in milterkit's place: " + number(t.Ratio(oneRelay, oneDirect, bench.Wall), "")
		r.goal(g)
		if t, err = o.contest("three filters that do no work", 3, n, turn, s, threeDirect, threeBehind, threeTogether); err != nil {
			return err
		}
		for _, name := range []string{threeBehind, threeTogether} {
			r.goal(below(fmt.Sprintf("Postfix, three filters that do no work, %s: time, %s, against direct", sessionsOf(n), name),
				t.Ratio(name, threeDirect, bench.Wall), 1, ""))
		}
	}
	t, err := o.contest("milterkit at a TCP port, and at a unix socket", 1, 1, turn, s, oneBehind, oneTCP)
	if err != nil {
		return err
	}
	r.goal(atMost("Postfix, milterkit at a TCP port, 1 session: time against a unix socket",
		t.Ratio(oneTCP, oneBehind, bench.Wall), 1.3, ""))
	return nil
}

// realContests are those with OpenDKIM, clamav-milter and spamass-milter. With
// several sessions spamd's CPU is the limit of either: that is told only.
func (o *office) realContests() error {
	r := o.run
	const what = "OpenDKIM, clamav-milter and spamass-milter"
	s := source{least: 4, file: o.letterFile()}
	t, err := o.contest(what, 3, 1, r.turn(4*time.Second), s, slowestAlone, realDirect, realTogether)
	if err != nil {
		return err
	}
	g := below("Postfix, "+what+", 1 session: time with milterkit together against without",
		t.Ratio(realTogether, realDirect, bench.Wall), 1, "")
	g.Note = "the slowest of them alone: " + number(t.Ratio(slowestAlone, realDirect, bench.Wall), "")
	r.goal(g)
	few := *r
	few.rounds = min(few.rounds, 3)
	o.run = &few
	defer func() { o.run = r }()
	_, err = o.contest(what, 3, 4, r.turn(4*time.Second), s, realDirect, realTogether)
	return err
}
