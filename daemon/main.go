// Package daemon is the program milterkit, as a function, to which children of
// one's own can be added:
//
//	func main() {
//		os.Exit(daemon.Main(daemon.Use("max-rcpt", options{Max: 100}, newMaxRcpt)))
//	}
//
// This is milterkit with all its commands, under the name of its file, and its
// configuration can have a milter that says
//
//	use = "max-rcpt"
//	[milter.options]
//	max = 50
//
// It comes beside the children that every milterkit has, whose names are taken:
// clamd, dkim-sign, dkim-verify, dmarc, greylist, headers, rspamd, spamd and spf
// (docs/children). See docs/your-own-milterkit.md.
package daemon

// Reading order: main.go has the commands; each has a file of its name (trace.go,
// replay.go, …), and what is long about it beside that or in internal/. The running
// daemon, from its start to its end:
//
//	serve.go       what is opened, in which order, and how it ends
//	account.go     root's rights are given up
//	folders.go     folders that root makes before
//	listeners.go   the sockets, those of before and new ones
//	build.go       configuration → children, slots, Dispatcher
//	native.go      the children that `use` can name; builtins.go has ours
//	probe.go       is what milters ask there?
//	confine.go     where the process may write from then on
//	generation.go  the configuration in effect, and what was made of it
//	reloading.go   another one takes its place
//	handover.go    another process takes the place of this one
//	observe.go     Report → internal/record → who wants to know what became of messages:
//	metrics.go     figures for Prometheus, internal/metrics
//	journal.go     the history that trace asks, internal/journal
//	dashboard.go   the status page, internal/history and internal/statuspage
//	status.go      all that is to be had over HTTP; peer.go: who may change something
//	log.go         the log; syslog.go

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/daemon/internal/config"
)

// What the program ends with. Source: sysexits.h for exitConfig.
const (
	exitOK     = 0
	exitFault  = 1
	exitUsage  = 2
	exitConfig = 78 // EX_CONFIG
)

// Main runs the program with the arguments of the process, and returns the status
// that the process is to end with. children are those that `use` can name beside the
// ones that every milterkit has (docs/children/README.md), whose names are taken: for
// one of them, or one twice, Main says so and ends.
func Main(children ...Native) int {
	name := "milterkit"
	if len(os.Args) > 0 && os.Args[0] != "" {
		name = filepath.Base(os.Args[0])
	}
	return run(name, children, os.Args[1:], os.Stdout, os.Stderr)
}

// run is Main without the process.
func run(name string, children []Native, args []string, stdout, stderr io.Writer) int {
	all, err := newNatives(append(builtins(), children...))
	if err != nil {
		fmt.Fprintf(stderr, "%s: a mistake in the program: %v\n", name, err)
		return exitFault
	}
	root := newRootCommand(name, all)
	root.SetArgs(plainArgs(args))
	root.SetOut(stdout)
	root.SetErr(stderr)
	started := false // what fails before a command has begun is its usage
	for _, c := range commandsOf(root) {
		if body := c.RunE; body != nil {
			c.RunE = func(c *cobra.Command, args []string) error {
				started = true
				return body(c, args)
			}
		}
	}
	command, err := root.ExecuteC()
	var faults config.Errors
	var coded interface{ ExitStatus() int }
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &faults):
		fmt.Fprintln(stderr, faults)
		return exitConfig
	}
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
	status := exitFault
	if errors.As(err, &coded) { // a command with a status of its own
		status = coded.ExitStatus()
	}
	if !started || status == exitUsage {
		fmt.Fprintf(stderr, "Try %s --help.\n", command.CommandPath())
		return exitUsage
	}
	return status
}

// plainArgs puts two dashes before the one long flag that people write with
// one, and knows milter-manager's --show-config.
func plainArgs(args []string) []string {
	plain := append([]string{}, args...) // not nil, for which cobra would read os.Args
	for i, a := range plain {
		if a == "--" {
			break
		}
		if a == "-config" || strings.HasPrefix(a, "-config=") {
			plain[i] = "-" + a
		}
		if i == 0 && a == "--show-config" {
			plain[i] = "show-config"
		}
	}
	return plain
}

// inExample is the program, where it stands in an example.
var inExample = regexp.MustCompile(`(?m)^  milterkit `)

func newRootCommand(name string, all natives) *cobra.Command {
	root := &cobra.Command{
		Use:   name,
		Short: "Many mail filters behind one milter socket",
		Long: `milterkit stands between a mail server (Postfix, Sendmail) and its milters: the
server has one socket, and milterkit takes each message past any number of
filters, in the order of one file.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(name),
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.AddCommand(
		newServeCommand(all),
		newReloadCommand(all),
		newRestartCommand(all),
		newCheckCommand(all),
		newShowConfigCommand(all),
		newSendCommand(),
		newReplayCommand(all),
		newReplayReadCommand(),
		newSinkCommand(),
		newConformCommand(),
		newDKIMKeyCommand(),
		newDemoCommand(),
		newDetectCommand(),
		newDoctorCommand(all),
		newDoctorAskCommand(),
		newGreylistCommand(all),
		newImportCommand(all),
		newManCommand(),
		newStatusCommand(all),
		newBenchCommand(),
		newBenchPartCommand(),
		newTraceCommand(all),
		newVersionCommand(),
	)
	for _, c := range commandsOf(root) { // examples are written for the program that is ours
		c.Example = inExample.ReplaceAllString(c.Example, "  "+strings.ReplaceAll(name, "$", "$$")+" ")
	}
	return root
}

// commandsOf returns the commands below c.
func commandsOf(c *cobra.Command) []*cobra.Command {
	all := slices.Clone(c.Commands())
	for _, c := range c.Commands() {
		all = append(all, commandsOf(c)...)
	}
	return all
}

// onlyFlags refuses arguments, of which a file is the likeliest.
func onlyFlags(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument; did you mean --config %s?", c.CommandPath(), args[0])
	}
	return nil
}

// configFlag is the flag that the commands have in common.
func configFlag(c *cobra.Command) *string {
	return c.Flags().StringP("config", "c", "/etc/milterkit/milterkit.toml", "configuration `FILE`")
}
