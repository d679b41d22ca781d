//go:build unix && !linux && !openbsd

package spool

import (
	"errors"
	"os"
)

// createNameless always fails: only Linux has O_TMPFILE.
func createNameless(string) (*os.File, error) { return nil, errors.ErrUnsupported }
