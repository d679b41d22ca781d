package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

// createNameless opens a file that never has a name, so none is left behind by a
// process that dies between creating and unlinking it. O_EXCL: nor can it be given
// one later.
func createNameless(dir string) (*os.File, error) {
	return os.OpenFile(dir, os.O_RDWR|os.O_EXCL|unix.O_TMPFILE, 0o600)
}
