package daemon

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/imports"
)

const importLong = `Read the settings of the programs whose place milterkit takes, and print the
configuration that does the same. A FILE is one of

  what milter-manager --show-config prints, or milter-manager.local.conf
  main.cf of Postfix: its milters, their order, timeouts and default actions
  greylist.conf of milter-greylist
  opendkim.conf, whose tables stay as they are
  opendmarc.conf
  clamav-milter.conf
  pyspf-milter.conf, or policyd-spf.conf
  /etc/default/spamass-milter or the like, or a file with its command line

and is known by its name or by what stands in it; - is what comes in. Where
milter-manager's output is among the FILEs, order and conditions are its own.

What has no counterpart stands as a comment in its place, and is told, each with
FILE:LINE; the rest is imported all the same. What is printed passes check, but
for keys and folders that are not there: its first lines name them.

Exit status: 0 when all was imported; 1 when something has no counterpart, or
cannot be read; 2 for a wrong command line, or a FILE that is not there.`

const importExample = `  milter-manager --show-config | milterkit import - > milterkit.toml
  milterkit import manager.txt /etc/mail/greylist.conf /etc/clamav/clamav-milter.conf /etc/default/spamass-milter > milterkit.toml
  milterkit import --remote /etc/postfix/main.cf > milterkit.toml
  echo 'spamass-milter -m -r 15' | milterkit import --kind spamass-milter -`

func newImportCommand(all natives) *cobra.Command {
	c := &cobra.Command{
		Use:     "import FILE...",
		Short:   "Write the configuration from the settings of other milters",
		Long:    importLong,
		Example: importExample,
		Args:    cobra.MinimumNArgs(1),
	}
	remote := c.Flags().Bool("remote", false, "keep the daemons, as milters on their sockets")
	kind := c.Flags().String("kind", "", "the `PROGRAM` whose settings the FILEs are, where they do not say so: "+strings.Join(kindNames(), ", "))
	c.RunE = func(c *cobra.Command, args []string) error {
		if *kind != "" && !slices.Contains(kindNames(), *kind) {
			return usage("--kind %q: there are %s", *kind, strings.Join(kindNames(), ", "))
		}
		var files []imports.File
		for _, name := range args {
			f, err := readImport(name, imports.Kind(*kind), c.InOrStdin())
			if err != nil {
				return err
			}
			files = append(files, f)
		}
		result := imports.Import(files, imports.Options{Remote: *remote, ReadFile: readNamed, Exists: exists, Check: all.faultsOf})
		if _, err := c.OutOrStdout().Write(result.Text); err != nil {
			return err
		}
		for _, f := range result.Findings {
			fmt.Fprintln(c.ErrOrStderr(), f)
		}
		if n := len(result.Findings); n > 0 {
			return fmt.Errorf("%d without a counterpart, which stand as comments in what was printed", n)
		}
		return nil
	}
	return c
}

func kindNames() []string {
	names := make([]string, len(imports.Kinds))
	for i, k := range imports.Kinds {
		names[i] = string(k)
	}
	return names
}

// readImport reads a file, or what comes in, and tells what kind it is.
func readImport(name string, kind imports.Kind, in io.Reader) (imports.File, error) {
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return imports.File{}, usage("%w", err)
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, imports.MaxSize+1))
	if err != nil {
		return imports.File{}, usage("%s: %w", name, err)
	}
	if kind == "" {
		kind = imports.KindOf(name, string(text))
	}
	if kind == "" {
		return imports.File{}, usage("%s: neither its name nor what stands in it says whose settings these are; say --kind (tables and lists are read where a FILE names them)", name)
	}
	return imports.File{Name: name, Kind: kind, Text: string(text)}, nil
}

// readNamed reads a file that the settings name, which may be anything.
func readNamed(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // never waits for the other end of a pipe
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if fi, err := file.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, errors.Join(err, fs.ErrInvalid)
	}
	return io.ReadAll(io.LimitReader(file, imports.MaxSize+1))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// faultsOf is what is wrong with a configuration that was written.
func (all natives) faultsOf(text []byte) []imports.Fault {
	_, err := config.Parse("milterkit.toml", text, all.schemas())
	var errs config.Errors
	if !errors.As(err, &errs) {
		return nil
	}
	faults := make([]imports.Fault, len(errs))
	for i, e := range errs {
		faults[i] = imports.Fault{Line: e.Line, Message: e.Message}
	}
	return faults
}
