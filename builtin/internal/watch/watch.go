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
}

// Get returns what the file holds. There is an error where it could never be read.
func (f *File[T]) Get() (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if since := now.Sub(f.looked); f.loaded && since >= 0 && since < Every {
		return f.value, nil
	}
	f.looked = now
	info, err := os.Stat(f.Path)
	if err == nil && f.loaded && f.same(info) {
		return f.value, nil
	}
	var value T
	if err == nil {
		value, err = f.Read(f.Path)
	}
	switch {
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

func (f *File[T]) same(info os.FileInfo) bool {
	return f.seen != nil && os.SameFile(f.seen, info) && f.seen.ModTime().Equal(info.ModTime()) &&
		f.seen.Size() == info.Size() && f.seen.Mode() == info.Mode()
}
