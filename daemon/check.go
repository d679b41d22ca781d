package daemon

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/daemon/internal/config"
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
nobody.

Exit status: 0 when the configuration is good, also where a milter does not
answer; 78 when it is wrong.`,
		Example: "  milterkit check --config /etc/milterkit/milterkit.toml",
		Args:    onlyFlags,
	}
	file := configFlag(c)
	noConnect := c.Flags().Bool("no-connect", false, "do not ask the milters")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return all.check(c.OutOrStdout(), c.ErrOrStderr(), *file, !*noConnect)
	}
	return c
}

// check tells all that is wrong at once, and of the milters also where something
// is wrong besides.
func (all natives) check(stdout, stderr io.Writer, file string, connect bool) error {
	c, err := all.load(file)
	if err != nil {
		return all.alsoChildren(c, err)
	}
	account, noUser := triedAs(c)
	_, warning, faults := socketOwner(c)
	faults = append(faults, noUser...)
	if warning != "" {
		fmt.Fprintln(stdout, "warning:", warning)
	}
	for _, s := range c.Server.Listen.V {
		if s.Network != "unix" {
			continue
		}
		if err := listen.CheckFolder(s.Addr); err != nil { // it may come later: /run is empty after boot
			fmt.Fprintf(stdout, "warning: %s: %v, and serve will want it\n", s, err)
		}
	}
	if account == nil && noUser != nil {
		return faults
	}
	if account != nil {
		if err := account.become(); err != nil {
			return err
		}
	}
	if noUser == nil { // else it is of no use to know what the stand-in may do
		faults = append(faults, checkTempDir(c)...)
	}
	server, probes, err := all.build(c, newLogger("stderr", stderr))
	var more config.Errors
	if err != nil && !errors.As(err, &more) {
		return err
	}
	if noUser != nil {
		markStandIn(more)
		fmt.Fprintf(stdout, "warning: there is no user %q, so the milters are tried out as %s, who may be allowed less\n", c.Server.User.V, standIn)
	}
	faults = append(faults, more...)
	for _, note := range advice(c) {
		fmt.Fprintln(stdout, "warning:", note)
	}
	if len(faults) == 0 {
		fmt.Fprintln(stdout, goodNews(c))
	}
	if server != nil {
		for _, slot := range server.Dispatcher.Slots() {
			if slot.When.Holds != nil {
				fmt.Fprintln(stdout, takesPart(slot))
			}
		}
	}
	if connect {
		tellOfProbes(stdout, probes)
	}
	if server != nil {
		err = closeChildren(server)
	}
	if len(faults) > 0 {
		faults.Sort()
		return faults
	}
	return err
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
	settled := slot.When.At.String()
	if slot.When.At == milterkit.StageRcpt {
		settled = "each rcpt"
	}
	blank := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	condition := strings.Join(strings.FieldsFunc(slot.When.Name, blank), " ")
	return fmt.Sprintf("%s: when %s (settled at %s)", slot.Child.Name(), condition, settled)
}
