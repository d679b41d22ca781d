// Metrics counts messages and verdicts in the program's own Prometheus registry.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"net/http"

	"github.com/milterkit/sdk/milterkit"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// measure returns a function for Dispatcher.OnReport that counts in a registry.
func measure(registry prometheus.Registerer) func(*milterkit.Report) {
	to := promauto.With(registry)
	messages := to.NewCounterVec(prometheus.CounterOpts{
		Name: "mail_messages_total", Help: "Messages, by what became of them."}, []string{"outcome"})
	filters := to.NewHistogramVec(prometheus.HistogramOpts{
		Name: "mail_filter_seconds", Help: "Time that a filter took for a message, by its verdict."}, []string{"filter", "verdict"})
	return func(r *milterkit.Report) {
		messages.WithLabelValues(r.Outcome()).Inc()
		for _, c := range r.Children {
			filters.WithLabelValues(c.Name, c.Verdict.Kind().String()).Observe(c.Took.Seconds())
		}
	}
}

// needSubject is a filter to be measured.
func needSubject(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
	if m.Get("Subject") == "" {
		return milterkit.Reject("5.6.0 a message needs a subject")
	}
	return milterkit.Continue
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8890", "where the mail server finds it")
	status := flag.String("status", "127.0.0.1:8891", "where Prometheus finds /metrics")
	flag.Parse()
	chain, err := milterkit.NewDispatcher(milterkit.Slot{Child: milterkit.OnMessage("need-subject", needSubject)})
	if err != nil {
		log.Fatal(err)
	}
	chain.OnReport = measure(prometheus.DefaultRegisterer)
	http.Handle("/metrics", promhttp.Handler())
	go func() { log.Fatal(http.ListenAndServe(*status, nil)) }()
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal((&milterkit.Server{Dispatcher: chain}).Serve(ln))
}
