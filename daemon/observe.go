package daemon

import (
	"time"

	"github.com/milterkit/sdk/daemon/internal/record"
	"github.com/milterkit/sdk/milterkit"
)

// An observer is told what became of each message, and of each session that was
// refused before it had one. It is called on the path of the message: it waits for
// nothing. The record is everybody's, and nobody may change it.
type observer func(*record.Message)

// observers are those who want to know.
type observers []observer

// add has one more told. It is called before sessions begin.
func (o *observers) add(one observer) { *o = append(*o, one) }

// watch has a dispatcher tell them, before its sessions begin.
func (o observers) watch(d *milterkit.Dispatcher) {
	if len(o) == 0 {
		return
	}
	d.OnReport = func(r *milterkit.Report) {
		m := record.Of(r, time.Now())
		for _, tell := range o {
			tell(m)
		}
	}
}

// observe has what a generation's dispatcher reports counted and told, before its
// sessions begin.
func (d *daemon) observe(g *generation) {
	d.observers.watch(g.dispatcher)
	d.count(g.dispatcher)
	d.metrics.Use(g.dispatcher.Slots())
}
