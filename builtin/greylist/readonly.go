package greylist

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// NewReadOnly returns a store that tells what the options' own would answer, and
// records nothing: each try is as if it were the next one. Where there is no file
// it knows nobody. What would change the store fails.
func NewReadOnly(o Options) (Store, error) {
	if o.Redis != "" {
		s, err := NewRedis(o.Redis, o.RedisPrefix)
		return readOnly{s, s}, err
	}
	return readOnly{&Memory{}, &diskReader{path: o.Database}}, nil
}

// A finder looks up a try, and does not record it. The zero Record is none.
type finder interface {
	find(ctx context.Context, t Try) (Record, error)
	Close() error
}

type readOnly struct {
	Store // only to list
	from  finder
}

var errReadOnly = errors.New("this store is only looked at")

// Check implements Store.
func (s readOnly) Check(ctx context.Context, t Try, p Policy) (Record, error) {
	r, err := s.from.find(ctx, t)
	if err != nil || r.State == Allowed {
		return r, err
	}
	return p.inMilliseconds().next(r, milliseconds(t.At)), nil
}

// Allow implements Store.
func (s readOnly) Allow(context.Context, string, time.Time) error { return errReadOnly }

// Forget implements Store.
func (s readOnly) Forget(context.Context, []Entry) (int, error) { return 0, errReadOnly }

// Close implements Store.
func (s readOnly) Close() error { return s.from.Close() }

// A diskReader looks into the file of a Disk.
type diskReader struct {
	path string

	mu sync.Mutex
	db *sql.DB // nil: not open
}

// find implements finder.
func (d *diskReader) find(ctx context.Context, t Try) (Record, error) {
	db, err := d.open()
	if db == nil || err != nil {
		return Record{}, err
	}
	r, err := look(ctx, db, t)
	if err != nil {
		return r, fmt.Errorf("%s: %w", d.path, err)
	}
	return r, nil
}

// open opens the file, once; nil where there is none.
func (d *diskReader) open() (*sql.DB, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.db != nil {
		return d.db, nil
	}
	path, err := filepath.Abs(d.path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	q := url.Values{"mode": {"ro"}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTime.Milliseconds()), "query_only(1)"}}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		q.Set("immutable", "1") // nobody writes: no file needs to be made beside it
	}
	d.db, err = sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	return d.db, err
}

// Close implements finder.
func (d *diskReader) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.db == nil {
		return nil
	}
	return d.db.Close()
}

// find implements finder.
func (s *Redis) find(ctx context.Context, t Try) (Record, error) {
	pipe := s.client.Pipeline()
	var allowed *redis.SliceCmd
	if len(t.Names) > 0 {
		allowed = pipe.HMGet(ctx, s.allowedKey(), t.Names...)
	}
	record := pipe.HMGet(ctx, s.key(t.Key), "state", "first", "last", "tries", "expires")
	if _, err := pipe.Exec(ctx); err != nil {
		return Record{}, s.failed(err)
	}
	if allowed != nil {
		if since := texts(allowed.Val()); len(since) > 0 {
			r, err := parseRecord([]string{strconv.Itoa(int(Allowed)), since[0], "0", "0", "0"})
			return r, err
		}
	}
	r, err := parseRecord(texts(record.Val()))
	if err != nil {
		return Record{}, nil // there is none, or what the server's script takes for none
	}
	return r, nil
}
