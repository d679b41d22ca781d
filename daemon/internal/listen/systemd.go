package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/milterkit/sdk/internal/socket"
)

// firstInherited is the first descriptor that systemd hands over. Source:
// SD_LISTEN_FDS_START in sd_listen_fds(3).
const firstInherited = 3

// Inherited is the sockets that were opened for this process, by systemd or by the
// process whose place it takes.
type Inherited struct {
	names []string
	files []*os.File

	handed      []string   // what the process before it has handed over
	handedFiles []*os.File // nil: taken
	took        []string
	pipe        *os.File    // to tell it; nil: there is none
	serves      atomic.Bool // it has been told that this process does
}

// Inherit takes over the sockets that the environment tells of, and the
// variables out of it. It must be called once, before anything opens files.
func Inherit() (*Inherited, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, v := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(v)
	}
	in := new(Inherited)
	if err := in.inheritHanded(); err != nil || in.pipe != nil {
		return in, err
	}
	if pid != strconv.Itoa(os.Getpid()) { // meant for a parent of ours
		return in, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > 1<<10 {
		return nil, fmt.Errorf("LISTEN_FDS is %q, which is not a number of sockets", count)
	}
	given := strings.Split(names, ":")
	for i := range n {
		name := "unknown" // as systemd calls it where it says nothing
		if names != "" && i < len(given) {
			name = given[i]
		}
		syscall.CloseOnExec(firstInherited + i)
		in.names = append(in.names, name)
		in.files = append(in.files, os.NewFile(uintptr(firstInherited+i), name))
	}
	return in, nil
}

// take returns the listeners of that name, of which there can be several.
func (in *Inherited) take(name string) ([]net.Listener, error) {
	if len(in.names) == 0 {
		return nil, errors.New("systemd has passed no socket; is milterkit started by a socket unit?")
	}
	var lns []net.Listener
	for i, f := range in.files {
		if in.names[i] != name || f == nil {
			continue
		}
		ln, err := net.FileListener(f)
		if err != nil {
			return lns, fmt.Errorf("what systemd has passed cannot be listened on: %w", socket.Reason(err))
		}
		f.Close() // the listener has a duplicate
		in.files[i] = nil
		lns = append(lns, ln)
	}
	if len(lns) == 0 {
		return nil, fmt.Errorf("systemd has passed no socket of this name; it has passed %s", strings.Join(slices.Compact(slices.Sorted(slices.Values(in.names))), ", "))
	}
	return lns, nil
}

// Rest closes the sockets that were not asked for, and returns their names.
func (in *Inherited) Rest() []string {
	var names []string
	for i, f := range in.files {
		if f != nil {
			names = append(names, in.names[i])
			f.Close()
			in.files[i] = nil
		}
	}
	for i, f := range in.handedFiles {
		if f != nil { // the process before it knows
			f.Close()
			in.handedFiles[i] = nil
		}
	}
	return names
}

// Reloading is what Notify has to tell when the configuration is loaded again.
// "READY=1" follows. Source: sd_notify(3), which wants the time with it.
func Reloading() string {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return "RELOADING=1"
	}
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", t.Nano()/1000)
}

// notifyPatience is how long Notify waits where nobody reads.
const notifyPatience = time.Second

// Notify tells systemd, or whoever else has set NOTIFY_SOCKET, of a change of
// state, such as "READY=1". It does nothing where nobody wants to know.
// Source: sd_notify(3).
func Notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	if path[0] != '/' && path[0] != '@' { // @: an abstract socket, which package net knows by that sign too
		return fmt.Errorf("NOTIFY_SOCKET is %q, which is not a unix socket", path)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	if err = conn.SetWriteDeadline(time.Now().Add(notifyPatience)); err == nil {
		_, err = conn.Write([]byte(state))
	}
	return errors.Join(err, conn.Close())
}
