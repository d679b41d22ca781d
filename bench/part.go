package bench

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"

	"github.com/milterkit/sdk/internal/bodycopy"
)

// A Part is a process of a contestant: filters, a relay, milterkit. Mostly it is
// the program at hand once more, so that nothing has to be installed.
type Part struct {
	Name string
	cmd  *exec.Cmd // nil: it was there before
	pid  int
	in   io.WriteCloser // nil: another program, which tells nothing of itself
	out  *bufio.Scanner
}

// A partSpec says what a part does, and where it listens. Just one of the
// pointers is set.
type partSpec struct {
	Listen  []Addr
	Filters *Filters `json:",omitempty"`
	Relay   *Addr    `json:",omitempty"` // to here
	Mux     *Mux     `json:",omitempty"`
}

// PartArgs is what this program must be called with to be a part: then it calls
// RunPart.
var PartArgs = []string{"bench-part"}

// partStats is what a part tells of itself.
type partStats struct {
	Mallocs uint64 // allocations so far
	Bytes   uint64 // that were allocated
	Copied  int64  // bytes of bodies that were copied
}

// start starts a part and waits until it serves.
func start(ctx context.Context, name string, spec partSpec) (*Part, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Part{Name: name, cmd: exec.CommandContext(ctx, self, PartArgs...)}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p.pid = p.cmd.Process.Pid
	if err := p.ask(spec, new(struct{})); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), p.Stop())
	}
	return p, nil
}

// ask writes a line to the part and reads one.
func (p *Part) ask(question, answer any) error {
	line, err := json.Marshal(question)
	if err != nil {
		return err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return err
	}
	if !p.out.Scan() {
		return cmp.Or(p.out.Err(), errors.New("it has ended"))
	}
	return json.Unmarshal(p.out.Bytes(), answer)
}

// Running returns a process that was there before, and goes on: Stop leaves it
// alone. Its CPU time and memory can be looked at.
func Running(name string, pid int) *Part { return &Part{Name: name, pid: pid} }

// Pid returns the process's number.
func (p *Part) Pid() int { return p.pid }

func (p *Part) stats() (s partStats, err error) {
	if p.in == nil {
		return s, nil
	}
	err = p.ask("stats", &s)
	return s, err
}

// Stop ends the process.
func (p *Part) Stop() error {
	if p.cmd == nil {
		return nil
	}
	if p.in == nil {
		p.cmd.Process.Kill()
		p.cmd.Wait() // its error is that it was killed
		return nil
	}
	p.in.Close()
	return p.cmd.Wait()
}

// ProfileEnv names the environment variable that has parts write CPU profiles, with
// the beginning of their files' names.
const ProfileEnv = "MILTERKIT_BENCH_PROFILE"

// ProfileOf returns the name of the file with a part's CPU profile. It is there when
// the part has ended.
func ProfileOf(prefix string, pid int) string { return fmt.Sprintf("%s.%d", prefix, pid) }

// RunPart is the other side: it does as the first line of stdin says, tells of
// itself when asked, and ends with stdin.
func RunPart(stdin io.Reader, stdout io.Writer) error {
	raiseDescriptors()
	if prefix := os.Getenv(ProfileEnv); prefix != "" {
		f, err := os.Create(ProfileOf(prefix, os.Getpid()))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	questions := bufio.NewScanner(stdin)
	if !questions.Scan() {
		return errors.New("nobody says what this part is to do")
	}
	var spec partSpec
	if err := json.Unmarshal(questions.Bytes(), &spec); err != nil {
		return err
	}
	if err := spec.serve(); err != nil {
		return err
	}
	answers := json.NewEncoder(stdout)
	answers.Encode(struct{}{})
	for questions.Scan() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		answers.Encode(partStats{Mallocs: m.Mallocs, Bytes: m.TotalAlloc, Copied: bodycopy.Total()})
	}
	return nil
}

// serve begins to serve.
func (s *partSpec) serve() error {
	switch {
	case s.Filters != nil:
		f := &filter{delay: s.Filters.Delay}
		if s.Filters.Silent {
			f.steps = silentSteps
		}
		return listen(s.Listen, f.serve)
	case s.Relay != nil:
		r := &relay{to: *s.Relay}
		return listen(s.Listen, r.serve)
	case s.Mux != nil:
		srv, err := s.Mux.server()
		if err != nil {
			return err
		}
		return listen(s.Listen, srv.Serve)
	}
	return errors.New("a part that does nothing")
}

// listen listens and has serve serve.
func listen(addrs []Addr, serve func(net.Listener) error) error {
	for _, a := range addrs {
		ln, err := net.Listen(a.Network, a.Addr)
		if err != nil {
			return err
		}
		go func() {
			if err := serve(ln); err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
				os.Exit(1)
			}
		}()
	}
	return nil
}

// acceptAll has serve serve each connection, on a goroutine of its own, until ln is
// closed.
func acceptAll(ln net.Listener, serve func(net.Conn)) error {
	for {
		nc, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go serve(nc)
	}
}
