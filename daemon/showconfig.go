package daemon

import (
	"github.com/spf13/cobra"
)

func newShowConfigCommand(all natives) *cobra.Command {
	c := &cobra.Command{
		Use:   "show-config",
		Short: "Print the configuration in effect",
		Long: `Print the configuration in effect, defaults included, as a file that can be
loaded again. Behind each value stands where it came from: a file and line, or
"default". A password is not shown: its line is a comment, to be filled in.`,
		Example: "  milterkit show-config --config /etc/milterkit/milterkit.toml",
		Args:    onlyFlags,
	}
	file := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON: each value with where it came from")
	c.RunE = func(c *cobra.Command, _ []string) error {
		loaded, err := all.load(*file)
		if err != nil {
			return err
		}
		text := loaded.TOML()
		if *asJSON {
			if text, err = loaded.JSON(); err != nil {
				return err
			}
			text = append(text, '\n')
		}
		_, err = c.OutOrStdout().Write(text)
		return err
	}
	return c
}
