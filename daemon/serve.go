package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/journal"
	"github.com/milterkit/sdk/daemon/internal/listen"
	"github.com/milterkit/sdk/daemon/internal/metrics"
	"github.com/milterkit/sdk/milterkit"
)

func newServeCommand(all natives) *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the multiplexer",
		Long: `Run the multiplexer in the foreground: open the sockets of the configuration
file, give up the rights of root, and take each message past the milters.

SIGTERM and SIGINT end it: no more connections are taken, messages under way
get shutdown_timeout. A second signal ends it at once.

Exit status: 0 after a signal, 1 after a failure, 2 for wrong usage, 78 when the
configuration is wrong.`,
		Example: "  milterkit serve --config /etc/milterkit/milterkit.toml",
		Args:    onlyFlags,
	}
	file := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		signals := make(chan os.Signal, 4)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		defer signal.Stop(signals)
		d, err := prepare(all, *file, c.ErrOrStderr())
		if err != nil {
			return err
		}
		return d.run(signals)
	}
	return c
}

// A daemon is all that `serve` has opened.
type daemon struct {
	natives   natives
	config    *config.Config
	log       *slog.Logger
	listeners []*listen.Listener
	status    *statusServer
	statusAt  []*listen.Listener // where it is to be had
	server    *milterkit.Server
	probes    []probe
	metrics   *metrics.Metrics
	notes     []string         // to be logged once it runs
	observers observers        // of what becomes of messages
	journal   *journal.Journal // nil: off
}

// prepare does all that needs the rights of root, and drops them, before
// anything runs.
func prepare(all natives, file string, stderr io.Writer) (*daemon, error) {
	in, err := listen.Inherit()
	if err != nil {
		return nil, err
	}
	c, err := all.load(file)
	if err != nil {
		return nil, all.alsoChildren(c, err)
	}
	d := &daemon{natives: all, config: c, log: newLogger(c.Server.Log.V, stderr)}
	d.status = newStatusServer(d.log)
	slog.SetDefault(d.log) // that of native children
	if err = d.prepare(in); err != nil {
		d.close()
		if c.Server.Log.V != "stderr" { // stderr is told anyway
			d.log.Error("milterkit does not start", "error", err)
		}
		return nil, err
	}
	return d, nil
}

func (d *daemon) prepare(in *listen.Inherited) error {
	c := d.config
	account, fault := runsAs(c)
	if fault != nil {
		return fault
	}
	owner, warning, fault := socketOwner(c)
	if fault != nil {
		return fault
	}
	if warning != "" {
		d.notes = append(d.notes, warning)
	}
	var err error
	if d.listeners, err = listen.Open(c.Server.Listen.V, owner, in); err != nil {
		return err
	}
	if d.statusAt, err = listen.Open(c.Server.Status.V, owner, in); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	for _, name := range in.Rest() {
		d.log.Warn("systemd has passed a socket that listen does not name", "socket", "systemd:"+name)
	}
	if err := d.drop(account); err != nil {
		return err
	}
	if fault := checkTempDir(c); fault != nil {
		return fault
	}
	if d.server, d.probes, err = d.natives.build(c, d.log); err != nil {
		return err
	}
	d.openJournal(c)
	d.observers.watch(d.server.Dispatcher)
	if note := limitSessions(d.server, c.Server.MaxSessions.V, descriptorsOf(d.probes)); note != "" {
		d.notes = append(d.notes, note)
	}
	d.serveMetrics()
	return nil
}

// drop gives up the rights of root, and looks at what must still be readable
// without them.
func (d *daemon) drop(a *account) error {
	if a == nil {
		return nil
	}
	if err := a.become(); err != nil {
		return err
	}
	f, err := os.Open(d.config.File)
	if err != nil {
		d.log.Warn("the configuration file can not be read any more after root's rights are given up", "file", d.config.File, "user", a.name, "error", err)
		return nil
	}
	return f.Close()
}

