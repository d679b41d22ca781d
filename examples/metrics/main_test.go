package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// What Prometheus reads.
func TestMetrics(t *testing.T) {
	chain, err := milterkit.NewDispatcher(milterkit.Slot{Child: milterkit.OnMessage("need-subject", needSubject)})
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	chain.OnReport = measure(registry)
	w := chain.Walk(milterkit.AllActions)
	for _, text := range []string{"Subject: one\n\n", "From: two\n\n", "Subject: three\n\n"} {
		w.Mail(t.Context(), milterkit.NewAddress("<a@example.com>"))
		w.Rcpt(t.Context(), milterkit.NewAddress("<bob@example.org>"))
		w.Message(t.Context(), []byte(text))
		w.Reset()
	}
	w.Mail(t.Context(), milterkit.NewAddress("<a@example.com>"))
	w.Close()

	rec := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text, _ := io.ReadAll(rec.Body)
	for _, line := range []string{
		`mail_messages_total{outcome="accept"} 2`,
		`mail_messages_total{outcome="reject"} 1`,
		`mail_messages_total{outcome="aborted"} 1`,
		`mail_filter_seconds_count{filter="need-subject",verdict="reject"} 1`,
	} {
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("there is no line %s in\n%s", line, text)
		}
	}
}

// The child keeps to the rules of package milterkit.
func TestRules(t *testing.T) {
	t.Parallel()
	miltertest.TestChild(t, func() milterkit.Child { return milterkit.OnMessage("need-subject", needSubject) })
}
