package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/milterkit/sdk/builtin/greylist"
	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// The client of Redis writes to stderr what it also returns as errors.
func init() { logging.Disable() }

func newGreylistCommand(all natives) *cobra.Command {
	c := &cobra.Command{
		Use:   "greylist",
		Short: "See and change what greylisting remembers",
		Long: `See and change what the greylist milters of the configuration remember, also
while serve runs. Milters that share a file, or a Redis, have one memory.

Started as root, it gives up root's rights as serve does.`,
		Example: "  milterkit greylist list --state waiting",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q; there are list, allow, forget and stats", args[0])
			}
			return c.Help()
		},
	}
	c.AddCommand(newGreylistList(all), newGreylistAllow(all), newGreylistForget(all), newGreylistStats(all))
	return c
}

// A memory is what some greylist milters remember.
type memory struct {
	milter string // the first of them
	policy greylist.Policy
	store  greylist.Store
	fresh  string    // the file, where there is none yet
	notes  io.Writer // is told of that
}

// memoryFlags are the flags that say which memories are meant.
type memoryFlags struct {
	file, milter *string
	command      *cobra.Command
}

func newMemoryFlags(c *cobra.Command) memoryFlags {
	return memoryFlags{command: c, file: configFlag(c), milter: c.Flags().String("milter", "", "only what the milter of that `NAME` remembers")}
}

// each opens the memories of a configuration, one after another, and calls do.
func (f memoryFlags) each(all natives, do func(context.Context, *memory) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	c, err := all.load(*f.file)
	if err != nil {
		return err
	}
	memories, err := memoriesOf(c, *f.milter)
	if err != nil {
		return err
	}
	account, faults := runsAs(c)
	if len(faults) > 0 {
		return faults
	}
	if account != nil {
		if err := account.become(); err != nil {
			return err
		}
	}
	for _, o := range memories {
		m, err := openMemory(c, o)
		if err != nil {
			return err
		}
		m.notes = f.command.ErrOrStderr()
		if err := errors.Join(do(ctx, m), m.store.Close()); err != nil {
			return fmt.Errorf("%s: %w", m.milter, err)
		}
	}
	return nil
}

// memoriesOf returns the greylist milters of a configuration that are enabled, of
// those that share one memory the first.
func memoriesOf(c *config.Config, only string) ([]config.Milter, error) {
	var found []config.Milter
	seen := map[string]bool{}
	for _, m := range c.Enabled() {
		if m.Use.V != "greylist" || only != "" && m.Name.V != only {
			continue
		}
		o := m.Options.Value().(greylist.Options)
		where := "file " + o.Database
		if o.Redis != "" {
			where = "redis " + o.Redis + " " + o.RedisPrefix
		}
		if !seen[where] {
			seen[where] = true
			found = append(found, m)
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case only != "":
		return nil, fmt.Errorf("%s has no milter %q with use = \"greylist\" that is enabled", c.File, only)
	}
	return nil, fmt.Errorf("%s has no milter with use = \"greylist\" that is enabled", c.File)
}

func openMemory(c *config.Config, m config.Milter) (*memory, error) {
	o := m.Options.Value().(greylist.Options)
	fresh := ""
	if o.Redis == "" {
		there, err := mayUse(o.Database, c.Server.User.V)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name.V, err)
		}
		if !there {
			fresh = o.Database
		}
	}
	store, err := o.Open()
	if err != nil {
		return nil, err
	}
	return &memory{milter: m.Name.V, policy: o.Policy(), store: store, fresh: fresh}, nil
}

// mayUse reports whether a file is there, and may be read and written. The error
// says what is to be done so that it may.
func mayUse(file, owner string) (there bool, err error) {
	folder := filepath.Dir(file)
	_, err = os.Stat(file)
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(folder); err != nil {
			return false, fmt.Errorf("there is no folder %s; make it, and give it to %s", folder, owner)
		}
		return false, nil
	}
	if unix.Access(file, unix.R_OK|unix.W_OK) == nil {
		return true, nil
	}
	me := strconv.Itoa(os.Getuid())
	if u, err := user.LookupId(me); err == nil { // not Current, which remembers root
		me = u.Username
	}
	if me != owner {
		return false, fmt.Errorf("%s may not read and write %s; run this as root, or as %s", me, file, owner)
	}
	return false, fmt.Errorf("%s may not read and write %s; as root do: chown %s %s*", me, file, me, file)
}

