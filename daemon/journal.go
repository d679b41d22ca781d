package daemon

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

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

// journalWarning says why the user that this process has become could not write the
// journal, or returns "". Started as root, serve makes its folder.
func journalWarning(c *config.Config, asRoot bool) string {
	path := c.Server.Journal.V
	if path == "" || asRoot && mayMake(filepath.Dir(path)) {
		return ""
	}
	_, err := mayUse(path, c.Server.User.V)
	if folder := filepath.Dir(path); err == nil && unix.Access(folder, unix.W_OK|unix.X_OK) != nil { // there are files beside it
		err = fmt.Errorf("%s may not write to %s; as root do: chown %s %s", c.Server.User.V, folder, c.Server.User.V, folder)
	}
	if err != nil {
		return "journal: there will be none, for " + err.Error()
	}
	return ""
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
