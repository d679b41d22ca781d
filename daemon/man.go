package daemon

import (
	"fmt"
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
		Use:    "man DIR",
		Short:  "Write the manual pages",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			for _, one := range manpage.Commands(c.Root()) {
				if err := writePage(filepath.Join(args[0], manpage.Name(one)+"."+manpage.Section), one); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func writePage(name string, c *cobra.Command) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	err = manpage.Write(f, c, made(), fmt.Sprintf("%s %s", c.Root().Name(), release()))
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
