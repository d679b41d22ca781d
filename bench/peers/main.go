package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/milterkit/sdk/bench"
)

func main() {
	if err := dispatch(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench/peers:", err)
		os.Exit(1)
	}
}

// dispatch runs the benchmark, or a part of it.
func dispatch(args []string) error {
	switch {
	case slices.Equal(args, bench.PartArgs):
		return bench.RunPart(os.Stdin, os.Stdout)
	case len(args) == 3 && args[0] == partArg:
		return runPart(args[1], args[2])
	}
	flags := flag.NewFlagSet("bench/peers", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "fewer and shorter rounds: to see that it works, not for figures")
	only := flags.String("only", "", "one section, or several with commas: "+strings.Join(names(), ", "))
	out := flags.String("out", "", "the folder to write the report to; none: it is only printed")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, err := measure(ctx, chosen, *quick)
	return errors.Join(write(report, os.Stdout, *out), err)
}

// A section is a group of contests.
type section struct {
	name string
	run  func(*run) error
}

// sections are all of them, in the order in which they are run.
var sections = []section{
	{"micro", (*run).micro},
	{"core", (*run).core},
	{"native", (*run).native},
	{"postfix", (*run).postfix},
	{"real", (*run).real},
	{"chain", (*run).chain},
	{"many", (*run).many},
}

func names() []string {
	var list []string
	for _, s := range sections {
		list = append(list, s.name)
	}
	return list
}

// choose returns the sections of a list of names, all of them for none.
func choose(list string) ([]section, error) {
	if list == "" {
		return sections, nil
	}
	var chosen []section
	for name := range strings.SplitSeq(list, ",") {
		i := slices.Index(names(), strings.TrimSpace(name))
		if i < 0 {
			return nil, fmt.Errorf("there is no section %q; there are %s", name, strings.Join(names(), ", "))
		}
		chosen = append(chosen, sections[i])
	}
	return chosen, nil
}

// measure runs sections. What went wrong in one does not keep the others from
// being measured.
func measure(ctx context.Context, chosen []section, quick bool) (*bench.Report, error) {
	r := &run{ctx: ctx, rounds: 7, time: 500 * time.Millisecond}
	if quick {
		r.quick, r.rounds, r.time = true, 3, 150*time.Millisecond
	}
	r.report = &bench.Report{Machine: bench.ThisMachine(), Began: time.Now()}
	var errs []error
	for _, s := range chosen {
		if ctx.Err() != nil {
			errs = append(errs, ctx.Err())
			break
		}
		if err := r.section(s); err != nil {
			r.say("%s: %v", s.name, err)
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	return r.report, errors.Join(errs...)
}
