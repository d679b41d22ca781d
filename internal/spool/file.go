//go:build unix && !openbsd

package spool

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// windowSize is how many bytes of a file are mapped at a time: 8 MiB. A window takes address
// space only, until something is written below it; one mapping a piece would run
// into the kernel's limit of mappings (65530 on Linux) with a few large messages.
// Where addresses are scarce it is 1 MiB. It is a multiple of every page size in
// use.
const windowSize = 1 << 20 << (3 * (^uint(0) >> 63))

// A file is the part of a message that is not in slabs. It begins as the zero
// value, with no file at all.
type file struct {
	f       *os.File
	dir     string
	windows [][]byte // the mappings, in order; pieces are cut from the last
	start   int64    // where the last window starts in the file
	used    int      // how much of the last window is taken
	run     int      // where in it the pieces begin that are joined
	spilled int64    // what was handed out: without the holes at the ends of windows
}

// put writes p behind what is there and returns a mapped view of it; with join,
// together with what was put before it in the same window.
func (f *file) put(b *Budget, p []byte, join bool) (view []byte, joined bool, err error) {
	if len(p) == 0 {
		return []byte{}, false, nil // nothing to read, so no file is needed
	}
	if f.f == nil {
		if err := f.open(b.Dir); err != nil {
			return nil, false, err
		}
	}
	window := b.window
	if window == 0 {
		window = windowSize
	}
	if err := f.room(len(p), window); err != nil {
		return nil, false, spillError(f.dir, "map", err)
	}

	// A positioned write: what a failed one has left behind is written over by
	// the next, and the hole at a window's end needs no seek. The standard library
	// goes on after a short write and after a signal.
	write := b.writeAt
	if write == nil {
		write = (*os.File).WriteAt
	}
	if _, err := write(f.f, p, f.start+int64(f.used)); err != nil {
		return nil, false, spillError(f.dir, "write", err)
	}
	if joined = join && f.used > f.run; !joined {
		f.run = f.used
	}
	f.used += len(p)
	f.spilled += int64(len(p))
	b.spilled.Add(int64(len(p)))
	view = f.windows[len(f.windows)-1][f.run:f.used:f.used] // an append must not run into the mapping
	return view, joined, nil
}

// open creates the file.
func (f *file) open(dir string) error {
	if dir == "" {
		dir = os.TempDir()
	}
	opened, err := create(dir)
	if err != nil {
		return spillError(dir, "create", err)
	}
	f.f, f.dir = opened, dir
	return nil
}

// room sees to it that the next n bytes lie in one window. A piece that does not
// fit into the rest of the last one starts a new one, so that it is one slice.
func (f *file) room(n, window int) error {
	length := 0
	if len(f.windows) > 0 {
		length = len(f.windows[len(f.windows)-1])
		if n <= length-f.used {
			return nil
		}
	}
	// Mapped ahead of the writing. The pages beyond the end of the file fault, but
	// nobody is given them before they are written.
	size := (n + window - 1) / window * window
	start := f.start + int64(length)
	mapped, err := unix.Mmap(int(f.f.Fd()), start, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	f.windows = append(f.windows, mapped)
	f.start, f.used, f.run = start, 0, 0
	return nil
}

// close ends all views. Its errors are left alone: the bytes are not wanted any
// more, and an unmapping fails only for a range that was never mapped.
func (f *file) close() {
	for _, w := range f.windows {
		_ = unix.Munmap(w)
	}
	if f.f != nil {
		_ = f.f.Close()
	}
	*f = file{spilled: f.spilled}
}

// create returns a file of mode 0600 in dir that has no name, is closed on exec
// and vanishes with its last descriptor, also when the process is killed.
func create(dir string) (*os.File, error) {
	if f, err := createNameless(dir); err == nil {
		return f, nil
	}
	// Not every file system has nameless files, and each says so in its own way. A
	// real fault, such as a missing directory, comes up again here.
	return createUnlinked(dir)
}

// createUnlinked is create for all systems: the file has a name for a moment.
func createUnlinked(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "milterkit-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// spillError takes away what the library says about the file: it has no name, and
// the directory is named already.
func spillError(dir, op string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return &SpillError{Dir: dir, Op: op, Err: err}
}
