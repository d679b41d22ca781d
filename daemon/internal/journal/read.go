package journal

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/milterkit/sdk/daemon/internal/record"
)

// A Query says which records are meant: those that have all of what is set.
type Query struct {
	// Text is what somebody looks for: a queue id, the number of a session, a
	// Message-ID, a mail address or "@example.org", a client's address, network or
	// name, or the domain of that.
	Text string

	Since, Until time.Time // when the message began
	Outcome      string    // as record.Message has it
	By           string    // the milter that decided
	Refused      bool      // refused or put off, all of it or for one recipient
	Limit        int       // how many at most; 0: 100
}

// What returns in words what a Text is taken for.
func What(text string) string {
	_, what := spansOf(text)
	return what
}

// A Reader looks into a journal, and leaves it as it is.
type Reader struct {
	db   *sql.DB
	path string
}

// Read opens a journal to look into, also while another process writes to it.
func Read(path string) (*Reader, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil { // not opened: to close it would take away the locks of a Journal in this process
		return nil, err
	}
	if err := unix.Access(path, unix.R_OK); err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	q := url.Values{"mode": {"ro"}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTime.Milliseconds())}}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		q.Set("immutable", "1") // nobody writes: no file needs to be made beside it
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	has := 0
	if err := db.QueryRow("PRAGMA user_version").Scan(&has); err != nil || has != version {
		db.Close()
		if err == nil {
			err = errVersion(has)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Reader{db, path}, nil
}

// Close ends the look.
func (r *Reader) Close() error { return r.db.Close() }

// Find returns the records that are meant, the newest first.
func (r *Reader) Find(q Query) ([]*record.Message, error) {
	q.Limit = cmp.Or(q.Limit, 100)
	var ids []id
	if q.Text == "" {
		var err error
		if ids, err = r.ids(q, nil); err != nil {
			return nil, err
		}
	} else {
		spans, _ := spansOf(q.Text)
		for _, s := range spans {
			more, err := r.ids(q, &s)
			if err != nil {
				return nil, err
			}
			ids = append(ids, more...)
		}
		slices.SortFunc(ids, func(a, b id) int { return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(b.record, a.record)) })
		ids = slices.Compact(ids)
	}
	found := make([]*record.Message, 0, min(len(ids), q.Limit))
	for _, id := range ids[:min(len(ids), q.Limit)] {
		var data []byte
		switch err := r.db.QueryRow("SELECT data FROM record WHERE id = ?", id.record).Scan(&data); {
		case errors.Is(err, sql.ErrNoRows): // it has gone meanwhile
			continue
		case err != nil:
			return nil, r.explain(err)
		}
		m, err := unpack(data)
		if err != nil {
			return nil, fmt.Errorf("%s: record %d is damaged: %w", r.path, id.record, err)
		}
		found = append(found, m)
	}
	return found, nil
}

// An id is that of a record, and where it stands among others.
type id struct{ record, rank int64 }

// ids returns those of the records that are meant, whose keys are in the span, where
// there is one; those first that are to be first.
func (r *Reader) ids(q Query, s *span) ([]id, error) {
	from, rank := "record r", "r.id"
	var where []string
	var args []any
	also := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	if s != nil { // the key first, whatever else there is
		from, rank = "key k CROSS JOIN record r ON r.id = k.record", "k.record"
		if s.to == "" {
			also("k.key = ?", s.from)
		} else {
			also("k.key >= ? AND k.key < ?", s.from, s.to)
		}
	}
	if !q.Since.IsZero() {
		also("r.time >= ?", q.Since.UnixMilli())
	}
	if !q.Until.IsZero() {
		also("r.time < ?", q.Until.UnixMilli())
	}
	if q.Outcome != "" {
		also("r.outcome = ?", q.Outcome)
	}
	if q.By != "" {
		also("r.decided = ?", q.By)
	}
	if q.Refused {
		also("r.refused = 1")
	}
	statement := "SELECT DISTINCT r.id, " + rank + " FROM " + from
	if len(where) > 0 {
		statement += " WHERE " + strings.Join(where, " AND ")
	}
	rows, err := r.db.Query(statement+" ORDER BY "+rank+" DESC LIMIT ?", append(args, q.Limit)...)
	if err != nil {
		return nil, r.explain(err)
	}
	defer rows.Close()
	var ids []id
	for rows.Next() {
		var i id
		if err := rows.Scan(&i.record, &i.rank); err != nil {
			return nil, r.explain(err)
		}
		ids = append(ids, i)
	}
	return ids, r.explain(rows.Err())
}

func (r *Reader) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", r.path, err)
}

// A Range is what a journal has.
type Range struct {
	Records     int64
	First, Last time.Time // when the oldest message and the newest one began; zero where there is none
}

// Range returns what there is.
func (r *Reader) Range() (Range, error) {
	var from, to, first, last sql.NullInt64
	err := r.db.QueryRow(`SELECT (SELECT min(id) FROM record), (SELECT max(id) FROM record),
		(SELECT min(time) FROM record), (SELECT max(time) FROM record)`).Scan(&from, &to, &first, &last)
	if err != nil || !from.Valid {
		return Range{}, r.explain(err)
	}
	return Range{to.Int64 - from.Int64 + 1, time.UnixMilli(first.Int64), time.UnixMilli(last.Int64)}, nil
}

// Load returns what Save has kept under a name; nil where there is nothing.
func (r *Reader) Load(name string) ([]byte, error) {
	var data []byte
	err := r.db.QueryRow("SELECT data FROM state WHERE name = ?", name).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return data, r.explain(err)
}

// Find is Reader.Find.
func (j *Journal) Find(q Query) ([]*record.Message, error) {
	return look(j, func(r *Reader) ([]*record.Message, error) { return r.Find(q) })
}

// Range is Reader.Range.
func (j *Journal) Range() (Range, error) { return look(j, (*Reader).Range) }

// Load is Reader.Load.
func (j *Journal) Load(name string) ([]byte, error) {
	return look(j, func(r *Reader) ([]byte, error) { return r.Load(name) })
}

// look reads in the file, as another process would.
func look[T any](j *Journal, do func(*Reader) (T, error)) (T, error) {
	r, err := Read(j.path)
	if err != nil {
		var none T
		return none, err
	}
	defer r.Close()
	return do(r)
}
