package greylist

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// A Disk is a Store in a file, an SQLite database. It opens the file when it is
// first asked something, and makes it where there is none. Several processes may
// use one file.
//
// What has been answered is in the file as far as the kernel is concerned: a
// process that is killed loses nothing. The disk is told once a second, so that a
// power cut loses a second at most, and no mail waits for the disk.
type Disk struct {
	path    string
	clock   func() time.Time
	logSize int64
	entries atomic.Int64 // as the keeper has counted them

	mu   sync.Mutex
	open *opening // nil: it is not
	lost error    // why the file that was open no longer is, for the next call to tell
	done bool
	old  sync.WaitGroup // files that are no good any more, until they are closed
}

// An opening is the file being opened: that may take longer than a call can wait,
// where the disk is slow and the file is to be made.
type opening struct {
	done chan struct{} // closed when the rest is set
	file *opened
	err  error
}

// opened is a file that is in use. Checks have a connection of their own, so
// that they do not wait for what is read.
type opened struct {
	checks, rest *sql.DB
	info         fs.FileInfo // which file it is

	// turn is held by who writes: SQLite itself has others try again and again,
	// and the one that has waited longest need not be the next.
	turn chan struct{}

	dirty atomic.Bool   // something was written that the disk may not have yet
	stop  chan struct{} // closed to end the keeper
	ended chan struct{} // closed when it has
}

// NewDisk returns the store in a file. clock says when what is written there
// expires; nil is time.Now.
func NewDisk(path string, clock func() time.Time) *Disk {
	if clock == nil {
		clock = time.Now
	}
	return &Disk{path: path, clock: clock, logSize: logSize}
}

// version is that of the tables, which the file has as its user_version. The
// primary key has all that Check looks for; what expires is found by its index.
const (
	version = 1
	tables  = `
CREATE TABLE IF NOT EXISTS triplet (
	client TEXT NOT NULL, sender TEXT NOT NULL, recipient TEXT NOT NULL,
	state INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, tries INTEGER NOT NULL, expires INTEGER NOT NULL,
	PRIMARY KEY (client, sender, recipient)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS triplet_expires ON triplet (expires);
CREATE TABLE IF NOT EXISTS allowed (client TEXT PRIMARY KEY, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept (last INTEGER NOT NULL) STRICT;
PRAGMA user_version = 1;`
)

// busyTime is how long a call waits for another one that writes.
const busyTime = 250 * time.Millisecond

// maxPages is how many pages of 4 KiB a file has at most: 4 GiB are some twenty
// million entries. Beyond it what is new is an error, and the disk has room for mail.
const maxPages = 1 << 20

// connect returns a database with one connection. A commit writes to the log (the
// -wal file) and waits for no disk; the keeper moves the log into the database.
func connect(path string) (*sql.DB, error) {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTime.Milliseconds()),
		"journal_mode(WAL)", "synchronous(NORMAL)", "wal_autocheckpoint(0)", "journal_size_limit(0)",
		fmt.Sprintf("max_page_count(%d)", maxPages)}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// use returns the open file.
func (d *Disk) use(ctx context.Context) (*opened, error) {
	d.mu.Lock()
	if d.done {
		d.mu.Unlock()
		return nil, fmt.Errorf("%s: %w", d.path, fs.ErrClosed)
	}
	if err := d.lost; err != nil {
		d.lost = nil
		d.mu.Unlock()
		return nil, err
	}
	if d.open == nil {
		d.open = &opening{done: make(chan struct{})}
		go d.begin(d.open)
	}
	o := d.open
	d.mu.Unlock()
	select {
	case <-o.done:
		return o.file, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: while it was being opened: %w", d.path, ctx.Err())
	}
}

// begin opens the file. Where that fails the next call tries anew.
func (d *Disk) begin(o *opening) {
	file, err := d.openFile(context.Background())
	d.mu.Lock()
	defer d.mu.Unlock()
	defer close(o.done)
	if err != nil {
		o.err, d.open = d.explain(err), nil
		return
	}
	o.file = file
	go d.keep(file)
}

