package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/bench"
	"github.com/milterkit/sdk/daemon/internal/config"
)

const benchLong = `Measure what milters cost: play the mail server to them with many sessions at
one time, and print messages a second, the time of sessions, and CPU,
allocations and memory of a message.

With SOCKETs it measures your own milters, which run already: asked one after
another as Postfix asks its smtpd_milters ("direct"), and behind milterkit,
which is started for it. The mail is made up, from alice@example.org to
bob0@example.net, and goes nowhere; a milter that keeps what it sees keeps it,
so do not name those of a mail server in service. SOCKET is written as in
main.cf: unix:PATH, inet:PORT@HOST or inet:HOST:PORT.

Without a SOCKET it measures milterkit itself, with milters that do no work:
against the same ones asked directly, and, where there is one, against a relay
that only hands on bytes.

All that is compared takes turns, round by round, after a round to warm up.
What is played says a scenario; --list names those that there are, and a file
of your own will do too. docs/benchmarks.md tells what the columns mean, and
how to write a scenario.

Exit status: 0 when all was measured, 1 when something was left out or it was
interrupted, 2 for a wrong command line, 3 when a milter could not be reached,
refused all mail or did not keep to the protocol, 78 for mistakes in a scenario.`

const benchExample = `  milterkit bench                                          # milterkit itself, in a minute
  milterkit bench unix:/run/opendkim/opendkim.sock         # your milter, and what milterkit before it costs
  milterkit bench inet:8891@127.0.0.1 inet:8892@127.0.0.1 --together
  milterkit bench inet:8891@127.0.0.1 --mail short,10MB --sessions 1,64 --rounds 9
  milterkit bench --scenario together --scenario mine.toml --rounds 10 --benchstat new.txt
  milterkit bench --list`

