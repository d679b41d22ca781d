package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/doctor"
)

func newDoctorCommand(all natives) *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find what is wrong with an installation, and how to mend it",
		Long: `Look at what goes wrong on installations, and print for each thing that is
wrong the lines to set or the commands to run as root:
- whether Postfix asks milterkit, finds the socket, from within its chroot too,
  and may connect, which is tried out as Postfix's user;
- whether it waits longer for milterkit than milterkit does for its milters;
- whether each milter answers, as milterkit's user, and is a milter; what it
  wants to see and to change, and whether Postfix offers that;
- whether what native children ask answers, the name server included;
- whether the order of the milters breaks mail, and whether they agree on a
  name in Authentication-Results.

It is to be started as root. Who is not root is told what the modes of files
say, and no more.

Exit status: 0 where nothing is wrong, 1 where something is, 2 for wrong usage,
78 where the configuration is wrong.`,
		Example: `  milterkit doctor
  milterkit doctor --json --postfix-config /etc/postfix-in`,
		Args: onlyFlags,
	}
	file := configFlag(c)
	postfix := c.Flags().String("postfix-config", postfixFolders[0], "folder `DIR` with main.cf and master.cf of Postfix")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		folders := postfixFolders
		if c.Flags().Changed("postfix-config") {
			folders = []string{*postfix}
		}
		r, err := all.examine(c.Context(), *file, folders, c.Flags().Changed("postfix-config"))
		if err != nil {
			if *asJSON {
				return errors.Join(printJSON(c.OutOrStdout(), checkJSON{Errors: errorsOf(err)}), err)
			}
			return err
		}
		if err := printReport(c.OutOrStdout(), r, *asJSON); err != nil {
			return err
		}
		if n := len(r.Findings); n > 0 {
			return foundWrong(n)
		}
		return nil
	}
	return c
}

// foundWrong is the error of a doctor who has found so many things.
type foundWrong int

func (n foundWrong) ExitStatus() int { return exitFault }
func (n foundWrong) Error() string {
	if n == 1 {
		return "one thing is wrong"
	}
	return fmt.Sprintf("%d things are wrong", int(n))
}

// examine looks at everything. What needs the rights of root comes first, then they
// are given up. An error is of a configuration that serve would not take.
func (all natives) examine(ctx context.Context, file string, folders []string, named bool) (*doctor.Report, error) {
	c, err := all.load(file)
	if err != nil {
		return nil, all.alsoChildren(c, err)
	}
	account, faults := runsAs(c)
	warning, more := groupOf(c)
	if faults = append(faults, more...); len(faults) > 0 {
		return nil, faults
	}
	r := &doctor.Report{Findings: []doctor.Finding{}, Right: []doctor.Fine{}, Notes: []string{}}
	if warning != "" {
		r.Note("%s", warning)
	}
	p, err := readPostfix(folders)
	switch {
	case err == nil:
		r.Postfix(p, c, knock)
	case named || !errors.Is(err, fs.ErrNotExist):
		return nil, usage("--postfix-config: %w", err)
	default:
		r.Note("there is no Postfix here (no main.cf in %s): only milterkit and its milters were looked at", strings.Join(folders, ", "))
	}
	r.Authserv(systemRoot, c, p)
	known := doctor.Known(systemRoot, c) // some of what it reads is root's alone
	r.Running = deniedToDaemon(ctx, c)
	if account != nil {
		if err := account.become(); err != nil {
			return nil, err
		}
	} else if os.Geteuid() != 0 {
		r.Note("this was not started as root: that Postfix's user may connect is what the modes say, and was not tried out")
	}
	if faults := checkTempDir(c); len(faults) > 0 {
		return nil, faults
	}
	if warning := journalWarning(c, account != nil); warning != "" {
		r.Note("%s", warning)
	}
	server, probes, err := all.build(c, discard())
	if err != nil {
		return nil, err
	}
	defer closeChildren(server)
	me := doctor.Myself()
	if own, err := doctor.Lookup(c.Server.User.V); err == nil && me.UID != 0 {
		me = own
	}
	answers := askRemotes(ctx, c)
	for i := range c.Milters {
		if m := &c.Milters[i]; m.Enabled.V && m.Use.V == "" {
			r.Child(systemRoot, c, m, answers[m.Name.V], me)
			if p != nil {
				r.Offered(p, c, m, answers[m.Name.V])
			}
		}
	}
	askNatives(ctx, r, c, probes)
	r.ChildTimes(c)
	r.Findings = append(r.Findings, known.Order(answers)...)
	for _, note := range notes(c) {
		r.Note("%s", note)
	}
	return r, nil
}

// groupOf is socketOwner for who does not open the sockets himself: it need not be his
// to give them to the group.
func groupOf(c *config.Config) (warning string, fault config.Errors) {
	if group := c.Server.SocketGroup.V; os.Geteuid() != 0 && group != "" {
		if _, err := lookupGroup(group); err == nil {
			return "", nil
		}
	}
	_, warning, fault = socketOwner(c, c.Server.Listen.V)
	return warning, fault
}

// readPostfix reads the configuration of Postfix in the first folder that has one.
func readPostfix(folders []string) (p *doctor.Postfix, err error) {
	for _, folder := range folders {
		if p, err = doctor.ReadPostfix(folder); !errors.Is(err, fs.ErrNotExist) {
			return p, err
		}
	}
	return nil, err
}

// askRemotes asks all milters on sockets at the same time.
func askRemotes(ctx context.Context, c *config.Config) map[string]doctor.Answer {
	var mu sync.Mutex
	var work sync.WaitGroup
	answers := map[string]doctor.Answer{}
	for _, m := range c.Enabled() {
		if m.Use.V == "" {
			work.Go(func() {
				a := doctor.Ask(ctx, m.Socket.V, doctor.FullOffer)
				mu.Lock()
				defer mu.Unlock()
				answers[m.Name.V] = a
			})
		}
	}
	work.Wait()
	return answers
}
