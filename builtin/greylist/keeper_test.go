package greylist

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// keeping returns a file with an entry that has expired, and what keeps it.
func keeping(t *testing.T, logSize int64) (*Disk, *opened) {
	t.Helper()
	s := NewDisk(filepath.Join(t.TempDir(), "greylist.db"), nil)
	s.logSize = logSize
	t.Cleanup(func() { s.Close() })
	mustCheck(t, s, someKey, time.Now().Add(-2*policy.RetryWindow))
	o, err := s.use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

// until waits for what the keeper does by itself.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("%s", what)
			return
		}
	}
}

// The keeper tells the disk, removes what has expired, and misses a file that is gone,
// with nobody asking for it.
func TestTheKeeperKeeps(t *testing.T) {
	t.Parallel()
	s, o := keeping(t, logSize)
	until(t, "entries are not counted", func() bool { return s.entries.Load() == 1 })
	until(t, "what has expired is still there", func() bool { return len(entries(t, s, time.Time{})) == 0 })
	until(t, "the disk was not told", func() bool { return !o.dirty.Load() })
	os.Remove(s.path)
	until(t, "the file is not missed", func() bool {
		_, err := s.Check(t.Context(), Try{Key: someKey, At: time.Now()}, policy)
		return err != nil
	})
}

// It has the log begin anew.
func TestTheKeeperKeepsTheLogShort(t *testing.T) {
	t.Parallel()
	s, _ := keeping(t, 1)
	until(t, "the log is as long as it was", func() bool {
		info, err := os.Stat(s.path + "-wal")
		return err == nil && info.Size() < 1<<15
	})
}
