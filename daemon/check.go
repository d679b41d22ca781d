package daemon

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/doctor"
	"github.com/milterkit/sdk/daemon/internal/listen"
	"github.com/milterkit/sdk/milterkit"
)

func newCheckCommand(all natives) *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration",
		Long: `Check the configuration file, and ask each milter, and what native children
ask, such as clamd, whether it answers. The messages are those of serve. Started
as root, check gives up root's rights as serve does, so that it may do what
serve may do; where the user of the file is not there, it says so and goes on as
nobody. An order of the milters that breaks mail is warned of, and of each
milter with a condition it is told at which stage that is settled.

Exit status: 0 when the configuration is good, also where a milter does not
answer; 78 when it is wrong.`,
		Example: "  milterkit check --config /etc/milterkit/milterkit.toml",
		Args:    onlyFlags,
	}
	file := configFlag(c)
	noConnect := c.Flags().Bool("no-connect", false, "do not ask the milters")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		r, err := all.check(c.ErrOrStderr(), *file, !*noConnect)
		switch {
		case r == nil && *asJSON:
			none := checkJSON{Errors: errorsOf(err), Warnings: []string{}, Listen: []string{}, Milters: []checkMilter{}}
			return errors.Join(printJSON(c.OutOrStdout(), none), err)
		case r == nil:
			return err
		case *asJSON:
			return errors.Join(r.json(c.OutOrStdout()), err)
		}
		r.print(c.OutOrStdout())
		return err
	}
	return c
}

// check tells all that is wrong at once, and of the milters also where something
// is wrong besides. There is no report where the configuration cannot be read.
func (all natives) check(stderr io.Writer, file string, connect bool) (*checkReport, error) {
	c, err := all.load(file)
	if err != nil {
		return nil, all.alsoChildren(c, err)
	}
	r := &checkReport{config: c}
	account, noUser := triedAs(c)
	_, warning, faults := socketOwner(c, c.Server.Listen.V)
	r.faults = append(faults, noUser...)
	if warning != "" {
		r.warnings = append(r.warnings, warning)
	}
	for _, s := range c.Server.Listen.V {
		if s.Network != "unix" {
			continue
		}
		if err := listen.CheckFolder(s.Addr); err != nil { // it may come later: /run is empty after boot
			r.warnings = append(r.warnings, fmt.Sprintf("%s: %v, and serve will want it", s, err))
		}
	}
	if account == nil && noUser != nil {
		return nil, r.faults
	}
	if account != nil {
		if err := account.become(); err != nil {
			return nil, err
		}
	}
	if noUser == nil { // else it is of no use to know what the stand-in may do
		r.faults = append(r.faults, checkTempDir(c)...)
		if warning := journalWarning(c, account != nil); warning != "" {
			r.warnings = append(r.warnings, warning)
		}
	}
	server, probes, err := all.build(c, newLogger("stderr", "text", stderr))
	var more config.Errors
	if err != nil && !errors.As(err, &more) {
		return nil, err
	}
	if noUser != nil {
		markStandIn(more)
		r.warnings = append(r.warnings, fmt.Sprintf("there is no user %q, so the milters are tried out as %s, who may be allowed less", c.Server.User.V, standIn))
	}
	r.faults, r.probes = append(r.faults, more...), probes
	var answers map[string]doctor.Answer
	if connect {
		answers = r.ask()
	}
	r.warnings = append(r.warnings, adviceOn(c, answers)...)
	if server != nil {
		r.slots = server.Dispatcher.Slots()
		err = closeChildren(server)
	}
	if len(r.faults) > 0 {
		r.faults.Sort()
		return r, r.faults
	}
	return r, err
}

// goodNews is the one line for a configuration that can be used.
func goodNews(c *config.Config) string {
	sockets := make([]string, len(c.Server.Listen.V))
	for i, s := range c.Server.Listen.V {
		sockets[i] = s.String()
	}
	n, milters := len(c.Enabled()), "milters"
	if n == 1 {
		milters = "milter"
	}
	return fmt.Sprintf("configuration is good: %d %s, listening on %s", n, milters, strings.Join(sockets, ", "))
}

// takesPart says when a milter with a condition is asked, on one line.
func takesPart(slot milterkit.Slot) string {
	blank := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	condition := strings.Join(strings.FieldsFunc(slot.When.Name, blank), " ")
	return fmt.Sprintf("%s: when %s (settled at %s)", slot.Child.Name(), condition, settledAt(slot))
}

// settledAt is the stage at which a condition is settled.
func settledAt(slot milterkit.Slot) string {
	if slot.When.At == milterkit.StageRcpt {
		return "each rcpt"
	}
	return slot.When.At.String()
}
