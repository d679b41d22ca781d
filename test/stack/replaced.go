package stack

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// Install puts a copy of the program in a file, as a package manager does: the one that
// was there goes on to be what runs.
func (b *Binary) Install(path string) error {
	program, err := os.ReadFile(b.path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", program, 0o755); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Installed is the program in a file that Install has written.
func (b *Binary) Installed(path string) *Binary { return &Binary{Root: b.Root, path: path} }

// Configure writes the configuration file anew.
func (m *Milterkit) Configure() error {
	return m.Root.write(m.ConfigFile(), m.config(m.Root.Path(m.Name)))
}

// ConfigFile is the configuration file.
func (m *Milterkit) ConfigFile() string { return m.Root.Path(m.Name, "milterkit.toml") }

// StopAll ends so many processes that have taken over from each other. It fails where
// one of them does not end well.
func (m *Milterkit) StopAll(processes int) error {
	if m.cmd == nil {
		return nil
	}
	group := -m.Pid()
	defer syscall.Kill(group, syscall.SIGKILL)
	if err := syscall.Kill(group, syscall.SIGTERM); err != nil {
		return err
	}
	deadline := time.Now().Add(stopLimit)
	for {
		ends, err := m.LogOf(`msg="milterkit ends`)
		if err != nil {
			return err
		}
		if len(ends) >= processes {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("stack: %d of %d processes have ended:\n%s", len(ends), processes, m.Log())
		}
		time.Sleep(poll)
	}
	cut, err := m.LogOf("cut short")
	if len(cut) > 0 {
		err = errors.Join(err, fmt.Errorf("stack: messages were cut short:\n%s", strings.Join(cut, "\n")))
	}
	return errors.Join(err, m.Trouble())
}
