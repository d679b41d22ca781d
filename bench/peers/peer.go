package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/milterkit/sdk/bench"
)

// A peer is a filter that looks at everything, reads the whole body, and says
// continue, on one of the libraries that people write filters on.
type peer struct {
	Name  string
	serve func(net.Listener) error // nil: it is the one in C
}

// peers are all of them, in the order in which they are told.
var peers = []peer{
	{"emersion/go-milter", serveEmersion},
	{"d--j/go-milter", serveDJ},
	{"libmilter", nil},
}

// partArg is what this program is called with to be a peer: then come the peer's
// name and its socket.
const partArg = "peer"

// runPart is the other side.
func runPart(name, socket string) error {
	// It ends with the benchmark, whatever that ends by.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	log.SetOutput(io.Discard) // the libraries log every connection that is closed
	for _, p := range peers {
		if p.Name == name && p.serve != nil {
			ln, err := net.Listen("unix", socket)
			if err != nil {
				return err
			}
			return p.serve(ln)
		}
	}
	return fmt.Errorf("no peer is called %q", name)
}

// start starts the peer, and returns when it answers. The error is a *missing
// where something is not installed.
func (p *peer) start(ctx context.Context, lab *bench.Lab) (bench.Addr, *bench.Part, error) {
	at := lab.Socket()
	argv := []string{os.Args[0], partArg, p.Name, at.Addr}
	if p.serve == nil {
		program, err := compile(ctx, filepath.Dir(at.Addr))
		if err != nil {
			return at, nil, err
		}
		argv = []string{program, "unix:" + at.Addr}
	} else if self, err := os.Executable(); err == nil {
		argv[0] = self
	}
	part, err := lab.Program(p.Name, argv...)
	if err != nil {
		return at, nil, err
	}
	return at, part, answers(ctx, at)
}

// answers waits until somebody listens.
func answers(ctx context.Context, at bench.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		nc, err := net.Dial(at.Network, at.Addr)
		if err == nil {
			return nc.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nobody answers: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// A missing says that something is not installed, without which a contestant
// cannot take part.
type missing struct{ why, cure string }

// Error says what is missing.
func (m *missing) Error() string { return m.why + " (" + m.cure + ")" }

//go:embed libmilter/filter.c
var filterC []byte

// cureC is what installs what the filter in C needs.
const cureC = "apt-get install gcc libc6-dev libmilter-dev"

// compile makes the program of the filter in C.
func compile(ctx context.Context, dir string) (string, error) {
	cc, err := exec.LookPath("cc")
	if errors.Is(err, exec.ErrNotFound) {
		return "", &missing{"there is no C compiler", cureC}
	}
	if err != nil {
		return "", err
	}
	source, program := filepath.Join(dir, "filter.c"), filepath.Join(dir, "libmilter-filter")
	if err := os.WriteFile(source, filterC, 0o644); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, cc, "-O2", "-o", program, source, "-lmilter", "-lpthread").CombinedOutput()
	if err != nil {
		return "", &missing{fmt.Sprintf("the filter in C does not compile: %s", firstLine(out)), cureC}
	}
	return program, nil
}

// firstLine returns the first line of what a program has written.
func firstLine(text []byte) string {
	for i, c := range text {
		if c == '\n' {
			return string(text[:i])
		}
	}
	return string(text)
}
