package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/confine"
)

// alwaysWritable are the folders that are milterkit's, whatever the configuration
// says: a reload may name other files there. SQLite puts what it sorts into the others.
var alwaysWritable = []string{"/run/milterkit", "/var/lib/milterkit", "/var/db/milterkit", "/tmp", "/var/tmp", os.TempDir()}

// A need is a folder that milterkit writes to, and the key that says so.
type need struct {
	folder, key string
	from        config.Origin
}

// needs returns where a configuration has milterkit write, and whether all that writes
// is known: children of one's own may not say.
func (all natives) needs(c *config.Config) (list []need, known bool) {
	s := &c.Server
	list = append(list, need{s.TempDir.V, "temp_dir", s.TempDir.From})
	if s.Journal.V != "" {
		list = append(list, need{filepath.Dir(s.Journal.V), "journal", s.Journal.From})
	}
	for key, sockets := range map[string]config.Value[[]config.Socket]{"listen": s.Listen, "status": s.Status} {
		for _, at := range sockets.V {
			if at.Network == "unix" {
				list = append(list, need{filepath.Dir(at.Addr), key, sockets.From})
			}
		}
	}
	for _, m := range c.Enabled() {
		if m.Options == nil {
			continue
		}
		folders, said := all[m.Use.V].writes(m.Options.Value())
		if !said {
			return nil, false
		}
		for _, f := range folders {
			list = append(list, need{f, m.Name.V, m.Use.From})
		}
	}
	return list, true
}

// confine takes from the process the right to write where the configuration does not
// have it write. It comes when all is open; what goes wrong with it costs no mail.
func (d *daemon) confine(c *config.Config) {
	needs, known := d.natives.needs(c)
	if !known {
		return
	}
	folders := alwaysWritable
	for _, n := range needs {
		folders = append(folders[:len(folders):len(folders)], n.folder)
	}
	if err := confine.Writes(folders); err != nil {
		d.notes = append(d.notes, "milterkit could not confine itself: "+err.Error())
	}
}

// within finds what a configuration that comes later, by a reload or a restart that
// hands over, has in folders that this process can not write to any more.
func (all natives) within(c *config.Config) error {
	needs, _ := all.needs(c)
	var faults config.Errors
	for _, n := range needs {
		if len(confine.Outside([]string{n.folder})) > 0 {
			may, _ := confine.Folders()
			faults = append(faults, c.Fault(n.key, n.from, fmt.Errorf("since its start milterkit may write below %s only, and not to %s: that takes a new start (systemctl restart milterkit)",
				strings.Join(may, ", "), n.folder))...)
		}
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}
