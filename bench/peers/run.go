package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/milterkit/sdk/bench"
)

// A run is all that is measured in one go.
type run struct {
	ctx    context.Context
	rounds int           // of each contest
	time   time.Duration // of each contestant in a round
	quick  bool
	lab    *bench.Lab // of the section under way
	report *bench.Report
}

// section runs a section, in a lab of its own.
func (r *run) section(s section) (err error) {
	if r.lab, err = bench.NewLab(); err != nil {
		return err
	}
	lab := r.lab
	defer func() { err = errors.Join(err, lab.Close()) }()
	began := time.Now()
	r.say("== %s", s.name)
	err = s.run(r)
	r.say("== %s took %v", s.name, time.Since(began).Round(time.Second))
	return err
}

// say tells on stderr how far it is.
func (r *run) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// leaveOut notes a contestant that cannot take part, once.
func (r *run) leaveOut(name string, lacks *missing) {
	r.say("left out: %s: %v", name, lacks)
	l := bench.LeftOut{Name: name, Why: lacks.why, Cure: lacks.cure}
	if !slices.Contains(r.report.LeftOut, l) {
		r.report.LeftOut = append(r.report.LeftOut, l)
	}
}

// terms are those of a contest. It is told with a dot for each round.
func (r *run) terms(title string) bench.Terms {
	fmt.Fprint(os.Stderr, title, " ")
	told := 0
	return bench.Terms{Rounds: r.rounds, Time: r.time, Progress: func(round int, _ *bench.Contestant) {
		if round == told {
			return
		}
		told = round
		fmt.Fprint(os.Stderr, ".")
		if round == r.rounds {
			fmt.Fprintln(os.Stderr)
		}
	}}
}

// note adds a contest to the report.
func (r *run) note(t bench.Taken) { r.report.Taken = append(r.report.Taken, t) }

// goal adds goals to the report.
func (r *run) goal(g ...bench.Goal) { r.report.Goals = append(r.report.Goals, g...) }

// turn returns how long a turn is, where it is to be longer than others.
func (r *run) turn(d time.Duration) time.Duration {
	if r.quick {
		return d / 4
	}
	return d
}

// hold holds a contest of contestants that run already.
func (r *run) hold(title string, p bench.Point, all []*bench.Contestant) (bench.Taken, error) {
	terms := r.terms(title)
	c := &bench.Contest{Contestants: all, Mails: p.Mails(), Messages: max(p.Messages, 1), Sessions: p.Sessions,
		Rounds: terms.Rounds, Time: terms.Time, Progress: terms.Progress}
	t := bench.Taken{Title: title, Point: p}
	for _, one := range all {
		t.Names = append(t.Names, one.Name)
	}
	var err error
	if t.Results, err = c.Run(r.ctx); err != nil {
		return t, fmt.Errorf("%s: %w", title, err)
	}
	r.note(t)
	return t, nil
}

// size writes how large a mail is.
func size(m bench.Mail) string {
	switch n := m.Size(); {
	case n >= 1<<20:
		return fmt.Sprintf("%d MB", n>>20)
	default:
		return fmt.Sprintf("%d KB", (n+512)>>10)
	}
}

// sessions writes how many sessions there are at one time, and how many messages
// are in one.
func sessions(p bench.Point) string {
	text := fmt.Sprintf("%d sessions", p.Sessions)
	if p.Sessions == 1 {
		text = "1 session"
	}
	if p.Messages > 1 {
		text += fmt.Sprintf(" of %d messages", p.Messages)
	}
	return text
}
