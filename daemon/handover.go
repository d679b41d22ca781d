package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/milterkit/sdk/daemon/internal/listen"
)

// startPatience is how long a new process may take until it serves.
const startPatience = time.Minute

// startedAs returns the program as this process was started, as an absolute path: not
// the file, which may be another by the time that it is started anew.
func startedAs() (string, error) {
	name := os.Args[0]
	if !strings.Contains(name, "/") {
		found, err := exec.LookPath(name)
		if err != nil {
			return os.Executable()
		}
		name = found
	}
	return filepath.Abs(name)
}

// restart starts the program anew and has it take over the sockets. Where that does
// not come to serve, this process goes on.
func (d *daemon) restart() (pid int, err error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	switch {
	case d.leaving != "":
		return 0, errors.New(d.leaving)
	case os.Getpid() == 1:
		err = errors.New("this is process 1, of a container: that ends with it; start another container")
	default:
		d.dashboard.save()
		if pid, err = d.handOver(); err == nil {
			return pid, nil
		}
	}
	for line := range strings.Lines(err.Error()) {
		d.log.Error("no new process has taken over: this one goes on", "error", strings.TrimSpace(line))
	}
	return 0, err
}

// handOver starts the new process, and leaves the sockets to it once it serves.
func (d *daemon) handOver() (pid int, err error) {
	d.handing.Lock()
	defer d.handing.Unlock()
	pid, took, err := listen.Successor(d.ctx, d.program, os.Args, slices.Concat(d.listeners, d.statusAt), startPatience)
	if err != nil {
		return 0, err
	}
	d.leave(pid, took)
	return pid, nil
}

// leave closes the sockets for this process, but for what the new one has not taken:
// that goes for good.
func (d *daemon) leave(pid int, took []string) {
	d.leaving = fmt.Sprintf("process %d has taken over", pid)
	for _, ln := range slices.Concat(d.listeners, d.statusAt) {
		if slices.Contains(took, ln.Socket.String()) {
			ln.Leave()
		} else {
			d.closeListener(ln)
		}
	}
	d.tell(fmt.Sprintf("MAINPID=%d", pid))
	d.log.Info("a new process has taken over", "pid", pid, "sessions", d.server.Stats().Sessions)
	close(d.left)
}

// drainLook is how often a process that has been replaced looks whether it still has
// sessions.
const drainLook = 100 * time.Millisecond

// drain serves the sessions that there are until they have ended, for as long as
// drain_timeout.
func (d *daemon) drain(end <-chan os.Signal) {
	ctx, cancel := context.WithTimeout(context.Background(), statusPatience)
	defer cancel()
	d.status.http.Shutdown(ctx) // who asked for the restart is to have an answer
	accepted := make(chan struct{})
	go func() { d.accepting.Wait(); close(accepted) }()
	limit := time.After(d.now().config.Server.DrainTimeout.V)
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-tick.C:
			select {
			case <-accepted: // nobody is on his way in
				over = d.server.Stats().Sessions == 0
			default:
			}
		case <-limit:
			d.log.Warn("sessions that began before another process has taken over are ended", "sessions", d.server.Stats().Sessions)
			over = true
		case <-end:
			over = true
		}
	}
	d.endSessions(end)
	d.log.Info("milterkit ends: another process has taken over")
}

// answerRestart is POST /restart: 200 when a new process serves, 422 where it does not
// because of the configuration, 409 where it does not for another reason.
func (d *daemon) answerRestart(w http.ResponseWriter, _ *http.Request) {
	pid, err := d.restart()
	var refusal listen.Refusal
	switch {
	case err == nil:
		say(w, http.StatusOK, fmt.Sprintf("process %d has taken over", pid))
	case errors.As(err, &refusal) && refusal.WrongConfig:
		say(w, http.StatusUnprocessableEntity, err.Error())
	default:
		say(w, http.StatusConflict, err.Error())
	}
}
