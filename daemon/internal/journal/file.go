package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// version is that of the tables and of what is in them, which the file has as its
// user_version. Records are found by what stands in key (keys.go); those without one
// are found by what they have in columns.
const (
	version = 1
	tables  = `
CREATE TABLE record (
	id INTEGER PRIMARY KEY, time INTEGER NOT NULL,
	outcome TEXT NOT NULL, decided TEXT NOT NULL, refused INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE INDEX record_time ON record (time);
CREATE INDEX record_outcome ON record (outcome);
CREATE INDEX record_decided ON record (decided);
CREATE INDEX record_refused ON record (refused) WHERE refused = 1;
CREATE TABLE key (key TEXT NOT NULL, record INTEGER NOT NULL, PRIMARY KEY (key, record)) STRICT, WITHOUT ROWID;
CREATE TABLE state (name TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;`
)

const (
	pageSize = 4096
	busyTime = time.Second // how long one who writes waits for another process

	// A transaction is about that large at most, which the log (the -wal file) has room
	// for besides what makes it be moved into the database.
	maxKeys   = 150
	maxBytes  = 256 << 10
	roomPages = 128 // that it may need

	maxWAL = 4 << 20 // what the log may have, in bytes
	useWAL = 1 << 20 // from when on it is moved into the database
)

// A file is the open database, to write to.
type file struct {
	path     string
	db       *sql.DB // one connection
	maxPages int64
	info     fs.FileInfo // which file it is
}

// errVersion is what is wrong with a file of another version.
type errVersion int

func (v errVersion) Error() string {
	return fmt.Sprintf("it was written by another milterkit (version %d of its tables; this one knows %d)", int(v), version)
}

// openFile opens the file, or makes it.
func openFile(path string, size int64) (_ *file, err error) {
	if _, err := os.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no folder %s; make it, and give it to the user that milterkit runs as", filepath.Dir(path))
	}
	// Who mails whom is for root and milterkit's group. The file is opened here only
	// where it is new: to close one that SQLite has open would take its locks away.
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640); err == nil {
		f.Chmod(0o640) // whatever the umask
		f.Close()
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTime.Milliseconds()), "auto_vacuum(INCREMENTAL)",
		"journal_mode(WAL)", "synchronous(NORMAL)", fmt.Sprintf("wal_autocheckpoint(%d)", useWAL/pageSize), fmt.Sprintf("journal_size_limit(%d)", useWAL)}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	defer func() {
		if err != nil {
			db.Close()
		}
	}()
	f := &file{path: path, db: db, maxPages: (size-maxWAL)/pageSize - 16} // the rest is the -shm file
	if err := f.begin(); err != nil {
		return nil, err
	}
	f.info, err = os.Stat(path)
	return f, err
}

// begin makes the tables where there are none.
func (f *file) begin() error {
	tx, err := f.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	has, empty := 0, 0
	if err := tx.QueryRow("PRAGMA user_version").Scan(&has); err != nil {
		return err
	}
	if err := tx.QueryRow("SELECT count(*) = 0 FROM sqlite_schema").Scan(&empty); err != nil {
		return err
	}
	switch {
	case has == version:
		return nil
	case has != 0 || empty == 0:
		return errVersion(has)
	}
	if _, err := tx.Exec(tables); err != nil {
		return err
	}
	return tx.Commit()
}

// isMoved reports whether the file that has the name is another than the one that is
// open, or none.
func (f *file) isMoved() bool {
	info, err := os.Stat(f.path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(info, f.info)
}

// setAside moves a file that is no good to PATH.old, so that a new one can begin.
func setAside(path string, why error) error {
	old := path + ".old"
	if err := os.Rename(path, old); err != nil {
		return fmt.Errorf("it is no good (%w), and can not be moved away: %w", why, err)
	}
	os.Rename(path+"-wal", old+"-wal") // if it is there
	os.Remove(path + "-shm")
	slog.Warn("the journal was moved away, and a new one is begun", "file", path, "to", old, "error", why)
	return nil
}

// codeOf is what SQLite says of an error; 0 where it is not SQLite's.
func codeOf(err error) int {
	if e := (*sqlite.Error)(nil); errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// isDamaged reports whether an error says that the file is no good.
func isDamaged(err error) bool {
	code := codeOf(err)
	return code == sqlite3.SQLITE_NOTADB || code == sqlite3.SQLITE_CORRUPT
}

// isPassing reports whether what failed is worth another try: the disk, or somebody
// who writes.
func isPassing(err error) bool {
	switch codeOf(err) {
	case 0, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY,
		sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_LOCKED:
		return true
	}
	return isDamaged(err)
}

// errBusyLog is that a reader keeps the log from being moved into the database.
var errBusyLog = errors.New("somebody reads in the journal for too long, so that its log cannot begin anew")

// update does something to the database in a transaction, with room made for it.
func (f *file) update(do func(*sql.Tx) error) error {
	for short := false; ; {
		if err := f.tame(); err != nil {
			return err
		}
		again, err := f.tryUpdate(short, do)
		if codeOf(err) == sqlite3.SQLITE_FULL && !short && f.isAtLimit() {
			short = true // more than roomPages
			continue
		}
		if err != nil || !again {
			return err
		}
	}
}

// tryUpdate makes room for a transaction, where that is short, or else does it.
func (f *file) tryUpdate(short bool, do func(*sql.Tx) error) (again bool, err error) {
	tx, err := f.db.BeginTx(context.Background(), nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	pages, free, err := f.pages(tx)
	if err != nil {
		return false, err
	}
	room := int64(roomPages)
	if short {
		room *= 8
	}
	if pages-free+room > f.maxPages {
		gone, err := prune(tx)
		if err != nil {
			return false, err
		}
		if gone > 0 {
			return true, f.shrink(tx, pages)
		}
	}
	if _, err := tx.Exec(fmt.Sprintf("PRAGMA max_page_count(%d)", f.maxPages)); err != nil {
		return false, err
	}
	if err := do(tx); err != nil {
		return false, err
	}
	return false, tx.Commit()
}

// shrink gives pages that are free back to the disk, where the file is larger than it
// may be, and ends the transaction.
func (f *file) shrink(tx *sql.Tx, pages int64) error {
	if pages > f.maxPages {
		if _, err := tx.Exec(fmt.Sprintf("PRAGMA incremental_vacuum(%d)", roomPages)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (f *file) pages(tx *sql.Tx) (all, free int64, err error) {
	if err = tx.QueryRow("PRAGMA page_count").Scan(&all); err == nil {
		err = tx.QueryRow("PRAGMA freelist_count").Scan(&free)
	}
	return all, free, err
}

// isAtLimit reports whether it is the limit that there is no room for more, not the disk.
func (f *file) isAtLimit() bool {
	info, err := os.Stat(f.path)
	return err == nil && info.Size() >= (f.maxPages-2*roomPages)*pageSize
}

// tame sees to it that the log has room for a transaction.
func (f *file) tame() error {
	long := func() bool {
		info, err := os.Stat(f.path + "-wal")
		return err == nil && info.Size() > maxWAL/2
	}
	if !long() {
		return nil
	}
	if _, err := f.db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return err
	}
	if long() {
		return errBusyLog
	}
	return nil
}
