package daemon

import "github.com/spf13/cobra"

func newRestartCommand(all natives) *cobra.Command {
	c := &cobra.Command{
		Use:   "restart",
		Short: "Have the running daemon replaced by the program that is installed now",
		Long: `Have the running daemon start the program anew, as it is on disk now, with the
configuration as it is now. The new process takes over the open sockets: no
connection is refused. The old one serves the sessions that it has until they
end, for at most drain_timeout. Where the new one does not come to serve, the
old one goes on, and the reason is printed.

The daemon is asked over the unix socket that status in [server] names, by root
or the daemon's own user. Without one, send it SIGUSR2 and look into the log.

Exit status: 0 when the new process serves; 1 when the daemon does not run, or
the new one does not; 78 when the configuration is wrong.`,
		Example: "  milterkit restart --config /etc/milterkit/milterkit.toml",
		Args:    onlyFlags,
	}
	file := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		conf, err := all.load(*file)
		if err != nil {
			return err
		}
		return command(c, conf, "/restart", "SIGUSR2")
	}
	return c
}
