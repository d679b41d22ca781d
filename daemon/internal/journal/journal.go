// Package journal keeps the history of messages: records in a file that never gets
// larger than it may, the oldest of which go first. It is written in the background:
// what cannot be written costs history, never mail.
//
// The file is an SQLite database. Several processes may write to it, as at a restart,
// and others may read it meanwhile.
package journal

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/milterkit/sdk/daemon/internal/record"
)

// MinSize is the least that a journal may be told to hold, in bytes.
const MinSize = 8 << 20

const (
	maxWaiting   = 4096     // records that wait for being written
	maxWeight    = 16 << 20 // bytes of them, by a guess
	gatherTime   = 100 * time.Millisecond
	tryAgain     = time.Second // after a failure
	closeTime    = 2 * time.Second
	openPatience = time.Second
)

// A Journal takes records. Its methods may be called at the same time.
type Journal struct {
	path     string
	maxBytes int64
	queue    chan waiting
	weight   atomic.Int64 // of what is in the queue
	lost     atomic.Uint64
	closed   atomic.Bool
	stop     chan struct{}
	ended    chan struct{}

	turn chan struct{} // held by who has the file
	file *file         // nil: it could not be opened
	mine bool          // it was open once
	tell complaint
}

// waiting is a record that is to be written.
type waiting struct {
	m      *record.Message
	weight int64
}

// Open begins to write to a file, which it makes where there is none, and which has at
// most maxBytes with all that belongs to it. A file that is damaged or of another
// version is moved to PATH.old; one of another version that takes its place later is
// that of a process that has taken over, and is left alone. What cannot be opened now is tried again until it
// can; the log says so.
func Open(path string, maxBytes int64) (*Journal, error) {
	if maxBytes < MinSize {
		return nil, fmt.Errorf("a journal of %d bytes is too small; the least is %d", maxBytes, MinSize)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return begin(path, maxBytes), nil
}

// begin is Open of a size that is right.
func begin(path string, maxBytes int64) *Journal {
	j := &Journal{
		path: path, maxBytes: maxBytes, queue: make(chan waiting, maxWaiting),
		stop: make(chan struct{}), ended: make(chan struct{}), turn: make(chan struct{}, 1),
	}
	tried := make(chan struct{})
	go j.run(tried)
	select {
	case <-tried:
	case <-time.After(openPatience): // a disk that hangs is no reason not to start
	}
	return j
}

// Put has a record written soon. It never waits; what there is no room for is lost.
// The record must not be changed any more.
func (j *Journal) Put(m *record.Message) {
	w := weigh(m)
	if j.closed.Load() || j.weight.Add(w) > maxWeight {
		j.drop(w)
		return
	}
	select {
	case j.queue <- waiting{m, w}:
	default:
		j.drop(w)
	}
}

func (j *Journal) drop(weight int64) {
	j.lost.Add(1)
	j.weight.Add(-weight)
}

// weigh guesses how much memory a record holds, in bytes.
func weigh(m *record.Message) int64 {
	n := 1024 + 100*len(m.Steps)
	for _, to := range m.To {
		n += 16 + len(to)
	}
	for i := range m.Steps {
		n += len(m.Steps[i].To) + len(m.Steps[i].Reply) + len(m.Steps[i].Error)
	}
	for i := range m.Milters {
		n += 150
		for _, c := range m.Milters[i].Changes {
			n += 64 + len(c.Name) + len(c.Value)
		}
	}
	return int64(n)
}

// Lost returns how many records could not be written so far.
func (j *Journal) Lost() uint64 { return j.lost.Load() }

// Close writes what waits, and closes the file. What can not be written within two
// seconds is lost.
func (j *Journal) Close() error {
	if j.closed.Swap(true) {
		return nil
	}
	close(j.stop)
	<-j.ended
	return nil
}

// A complaint tells the log once of something that goes wrong, and once that it works
// again.
type complaint struct {
	since  uint64 // what was lost when it began
	active bool
}

func (c *complaint) failed(j *Journal, err error) {
	if c.active {
		return
	}
	c.active, c.since = true, j.Lost()
	slog.Error("the journal cannot be written: mail goes on, its history is lost", "file", j.path, "error", err)
}

func (c *complaint) well(j *Journal) {
	if !c.active {
		return
	}
	c.active = false
	slog.Info("the journal is written again", "file", j.path, "lost", j.Lost()-c.since)
}
