package greylist

import (
	"context"
	"iter"
	"maps"
	"sync"
	"time"
)

// A Memory is a Store for tests and for trying out: it is gone when the process
// ends. Its zero value is empty.
type Memory struct {
	mu      sync.Mutex
	records map[Key]Record
	allowed map[string]time.Time
	swept   time.Time
}

// sweepEvery is how often a Memory looks for what has expired.
const sweepEvery = time.Minute

// Check implements Store.
func (m *Memory) Check(_ context.Context, t Try, p Policy) (Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range t.Names {
		if since, ok := m.allowed[name]; ok {
			return Record{State: Allowed, First: since}, nil
		}
	}
	now := milliseconds(t.At)
	m.sweep(now)
	if m.records == nil {
		m.records = map[Key]Record{}
	}
	r := p.inMilliseconds().next(m.records[t.Key], now)
	m.records[t.Key] = r
	return r, nil
}

func (m *Memory) sweep(now time.Time) {
	if now.Sub(m.swept).Abs() < sweepEvery {
		return
	}
	m.swept = now
	maps.DeleteFunc(m.records, func(_ Key, r Record) bool { return !now.Before(r.Expires) })
}

// Allow implements Store.
func (m *Memory) Allow(_ context.Context, name string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.allowed == nil {
		m.allowed = map[string]time.Time{}
	}
	m.allowed[name] = milliseconds(now)
	return nil
}

// Entries implements Store.
func (m *Memory) Entries(_ context.Context, now time.Time) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		m.mu.Lock()
		records, allowed := maps.Clone(m.records), maps.Clone(m.allowed)
		m.mu.Unlock()
		for name, since := range allowed {
			if !yield(Entry{Key{Client: name}, Record{State: Allowed, First: since}}, nil) {
				return
			}
		}
		for k, r := range records {
			if now.Before(r.Expires) && !yield(Entry{k, r}, nil) {
				return
			}
		}
	}
}

// Forget implements Store.
func (m *Memory) Forget(_ context.Context, entries []Entry) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.records) + len(m.allowed)
	for _, e := range entries {
		if e.State == Allowed {
			delete(m.allowed, e.Client)
		} else {
			delete(m.records, e.Key)
		}
	}
	return before - len(m.records) - len(m.allowed), nil
}

// Close implements Store.
func (m *Memory) Close() error { return nil }
