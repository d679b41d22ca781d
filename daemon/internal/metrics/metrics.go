// Package metrics counts what becomes of messages and what the daemon has, for
// Prometheus: docs/metrics.md lists it. In reading order:
//
//	metrics.go   all of it, and how it is served
//	messages.go  what is counted of each message
//	milter.go    what is counted of each milter
//	reason.go    why a milter has failed, in one word
//	now.go       what is looked up when Prometheus asks
//
// There are as many series as there are milters, times a bound: no address, text or
// reply is a label.
package metrics

import (
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/milterkit/sdk/daemon/internal/journal"
	"github.com/milterkit/sdk/milterkit"
)

// Sources is where that comes from which is looked up when Prometheus asks.
type Sources struct {
	Version string // of the program
	Server  *milterkit.Server
	Journal *journal.Journal // nil: there is none

	// Configuration returns how it is with the configuration. Nil: there is nothing
	// to tell.
	Configuration func() Configuration
}

// A Configuration is what there is to tell of that of the daemon.
type Configuration struct {
	Generation uint64 // 1 at start, and one more with each that was loaded
	Loaded     time.Time
	Refused    bool // the last attempt to load one has failed
}

// Metrics is all that is counted.
type Metrics struct {
	registry *prometheus.Registry
	messages messages
	vectors  vectors
	now      now

	mu      sync.Mutex // of Use
	milters atomic.Pointer[map[string]*milter]
}

// New returns what counts. Nothing is known of milters yet: see Use.
func New(from Sources) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), messages: newMessages(), vectors: newVectors(), now: now{from: from}}
	m.milters.Store(new(map[string]*milter))
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "milterkit_build_info",
		Help:        "Always 1; the labels say which milterkit this is, and what it was built with.",
		ConstLabels: prometheus.Labels{"version": from.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(build, &m.now,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(m.messages.collectors()...)
	m.registry.MustRegister(m.vectors.collectors()...)
	return m
}

// askedAtOnce is how many who ask are answered at one time.
const askedAtOnce = 4

// Handler serves it, in the format that is asked for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: askedAtOnce,
		EnableOpenMetrics:   true,
	})
}

// Observe counts a report. It waits for nothing.
func (m *Metrics) Observe(r *milterkit.Report) {
	milters := *m.milters.Load()
	for i := r.Told; i < len(r.Events); i++ {
		e := &r.Events[i]
		if c := milters[e.Child]; c != nil {
			m.answered(c, e)
		}
	}
	for i := range r.Children {
		if c := milters[r.Children[i].Name]; c != nil {
			c.tookPart(&r.Children[i])
		}
	}
	if r.By != "" && r.At < milterkit.StageMail {
		m.messages.sessionRefused(r, milters)
		return
	}
	m.messages.ended(r, milters)
}
