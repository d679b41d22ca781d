package daemon

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/daemon/internal/manpage"
)

// newManCommand is for who makes packages; --help does not show it.
func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages",
		Long: `Write the manual page of each command, and milterkit.toml(5), the one of the
configuration file, into the folder DIR. It is for who makes packages.`,
		Example: "  milterkit man share/man/man8",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			for _, one := range manpage.Commands(c.Root()) {
				write := func(w io.Writer, date, version string) error { return manpage.Write(w, one, date, version) }
				if err := writePage(c, filepath.Join(args[0], manpage.Name(one)+"."+manpage.Section), write); err != nil {
					return err
				}
			}
			return writePage(c, filepath.Join(args[0], manpage.ConfigurationPage), manpage.WriteConfiguration)
		},
	}
}

func writePage(c *cobra.Command, name string, write func(w io.Writer, date, version string) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	err = write(f, made(), fmt.Sprintf("%s %s", c.Root().Name(), release()))
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// made is the day that the pages bear: today, or that of SOURCE_DATE_EPOCH, so that
// they are the same whenever they are made.
// Source: https://reproducible-builds.org/specs/source-date-epoch/
func made() string {
	day := time.Now()
	if n, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		day = time.Unix(n, 0)
	}
	return day.UTC().Format(time.DateOnly)
}
