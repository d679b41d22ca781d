package daemon

import (
	"net/http/pprof"

	"github.com/milterkit/sdk/daemon/internal/metrics"
	"github.com/milterkit/sdk/milterkit"
)

// serveMetrics has the status server tell what Prometheus, and who looks for a fault of
// milterkit's own, would know.
func (d *daemon) serveMetrics() {
	d.metrics = metrics.New(metrics.Sources{Version: release(), Server: d.server, Journal: d.journal, Configuration: d.configuration})
	d.status.handle("GET /metrics", d.metrics.Handler().ServeHTTP)
	d.status.handleCommand("GET /debug/pprof/", pprof.Index)
	d.status.handleCommand("GET /debug/pprof/cmdline", pprof.Cmdline)
	d.status.handleCommand("GET /debug/pprof/profile", pprof.Profile)
	d.status.handleCommand("GET /debug/pprof/symbol", pprof.Symbol)
	d.status.handleCommand("GET /debug/pprof/trace", pprof.Trace)
}

// configuration is what Prometheus is told of it.
func (d *daemon) configuration() metrics.Configuration {
	now := d.now()
	return metrics.Configuration{Generation: uint64(now.Number), Loaded: now.Loaded, Refused: d.lastFailure() != nil}
}

// count has what a dispatcher reports counted, before its sessions begin, and before
// whoever is told already is.
func (d *daemon) count(dispatcher *milterkit.Dispatcher) {
	next := dispatcher.OnReport
	dispatcher.OnReport = func(r *milterkit.Report) {
		d.metrics.Observe(r)
		if next != nil {
			next(r)
		}
	}
}
