package daemon

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Print the version of milterkit, and what it was built with.",
		Example: "  milterkit version",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), version(c.Root().Name()))
			return err
		},
	}
}

// version tells what this program is and what it was built with: for one with
// children of its own, also the version of milterkit.
func version(name string) string {
	const unknown = "unknown"
	v, built := unknown, ""
	if info, ok := debug.ReadBuildInfo(); ok {
		v = cmp.Or(info.Main.Version, unknown)
		for _, d := range info.Deps {
			if d.Path == "github.com/milterkit/sdk" {
				built = "milterkit " + cmp.Or(d.Version, unknown) + " "
			}
		}
	}
	return fmt.Sprintf("%s %s %s%s %s/%s", name, v, built, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
