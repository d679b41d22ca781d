package daemon

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/milterkit/sdk/bench"
)

// benchOptions are the flags of bench.
type benchOptions struct {
	scenarios []string
	list      bool
	rounds    int
	time      time.Duration
	mails     []string // nil where the flag is not there, empty where it has nothing
	sessions  []int
	together  bool
	benchstat string
}

func (o *benchOptions) declare(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringArrayVar(&o.scenarios, "scenario", []string{bench.StandardScenario}, "what is played: a `NAME`, or a file that ends in .toml; may be repeated")
	f.BoolVar(&o.list, "list", false, "list the scenarios and the mails, and measure nothing")
	f.IntVar(&o.rounds, "rounds", 5, "`NUMBER` of rounds that count")
	f.DurationVar(&o.time, "time", 500*time.Millisecond, "`TIME` for which each contestant plays in each round")
	f.StringSliceVar(&o.mails, "mail", nil, "`MAILS` in place of the scenario's, such as short,1MB")
	f.IntSliceVar(&o.sessions, "sessions", nil, "`NUMBERS` of sessions at one time in place of the scenario's, such as 1,8,64")
	f.BoolVar(&o.together, "together", false, "have milterkit ask your milters at the same time")
	f.StringVar(&o.benchstat, "benchstat", "", "write all rounds to `FILE` too, for benchstat")
}

// benchFlagError says of a value that cannot be read what can.
func benchFlagError(_ *cobra.Command, err error) error {
	var wrong *pflag.InvalidValueError
	if !errors.As(err, &wrong) {
		return err
	}
	cure := map[string]string{
		"rounds":   "a whole number, such as 9",
		"sessions": "whole numbers with commas between, such as 1,8,64",
		"time":     "a time with its unit, such as 5s",
	}[wrong.GetFlag().Name]
	if cure == "" {
		return err
	}
	value := wrong.GetValue()
	if value == "" {
		value = `""`
	}
	return fmt.Errorf("--%s %s: write %s", wrong.GetFlag().Name, value, cure)
}

// check looks at the flags beside each other.
func (o *benchOptions) check(sockets []string) error {
	switch {
	case o.rounds < 1 || o.rounds > 1000:
		return usage("--rounds %d: write a number from 1 to 1000", o.rounds)
	case o.time < 10*time.Millisecond || o.time > time.Hour:
		return usage("--time %v: write a time from 10ms to 1h", o.time)
	case o.mails != nil && len(o.mails) == 0:
		return usage(`--mail "": write the names of mails, such as short,1MB`)
	case o.together && len(sockets) == 0:
		return usage("--together is for milters of your own, and there is no SOCKET; a scenario says it in its file")
	case o.together && len(sockets) == 1:
		return usage("--together: one milter has none that it could run together with; name a second SOCKET")
	}
	for _, n := range o.sessions {
		if n < 1 || n > bench.MaxSessions {
			return usage("--sessions %d: write numbers from 1 to %d", n, bench.MaxSessions)
		}
	}
	return errors.Join(once("scenario", o.scenarios), once("mail", o.mails), once("sessions", o.sessions))
}

// once refuses what is in the list of a flag twice: it would be measured twice.
func once[T comparable](flag string, list []T) error {
	seen := map[T]bool{}
	for _, v := range list {
		if seen[v] {
			return usage("--%s: %v is in the list twice", flag, v)
		}
		seen[v] = true
	}
	return nil
}
