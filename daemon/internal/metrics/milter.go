package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/milterkit/sdk/milterkit"
)

// vectors are what there is of each milter.
type vectors struct {
	verdicts, failures, edits   *prometheus.CounterVec
	would, wouldFail, wouldEdit *prometheus.CounterVec // of shadows
	conditions                  *prometheus.CounterVec
	took, answers               *prometheus.HistogramVec
}

func newVectors() vectors {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"milter"}, labels...))
	}
	return vectors{
		verdicts:   counter("milterkit_milter_messages_total", "Messages in which a milter took part, by its last verdict that was not continue.", "verdict"),
		failures:   counter("milterkit_milter_failures_total", "Messages in which a milter failed, by the reason; its default_action decided.", "reason"),
		edits:      counter("milterkit_milter_edits_total", "Changes to messages that a milter asked for."),
		would:      counter("milterkit_shadow_messages_total", "Messages that were shown to a shadow, by the verdict that it would have given.", "verdict"),
		wouldFail:  counter("milterkit_shadow_failures_total", "Messages in which a shadow failed, by the reason.", "reason"),
		wouldEdit:  counter("milterkit_shadow_edits_total", "Changes to messages that a shadow would have asked for."),
		conditions: counter("milterkit_milter_conditions_total", "How often a milter's condition was asked (when, shadow_share), by its answer.", "result"),
		took: prometheus.NewHistogramVec(fine("milterkit_milter_duration_seconds",
			"Time that a milter took for a message, all its answers together."), []string{"milter"}),
		answers: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "milterkit_milter_answer_duration_seconds",
			Help: "Time that a milter took to answer, by the stage; pieces of a body in a row are one.", Buckets: part},
			[]string{"milter", "stage"}),
	}
}

func (v *vectors) all() []*prometheus.MetricVec {
	return []*prometheus.MetricVec{
		v.verdicts.MetricVec, v.failures.MetricVec, v.edits.MetricVec, v.would.MetricVec, v.wouldFail.MetricVec,
		v.wouldEdit.MetricVec, v.conditions.MetricVec, v.took.MetricVec, v.answers.MetricVec,
	}
}

func (v *vectors) collectors() (list []prometheus.Collector) {
	for _, vec := range v.all() {
		list = append(list, vec)
	}
	return list
}

// A milter is the series of one, looked up once.
type milter struct {
	name     string
	verdicts [milterkit.KindReject + 1]prometheus.Counter
	failures map[reason]prometheus.Counter
	edits    prometheus.Counter
	holds    prometheus.Counter // its condition
	holdsNot prometheus.Counter
	fails    prometheus.Counter
	took     prometheus.Observer
	outcomes map[string]prometheus.Counter // of the messages of which it decided
	refused  prometheus.Counter            // sessions
	answers  [milterkit.StageUnknown + 1]atomic.Pointer[prometheus.Observer]
}

// Use has the milters of these slots counted from now on, and the series of all others
// gone. What is known of one that stays goes on.
func (m *Metrics) Use(slots []milterkit.Slot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := *m.milters.Load()
	next := make(map[string]*milter, len(slots))
	for _, slot := range slots {
		next[slot.Child.Name()] = m.newMilter(slot)
	}
	m.milters.Store(&next)
	m.now.slots.Store(&slots)
	for name := range before {
		if next[name] == nil {
			m.forget(name)
		}
	}
}

// forget removes the series of a milter.
func (m *Metrics) forget(name string) {
	for _, vec := range m.vectors.all() {
		vec.DeletePartialMatch(prometheus.Labels{"milter": name})
	}
	for _, vec := range []*prometheus.CounterVec{m.messages.outcomes, m.messages.sessions} {
		vec.DeletePartialMatch(prometheus.Labels{"by": name})
	}
}

func (m *Metrics) newMilter(slot milterkit.Slot) *milter {
	v, name := &m.vectors, slot.Child.Name()
	verdicts, failures, edits := v.verdicts, v.failures, v.edits
	if slot.Shadow {
		verdicts, failures, edits = v.would, v.wouldFail, v.wouldEdit
	}
	c := &milter{
		name: name, edits: edits.WithLabelValues(name), took: v.took.WithLabelValues(name),
		failures: make(map[reason]prometheus.Counter), outcomes: make(map[string]prometheus.Counter),
		refused: m.messages.sessions.WithLabelValues(name),
	}
	for kind := range c.verdicts {
		c.verdicts[kind] = verdicts.WithLabelValues(name, milterkit.Kind(kind).String())
	}
	for _, r := range reasons {
		c.failures[r] = failures.WithLabelValues(name, string(r))
	}
	if slot.When.Holds != nil {
		c.holds = v.conditions.WithLabelValues(name, "holds")
		c.holdsNot = v.conditions.WithLabelValues(name, "does not hold")
		c.fails = v.conditions.WithLabelValues(name, "fails")
	}
	for _, outcome := range outcomes {
		c.outcomes[outcome] = m.messages.outcomes.WithLabelValues(outcome, name)
	}
	return c
}

// decided counts a message of which the milter has decided.
func (c *milter) decided(outcome string) { c.outcomes[outcome].Inc() }

// tookPart counts the milter's part in a message.
func (c *milter) tookPart(r *milterkit.ChildReport) {
	if kind := r.Verdict.Kind(); int(kind) < len(c.verdicts) {
		c.verdicts[kind].Inc()
	}
	if err := r.Verdict.Err(); err != nil {
		c.failures[reasonOf(err)].Inc()
	}
	c.edits.Add(float64(r.Edits))
	c.took.Observe(r.Took.Seconds())
}

// answered counts an answer of a milter.
func (m *Metrics) answered(c *milter, e *milterkit.Event) {
	if e.Condition {
		c.condition(e.Verdict.Kind())
		return
	}
	if int(e.At) >= len(c.answers) {
		return
	}
	o := c.answers[e.At].Load()
	if o == nil {
		o = m.addStage(c, e.At)
	}
	(*o).Observe(e.Took.Seconds())
}

// condition counts an answer of the milter's condition, which it has not in every
// configuration.
func (c *milter) condition(answer milterkit.Kind) {
	switch {
	case c.holds == nil:
	case answer == milterkit.KindContinue:
		c.holds.Inc()
	case answer == milterkit.KindFail:
		c.fails.Inc()
	default:
		c.holdsNot.Inc()
	}
}

// addStage adds the times of a stage at which the milter was not asked before. Of a
// milter that is gone they are nobody's.
func (m *Metrics) addStage(c *milter, at milterkit.Stage) *prometheus.Observer {
	m.mu.Lock()
	defer m.mu.Unlock()
	var o prometheus.Observer = prometheus.ObserverFunc(func(float64) {})
	if (*m.milters.Load())[c.name] == c {
		o = m.vectors.answers.WithLabelValues(c.name, at.String())
	}
	c.answers[at].Store(&o)
	return &o
}
