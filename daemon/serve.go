package daemon

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
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
get shutdown_timeout. A second signal ends it at once. SIGHUP loads the
configuration again, and SIGUSR2 has the program, as it is on disk now, take
over (see the commands reload and restart).

Exit status: 0 after a signal, 1 after a failure, 2 for wrong usage, 78 when the
configuration is wrong.`,
		Example: "  milterkit serve --config /etc/milterkit/milterkit.toml",
		Args:    onlyFlags,
	}
	file := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		signals := listenToSignals()
		defer signals.stop()
		d, err := prepare(all, *file, c.ErrOrStderr())
		if err != nil {
			return err
		}
		return d.run(signals)
	}
	return c
}

// signals are what the process is told. One of a kind that comes while another of it
// waits has its wish with that, and none is lost because of one of another kind.
type signals struct{ end, reload, restart chan os.Signal }

func listenToSignals() signals {
	s := signals{end: make(chan os.Signal, 2), reload: make(chan os.Signal, 1), restart: make(chan os.Signal, 1)}
	signal.Notify(s.end, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(s.reload, syscall.SIGHUP)
	signal.Notify(s.restart, syscall.SIGUSR2)
	return s
}

func (s signals) stop() {
	for _, c := range []chan os.Signal{s.end, s.reload, s.restart} {
		signal.Stop(c)
	}
}

// A daemon is all that `serve` has opened.
type daemon struct {
	natives natives
	log     *slog.Logger
	program string // what is started where another process is to take over
	before  *listen.Inherited

	listeners []*listen.Listener
	status    *statusServer
	statusAt  []*listen.Listener // where it is to be had
	server    *milterkit.Server
	state     // of the configuration
	metrics   *metrics.Metrics
	notes     []string         // to be logged once it runs
	observers observers        // of what becomes of messages
	journal   *journal.Journal // nil: off
	dashboard *dashboard

	work      sync.WaitGroup  // all that must have ended before the process does
	accepting sync.WaitGroup  // of it what takes connections of MTAs
	failed    chan error      // why it cannot go on
	left      chan struct{}   // closed when another process has taken over
	ctx       context.Context // done when the daemon ends
	cancel    context.CancelFunc

	changing sync.Mutex // held while the configuration is loaded, or the process replaced
	handing  sync.Mutex // held while sockets are handed over
	leaving  string     // why nothing can be changed any more; "": it can
}

// prepare does all that needs the rights of root, and drops them, before
// anything runs.
func prepare(all natives, file string, stderr io.Writer) (_ *daemon, err error) {
	in, err := listen.Inherit()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			in.Tell(err)
		}
	}()
	c, err := all.load(file)
	if err != nil {
		return nil, all.alsoChildren(c, err)
	}
	d := &daemon{natives: all, log: newLogger(c.Server.Log.V, c.Server.LogFormat.V, stderr), before: in, failed: make(chan error, 1), left: make(chan struct{})}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	slog.SetDefault(d.log) // that of native children
	d.status = newStatusServer(d.log)
	if err = d.prepare(c); err != nil {
		d.close()
		if c.Server.Log.V != "stderr" { // stderr is told anyway
			d.log.Error("milterkit does not start", "error", err)
		}
		return nil, err
	}
	return d, nil
}

func (d *daemon) prepare(c *config.Config) error {
	account, fault := runsAs(c)
	if fault != nil {
		return fault
	}
	var err error
	if d.program, err = startedAs(); err != nil {
		return err
	}
	makeFolders(c, account)
	if err := d.openFirst(c); err != nil {
		return err
	}
	if err := d.drop(account, c); err != nil {
		return err
	}
	if fault := checkTempDir(c); fault != nil {
		return fault
	}
	server, probes, err := d.natives.build(c, d.log)
	if err != nil {
		return err
	}
	d.server = server
	d.openJournal(c)
	d.openDashboard(c)
	d.serveMetrics()
	first := &generation{Number: 1, Loaded: time.Now(), config: c, dispatcher: server.Dispatcher, probes: probes}
	d.observe(first)
	d.begin(first)
	if note := limitSessions(server, c.Server.MaxSessions.V, descriptorsOf(probes)); note != "" {
		d.notes = append(d.notes, note)
	}
	d.status.handleCommand("POST /reload", d.answerReload)
	d.status.handleCommand("POST /restart", d.answerRestart)
	d.confine(c)
	return nil
}

// drop gives up the rights of root, and looks at what must still be readable
// without them.
func (d *daemon) drop(a *account, c *config.Config) error {
	if a == nil {
		return nil
	}
	if err := a.become(); err != nil {
		return err
	}
	f, err := os.Open(c.File)
	if err != nil {
		d.log.Warn("the configuration file can not be read any more after root's rights are given up: it can not be loaded again", "file", c.File, "user", a.name, "error", err)
		return nil
	}
	return f.Close()
}

// close undoes what prepare did, as far as it got.
func (d *daemon) close() {
	d.cancel()
	d.changing.Lock()
	defer d.changing.Unlock()
	d.leaving = cmp.Or(d.leaving, "milterkit is ending")
	for _, ln := range slices.Concat(d.statusAt, d.listeners) {
		d.closeListener(ln)
	}
	if now := d.now(); now != nil {
		d.closeChildren(now)
	}
	d.closeJournal()
}

// closeChildren closes those of a generation that no session has any more.
func (d *daemon) closeChildren(g *generation) {
	if err := closeChain(g.dispatcher); err != nil {
		d.log.Warn("a child was not closed well", "error", err)
	}
}

// probeFirst is how long the first MTA waits until all milters have been asked
// what they would like to have. One that does not answer is no reason to wait on.
const probeFirst = time.Second

// spareMemory is how much garbage may gather before it is collected, in percent of
// what is in use. Message bytes are not in that; the rest is little, and to look
// through it costs less than the memory would.
const spareMemory = 50

// run serves until a signal or a failure.
func (d *daemon) run(signals signals) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(spareMemory)
	}
	defer d.work.Wait()
	defer d.close()
	now := d.now()
	d.meet(now)
	d.serveAll(d.listeners)
	d.status.ready.Store(true)
	defer d.status.close()
	d.serveStatus(d.statusAt)
	d.log.Info("milterkit is ready", "listen", listening(d.listeners), "milters", len(now.dispatcher.Slots()), "max_sessions", d.server.MaxSessions)
	for _, note := range append(d.notes, advice(now.config)...) {
		d.log.Warn(note)
	}
	if !d.before.HandedOver() { // else systemd is told by that process
		d.tell("READY=1")
	} else if err := d.before.Tell(nil); err != nil {
		d.log.Warn("the process before this one was not told", "error", err)
	}
	defer d.dashboard.begin()()
	return d.serve(signals)
}

// serve does what signals say, until the end.
func (d *daemon) serve(signals signals) error {
	d.work.Go(func() { d.change(signals) })
	select {
	case err := <-d.failed:
		d.log.Error("milterkit ends because of a failure", "error", err)
		d.stop(signals.end)
		return err
	case <-d.left:
		d.drain(signals.end)
	case s := <-signals.end:
		d.log.Info("milterkit ends", "signal", s.String())
		d.stop(signals.end)
	}
	return nil
}

// change loads the configuration or starts the program anew when a signal wants it.
func (d *daemon) change(wanted signals) {
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-wanted.restart:
			d.restart()
		case <-wanted.reload:
			d.reload()
		}
	}
}

// stop ends all sessions, and says so.
func (d *daemon) stop(end <-chan os.Signal) {
	d.cancel()
	d.status.ready.Store(false)
	if !d.hasLeft() { // else this is not the service any more
		d.tell("STOPPING=1")
	}
	d.endSessions(end)
}

// hasLeft reports whether another process has the sockets. It waits for the end of a
// hand-over under way, which is soon: that ends with ctx.
func (d *daemon) hasLeft() bool {
	d.handing.Lock()
	defer d.handing.Unlock()
	select {
	case <-d.left:
		return true
	default:
		return false
	}
}

// endSessions lets messages under way end for as long as shutdown_timeout, or until
// the next signal.
func (d *daemon) endSessions(end <-chan os.Signal) {
	ctx, cancel := context.WithTimeout(context.Background(), d.now().config.Server.ShutdownTimeout.V)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- d.server.Shutdown(ctx) }()
	var err error
	select {
	case err = <-done:
	case s := <-end:
		d.log.Info("milterkit ends at once", "signal", s.String())
		cancel()
		err = <-done
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

// meet asks the milters of a generation what they would like to have, so that its
// first sessions have the macros that they ask for. It returns those that have said
// within that time that they are not there.
func (d *daemon) meet(g *generation) (silent []string) {
	probed := make(chan []string, 1)
	d.work.Go(func() { probed <- d.warnOfSilent(d.ctx, g.probes) })
	select {
	case silent = <-probed:
	case <-time.After(probeFirst):
	}
	return silent
}

// warnOfSilent names the milters that do not answer now. They may come later.
func (d *daemon) warnOfSilent(ctx context.Context, probes []probe) (silent []string) {
	for i, err := range askAll(ctx, probes) {
		if err == nil || ctx.Err() != nil {
			continue
		}
		silent = append(silent, probes[i].name)
		if probes[i].where != "" {
			d.log.Warn("a milter does not answer", "milter", probes[i].name, "socket", probes[i].where, "error", err)
		} else {
			d.log.Warn("what a milter asks does not answer", "milter", probes[i].name, "error", err)
		}
	}
	return silent
}
