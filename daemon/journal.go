package daemon

import (
	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/journal"
)

// openJournal begins the history of messages, where the configuration has one. What
// is wrong with it is no reason not to start.
func (d *daemon) openJournal(c *config.Config) {
	if c.Server.Journal.V == "" {
		return
	}
	j, err := journal.Open(c.Server.Journal.V, int64(c.Server.JournalSize.V))
	if err != nil {
		d.log.Warn("there is no journal", "error", err)
		return
	}
	d.journal = j
	d.observers.add(j.Put)
}

// closeJournal writes what the journal has not written yet.
func (d *daemon) closeJournal() {
	if d.journal == nil {
		return
	}
	d.journal.Close()
	if n := d.journal.Lost(); n > 0 {
		d.log.Warn("messages are missing in the journal", "file", d.now().config.Server.Journal.V, "lost", n)
	}
}
