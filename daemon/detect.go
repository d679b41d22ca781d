package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/detect"
	"github.com/milterkit/sdk/internal/socket"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
)

// systemRoot is where the files of this machine are. Tests have others.
var systemRoot = "/"

func newDetectCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "detect",
		Short: "Find the milters that are installed, and write a configuration",
		Long: `Find the milters that this system has, whether it starts them, where their
sockets are, and whether they answer. Services and the filters' own
configurations are read as files; no program is run.

With --write a configuration is made of what was found: the milters in the order
in which they are best asked, each with the condition that fits. A file that is
there already stays as it is.

With --root the files below a folder are looked at, those of another system;
then nothing is asked.

Exit status: 0, also where no milter was found; 1 when the file can not be
written; 2 for wrong usage.`,
		Example: `  milterkit detect
  milterkit detect --write /etc/milterkit/milterkit.toml`,
		Args: cobra.NoArgs,
	}
	root := c.Flags().String("root", systemRoot, "look at the files below `DIR`")
	write := c.Flags().String("write", "", "write a configuration to `FILE`, - for the standard output")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *write == "-" && *asJSON {
			return usage("--json and --write - would both go to the standard output")
		}
		found, err := detect.Find(*root)
		if err != nil {
			return usage("--root: %w", err)
		}
		if *write == "-" {
			_, err := c.OutOrStdout().Write(found.TOML())
			return err
		}
		r := &detectReport{Result: found, answers: make([]error, len(found.Milters))}
		if at, err := filepath.Abs(*root); err == nil && at == "/" {
			r.ask(c.Context())
		}
		if *asJSON {
			err = r.json(c.OutOrStdout())
		} else {
			err = r.table(c.OutOrStdout())
		}
		if err == nil && *write != "" {
			err = writeNew(c.ErrOrStderr(), *write, found.TOML())
		}
		return err
	}
	return c
}

// withDetected adds to a configuration that says so what this machine has.
func withDetected(c *config.Config, err error) (*config.Config, error) {
	if err != nil || !c.Server.Detect.V {
		return c, err
	}
	found, err := detect.Find(systemRoot)
	if err != nil {
		return nil, c.Fault("detect", c.Server.Detect.From, err)
	}
	return c, c.AddDetected(found)
}

// writeNew writes a file that is not there yet.
func writeNew(stderr io.Writer, name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and stays as it is; see what would be in it with --write -", name)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	fmt.Fprintf(stderr, "written to %s\n", name)
	return nil
}

// A detectReport is what was found, and what the milters say.
type detectReport struct {
	*detect.Result
	asked   bool
	answers []error // of each; nil where it answers, or was not asked
	groups  []string
}

// ask asks all milters whose socket is known.
func (r *detectReport) ask(ctx context.Context) {
	r.asked = true
	var probes []probe
	var of []int
	for i, m := range r.Milters {
		if m.Socket != (socket.Addr{}) {
			probes = append(probes, probe{&remote.Milter{Label: m.Name, Network: m.Socket.Network, Addr: m.Socket.Addr}, m.Name, m.Socket.String()})
			of = append(of, i)
		}
	}
	for i, err := range askAll(ctx, probes) {
		r.answers[of[i]] = err
	}
	r.groups = groupNotes(r.Milters)
}

// answer is the word for whether a milter answers.
func (r *detectReport) answer(i int) string {
	switch {
	case !r.asked || r.Milters[i].Socket == (socket.Addr{}):
		return "-"
	case r.answers[i] != nil:
		return "no"
	}
	return "yes"
}

func (r *detectReport) table(w io.Writer) error {
	if len(r.Milters) == 0 {
		fmt.Fprintln(w, "no milter was found")
	} else {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "NAME\tENABLED\tANSWERS\tSOCKET\tFROM\tWHY")
		for i, m := range r.Milters {
			enabled, at, spec := "no", m.At.String(), m.Socket.String()
			if m.Enabled {
				enabled = "yes"
			}
			if spec == "" {
				spec, at = "-", m.Service
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, enabled, r.answer(i), miltertest.Escape(spec), miltertest.Escape(at), miltertest.Escape(m.Why))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	for i, err := range r.answers {
		if err != nil && r.Milters[i].Enabled {
			fmt.Fprintf(w, "%s does not answer: %v\n", r.Milters[i].Name, err)
		}
	}
	for _, n := range r.Skipped {
		fmt.Fprintln(w, miltertest.Escape(n.String()))
	}
	for _, note := range r.groups {
		fmt.Fprintln(w, note)
	}
	return nil
}

type (
	// detectedMilter is a milter as --json prints it.
	detectedMilter struct {
		Name    string `json:"name"`
		Kind    string `json:"kind,omitempty"`
		Service string `json:"service"`
		Socket  string `json:"socket,omitempty"`
		File    string `json:"file,omitempty"` // and line, of the socket
		Line    int    `json:"line,omitempty"`
		Enabled bool   `json:"enabled"`
		Why     string `json:"why"`
		Answers *bool  `json:"answers,omitempty"` // absent: it was not asked
		Error   string `json:"error,omitempty"`   // why it does not answer
	}
	// skippedFile is what was not read, as --json prints it.
	skippedFile struct {
		File    string `json:"file"`
		Line    int    `json:"line,omitempty"`
		Message string `json:"message"`
	}
)

func (r *detectReport) json(w io.Writer) error {
	out := struct {
		Milters []detectedMilter `json:"milters"`
		Skipped []skippedFile    `json:"skipped"`
		Notes   []string         `json:"notes,omitempty"`
	}{[]detectedMilter{}, []skippedFile{}, r.groups}
	for i, m := range r.Milters {
		one := detectedMilter{Name: m.Name, Kind: m.Kind, Service: m.Service, Socket: m.Socket.String(), Enabled: m.Enabled, Why: m.Why}
		if one.Socket != "" {
			one.File, one.Line = m.At.File, m.At.Line
			if r.asked {
				answers := r.answers[i] == nil
				one.Answers = &answers
			}
			if err := r.answers[i]; err != nil {
				one.Error = err.Error()
			}
		}
		out.Milters = append(out.Milters, one)
	}
	for _, n := range r.Skipped {
		out.Skipped = append(out.Skipped, skippedFile{n.At.File, n.At.Line, n.Message})
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(out)
}
