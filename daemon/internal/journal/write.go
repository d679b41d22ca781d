package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/milterkit/sdk/daemon/internal/record"
)

// run writes until Close. It closes tried when the file was opened, or could not be.
func (j *Journal) run(tried chan<- struct{}) {
	defer close(j.ended)
	j.reopen()
	close(tried)
	look := time.NewTicker(time.Second)
	defer look.Stop()
	var p packer
	var batch []row
	for {
		select {
		case <-j.stop:
			j.finish(&p, batch)
			return
		case <-look.C:
			j.look()
		case w := <-j.queue:
			batch = append(batch, p.row(w.m))
			j.weight.Add(-w.weight)
			batch = j.gather(&p, batch)
		}
		for len(batch) > 0 {
			if j.write(&batch) {
				continue
			}
			if !j.sleep(tryAgain) {
				break
			}
			j.look()
		}
	}
}

// gather waits for more records, which are cheaper to write together.
func (j *Journal) gather(p *packer, batch []row) []row {
	timer := time.NewTimer(gatherTime)
	defer timer.Stop()
	for keys := 0; keys < maxKeys; {
		select {
		case w := <-j.queue:
			r := p.row(w.m)
			j.weight.Add(-w.weight)
			batch, keys = append(batch, r), keys+len(r.keys)
		case <-timer.C:
			return batch
		case <-j.stop:
			return batch
		}
	}
	return batch
}

// sleep waits; it reports false where Close was called meanwhile.
func (j *Journal) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-j.stop:
		return false
	}
}

// finish writes what is left, closes the file, and counts what is lost.
func (j *Journal) finish(p *packer, batch []row) {
	for end := time.Now().Add(closeTime); time.Now().Before(end); {
		for more := true; more && len(batch) < maxKeys; {
			select {
			case w := <-j.queue:
				batch = append(batch, p.row(w.m))
			default:
				more = false
			}
		}
		if len(batch) == 0 || !j.write(&batch) {
			break
		}
	}
	j.lost.Add(uint64(len(batch) + len(j.queue)))
	j.turn <- struct{}{}
	if j.file != nil {
		j.file.db.Close()
		j.file = nil
	}
	<-j.turn
}

// look opens the file where that failed before, or where it has been moved away.
func (j *Journal) look() {
	j.turn <- struct{}{}
	moved := j.file != nil && j.file.isMoved()
	if moved {
		j.file.db.Close()
		j.file = nil
	}
	gone := j.file == nil
	<-j.turn
	if gone {
		j.reopen()
	}
}

// reopen opens the file, a new one where it is no good.
func (j *Journal) reopen() {
	j.turn <- struct{}{}
	defer func() { <-j.turn }()
	f, err := openFile(j.path, j.maxBytes)
	if other := errVersion(0); errors.As(err, &other) && !j.mine || isDamaged(err) {
		if err = setAside(j.path, err); err == nil {
			f, err = openFile(j.path, j.maxBytes)
		}
	}
	if j.file = f; err != nil {
		j.tell.failed(j, err)
		return
	}
	j.mine = true
	j.tell.well(j)
}

// write writes the first of the rows, takes them away, and reports whether that went
// well, or there is nothing to be gained by another try.
func (j *Journal) write(batch *[]row) bool {
	n, keys, bytes := 0, 0, 0
	for _, r := range *batch {
		if n > 0 && (keys+len(r.keys) > maxKeys || bytes+len(r.data) > maxBytes) {
			break
		}
		n, keys, bytes = n+1, keys+len(r.keys), bytes+len(r.data)
	}
	err := j.update(func(tx *sql.Tx) error {
		for _, r := range (*batch)[:n] {
			if err := r.insert(tx); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err == nil:
		j.tell.well(j)
	case isPassing(err):
		j.tell.failed(j, err)
		return false
	default:
		j.tell.failed(j, err)
		j.lost.Add(uint64(n))
	}
	*batch = append((*batch)[:0], (*batch)[n:]...)
	return true
}

// update is file.update, where there is a file. One that is damaged is set aside.
func (j *Journal) update(do func(*sql.Tx) error) error {
	j.turn <- struct{}{}
	defer func() { <-j.turn }()
	if j.file == nil {
		return fmt.Errorf("%s: %w", j.path, fs.ErrNotExist)
	}
	err := j.file.update(do)
	if isDamaged(err) {
		if !j.file.isMoved() { // else another process has noticed
			err = errors.Join(err, setAside(j.path, err))
		}
		j.file.db.Close()
		j.file = nil // the next look begins a new one
	}
	return err
}

// insert adds a row.
func (r row) insert(tx *sql.Tx) error {
	keys, err := json.Marshal(r.keys)
	if err != nil {
		return err
	}
	m := r.m
	result, err := tx.Exec("INSERT INTO record (time, outcome, decided, refused, data) VALUES (?, ?, ?, ?, ?)",
		m.Time.UnixMilli(), m.Outcome, m.By, isRefused(m), r.data)
	if err != nil {
		return err
	}
	id, err := result.LastInsertId()
	if err == nil {
		_, err = tx.Exec("INSERT OR IGNORE INTO key SELECT value, ? FROM json_each(?)", id, keys)
	}
	return err
}

// prune removes the oldest records, a few, and returns how many that were.
func prune(tx *sql.Tx) (int, error) {
	rows, err := tx.Query("SELECT id, data FROM record ORDER BY id LIMIT 20")
	if err != nil {
		return 0, err
	}
	type old struct {
		id   int64
		keys []string // nil: nobody knows
	}
	var all []old
	var data []byte
	for count, bytes := 0, 0; count < maxKeys && bytes < maxBytes/4 && rows.Next(); bytes += len(data) {
		var o old
		if err := errors.Join(rows.Scan(&o.id, &data)); err != nil {
			rows.Close()
			return 0, err
		}
		if m, err := unpack(data); err == nil {
			o.keys = keysOf(m)
		}
		all, count = append(all, o), count+len(o.keys)
	}
	if err := errors.Join(rows.Close(), rows.Err()); err != nil {
		return 0, err
	}
	for _, o := range all {
		keys, err := json.Marshal(o.keys)
		if err != nil {
			return 0, err
		}
		statement := "DELETE FROM key WHERE record = ?1 AND key IN (SELECT value FROM json_each(?2))"
		if o.keys == nil {
			statement, keys = "DELETE FROM key WHERE record = ?1 AND ?2", []byte("1")
		}
		if _, err := tx.Exec(statement, o.id, keys); err != nil {
			return 0, err
		}
		if _, err := tx.Exec("DELETE FROM record WHERE id = ?", o.id); err != nil {
			return 0, err
		}
	}
	return len(all), nil
}

// maxState is how much can be kept under one name, in bytes.
const maxState = 1 << 20

// Save keeps something under a name, besides the records, in place of what was there.
// It waits for the disk.
func (j *Journal) Save(name string, data []byte) error {
	if len(data) > maxState {
		return fmt.Errorf("%s: %d bytes are too many to be kept; the most is %d", name, len(data), maxState)
	}
	return j.update(func(tx *sql.Tx) error {
		_, err := tx.ExecContext(context.Background(), "INSERT OR REPLACE INTO state VALUES (?, ?)", name, data)
		return err
	})
}

// isRefused reports whether mail was refused or put off, all of it or for a recipient.
func isRefused(m *record.Message) bool {
	return m.Refused > 0 || m.Outcome == "reject" || m.Outcome == "tempfail"
}
