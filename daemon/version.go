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

const unknown = "unknown"

// namedVersion is the version that a release says it is: go build -ldflags "-X
// github.com/milterkit/sdk/daemon.namedVersion=v1.2.3". Where it does not, Go knows.
var namedVersion string

// release is the version of the program.
func release() string {
	var built string
	if info, ok := debug.ReadBuildInfo(); ok {
		built = info.Main.Version
	}
	return cmp.Or(namedVersion, built, unknown)
}

// version tells what this program is and what it was built with: for one with
// children of its own, also the version of milterkit.
func version(name string) string {
	built := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/milterkit/sdk" {
				built = "milterkit " + cmp.Or(d.Version, unknown) + " "
			}
		}
	}
	return fmt.Sprintf("%s %s %s%s %s/%s", name, release(), built, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
