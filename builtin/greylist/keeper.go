package greylist

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// What is done behind the back of the mail, by one goroutine for each open file.
const (
	keepEvery = time.Second // how often the disk is told, and what has expired removed

	// batch is how many entries are removed at a time. Mail waits for one such
	// batch at most.
	batch = 20

	// countEvery is how often entries are counted, and countTime how long that may
	// take: mail does not wait for it.
	countEvery = time.Minute
	countTime  = 5 * time.Second

	// expireTime is how much of a second is spent on that.
	expireTime = 300 * time.Millisecond

	// logSize is how long the log gets before it is moved into the database. Where
	// there is never a moment without mail to begin it anew, it gets patience times
	// as long.
	logSize  = 8 << 20
	patience = 8
)

// keep runs until the file is closed. It does not tell of errors: what is wrong
// with the file, the next call finds out.
func (d *Disk) keep(o *opened) {
	defer close(o.ended)
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with either
		select {
		case <-o.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	var counted time.Time
	for {
		select {
		case <-o.stop:
			d.sync(o)
			return
		case <-tick.C:
		}
		if time.Since(counted) >= countEvery {
			d.count(ctx, o)
			counted = time.Now()
		}
		d.sync(o)
		d.miss(o)
		o.expire(ctx, d.clock(), expireTime)
		d.checkpoint(ctx, o)
	}
}

// count counts the entries. Where that takes too long the last figure stands.
func (d *Disk) count(ctx context.Context, o *opened) {
	ctx, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	var n int64
	if o.rest.QueryRowContext(ctx, "SELECT count(*) FROM triplet").Scan(&n) == nil {
		d.entries.Store(n)
	}
}

// sync has the disk take what was written to the log. The log is not a file that
// SQLite has locks on, so it may be opened and closed.
func (d *Disk) sync(o *opened) {
	if !o.dirty.Swap(false) {
		return
	}
	f, err := os.Open(d.path + "-wal")
	if err != nil {
		return
	}
	defer f.Close()
	f.Sync()
}

// miss finds out whether the file that is open is still the one that has the name.
// SQLite would go on with one that was moved or deleted, which nobody else sees, and
// which is gone when the process ends.
func (d *Disk) miss(o *opened) {
	info, err := os.Stat(d.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(info, o.info) {
		d.drop(o, fmt.Errorf("%s: the file that was open was moved or deleted; it is opened, or made, anew", d.path))
	}
}

// expire removes what has expired, for about that long, and leaves as much time to
// others as it takes. It returns how many entries that were.
func (o *opened) expire(ctx context.Context, now time.Time, most time.Duration) (total int) {
	for begin := time.Now(); time.Since(begin) < most && ctx.Err() == nil; {
		one := time.Now()
		n, err := o.write(ctx, `DELETE FROM triplet WHERE (client, sender, recipient) IN
			(SELECT client, sender, recipient FROM triplet WHERE expires <= ? ORDER BY expires LIMIT ?)`, now.UnixMilli(), batch)
		if err != nil {
			return total
		}
		if total += n; n < batch {
			return total
		}
		sleep(ctx, time.Since(one))
	}
	return total
}

// checkpoint moves the log into the database where it has got long. Checks go on
// meanwhile. The write after it begins the log anew, for which SQLite has the disk
// take the first page of it: it is made here, so that no check does.
func (d *Disk) checkpoint(ctx context.Context, o *opened) {
	info, err := os.Stat(d.path + "-wal")
	if err != nil || info.Size() < d.logSize {
		return
	}
	o.rest.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
	if info.Size() > patience*d.logSize {
		o.write(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	o.write(ctx, "INSERT OR REPLACE INTO kept (rowid, last) VALUES (1, ?)", d.clock().UnixMilli())
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
