package confine

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// writing are all ways to change the files of a system. What is not among them is not
// confined.
const writing = landlock.AccessFSSet(unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
	unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REFER |
	unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
	unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
	unix.LANDLOCK_ACCESS_FS_MAKE_SYM)

// Writes confines the process to writing below these folders, of which those that are
// not there do not count. Where the kernel has no Landlock, it may write where it
// could. A second time does nothing.
func Writes(folders []string) error {
	// Of all threads, as what Landlock does.
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("no_new_privs: %w", errno)
	}
	if _, confined := Folders(); confined {
		return nil
	}
	if version, err := ll.LandlockGetABIVersion(); err != nil || version < withRefer {
		return nil
	}
	config, err := landlock.NewConfig(writing)
	if err != nil {
		return err
	}
	folders = slices.DeleteFunc(clean(folders), func(f string) bool {
		fi, err := os.Stat(f)
		return err != nil || !fi.IsDir()
	})
	rules := []landlock.Rule{landlock.PathAccess(unix.LANDLOCK_ACCESS_FS_WRITE_FILE, "/dev")} // /dev/null
	if len(folders) > 0 {
		rules = append(rules, landlock.PathAccess(writing, folders...))
	}
	if err := config.BestEffort().RestrictPaths(rules...); err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	return os.Setenv(variable, strings.Join(folders, separator))
}

// withRefer is the first version with which files can be allowed to be moved from one
// folder to another.
const withRefer = 2
