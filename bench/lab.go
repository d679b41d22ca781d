package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// A Lab is where contestants are started: a folder for their sockets, and their
// processes.
type Lab struct {
	dir     string
	parts   []*Part
	sockets int
}

// NewLab makes a lab. Close ends it.
func NewLab() (*Lab, error) {
	raiseDescriptors()
	dir, err := os.MkdirTemp("", "mkbench")
	return &Lab{dir: dir}, err
}

// Close ends all processes.
func (l *Lab) Close() error {
	l.stop(0)
	return os.RemoveAll(l.dir)
}

// stop ends the processes from the given one on, the last first.
func (l *Lab) stop(mark int) {
	for _, p := range slices.Backward(l.parts[mark:]) {
		p.Stop()
	}
	l.parts = l.parts[:mark]
}

// Socket returns an address that nobody has.
func (l *Lab) Socket() Addr {
	l.sockets++
	return Addr{"unix", filepath.Join(l.dir, fmt.Sprintf("s%d", l.sockets))}
}

// Filters starts filters, in one process.
func (l *Lab) Filters(ctx context.Context, f Filters) ([]Addr, *Part, error) {
	spec := partSpec{Filters: &f}
	for range f.Count {
		spec.Listen = append(spec.Listen, l.Socket())
	}
	p, err := l.start(ctx, "filters", spec)
	return spec.Listen, p, err
}

// Relay starts a relay to a milter.
func (l *Lab) Relay(ctx context.Context, to Addr) (Addr, *Part, error) {
	at := l.Socket()
	p, err := l.start(ctx, "relay", partSpec{Listen: []Addr{at}, Relay: &to})
	return at, p, err
}

// Milterkit starts milterkit.
func (l *Lab) Milterkit(ctx context.Context, m Mux) (Addr, *Part, error) {
	at := l.Socket()
	p, err := l.start(ctx, "milterkit", partSpec{Listen: []Addr{at}, Mux: &m})
	return at, p, err
}

func (l *Lab) start(ctx context.Context, name string, spec partSpec) (*Part, error) {
	p, err := start(ctx, name, spec)
	if err == nil {
		l.parts = append(l.parts, p)
	}
	return p, err
}

// Program starts a program of somebody else's that is a filter or a multiplexer.
// The caller waits until it answers.
func (l *Lab) Program(name string, argv ...string) (*Part, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &Part{Name: name, cmd: cmd, pid: cmd.Process.Pid}
	l.parts = append(l.parts, p)
	return p, nil
}
