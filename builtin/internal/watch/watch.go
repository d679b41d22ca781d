// Package watch reads files anew when they have changed.
package watch

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Every is how often a file is looked at, at most.
const Every = time.Second

// A File is what a file holds. It is read anew when the file has changed; while that
// cannot be read, what it held before stays. Its fields do not change once it is in
// use. It is safe for use by many goroutines.
type File[T any] struct {
	Path string
	Read func(path string) (T, error)
	Now  func() time.Time // nil: time.Now
	Who  string           // begins what is logged: "dkim-sign"
	Log  *slog.Logger     // nil: slog.Default()

	mu     sync.Mutex
	value  T
	loaded bool
	seen   os.FileInfo // of what was read, or could not be
	looked time.Time
	told   string // what was logged last
	busy   bool   // it is being read anew
}

// Get returns what the file holds. There is an error where it could never be read.
// While somebody reads it anew, others have what it held before: nobody waits for
// them, nor for a disk that does not answer.
func (f *File[T]) Get() (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if since := now.Sub(f.looked); f.loaded && (f.busy || since >= 0 && since < Every) {
		return f.value, nil
	}
	f.looked = now
	value, info, changed, err := f.look()
	switch {
	case !changed:
		return f.value, nil
	case err == nil:
		if f.loaded {
			f.log().Info(f.Who+": read anew", "file", f.Path)
		}
		f.value, f.loaded, f.told = value, true, ""
	case !f.loaded:
		return f.value, err
	default:
		if text := fmt.Sprint(err); text != f.told {
			f.log().Error(f.Who+": a file has changed and is of no use; what it held before stays in use", "file", f.Path, "error", err)
			f.told = text
		}
	}
	f.seen = info
	return f.value, nil
}

// look reads the file, unless it is the one that was seen. It is called with mu held,
// which it gives away for that time.
func (f *File[T]) look() (value T, info os.FileInfo, changed bool, err error) {
	seen := f.seen
	f.busy = f.loaded
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.busy = false
	}()
	if info, err = os.Stat(f.Path); err != nil {
		return value, nil, true, err
	}
	if seen != nil && same(seen, info) {
		return value, info, false, nil
	}
	value, err = f.Read(f.Path)
	return value, info, true, err
}

func (f *File[T]) now() time.Time {
	if f.Now == nil {
		return time.Now()
	}
	return f.Now()
}

func (f *File[T]) log() *slog.Logger {
	if f.Log == nil {
		return slog.Default()
	}
	return f.Log
}

func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}
