package listen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/internal/socket"
)

// How a process gives its sockets to the one that takes its place: they are the
// descriptors from 3 on, in the order of a list in the environment, and behind them is
// a pipe on which the new process says whether it serves. Both have the sockets open
// for a while, so that whoever connects is always served by one of them.

// handedOver is the variable with the list, as JSON.
const handedOver = "MILTERKIT_SOCKETS"

// A word is what the new process says.
type word struct {
	Error string   // why it does not serve
	Wrong bool     // because the configuration is wrong
	Took  []string // the sockets that it serves, where it does
}

// A Refusal is why the new process does not serve, where it has said so itself.
type Refusal struct {
	error
	WrongConfig bool // the configuration is wrong
}

// Successor starts the program anew with the sockets of this process, and waits until
// it serves. It returns which of them the new process has taken. Where it does not
// come to that within the time, it is stopped again.
func Successor(ctx context.Context, program string, args []string, lns []*Listener, within time.Duration) (pid int, took []string, err error) {
	cmd := exec.Command(program)
	cmd.Args = args
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	defer func() {
		for _, f := range cmd.ExtraFiles {
			f.Close()
		}
	}()
	names := []string{}
	for _, l := range lns {
		if l.Lost() {
			continue // the new process opens one that can be found
		}
		f, err := l.duplicate()
		if err != nil {
			return 0, nil, fmt.Errorf("%s: %w", l.Socket, err)
		}
		names, cmd.ExtraFiles = append(names, l.Socket.String()), append(cmd.ExtraFiles, f)
	}
	list, err := json.Marshal(names)
	if err != nil {
		return 0, nil, err
	}
	says, pipe, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	defer says.Close()
	cmd.ExtraFiles = append(cmd.ExtraFiles, pipe)
	cmd.Env = append(os.Environ(), handedOver+"="+string(list))
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	pipe.Close()
	took, err = listenTo(ctx, says, within)
	if err != nil {
		cmd.Process.Kill() // it may have ended already
		cmd.Wait()
		return 0, nil, err
	}
	go cmd.Wait() // should it end before this process does
	return cmd.Process.Pid, took, nil
}

// listenTo waits for the word of the new process.
func listenTo(ctx context.Context, says *os.File, within time.Duration) ([]string, error) {
	if err := says.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { says.SetReadDeadline(time.Now()) })()
	text, err := io.ReadAll(says)
	var w word
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("the new process has not said within %v that it serves", within)
	case err != nil:
		return nil, err
	case len(text) == 0:
		return nil, errors.New("the new process has ended without a word; see the log")
	}
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, fmt.Errorf("the new process has said %.100q, which is not understood", text)
	}
	if w.Error != "" {
		return nil, Refusal{errors.New(w.Error), w.Wrong}
	}
	return w.Took, nil
}

// duplicate returns another descriptor of the socket. Not that of package net, which
// would have the socket block from then on, for this process too.
func (l *Listener) duplicate() (*os.File, error) {
	inner, ok := l.Listener.(syscall.Conn)
	if !ok {
		return nil, errors.New("this kind of socket can not be handed over")
	}
	raw, err := inner.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var failed error
	if err := raw.Control(func(own uintptr) { fd, failed = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 3) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	return os.NewFile(uintptr(fd), l.Socket.String()), nil
}

// Leave closes the socket for this process alone: another one has it, and its file
// stays.
func (l *Listener) Leave() {
	l.closed.Do(func() {
		l.gone.Store(true)
		l.err = l.Listener.Close()
	})
}

// inheritHanded takes over what a process before this one has handed over.
func (in *Inherited) inheritHanded() error {
	list, handed := os.LookupEnv(handedOver)
	os.Unsetenv(handedOver)
	if !handed {
		return nil
	}
	if err := json.Unmarshal([]byte(list), &in.handed); err != nil || len(in.handed) > 1<<10 {
		return fmt.Errorf("%s is %.100q, which is not a list of sockets", handedOver, list)
	}
	for i := range len(in.handed) + 1 {
		syscall.CloseOnExec(firstInherited + i)
		f := os.NewFile(uintptr(firstInherited+i), handedOver)
		if i == len(in.handed) {
			in.pipe = f
			continue
		}
		in.handedFiles = append(in.handedFiles, f)
	}
	return nil
}

// HandedOver reports whether there was a process before this one, which waits for word.
func (in *Inherited) HandedOver() bool { return in.pipe != nil }

// Has reports whether a socket was handed over, and need not be opened.
func (in *Inherited) Has(s socket.Addr) bool { return slices.Contains(in.handed, s.String()) }

// takeHanded returns the listeners of a socket, where it was handed over.
func (in *Inherited) takeHanded(s socket.Addr) ([]*Listener, error) {
	var open []*Listener
	for i, f := range in.handedFiles {
		if in.handed[i] != s.String() || f == nil {
			continue
		}
		l, err := in.newHanded(s, f)
		if err != nil {
			return open, fmt.Errorf("what was handed over cannot be listened on: %w", socket.Reason(err))
		}
		f.Close() // the listener has a duplicate
		in.handedFiles[i] = nil
		in.took = append(in.took, s.String())
		open = append(open, l)
	}
	return open, nil
}

// Tell tells the process before this one that this one serves, or why it does not.
func (in *Inherited) Tell(failed error) error {
	if in.pipe == nil {
		return nil
	}
	w := word{Took: in.took}
	if failed != nil {
		w = word{Error: failed.Error(), Wrong: errors.As(failed, new(config.Errors))}
	} else {
		in.serves.Store(true)
	}
	text, err := json.Marshal(w)
	if err == nil {
		_, err = in.pipe.Write(text)
	}
	err = errors.Join(err, in.pipe.Close())
	in.pipe = nil
	return err
}
