package daemon

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/milterkit/sdk/daemon/internal/config"
)

// Folders that a package would have made are made by root, for the user that the
// daemon becomes; none in a folder in which others could put something in their place.
func TestFoldersAreMadeByRoot(t *testing.T) {
	ours, theirs := t.TempDir(), t.TempDir()
	if err := os.Chmod(theirs, 0o777); err != nil {
		t.Fatal(err)
	}
	c := new(config.Config)
	c.Server.Listen.V = []config.Socket{{Network: "unix", Addr: ours + "/run/s"}, {Network: "unix", Addr: theirs + "/run/s"}, {Network: "tcp", Addr: "127.0.0.1:0"}}
	c.Server.Journal.V = ours + "/lib/journal.db"
	makeFolders(c, nil)
	if made, _ := filepath.Glob(ours + "/*"); len(made) > 0 {
		t.Errorf("who stays what he is has made %q", made)
	}
	makeFolders(c, &account{uid: 65534, gid: 65534})
	for folder, mode := range map[string]os.FileMode{ours + "/run": 0o755, ours + "/lib": 0o750} {
		fi, err := os.Stat(folder)
		switch {
		case os.Geteuid() != 0:
			if err == nil {
				t.Errorf("%s was made by somebody who is not root", folder)
			}
		case err != nil:
			t.Error(err)
		case fi.Sys().(*syscall.Stat_t).Uid != 65534 || fi.Mode().Perm() != mode:
			t.Errorf("%s is %s, of user %d", folder, fi.Mode(), fi.Sys().(*syscall.Stat_t).Uid)
		}
	}
	if made, _ := filepath.Glob(theirs + "/*"); len(made) > 0 {
		t.Errorf("%q was made where anybody can write", made)
	}
}
