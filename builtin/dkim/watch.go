package dkim

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// watchEvery is how often a file is looked at, at most.
const watchEvery = time.Second

// A watched is what a file holds. It is read anew when the file has changed; while
// that cannot be read, what it held before stays.
type watched[T any] struct {
	path string
	read func(path string) (T, error)
	now  func() time.Time
	log  *slog.Logger

	mu     sync.Mutex
	value  T
	loaded bool
	seen   os.FileInfo // of what was read, or could not be
	looked time.Time
	told   string // what was logged last
}

// get returns what the file holds. There is an error where it could never be read.
func (w *watched[T]) get() (T, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if since := now.Sub(w.looked); w.loaded && since >= 0 && since < watchEvery {
		return w.value, nil
	}
	w.looked = now
	info, err := os.Stat(w.path)
	if err == nil && w.loaded && w.same(info) {
		return w.value, nil
	}
	var value T
	if err == nil {
		value, err = w.read(w.path)
	}
	switch {
	case err == nil:
		if w.loaded {
			w.log.Info("dkim-sign: read anew", "file", w.path)
		}
		w.value, w.loaded, w.told = value, true, ""
	case !w.loaded:
		return w.value, err
	default:
		if text := fmt.Sprint(err); text != w.told {
			w.log.Error("dkim-sign: a file has changed and is of no use; what it held before stays in use", "file", w.path, "error", err)
			w.told = text
		}
	}
	w.seen = info
	return w.value, nil
}

func (w *watched[T]) same(info os.FileInfo) bool {
	return w.seen != nil && os.SameFile(w.seen, info) && w.seen.ModTime().Equal(info.ModTime()) &&
		w.seen.Size() == info.Size() && w.seen.Mode() == info.Mode()
}