func newBenchCommand() *cobra.Command {
	o := &benchOptions{}
	c := &cobra.Command{
		Use:     "bench [SOCKET...]",
		Short:   "Measure what milters cost, yours or milterkit itself",
		Long:    benchLong,
		Example: benchExample,
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return o.run(ctx, args, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	o.declare(c.Flags())
	c.SetFlagErrorFunc(benchFlagError)
	return c
}

// newBenchPartCommand is what bench starts for each of the processes that it
// compares.
func newBenchPartCommand() *cobra.Command {
	return &cobra.Command{
		Use:     strings.Join(bench.PartArgs, " "),
		Short:   "Be one of the processes that bench compares",
		Long:    "This is for bench, which says on standard input what is to be done.",
		Example: "  milterkit bench",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return bench.RunPart(os.Stdin, os.Stdout) },
	}
}

// run measures what the options describe, and prints each contest as it ends.
func (o *benchOptions) run(ctx context.Context, sockets []string, stdout, stderr io.Writer) (fault error) {
	if err := o.check(sockets); err != nil {
		return err
	}
	if o.list {
		return o.printList(stdout)
	}
	milters, err := benchSockets(sockets)
	if err != nil {
		return err
	}
	points, err := o.points(len(milters))
	if err != nil {
		return err
	}
	for i, a := range milters {
		if err := bench.Reach(a, 5*time.Second); err != nil {
			return trouble(fmt.Errorf("%s does not answer as a milter: %w", sockets[i], err))
		}
	}
	lab, err := bench.NewLab()
	if err != nil {
		return err
	}
	defer lab.Close()
	report := &bench.Report{Machine: bench.ThisMachine(), Began: time.Now()}
	if o.benchstat != "" {
		// Opened first: nobody wants to learn after an hour that it cannot be.
		f, err := os.Create(o.benchstat)
		if err != nil {
			return usage("--benchstat: %w", err)
		}
		defer func() { fault = errors.Join(fault, keepRounds(f, report)) }()
	}
	if err := bench.WriteHead(stdout, report); err != nil {
		return err
	}
	r := &benchRun{lab: lab, milters: milters, report: report, stdout: stdout, progress: newBenchProgress(stderr, len(points), o.rounds)}
	if err := r.hold(ctx, points, o.terms()); err != nil {
		return err
	}
	return r.leftOut()
}

// keepRounds writes all rounds to the file of --benchstat, and closes it.
func keepRounds(f *os.File, report *bench.Report) error {
	err := errors.Join(bench.WriteBenchfmt(f, report), f.Close())
	if err != nil {
		return fmt.Errorf("--benchstat: not all rounds are in the file: %w", err)
	}
	return nil
}

func (o *benchOptions) terms() bench.Terms { return bench.Terms{Rounds: o.rounds, Time: o.time} }

// benchSockets reads where the milters listen.
func benchSockets(specs []string) ([]bench.Addr, error) {
	var list []bench.Addr
	for _, spec := range specs {
		s, err := config.ParseSocket(spec)
		if err != nil || s.Network == "systemd" {
			return nil, usage("cannot measure %s: %w", spec, errors.Join(err, errSystemd(s)))
		}
		list = append(list, bench.Addr{Network: s.Network, Addr: s.Addr})
	}
	return list, nil
}

// points returns the contests of all scenarios, with so many milters of the
// user's own, where there are any.
func (o *benchOptions) points(milters int) ([]bench.Point, error) {
	var points []bench.Point
	for _, name := range o.scenarios {
		s, err := bench.FindScenario(name)
		if errors.As(err, new(config.Errors)) {
			return nil, err
		}
		if err != nil {
			return nil, usage("--scenario: %w (bench --list has them all)", err)
		}
		if len(o.sessions) > 0 {
			s.Sessions = o.sessions
		}
		if len(o.mails) > 0 {
			s.Mails, s.Mix = nil, nil
		}
		for _, name := range o.mails {
			m, err := bench.MailNamed(s.Known, name)
			if err != nil {
				return nil, usage("--mail: %w", err)
			}
			s.Mails = append(s.Mails, m)
		}
		if milters > 0 {
			s.Children, s.Kinds, s.Delay, s.Silent, s.Together = []int{milters}, []string{"own"}, 0, false, []bool{o.together}
		}
		points = append(points, s.Points()...)
	}
	return points, nil
}

// printList lists what can be played.
func (o *benchOptions) printList(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SCENARIO\tCONTESTS\tTIME, ABOUT\tWHAT IT PLAYS")
	for _, s := range bench.Scenarios() {
		points := s.Points()
		fmt.Fprintf(tw, "%s\t%d\t%v\t%s\n", s.Name, len(points), bench.Estimate(points, o.terms()).Round(time.Second), s.About)
	}
	fmt.Fprintln(tw, "\nMAIL\tFIELDS\tHEADER\tBODY\tRECIPIENTS")
	for _, m := range bench.Mails {
		fmt.Fprintf(tw, "%s\t%d\t%d bytes\t%d bytes\t%d\n", m.Name, m.Fields, m.Header, m.Body, m.Recipients)
	}
	return tw.Flush()
}

// A benchRun holds contests and prints them.
type benchRun struct {
	lab      *bench.Lab
	milters  []bench.Addr // of the user's own
	report   *bench.Report
	stdout   io.Writer
	progress *benchProgress
}

// hold holds the contests. One that this machine has no room for is left out.
func (r *benchRun) hold(ctx context.Context, points []bench.Point, t bench.Terms) error {
	r.progress.estimate = bench.Estimate(points, t)
	for i, p := range points {
		t.Progress = r.progress.contest(i, &p)
		var taken bench.Taken
		var err error
		if len(r.milters) > 0 {
			taken, err = bench.HoldOwn(ctx, r.lab, p, r.milters, t)
		} else {
			taken, err = bench.Hold(ctx, r.lab, p, t)
		}
		r.progress.clear()
		var few *bench.DescriptorError
		switch {
		case ctx.Err() != nil && len(r.report.Taken) == 0:
			return errors.New("interrupted before anything was measured")
		case ctx.Err() != nil:
			return errors.New("interrupted; what was measured until then is above")
		case errors.As(err, &few):
			r.report.LeftOut = append(r.report.LeftOut, bench.LeftOut{Name: p.String(), Why: few.Error(), Cure: few.Cure()})
			continue
		case err != nil:
			return trouble(err)
		}
		r.report.Taken = append(r.report.Taken, taken)
		fmt.Fprintln(r.stdout)
		if err := bench.WriteTaken(r.stdout, &taken); err != nil {
			return err
		}
	}
	return nil
}

// leftOut tells what could not be measured, which is a failure: who asked for it
// would else think that it was.
func (r *benchRun) leftOut() error {
	n := len(r.report.LeftOut)
	if n == 0 {
		return nil
	}
	fmt.Fprintln(r.stdout)
	if err := bench.WriteLeftOut(r.stdout, r.report.LeftOut); err != nil {
		return err
	}
	return fmt.Errorf("contests left out: %d", n)
}
