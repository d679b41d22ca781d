package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// sdk is the module that has the milterkit program.
const sdk = "github.com/milterkit/sdk"

// Binary is the milterkit program, built once with the race detector for all
// daemons of a test run.
type Binary struct {
	Root *Root

	// Plain has it built as people have it, without the race detector.
	Plain bool

	path string
}

// Build builds it, from the tree that the test belongs to. That may be another
// module of the tree, which does not know all that the program needs.
func (b *Binary) Build(ctx context.Context) error {
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", sdk).Output()
	if err != nil {
		return fmt.Errorf("stack: where is the module %s? %w", sdk, err)
	}
	path := b.Root.Path("bin-milterkit")
	argv := []string{"build", "-race", "-o", path, sdk + "/cmd/milterkit"}
	if b.Plain {
		argv = slices.Delete(argv, 1, 2)
	}
	cmd := exec.CommandContext(ctx, "go", argv...)
	cmd.Dir = strings.TrimSpace(string(dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("stack: %v: %w\n%s", cmd.Args, err, out)
	}
	b.path = path
	return nil
}

// Output runs it with arguments, and returns what it prints. An error has what it
// says besides.
func (b *Binary) Output(ctx context.Context, args ...string) (string, error) {
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, b.path, args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // else each waits a second at its end
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("stack: %v: %w\n%s", cmd.Args, err, stderr.String())
	}
	return string(out), err
}

// Child is one [[milter]] of milterkit's configuration.
type Child struct {
	Name     string
	Socket   string
	Together bool

	// Use is the native child that it is, in place of a socket, and Options are
	// the lines of its [milter.options].
	Use     string
	Options string

	// When is its condition, "" for always.
	When string

	// Shadow has it change nothing.
	Shadow bool

	// Terms are further lines of its section, up to [milter.macros].
	Terms string

	// Lockstep has milterkit wait for each of its answers: pipeline = false.
	Lockstep bool

	// DefaultAction is its default_action, "" for that of milterkit.
	DefaultAction string
}

// Milterkit is the daemon under test, with children behind it. It runs as
// nobody.
type Milterkit struct {
	Root   *Root
	Binary *Binary

	// Name tells several in one root apart.
	Name string

	// Port, where it is not 0, is that at which the daemon listens, in place of
	// a unix socket: see [Root.FreePort].
	Port int

	// Children are the milters behind it, in order.
	Children []Child

	// Server are further lines of [server].
	Server string

	// Config is the whole of the configuration file, in place of Children.
	Config string

	// DNS is what it takes for the machine's name server; nil: that of the machine.
	DNS *Unbound

	daemon
}

// Socket is where the daemon listens, as main.cf has it.
func (m *Milterkit) Socket() string {
	if m.Port != 0 {
		return fmt.Sprintf("inet:127.0.0.1:%d", m.Port)
	}
	return "unix:" + m.Root.Path(m.Name, "sock")
}

// Start implements [Component].
func (m *Milterkit) Start() error {
	r := m.Root
	if m.Binary.path == "" {
		return fmt.Errorf("stack: %s: the milterkit program was not built", m.Name)
	}
	dir, err := r.mkdir(m.Name)
	if err != nil {
		return err
	}
	conf := r.Path(m.Name, "milterkit.toml")
	if err := r.write(conf, cmp.Or(m.Config, m.config(dir))); err != nil {
		return err
	}
	m.grace = stopLimit
	argv := []string{m.Binary.path, "serve", "-config", conf}
	if m.DNS != nil {
		err = m.DNS.launchAsking(&m.daemon, m.Name, dir, argv...)
	} else {
		err = m.launch(r, m.Name, dir, r.nobody(), nil, argv...)
	}
	if err != nil {
		return err
	}
	if m.Port != 0 {
		return m.connects("tcp", fmt.Sprintf("127.0.0.1:%d", m.Port))
	}
	return m.listens(r.Path(m.Name, "sock"))
}

// config is the configuration file.
func (m *Milterkit) config(dir string) string {
	var b strings.Builder
	// Postfix's smtpd runs as the user postfix: it needs the mode.
	fmt.Fprintf(&b, "[server]\nlisten = [%q]\nsocket_mode = \"0666\"\ntemp_dir = %q\nlog = \"stderr\"\n%s\n", m.Socket(), dir, m.Server)
	for _, c := range m.Children {
		key, value := "socket", c.Socket
		if c.Use != "" {
			key, value = "use", c.Use
		}
		fmt.Fprintf(&b, "\n[[milter]]\nname = %q\n%s = %q\ntogether = %t\n", c.Name, key, value, c.Together)
		if c.When != "" {
			fmt.Fprintf(&b, "when = %q\n", c.When)
		}
		if c.Lockstep {
			b.WriteString("pipeline = false\n")
		}
		if c.DefaultAction != "" {
			fmt.Fprintf(&b, "default_action = %q\n", c.DefaultAction)
		}
		if c.Shadow {
			b.WriteString("shadow = true\n")
		}
		if c.Terms != "" {
			fmt.Fprintln(&b, c.Terms)
		}
		if c.Options != "" {
			fmt.Fprintf(&b, "[milter.options]\n%s\n", c.Options)
		}
	}
	return b.String()
}

// Stop implements [Component]. It fails also when the daemon had a data race
// or a panic, or did not end well after SIGTERM.
func (m *Milterkit) Stop() error {
	if m.cmd == nil {
		return nil
	}
	err := m.daemon.Stop()
	if m.err != nil && !m.killed {
		err = errors.Join(err, fmt.Errorf("stack: %s ended with %w\n%s", m.Name, m.err, m.Log()))
	}
	return errors.Join(err, m.Trouble())
}

// LogOf are the lines of the daemon's log that have a text.
func (m *Milterkit) LogOf(text string) ([]string, error) {
	b, err := os.ReadFile(m.log)
	var lines []string
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, text) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines, err
}

// Trouble is an error when the daemon's log tells of a data race or a panic.
func (m *Milterkit) Trouble() error {
	b, err := os.ReadFile(m.log)
	if err != nil {
		return err
	}
	for _, word := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
		if i := strings.Index(string(b), word); i >= 0 {
			b = b[i:min(len(b), i+logTail)]
			return fmt.Errorf("stack: %s has a fault of its own:\n%s", m.Name, b)
		}
	}
	return nil
}