// entries yields what is remembered now; nothing, and no file is made, where there
// is none.
func (m *memory) entries(ctx context.Context, now time.Time) iter.Seq2[greylist.Entry, error] {
	if m.fresh != "" {
		fmt.Fprintf(m.notes, "%s: there is no file %s yet; serve makes it when the first mail is put off\n", m.milter, m.fresh)
		return func(func(greylist.Entry, error) bool) {}
	}
	return m.store.Entries(ctx, now)
}

// A selection says which entries are meant.
type selection struct {
	what  []string // any of them; none: all
	state *string
}

const selectionHelp = `WHAT is a client's address, a network, a domain, or the address of a sender or a
recipient. A domain stands for clients below it, and for all senders and
recipients of it.`

func newStateFlag(c *cobra.Command) *string {
	state := c.Flags().String("state", "", "only entries in that `STATE`: waiting, passed or allowed")
	c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(stateNames(), cobra.ShellCompDirectiveNoFileComp))
	return state
}

func stateNames() []string {
	return []string{greylist.Waiting.String(), greylist.Passed.String(), greylist.Allowed.String()}
}

func (s selection) check() error {
	if *s.state != "" && !slices.Contains(stateNames(), *s.state) {
		return usage("--state %q: there are waiting, passed and allowed", *s.state)
	}
	return nil
}

func (s selection) has(e greylist.Entry) bool {
	return (*s.state == "" || e.State.String() == *s.state) &&
		(len(s.what) == 0 || slices.ContainsFunc(s.what, e.Matches))
}

// narrower reports whether a selection names only a part of the clients that an entry
// allows: who has one client forgotten does not mean a whole network.
func (s selection) narrower(e greylist.Entry) bool {
	own, err := netip.ParsePrefix(e.Client)
	return err == nil && e.State == greylist.Allowed && len(s.what) > 0 && !slices.ContainsFunc(s.what, func(what string) bool {
		name, _ := greylist.ParseClient(what)
		p, err := netip.ParsePrefix(name)
		return err == nil && p.Overlaps(own) && p.Bits() <= own.Bits()
	})
}

