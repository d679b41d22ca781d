package daemon

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/history"
	"github.com/milterkit/sdk/daemon/internal/record"
	"github.com/milterkit/sdk/daemon/internal/statuspage"
)

// A dashboard is what the status page asks of the daemon.
type dashboard struct {
	d       *daemon
	history *history.History
	keeper  *history.Keeper // nil: it is not kept over restarts
	unsaved string          // why not
	started time.Time
	look    look
}

// openDashboard has messages counted, where anybody can ask for it.
func (d *daemon) openDashboard(c *config.Config) {
	p := &dashboard{d: d, history: history.New(), started: time.Now()}
	d.dashboard = p
	statuspage.Register(d.status.handle, p, p.names)
	switch {
	case len(c.Server.Status.V) == 0:
		p.unsaved = "status in [server] was not set when this process was started, so it does not count: restart milterkit"
		return
	case d.journal == nil:
		p.unsaved = "there is no journal (journal in [server])"
	default:
		p.keeper = &history.Keeper{History: p.history, Store: d.journal, Log: d.log}
	}
	d.observers.add(p.history.Put)
}

// names are the hosts that status in [server] names.
func (p *dashboard) names() (names []string) {
	for _, s := range p.d.now().config.Server.Status.V {
		if host, _, ok := strings.Cut(s.Addr, ":"); ok && s.Network == "tcp" {
			names = append(names, strings.ToLower(host))
		}
	}
	return names
}

// begin counts, and saves what was counted, until end is called. Then it must not be
// told of messages any more, and the journal must be open.
func (p *dashboard) begin() (end func()) {
	var work sync.WaitGroup
	counting, stopCounting := context.WithCancel(context.Background())
	work.Go(func() {
		p.history.Run(counting, func() (begun uint64, now int) {
			s := p.d.server.Stats()
			return s.Begun, s.Sessions
		})
	})
	if p.keeper == nil {
		return func() { stopCounting(); work.Wait() }
	}
	var saving sync.WaitGroup
	keeping, stopKeeping := context.WithCancel(context.Background())
	saving.Go(func() {
		p.keeper.Begin()
		p.keeper.Run(keeping)
	})
	return func() {
		stopCounting()
		work.Wait()
		stopKeeping()
		saving.Wait()
	}
}

// save has the process that takes over find what was counted until now.
func (p *dashboard) save() {
	if p.keeper != nil {
		p.keeper.Save()
	}
}

// Status implements statuspage.Source. It asks the milters whether they are there: so nobody
// does while nobody looks.
func (p *dashboard) Status(r *http.Request, span history.Span) *statuspage.Status {
	d := p.d
	gen, stats, now := d.now(), d.server.Stats(), time.Now()
	host, _ := os.Hostname()
	s := &statuspage.Status{
		Program: filepath.Base(os.Args[0]), Version: release() + " " + runtime.Version(), Host: host, Now: now, Started: p.started, Ready: d.status.ready.Load(),
		Generation: gen.Number, Loaded: gen.Loaded,
		Sessions: statuspage.Sessions{Now: stats.Sessions, Waiting: stats.Waiting, Max: d.server.MaxSessions},
		Memory:   statuspage.Memory{Messages: stats.Memory, MaxMessages: max(d.server.MaxMemory, 0), Process: residentMemory()},
		Unsaved:  p.unsaved,
		Milters:  p.milters(r.Context(), gen, now),
		Series:   p.history.Series(span),
		Slowest:  statuspage.Briefs(p.history.Slowest()),
		Last:     statuspage.Briefs(p.history.Refused()),
	}
	if f := d.lastFailure(); f != nil {
		s.Refused = &statuspage.RefusedReload{At: f.At, Error: f.Message}
	}
	s.Minute, s.Hour, s.Day = p.history.Sums()
	return s
}

// Message implements statuspage.Source.
func (p *dashboard) Message(n uint64) *record.Message { return p.history.Find(n) }

// Config implements statuspage.Source.
func (p *dashboard) Config() []byte { return p.d.now().config.Shown() }

// milters tells of those that are enabled.
func (p *dashboard) milters(ctx context.Context, gen *generation, now time.Time) []statuspage.Milter {
	p.look.ask(ctx, gen.probes, now)
	milters := []statuspage.Milter{}
	for _, m := range gen.config.Enabled() {
		one := statuspage.Milter{
			Name: m.Name.V, Kind: "native", Where: m.Use.V, Default: m.DefaultAction.V.String(),
			Shadow: m.Shadow.V, Together: m.Together.V, When: m.When.V,
		}
		if m.Use.V == "" {
			one.Kind, one.Where = "remote", m.Socket.V.String()
		}
		p.look.judge(&one, p.history.State(m.Name.V), knownDown(gen.probes, m.Name.V))
		milters = append(milters, one)
	}
	return milters
}

// residentMemory is what the process has of the machine's memory, in bytes, as far as
// that can be told.
func residentMemory() int64 {
	statm, err := os.ReadFile("/proc/self/statm") // Linux
	if fields := bytes.Fields(statm); err == nil && len(fields) > 1 {
		if pages, err := strconv.ParseInt(string(fields[1]), 10, 64); err == nil {
			return pages * int64(os.Getpagesize())
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}
