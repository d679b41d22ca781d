package stack

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// startLimit is how long a daemon may take until it answers. It is
	// long because the machine may be busy with other things.
	startLimit = 90 * time.Second

	// poll is the time between two looks at something that cannot be
	// waited for.
	poll = 5 * time.Millisecond

	// logTail is how much of a daemon's log an error shows.
	logTail = 8 << 10
)

// How long a daemon may take to end after SIGTERM, before it is killed.
const (
	// stopLimit is for daemons whose end is looked at, or which end at once.
	stopLimit = 15 * time.Second

	// stopLimitLibmilter is for filters built on libmilter, which notice
	// a signal only after up to 5 s, and have nothing to put in order.
	stopLimitLibmilter = 200 * time.Millisecond
)

// daemon is a program that runs until it is stopped. Its zero value has not
// been started. The components embed it.
type daemon struct {
	name  string
	log   string // the file with what the program wrote
	grace time.Duration

	cmd    *exec.Cmd
	done   chan struct{} // closed when the program has ended, after err is set
	err    error
	stop   sync.Once
	killed bool
}

// launch starts a program with its output in the file out of the folder dir.
// It runs in a session of its own and dies with the test.
func (d *daemon) launch(r *Root, name, dir string, cred *syscall.Credential, env []string, argv ...string) error {
	path, err := program(argv[0])
	if err != nil {
		return err
	}
	d.name = name
	d.log = filepath.Join(dir, "out")
	out, err := os.Create(d.log)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(path, argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=" + dir}, env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = attributes(cred)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("stack: %s: %w", name, err)
	}
	d.cmd = cmd
	d.done = make(chan struct{})
	// Ends with the program, which Stop waits for.
	go func() {
		d.err = cmd.Wait()
		close(d.done)
	}()
	return nil
}

// nobody is the user that the daemons run as.
func (r *Root) nobody() *syscall.Credential {
	return &syscall.Credential{Uid: uint32(r.uid), Gid: uint32(r.gid)}
}

// ready waits until check holds, the program ends or time is up.
func (d *daemon) ready(what string, check func() bool) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	deadline := time.NewTimer(startLimit)
	defer deadline.Stop()
	for !check() {
		select {
		case <-d.done:
			return fmt.Errorf("stack: %s ended while it was starting: %v\n%s", d.name, d.err, d.Log())
		case <-deadline.C:
			return errors.Join(fmt.Errorf("stack: %s: no %s after %v\n%s", d.name, what, startLimit, d.Log()), d.Stop())
		case <-tick.C:
		}
	}
	return nil
}

// listens waits until the program takes connections at a unix socket, which
// it opens to all users: smtpd runs as postfix, the other daemons as nobody.
func (d *daemon) listens(socket string) error {
	return d.ready("listener at "+socket, func() bool {
		// Not every daemon can be told the mode of its socket.
		if err := os.Chmod(socket, 0o666); err != nil {
			return false
		}
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

// connects waits until the program takes connections at an address.
func (d *daemon) connects(network, addr string) error {
	return d.ready("listener at "+addr, func() bool {
		conn, err := net.Dial(network, addr)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

// Pid is the program's process.
func (d *daemon) Pid() int { return d.cmd.Process.Pid }

// Stop ends the program: by SIGTERM, then by SIGKILL to all that it started.
// It does nothing where the program was not started. Its error is that of a
// program that ended by itself or had to be killed, if it was given the time
// to end in order.
func (d *daemon) Stop() error {
	if d.cmd == nil {
		return nil
	}
	var err error
	d.stop.Do(func() { err = d.end() })
	return err
}

// Kill ends the program at once, as a crash would. Stop then does nothing.
func (d *daemon) Kill() {
	d.stop.Do(func() {
		d.killed = true
		syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
		<-d.done
	})
}

func (d *daemon) end() error {
	pid := d.cmd.Process.Pid
	// What is left of its session, whatever comes.
	defer syscall.Kill(-pid, syscall.SIGKILL)
	select {
	case <-d.done:
		return fmt.Errorf("stack: %s had ended by itself: %v\n%s", d.name, d.err, d.Log())
	default:
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stack: %s: %w", d.name, err)
	}
	limit := time.NewTimer(d.grace)
	defer limit.Stop()
	select {
	case <-d.done:
		return nil
	case <-limit.C:
	}
	syscall.Kill(-pid, syscall.SIGKILL)
	<-d.done
	if d.grace < stopLimit {
		return nil
	}
	return fmt.Errorf("stack: %s did not end within %v of SIGTERM\n%s", d.name, d.grace, d.Log())
}

// Log is the end of what the program wrote.
func (d *daemon) Log() string { return tail(d.log) }

func tail(file string) string {
	if file == "" {
		return ""
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	b = b[max(0, len(b)-logTail):]
	return fmt.Sprintf("--- %s:\n%s", file, b)
}

// Component is a daemon of the stack.
type Component interface {
	// Start starts the daemon and returns when it answers.
	Start() error

	// Stop ends it.
	Stop() error

	// Log is the end of what it wrote.
	Log() string
}

// Start starts components side by side, and returns when all answer.
func Start(components ...Component) error {
	return each(components, Component.Start)
}

// Stop stops components, all at once.
func Stop(components ...Component) error {
	return each(components, Component.Stop)
}

func each(components []Component, do func(Component) error) error {
	errs := make([]error, len(components))
	var wg sync.WaitGroup
	for i, c := range components {
		wg.Go(func() { errs[i] = do(c) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