// close undoes what prepare did, as far as it got.
func (d *daemon) close() {
	for _, ln := range append(d.statusAt, d.listeners...) {
		if err := ln.Close(); err != nil && !errors.Is(err, os.ErrPermission) {
			// The directory is often not ours after root's rights are
			// given up; the next start replaces the socket.
			d.log.Warn("a socket was not closed well", "socket", ln.Socket.String(), "error", err)
		}
	}
	if d.server != nil {
		if err := closeChildren(d.server); err != nil {
			d.log.Warn("a child was not closed well", "error", err)
		}
	}
	d.closeJournal()
}

// probeFirst is how long the first MTA waits until all milters have been asked
// what they would like to have. One that does not answer is no reason to wait on.
const probeFirst = time.Second

// spareMemory is how much garbage may gather before it is collected, in percent of
// what is in use. Message bytes are not in that; the rest is little, and to look
// through it costs less than the memory would.
const spareMemory = 50

// run serves until a signal or a failure.
func (d *daemon) run(signals <-chan os.Signal) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(spareMemory)
	}
	var work sync.WaitGroup
	defer work.Wait()
	defer d.close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	probed := make(chan struct{})
	work.Go(func() {
		defer close(probed)
		d.warnOfSilent(ctx)
	})
	select { // the first sessions are to have the macros that milters ask for
	case <-probed:
	case <-time.After(probeFirst):
	}
	failed := make(chan error, len(d.listeners)+len(d.statusAt))
	for _, ln := range d.listeners {
		work.Go(func() {
			if err := d.server.Serve(ln); !errors.Is(err, milterkit.ErrServerClosed) {
				failed <- fmt.Errorf("%s: %w", ln.Socket, err)
			}
		})
	}
	d.status.ready.Store(true)
	defer d.status.close()
	for _, ln := range d.statusAt {
		work.Go(func() {
			if err := d.status.serve(ln); err != nil {
				failed <- fmt.Errorf("status: %s: %w", ln.Socket, err)
			}
		})
	}
	d.log.Info("milterkit is ready", "listen", listening(d.listeners), "milters", len(d.server.Dispatcher.Slots()), "max_sessions", d.server.MaxSessions)
	for _, note := range append(d.notes, advice(d.config)...) {
		d.log.Warn(note)
	}
	d.tell("READY=1")

	for {
		select {
		case err := <-failed:
			d.log.Error("milterkit ends because of a failure", "error", err)
			d.stop(signals)
			return err
		case s := <-signals:
			if s != syscall.SIGHUP {
				d.log.Info("milterkit ends", "signal", s.String())
				d.stop(signals)
				return nil
			}
			d.log.Warn("to load the configuration again is not supported by this version yet: restart milterkit instead", "signal", s.String())
		}
	}
}

// stop lets messages under way end for as long as shutdown_timeout, or until
// the next signal.
func (d *daemon) stop(signals <-chan os.Signal) {
	d.status.ready.Store(false)
	d.tell("STOPPING=1")
	ctx, cancel := context.WithTimeout(context.Background(), d.config.Server.ShutdownTimeout.V)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- d.server.Shutdown(ctx) }()
	var err error
	for waiting := true; waiting; {
		select {
		case err = <-done:
			waiting = false
		case s := <-signals:
			if s != syscall.SIGHUP {
				d.log.Info("milterkit ends at once", "signal", s.String())
				cancel()
				err, waiting = <-done, false
			}
		}
	}
	if err != nil {
		d.log.Warn("messages under way were cut short; their senders will try again", "error", err)
	}
	d.server.Close()
}

// tell tells systemd.
func (d *daemon) tell(state string) {
	if err := listen.Notify(state); err != nil {
		d.log.Warn("systemd was not told", "state", state, "error", err)
	}
}

// warnOfSilent names the milters that do not answer now. They may come later.
func (d *daemon) warnOfSilent(ctx context.Context) {
	for i, err := range askAll(ctx, d.probes) {
		switch {
		case err == nil || ctx.Err() != nil:
		case d.probes[i].where != "":
			d.log.Warn("a milter does not answer", "milter", d.probes[i].name, "socket", d.probes[i].where, "error", err)
		default:
			d.log.Warn("what a milter asks does not answer", "milter", d.probes[i].name, "error", err)
		}
	}
}

func listening(lns []*listen.Listener) string {
	names := make([]string, len(lns))
	for i, ln := range lns {
		names[i] = ln.Socket.String()
	}
	return strings.Join(names, ", ")
}