func (d *Disk) openFile(ctx context.Context) (_ *opened, err error) {
	path, err := filepath.Abs(d.path)
	if err != nil {
		return nil, err
	}
	// Who mails whom is nobody else's business. The file is opened here only
	// where it is new: to close one that SQLite has open would take its locks away.
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
		f.Close()
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	o := &opened{turn: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{})}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	if o.checks, err = connect(path); err != nil {
		return nil, err
	}
	if o.rest, err = connect(path); err != nil {
		return nil, err
	}
	var has int
	if err := o.rest.QueryRowContext(ctx, "PRAGMA user_version").Scan(&has); err != nil {
		return nil, err
	}
	if has > version {
		return nil, fmt.Errorf("it was written by a newer milterkit (version %d of its tables; this one knows %d)", has, version)
	}
	if has < version {
		if _, err := o.rest.ExecContext(ctx, tables); err != nil {
			return nil, err
		}
	}
	if err := o.checks.PingContext(ctx); err != nil {
		return nil, err
	}
	o.info, err = os.Stat(path)
	return o, err
}

// close closes the connections. The last one of all processes moves the log into
// the database.
func (o *opened) close() error {
	var errs []error
	for _, db := range []*sql.DB{o.checks, o.rest} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// explain says where an error was and, where the file is no good, what to do. Then
// the file is opened anew by the next call, since somebody may have put another
// one there.
func (d *Disk) explain(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
			return fmt.Errorf("%s is damaged, or is no greylist (%w); move it away, with its -wal and -shm, and there will be a new one", d.path, err)
		}
	}
	return fmt.Errorf("%s: %w", d.path, err)
}

// failed is explain, for an open file.
func (d *Disk) failed(o *opened, err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
			d.drop(o, nil)
		}
	}
	return d.explain(err)
}

// drop closes a file that is no good any more, so that the next call opens the one
// that is there then. Where lost says why, the next call tells.
func (d *Disk) drop(o *opened, lost error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil || d.open.file != o {
		return
	}
	d.open, d.lost = nil, lost
	close(o.stop)
	d.old.Go(func() { // calls under way end first
		<-o.ended
		o.close()
	})
}

// Check implements Store.
func (d *Disk) Check(ctx context.Context, t Try, p Policy) (Record, error) {
	o, err := d.use(ctx)
	if err != nil {
		return Record{}, err
	}
	r, err := o.check(ctx, t, p.inMilliseconds())
	if err != nil {
		return Record{}, d.failed(o, err)
	}
	return r, nil
}

// take waits for the turn to write.
func (o *opened) take(ctx context.Context) error {
	select {
	case o.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o *opened) give() { <-o.turn }

func (o *opened) check(ctx context.Context, t Try, p Policy) (r Record, err error) {
	if err := o.take(ctx); err != nil {
		return r, err
	}
	defer o.give()
	tx, err := o.checks.BeginTx(ctx, nil) // takes the lock for writing at once
	if err != nil {
		return r, err
	}
	defer tx.Rollback()
	r, err = look(ctx, tx, t)
	if err != nil || r.State == Allowed {
		return r, err
	}
	r = p.next(r, milliseconds(t.At))
	if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO triplet VALUES (?, ?, ?, ?, ?, ?, ?, ?)", t.Client, t.Sender, t.Recipient,
		int(r.State), r.First.UnixMilli(), r.Last.UnixMilli(), r.Tries, r.Expires.UnixMilli()); err != nil {
		return r, err
	}
	err = tx.Commit()
	o.dirty.Store(true) // not before: the keeper would see to it too early
	return r, err
}

