package daemon

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/journal"
	"github.com/milterkit/sdk/daemon/internal/record"
	"github.com/milterkit/sdk/daemon/internal/tracetext"
	"github.com/milterkit/sdk/internal/tomlfile"
)

// outcomes are what can become of a message. Refused is any that was rejected or put
// off, as a whole or for a recipient: of one that no recipient was left of the outcome
// is aborted.
var outcomes = []string{"accept", "reject", "tempfail", "discard", "quarantine", "aborted", refusedOutcome}

const refusedOutcome = "refused"

// outcomeWords are the words for them that status and the lists of trace have.
var outcomeWords = map[string]string{"accepted": "accept", "rejected": "reject", "deferred": "tempfail", "discarded": "discard", "quarantined": "quarantine"}

type traceFlags struct {
	config, journal, since, outcome, by *string
	limit                               *int
	explain, asJSON                     *bool
}

func newTraceCommand(all natives) *cobra.Command {
	c := &cobra.Command{
		Use:   "trace [QUEUE-ID | MESSAGE-ID | ADDRESS | CLIENT]",
		Short: "Find out what became of a message",
		Long: `Find out what became of a message: who sent it, what each milter said, how long
that took, and what came of it. The journal of the daemon is asked, which
journal in [server] turns on; it need not be running.

A message is found by its queue id, its Message-ID, the address of its sender or
a recipient ("<>" is the null sender, "@example.org" all of a domain), the
address, network or name of the client (a domain stands for the names below it),
or the number of its session, which the log has. Without any, the newest are
listed. One message is printed whole, several are listed, the newest first; with
--explain each is printed whole, and why its outcome was what it was. With
--outcome refused there is all that was rejected or put off, also for one
recipient only, as greylisting does.

Exit status: 0 when something was found, 1 when not.`,
		Example: `  milterkit trace 4F3A21C0B2 --explain
  milterkit trace alice@example.org --since 2h
  milterkit trace 192.0.2.0/24 --outcome reject --limit 50`,
		Args: cobra.MaximumNArgs(1),
	}
	f := traceFlags{
		config:  configFlag(c),
		journal: c.Flags().String("journal", "", "the journal, where it is not that of the configuration: a `FILE`"),
		since:   c.Flags().String("since", "", "only messages since that `TIME`: \"2h\" or \"7d\" ago, \"15:04\" today, \"2026-01-31\", or \"2026-01-31 15:04\""),
		outcome: c.Flags().String("outcome", "", "only messages with that `OUTCOME`: "+strings.Join(outcomes, ", ")),
		by:      c.Flags().String("by", "", "only messages that this `MILTER` has decided"),
		limit:   c.Flags().Int("limit", 10, "`N` messages at most"),
		explain: c.Flags().Bool("explain", false, "say why the outcome was what it was"),
		asJSON:  c.Flags().Bool("json", false, "print one JSON object a message, with all that is known"),
	}
	c.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions(outcomes, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error {
		q := journal.Query{Outcome: cmp.Or(outcomeWords[*f.outcome], *f.outcome), By: *f.by, Limit: *f.limit}
		if len(args) > 0 {
			q.Text = args[0]
		}
		since, err := parseSince(*f.since, time.Now())
		switch {
		case err != nil:
			return usage("--since: %w", err)
		case q.Outcome != "" && !slices.Contains(outcomes, q.Outcome):
			return usage("--outcome %q: there are %s", q.Outcome, strings.Join(outcomes, ", "))
		case q.Limit < 1:
			return usage("--limit %d: it is at least 1", q.Limit)
		case len(args) > 0 && strings.TrimSpace(q.Text) == "":
			return usage("say which message: an empty text finds none")
		}
		if q.Outcome == refusedOutcome {
			q.Outcome, q.Refused = "", true
		}
		q.Since = since
		return f.run(c, all, q)
	}
	return c
}

// parseSince reads a time that is past, or how long ago it was; "" is the zero time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := tomlfile.ParseDuration(text); err == nil {
		return now.Add(-ago.Abs()), nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if t, err := time.Parse("15:04", text); err == nil {
		return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, now.Location()), nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", "2006-01-02T15:04", time.DateTime, time.RFC3339} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf(`%q is no time; write how long ago, "2h" or "7d", or a time of today, "15:04", or a day, "2026-01-31", or a time of it, "2026-01-31 15:04"`, text)
}

func (f traceFlags) run(c *cobra.Command, all natives, q journal.Query) error {
	conf, err := all.load(*f.config)
	path := *f.journal
	if path == "" {
		switch {
		case conf == nil || err != nil && conf.Server.Journal.V == "":
			return err
		case conf.Server.Journal.V == "":
			return fmt.Errorf(`%s has no journal, so nothing is known of messages that have passed; add journal = "/var/lib/milterkit/journal.db" to [server] and restart the daemon`, conf.File)
		}
		path = conf.Server.Journal.V
	}
	r, err := journal.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no journal %s; serve makes it when it starts: does it run with this configuration?", path)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; run this as root, or as a member of the group that %s belongs to", err, path)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	found, err := r.Find(q)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return nothing(r, q)
	}
	return f.print(c, found, conf)
}

// nothing says that there is nothing, and what would help.
func nothing(r *journal.Reader, q journal.Query) error {
	span, err := r.Range()
	if err != nil {
		return err
	}
	if span.Records == 0 {
		return errors.New("the journal is empty: no message has ended since it was begun")
	}
	what := "no message"
	if q.Text != "" {
		what = fmt.Sprintf("nothing about %q, which was taken for %s", q.Text, journal.What(q.Text))
	}
	var with []string
	for _, f := range []struct {
		set  bool
		flag string
	}{{!q.Since.IsZero(), "--since"}, {q.Outcome != "" || q.Refused, "--outcome"}, {q.By != "", "--by"}} {
		if f.set {
			with = append(with, f.flag)
		}
	}
	if len(with) > 0 {
		what += ", with that " + strings.Join(with, " and ")
	}
	early := ""
	if strings.Contains(q.Text, "@") {
		early = "; one that was put off or refused before its recipients were named is found by its sender or client"
	}
	const form = "2006-01-02 15:04:05"
	return fmt.Errorf("%s, in the journal's %d messages from %s to %s; a message is there once it has ended, and the oldest go first (journal_size)%s",
		what, span.Records, span.First.Local().Format(form), span.Last.Local().Format(form), early)
}

func (f traceFlags) print(c *cobra.Command, found []*record.Message, conf *config.Config) error {
	out := c.OutOrStdout()
	o := tracetext.Options{Explain: *f.explain, Color: bool(newPaint(out, "auto")), Milters: traced(conf)}
	for i, m := range found {
		var err error
		switch {
		case *f.asJSON:
			err = json.NewEncoder(out).Encode(m)
		case len(found) > 1 && !*f.explain:
			_, err = fmt.Fprintln(out, tracetext.Line(m, o))
		default:
			if i > 0 {
				fmt.Fprintln(out)
			}
			err = tracetext.Print(out, m, o)
		}
		if err != nil {
			return err
		}
	}
	if !*f.asJSON && len(found) == *f.limit && len(found) > 1 {
		fmt.Fprintf(c.ErrOrStderr(), "these are the newest %d; there may be more, see --limit\n", len(found))
	}
	return nil
}

// traced is what the configuration says of milters that helps to read a record.
func traced(c *config.Config) (list []tracetext.Milter) {
	if c == nil {
		return nil
	}
	for _, m := range c.Enabled() {
		list = append(list, tracetext.Milter{Name: m.Name.V, When: m.When.V, DefaultAction: m.DefaultAction.V.String()})
	}
	return list
}