func newGreylistList(all natives) *cobra.Command {
	c := &cobra.Command{
		Use:   "list [WHAT...]",
		Short: "List what is remembered",
		Long:  "List what is remembered, or what is remembered about WHAT, one entry a line, in\nno order.\n\n" + selectionHelp,
		Example: `  milterkit greylist list 203.0.113.7
  milterkit greylist list --state waiting alice@example.org`,
	}
	flags, state := newMemoryFlags(c), newStateFlag(c)
	asJSON := c.Flags().Bool("json", false, "print one JSON object a line")
	c.RunE = func(c *cobra.Command, args []string) error {
		s := selection{args, state}
		if err := s.check(); err != nil {
			return err
		}
		return flags.each(all, func(ctx context.Context, m *memory) error {
			now := time.Now()
			for e, err := range m.entries(ctx, now) {
				if err != nil {
					return err
				}
				if !s.has(e) {
					continue
				}
				if err := m.print(c.OutOrStdout(), e, now, *asJSON); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return c
}

// greylistEntry is an entry as list prints it with --json.
type greylistEntry struct {
	Milter    string         `json:"milter"`
	State     greylist.State `json:"state"`
	Client    string         `json:"client"`
	Sender    *string        `json:"sender,omitempty"` // "" is the null sender; absent of what is allowed
	Recipient *string        `json:"recipient,omitempty"`
	Tries     int            `json:"tries,omitempty"`
	First     time.Time      `json:"first"`
	Last      *time.Time     `json:"last,omitempty"`
	Passes    *time.Time     `json:"passes,omitempty"` // from when on it does, if it is waiting
	Expires   *time.Time     `json:"expires,omitempty"`
}

func (m *memory) print(w io.Writer, e greylist.Entry, now time.Time, asJSON bool) error {
	passes := e.First.Add(m.policy.Delay)
	if asJSON {
		j := greylistEntry{Milter: m.milter, State: e.State, Client: e.Client, First: e.First}
		if e.State != greylist.Allowed {
			j.Sender, j.Recipient, j.Tries, j.Last, j.Expires = &e.Sender, &e.Recipient, e.Tries, &e.Last, &e.Expires
		}
		if e.State == greylist.Waiting {
			j.Passes = &passes
		}
		return json.NewEncoder(w).Encode(j)
	}
	at := func(t time.Time) string { return t.Local().Format(time.DateTime) }
	head := fmt.Sprintf("%-8s %s", e.State, miltertest.Escape(e.Client))
	if e.State == greylist.Allowed {
		_, err := fmt.Fprintf(w, "%s since %s\n", head, at(e.First))
		return err
	}
	tries := "1 try"
	if e.Tries != 1 {
		tries = fmt.Sprintf("%d tries", e.Tries)
	}
	head += fmt.Sprintf(" <%s> to <%s>: %s since %s, ", miltertest.Escape(e.Sender), miltertest.Escape(e.Recipient), tries, at(e.First))
	switch {
	case e.State == greylist.Passed:
		head += "last " + at(e.Last) + ", "
	case now.Before(passes):
		head += fmt.Sprintf("passes from %s on (in %v), ", at(passes), passes.Sub(now).Round(time.Second))
	default:
		head += "passes at its next try, "
	}
	_, err := fmt.Fprintf(w, "%sforgotten %s\n", head, at(e.Expires))
	return err
}

func newGreylistAllow(all natives) *cobra.Command {
	c := &cobra.Command{
		Use:   "allow CLIENT...",
		Short: "Let clients pass from now on",
		Long: `Let clients pass from now on: addresses, networks, or domains, which stand for
the names of clients below them too. "forget" takes it back.`,
		Example: "  milterkit greylist allow 192.0.2.0/24 example.org",
		Args:    cobra.MinimumNArgs(1),
	}
	flags := newMemoryFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		names := make([]string, len(args))
		for i, text := range args {
			var err error
			if names[i], err = greylist.ParseClient(text); err != nil {
				return usage("%w", err)
			}
		}
		return flags.each(all, func(ctx context.Context, m *memory) error {
			for _, name := range names {
				if err := m.store.Allow(ctx, name, time.Now()); err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "%s: %s is allowed\n", m.milter, name)
			}
			return nil
		})
	}
	return c
}

func newGreylistForget(all natives) *cobra.Command {
	c := &cobra.Command{
		Use:   "forget WHAT...",
		Short: "Forget entries",
		Long: `Forget what is remembered about WHAT, or with --all everything, and tell how
many entries that were. What is allowed is among it.

` + selectionHelp,
		Example: `  milterkit greylist forget alice@example.org
  milterkit greylist forget --all --state waiting`,
	}
	flags, state := newMemoryFlags(c), newStateFlag(c)
	everything := c.Flags().Bool("all", false, "whatever it is about")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *everything == (len(args) > 0) {
			return usage("forget wants either WHAT or --all")
		}
		s := selection{args, state}
		if err := s.check(); err != nil {
			return err
		}
		return flags.each(all, func(ctx context.Context, m *memory) error {
			var found []greylist.Entry
			for e, err := range m.entries(ctx, time.Now()) {
				if err != nil {
					return err
				}
				switch {
				case !s.has(e):
				case s.narrower(e):
					fmt.Fprintf(c.OutOrStdout(), "%s: %s stays allowed; it is forgotten by that name\n", m.milter, e.Client)
				default:
					found = append(found, e)
				}
			}
			n := 0
			var err error
			if len(found) > 0 {
				n, err = m.store.Forget(ctx, found)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %d forgotten\n", m.milter, n)
			return err
		})
	}
	return c
}

// greylistStats is what stats prints of one memory.
type greylistStats struct {
	Milter  string `json:"milter"`
	Waiting int    `json:"waiting"`
	Due     int    `json:"due"` // of those waiting, whose delay is over
	Passed  int    `json:"passed"`
	Allowed int    `json:"allowed"`
}

func newGreylistStats(all natives) *cobra.Command {
	c := &cobra.Command{
		Use:   "stats",
		Short: "Count what is remembered",
		Long: `Count what is remembered: entries that wait, that have passed, and that are
allowed. Those that wait and would pass at their next try, as their delay
is over, are of clients that have not come again. With --json their number
is "due", and they are counted in "waiting" too.`,
		Example: "  milterkit greylist stats --json",
		Args:    onlyFlags,
	}
	flags := newMemoryFlags(c)
	asJSON := c.Flags().Bool("json", false, "print one JSON object a milter")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return flags.each(all, func(ctx context.Context, m *memory) error {
			now, s := time.Now(), greylistStats{Milter: m.milter}
			for e, err := range m.entries(ctx, now) {
				if err != nil {
					return err
				}
				switch e.State {
				case greylist.Waiting:
					s.Waiting++
					if !now.Before(e.First.Add(m.policy.Delay)) {
						s.Due++
					}
				case greylist.Passed:
					s.Passed++
				case greylist.Allowed:
					s.Allowed++
				}
			}
			if *asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(s)
			}
			due := ""
			if s.Due > 0 {
				due = fmt.Sprintf(" (%d would pass at the next try)", s.Due)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s: %d waiting%s, %d passed, %d allowed\n", s.Milter, s.Waiting, due, s.Passed, s.Allowed)
			return err
		})
	}
	return c
}