// look returns what is recorded of a try; the zero Record is nothing.
func look(ctx context.Context, in interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, t Try) (Record, error) {
	names, err := json.Marshal(t.Names)
	if err != nil {
		return Record{}, err
	}
	var since int64
	err = in.QueryRowContext(ctx, "SELECT since FROM allowed WHERE client IN (SELECT value FROM json_each(?)) LIMIT 1", names).Scan(&since)
	if !errors.Is(err, sql.ErrNoRows) {
		return Record{State: Allowed, First: time.UnixMilli(since).UTC()}, err
	}
	r, err := scanRecord(in.QueryRowContext(ctx, "SELECT state, first, last, tries, expires FROM triplet WHERE client = ? AND sender = ? AND recipient = ?",
		t.Client, t.Sender, t.Recipient).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return r, err
}

// scanRecord reads a record, and before it what goes into more.
func scanRecord(scan func(...any) error, more ...any) (Record, error) {
	var r Record
	var state, first, last, expires int64
	if err := scan(append(more, &state, &first, &last, &r.Tries, &expires)...); err != nil {
		return Record{}, err
	}
	r.State = State(state)
	r.First, r.Last, r.Expires = time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC(), time.UnixMilli(expires).UTC()
	return r, nil
}

// write is a statement that writes.
func (o *opened) write(ctx context.Context, statement string, args ...any) (changed int, err error) {
	if err := o.take(ctx); err != nil {
		return 0, err
	}
	defer o.give()
	result, err := o.rest.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	if n > 0 {
		o.dirty.Store(true)
	}
	return int(n), err
}

// Allow implements Store.
func (d *Disk) Allow(ctx context.Context, name string, now time.Time) error {
	o, err := d.use(ctx)
	if err != nil {
		return err
	}
	if _, err := o.write(ctx, "INSERT OR REPLACE INTO allowed VALUES (?, ?)", name, now.UnixMilli()); err != nil {
		return d.failed(o, err)
	}
	return nil
}

// What Entries reads: who is allowed, and after an entry the next ones in the order
// of their keys.
const (
	allowedEntries = "SELECT client, '', '', ?, since, 0, 0, 0 FROM allowed"
	nextEntries    = `SELECT client, sender, recipient, state, first, last, tries, expires FROM triplet
		WHERE (client, sender, recipient) > (?, ?, ?) AND +expires > ? ORDER BY client, sender, recipient LIMIT ?`
	pageSize = 500
)

// Entries implements Store. It has nothing open while the caller has an entry: the
// log could not begin anew meanwhile, and the keeper would wait.
func (d *Disk) Entries(ctx context.Context, now time.Time) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		o, err := d.use(ctx)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		page, err := o.read(ctx, allowedEntries, int(Allowed))
		for last := (Key{}); err == nil; last = page[len(page)-1].Key {
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			page, err = o.read(ctx, nextEntries, last.Client, last.Sender, last.Recipient, now.UnixMilli(), pageSize)
			if len(page) == 0 {
				break
			}
		}
		if err != nil {
			yield(Entry{}, d.failed(o, err))
		}
	}
}

// read returns the entries that a query finds.
func (o *opened) read(ctx context.Context, query string, args ...any) ([]Entry, error) {
	rows, err := o.rest.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var entries []Entry
	for rows.Next() {
		var e Entry
		if e.Record, err = scanRecord(rows.Scan, &e.Client, &e.Sender, &e.Recipient); err != nil {
			return nil, err
		}
		if e.State == Allowed {
			e.Record = Record{State: Allowed, First: e.First}
		}
		entries = append(entries, e)
	}
	return entries, rows.Err()
}

// Forget implements Store.
func (d *Disk) Forget(ctx context.Context, entries []Entry) (int, error) {
	o, err := d.use(ctx)
	if err != nil {
		return 0, err
	}
	total := 0
	for len(entries) > 0 {
		n := min(len(entries), batch)
		gone, err := o.forget(ctx, entries[:n])
		total += gone
		if err != nil {
			return total, d.failed(o, err)
		}
		entries = entries[n:]
	}
	return total, nil
}

func (o *opened) forget(ctx context.Context, entries []Entry) (int, error) {
	if err := o.take(ctx); err != nil {
		return 0, err
	}
	defer o.give()
	tx, err := o.rest.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	total := int64(0)
	for _, e := range entries {
		var result sql.Result
		if e.State == Allowed {
			result, err = tx.ExecContext(ctx, "DELETE FROM allowed WHERE client = ?", e.Client)
		} else {
			result, err = tx.ExecContext(ctx, "DELETE FROM triplet WHERE client = ? AND sender = ? AND recipient = ?", e.Client, e.Sender, e.Recipient)
		}
		if err != nil {
			return 0, err
		}
		n, _ := result.RowsAffected()
		total += n
	}
	err = tx.Commit()
	o.dirty.Store(true)
	return int(total), err
}

// Close implements Store.
func (d *Disk) Close() error {
	d.mu.Lock()
	o := d.open
	d.done = true
	d.mu.Unlock()
	defer d.old.Wait()
	if o == nil {
		return nil
	}
	<-o.done
	d.mu.Lock()
	open := d.open == o && o.file != nil
	d.open = nil
	d.mu.Unlock()
	if !open {
		return nil
	}
	close(o.file.stop)
	<-o.file.ended
	return o.file.close()
}
