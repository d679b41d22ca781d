package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/milterkit/sdk/daemon/internal/journal"
	"github.com/milterkit/sdk/internal/tomlfile"
)

// A Size is a number of bytes.
type Size = tomlfile.Size

// readSize reads a size that is more than 0.
func readSize(v *tomlfile.Value) (Size, error) {
	n, err := tomlfile.ReadSize(v)
	if err == nil && n <= 0 {
		err = errors.New(`a size is more than 0, such as "256MiB"`)
	}
	return n, err
}

// readMaxHeader takes a size that is an int on every machine.
func readMaxHeader(v *tomlfile.Value) (Size, error) {
	n, err := readSize(v)
	if err == nil && n > 1<<30 {
		return 0, errors.New(`a header stays in memory, so this is at most "1GiB"`)
	}
	return n, err
}

// readJournalSize takes a size that a journal can keep to.
func readJournalSize(v *tomlfile.Value) (Size, error) {
	n, err := readSize(v)
	if err == nil && n < journal.MinSize {
		return 0, fmt.Errorf("a journal has room for little with less than %q", Size(journal.MinSize).String())
	}
	return n, err
}

// parseDuration reads a time that is more than 0.
func parseDuration(s string) (time.Duration, error) {
	d, err := tomlfile.ParseDuration(s)
	if err == nil && d <= 0 {
		err = fmt.Errorf(`a time is more than 0, such as "25s"; %q is not`, s)
	}
	return d, err
}

// parseMode reads the mode of a socket, in octal.
func parseMode(s string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf(`%q is not the mode of a socket; write three octal digits behind a 0, such as "0660"`, s)
	}
	if n&0o222 == 0 {
		return 0, fmt.Errorf(`with the mode %q nobody could connect: that takes the right to write, as in "0660"`, s)
	}
	return fs.FileMode(n), nil
}

func formatMode(m fs.FileMode) string { return fmt.Sprintf("%04o", uint32(m)) }
