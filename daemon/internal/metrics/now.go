package metrics

import (
	"cmp"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/builtin/greylist"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/remote"
)

// now is what is looked up when Prometheus asks. It is a [prometheus.Collector].
type now struct {
	from  Sources
	slots atomic.Pointer[[]milterkit.Slot]
}

// A figure is a metric that is looked up.
type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func gauge(name, help string, labels ...string) figure {
	return figure{prometheus.NewDesc("milterkit_"+name, help, labels, nil), prometheus.GaugeValue}
}

func counter(name, help string, labels ...string) figure {
	return figure{prometheus.NewDesc("milterkit_"+name, help, labels, nil), prometheus.CounterValue}
}

var (
	sessions        = gauge("sessions", "Sessions now, each a connection of a mail server, those without a place included.")
	sessionsMax     = gauge("sessions_max", "Places for sessions (max_sessions, or what the descriptor limit has room for).")
	sessionsWaiting = gauge("sessions_waiting", "Sessions that wait for a place.")
	sessionsBegun   = counter("sessions_total", "Sessions so far.")
	sessionsNoPlace = counter("sessions_without_place_total", "Sessions that got no place: their clients were told to come again.")
	connectionsMax  = gauge("connections_max", "How many connections there may be at one time; others wait in the listen queue.")
	memory          = gauge("memory_bytes", "Memory that messages take.")
	memoryMax       = gauge("memory_max_bytes", "How much memory messages may take (max_memory); beyond it bodies go to files.")
	memorySpilled   = counter("memory_spilled_bytes_total", "Bytes of bodies that went to files.")

	milterInfo    = gauge("milter_info", "Always 1; the labels say what a milter is.", "milter", "kind", "shadow", "default_action")
	milterTimeout = gauge("milter_timeout_seconds", "How long a milter may take to answer, at the end of a message (content) and before (command).", "milter", "timeout")
	milterDown    = gauge("milter_down", "1 while a milter on a socket is known not to be there, else 0.", "milter")

	greylistEntries   = gauge("greylist_entries", "What greylisting remembers, counted once a minute; not of Redis.", "milter")
	greylistDelayed   = counter("greylist_delayed_total", "Recipients that greylisting has put off.", "milter")
	greylistPassed    = counter("greylist_passed_total", "Recipients that have passed greylisting, as they were known.", "milter")
	greylistUndelayed = counter("greylist_undelayed_total", "Recipients that have passed greylisting because its store was gone.", "milter")
	greylistErrors    = counter("greylist_store_errors_total", "Times that the store of greylisting was asked and did not answer.", "milter")

	dnsHits     = counter("dns_cache_hits_total", "DNS questions of native milters whose answer was known.")
	dnsMisses   = counter("dns_cache_misses_total", "DNS questions that the name server was asked.")
	dnsFailures = counter("dns_cache_failures_total", "DNS questions that the name server did not answer.")
	dnsAnswers  = gauge("dns_cache_answers", "DNS answers that are kept.")
	dnsBytes    = gauge("dns_cache_bytes", "Memory that the DNS answers take, about.")

	journalLost    = counter("journal_lost_total", "Messages that could not be written to the journal.")
	journalRecords = gauge("journal_records", "Messages that the journal has.")
	journalOldest  = gauge("journal_oldest_timestamp_seconds", "When the oldest message that the journal has began.")

	configGeneration = gauge("config_generation", "How many configurations have been loaded since the start.")
	configLoaded     = gauge("config_loaded_timestamp_seconds", "When the configuration in use was loaded.")
	configGood       = gauge("config_last_reload_successful", "0 if the last attempt to load the configuration has failed, and the one before is in use; else 1.")
)

// Describe implements [prometheus.Collector]. What there is depends on the milters, so
// it says nothing beforehand.
func (n *now) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (n *now) Collect(to chan<- prometheus.Metric) {
	tell := func(f figure, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
	}
	n.server(tell)
	if slots := n.slots.Load(); slots != nil {
		for i := range *slots {
			ofMilter(&(*slots)[i], tell)
		}
	}
	s := dns.SharedStats()
	tell(dnsHits, float64(s.Hits))
	tell(dnsMisses, float64(s.Misses))
	tell(dnsFailures, float64(s.Failures))
	tell(dnsAnswers, float64(s.Answers))
	tell(dnsBytes, float64(s.Bytes))
	n.journal(tell)
	if n.from.Configuration != nil {
		c := n.from.Configuration()
		tell(configGeneration, float64(c.Generation))
		tell(configLoaded, seconds(c.Loaded))
		tell(configGood, yes(!c.Refused))
	}
}

// journal tells of the journal. One that cannot be read has only what it has lost.
func (n *now) journal(tell tell) {
	j := n.from.Journal
	if j == nil {
		return
	}
	tell(journalLost, float64(j.Lost()))
	r, err := j.Range()
	if err != nil {
		return
	}
	tell(journalRecords, float64(r.Records))
	if r.Records > 0 {
		tell(journalOldest, seconds(r.First))
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

type tell func(f figure, value float64, labels ...string)

func (n *now) server(tell tell) {
	server := n.from.Server
	s := server.Stats()
	tell(sessions, float64(s.Sessions))
	tell(sessionsMax, float64(server.MaxSessions))
	tell(sessionsWaiting, float64(s.Waiting))
	tell(sessionsBegun, float64(s.Begun))
	tell(sessionsNoPlace, float64(s.Refused))
	tell(connectionsMax, float64(server.MaxConnections))
	tell(memory, float64(s.Memory))
	tell(memoryMax, float64(cmp.Or(server.MaxMemory, milterkit.DefaultMaxMemory)))
	tell(memorySpilled, float64(s.Spilled))
}

func ofMilter(slot *milterkit.Slot, tell tell) {
	name, kind, shadow := slot.Child.Name(), "native", "false"
	child := slot.Child
	if outer, ok := child.(interface{ Unwrap() milterkit.Child }); ok {
		child = outer.Unwrap()
	}
	switch child := child.(type) {
	case *remote.Milter:
		kind = "remote"
		tell(milterDown, yes(child.Down() != nil), name)
	case *greylist.Greylist:
		s := child.Stats()
		if s.Entries >= 0 {
			tell(greylistEntries, float64(s.Entries), name)
		}
		tell(greylistDelayed, float64(s.Delayed), name)
		tell(greylistPassed, float64(s.Passed), name)
		tell(greylistUndelayed, float64(s.Undelayed), name)
		tell(greylistErrors, float64(s.StoreErrors), name)
	}
	if slot.Shadow {
		shadow = "true"
	}
	tell(milterInfo, 1, name, kind, shadow, slot.DefaultAction.String())
	tell(milterTimeout, cmp.Or(slot.CommandTimeout, milterkit.DefaultCommandTimeout).Seconds(), name, "command")
	tell(milterTimeout, cmp.Or(slot.ContentTimeout, milterkit.DefaultContentTimeout).Seconds(), name, "content")
}

func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
