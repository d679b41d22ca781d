package daemon

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/milterkit/sdk/daemon/internal/config"
)

// makeFolders makes, for an account that this process is going to become, the folders
// of its journal and sockets that are missing. Packages make them as well; but what is
// below /run is gone after a boot, and where nothing was installed there are none.
// What cannot be made shows when it is used.
func makeFolders(c *config.Config, a *account) {
	if a == nil {
		return
	}
	mkdir := func(file string, mode os.FileMode) {
		folder := filepath.Dir(file)
		if mayMake(folder) && os.Mkdir(folder, mode) == nil {
			os.Chown(folder, a.uid, a.gid)
		}
	}
	for _, s := range append(c.Server.Listen.V, c.Server.Status.V...) {
		if s.Network == "unix" {
			mkdir(s.Addr, 0o755)
		}
	}
	if c.Server.Journal.V != "" {
		mkdir(c.Server.Journal.V, 0o750)
	}
}

// mayMake reports whether a folder is missing that root makes: in one that is root's
// alone, so that nobody can put another in its place.
func mayMake(folder string) bool {
	if _, err := os.Lstat(folder); !os.IsNotExist(err) {
		return false
	}
	in, err := os.Stat(filepath.Dir(folder))
	if err != nil || !in.IsDir() || in.Mode().Perm()&0o022 != 0 {
		return false
	}
	st, ok := in.Sys().(*syscall.Stat_t)
	return ok && st.Uid == 0
}
