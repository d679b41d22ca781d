package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/milterkit/sdk/milterkit"
)

// whole are bounds of times of a whole message, in seconds, up to what an MTA waits.
var whole = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}

// part are bounds of times of one answer.
var part = []float64{.0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3, 10, 30, 120}

// fine are the options of a histogram with bounds, and for a Prometheus that takes
// native histograms one that is within a tenth, without them.
func fine(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: whole,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}
}

// messages is what is counted of messages, whichever milters there are.
type messages struct {
	outcomes *prometheus.CounterVec
	sessions *prometheus.CounterVec // refused ones
	taken    prometheus.Counter     // recipients
	refused  prometheus.Counter
	bytes    prometheus.Counter
	edits    prometheus.Counter
	took     prometheus.Histogram
}

func newMessages() messages {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return messages{
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "milterkit_messages_total",
			Help: "Messages, by what became of them and the milter that decided (empty: none did; milterkit: a limit, or its end; max_sessions: there was no place; other: a milter that is gone)."},
			[]string{"outcome", "by"}),
		sessions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "milterkit_sessions_refused_total",
			Help: "Sessions refused at connect or helo, by the milter that did."}, []string{"by"}),
		taken:   counter("milterkit_recipients_taken_total", "Recipients that all milters have taken."),
		refused: counter("milterkit_recipients_refused_total", "Recipients that a milter has refused."),
		bytes:   counter("milterkit_message_body_bytes_total", "Bytes of bodies."),
		edits:   counter("milterkit_edits_total", "Changes to messages that the mail server was asked for."),
		took: prometheus.NewHistogram(fine("milterkit_message_duration_seconds",
			"Time from MAIL to the end of the message, while the client sends it included.")),
	}
}

func (c *messages) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.outcomes, c.sessions, c.taken, c.refused, c.bytes, c.edits, c.took}
}

// outcomes are the words of [milterkit.Report.Outcome].
var outcomes = []string{"accept", "reject", "tempfail", "discard", "quarantine", "aborted"}

// ended counts a message.
func (c *messages) ended(r *milterkit.Report, milters map[string]*milter) {
	if m := milters[r.By]; m != nil {
		m.decided(r.Outcome())
	} else {
		c.outcomes.WithLabelValues(r.Outcome(), who(r.By)).Inc()
	}
	c.taken.Add(float64(len(r.Message.Recipients)))
	c.refused.Add(float64(r.Refused))
	c.bytes.Add(float64(r.Size))
	c.edits.Add(float64(r.Edits))
	c.took.Observe(r.Took.Seconds())
}

// sessionRefused counts a session that has no message.
func (c *messages) sessionRefused(r *milterkit.Report, milters map[string]*milter) {
	if m := milters[r.By]; m != nil {
		m.refused.Inc()
	} else {
		c.sessions.WithLabelValues(who(r.By)).Inc()
	}
}

// who is who has decided where that is none of the milters.
func who(by string) string {
	switch by {
	case "", "milterkit", "max_sessions":
		return by
	}
	return "other"
}
