package daemon

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/milterkit/sdk/daemon/internal/detect"
)

// daemonUser is whom serve becomes by default.
const daemonUser = "milterkit"

// groupNotes says in which groups milterkit's user must be to get to the sockets
// that are there now. Detection itself runs as root and would not notice.
func groupNotes(milters []detect.Found) []string {
	in := map[string]bool{}
	if a, err := lookupAccount(daemonUser); err == nil {
		for _, id := range append(a.groups, a.gid) {
			in[strconv.Itoa(id)] = true
		}
	}
	var notes []string
	told := map[string]bool{}
	for _, m := range milters {
		if !m.Enabled || m.Socket.Network != "unix" {
			continue
		}
		for _, id := range groupsTo(m.Socket.Addr) {
			name := id
			if g, err := user.LookupGroupId(id); err == nil {
				name = g.Name
			}
			if !in[id] && !told[id] {
				notes = append(notes, fmt.Sprintf("to get to %s, the user of milterkit must be in the group %s: usermod -aG %s %s", m.Socket, name, name, daemonUser))
				told[id] = true
			}
		}
	}
	return notes
}

// groupsTo returns the groups without which a user gets neither through the folders
// of a socket nor to the socket.
func groupsTo(path string) []string {
	var all []string
	for at, need := path, os.FileMode(0o002); at != "/"; at, need = filepath.Dir(at), 0o001 {
		fi, err := os.Stat(at)
		if err != nil {
			return nil // it is not there, or comes later
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if ok && fi.Mode()&need == 0 && fi.Mode()&(need<<3) != 0 {
			all = append(all, strconv.Itoa(int(st.Gid)))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
