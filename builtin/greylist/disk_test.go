package greylist

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
)

// childVariable has this test binary be the process that is killed: its value is
// the database.
const childVariable = "GREYLIST_TEST_DATABASE"

// runChild records triplets for as long as it lives, and says so after each.
func runChild() bool {
	path := os.Getenv(childVariable)
	if path == "" {
		return false
	}
	s := NewDisk(path, nil)
	for i := 0; ; i++ {
		r, err := s.Check(context.Background(), Try{Key: numbered(i), At: time.Now()}, policy) // the keeper removes what is old
		if err != nil || r.Tries != 1 {
			fmt.Println("error", r, err)
			return true
		}
		fmt.Println("answered", i)
	}
}

func numbered(i int) Key {
	return Key{"192.0.2.0/24", fmt.Sprintf("sender%d@example.org", i), "bob@example.net"}
}

// A process that is killed loses nothing that it has answered.
func TestNothingIsLostByKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "greylist.db")
	total := 0
	for round := range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		last := -1
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if _, err := fmt.Sscanf(lines.Text(), "answered %d", &last); err != nil {
				t.Error(lines.Text())
				break
			}
			if last == 40*(round+1) {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()

		s := NewDisk(path, nil)
		have := map[string]bool{}
		for _, e := range entries(t, s, time.UnixMilli(0)) {
			have[e.Sender] = true
		}
		for i := range last + 1 {
			if k := numbered(i); !have[k.Sender] {
				t.Errorf("round %d: %d was answered and is lost", round, i)
			}
		}
		total += last + 1
		var all []Entry
		for i := range len(have) { // the next child starts anew
			all = append(all, Entry{Key: numbered(i)})
		}
		if n, err := s.Forget(t.Context(), all); n != len(have) || err != nil {
			t.Errorf("forgot %d of %d, %v", n, len(have), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if total < 100 {
		t.Errorf("only %d were answered", total)
	}
}

// A database is made where there is none, for its user alone; two may use it.
func TestTwoUseOneFile(t *testing.T) {
	t.Parallel()
	clock := &miltertest.Clock{}
	path := filepath.Join(t.TempDir(), "odd ?#%20 name.db")
	a, b := NewDisk(path, clock.Now), NewDisk(path, clock.Now)
	defer a.Close()
	defer b.Close()
	mustCheck(t, a, someKey, clock.Now())
	clock.Advance(policy.Delay)
	if r := mustCheck(t, b, someKey, clock.Now()); r.State != Passed {
		t.Errorf("the other has %+v", r)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	for i := range 50 { // both write
		mustCheck(t, []Store{a, b}[i%2], numbered(i), clock.Now())
	}
	if got := entries(t, a, clock.Now()); len(got) != 51 {
		t.Errorf("there are %d", len(got))
	}
}

// A file that is no database says so, and once it is moved away there is a new one.
func TestADamagedFileIsToldOf(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "greylist.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("this is no database. ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := NewDisk(path, nil)
	defer s.Close()
	for range 2 {
		if _, err := s.Check(t.Context(), Try{Key: someKey, At: time.Now()}, policy); err == nil || !strings.Contains(err.Error(), path+" is damaged") {
			t.Errorf("got %v", err)
		}
	}
	os.Remove(path)
	mustCheck(t, s, someKey, time.Now())
}

// So does one that is damaged in its middle, while it is in use.
func TestAFileThatIsDamagedInItsMiddle(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "greylist.db")
	s := NewDisk(path, nil)
	for i := range 300 {
		mustCheck(t, s, numbered(i), time.Now())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(text); i++ { // the first page stays
		text[i] = 0xff
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s = NewDisk(path, nil)
	defer s.Close()
	if _, err := s.Check(t.Context(), Try{Key: someKey, At: time.Now()}, policy); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		os.Remove(name)
	}
	mustCheck(t, s, someKey, time.Now())
}

// A file that is deleted, or replaced, while it is in use is told of once, and the one
// that is there, or a new one, is used from then on.
func TestAFileThatIsDeleted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "greylist.db")
	s := NewDisk(path, nil)
	defer s.Close()
	mustCheck(t, s, someKey, time.Now())
	for _, remove := range []func(string) error{os.Remove, func(name string) error { return os.Rename(name, name+".old") }} {
		o, err := s.use(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.miss(o) // it is there
		mustCheck(t, s, someKey, time.Now())
		for _, name := range []string{path, path + "-wal", path + "-shm"} {
			if err := remove(name); err != nil {
				t.Fatal(err)
			}
		}
		s.miss(o)
		if _, err := s.Check(t.Context(), Try{Key: someKey, At: time.Now()}, policy); err == nil || !strings.Contains(err.Error(), "was moved or deleted") {
			t.Errorf("got %v", err)
		}
		if r := mustCheck(t, s, someKey, time.Now()); r.Tries != 1 {
			t.Errorf("got %+v", r)
		}
		other := NewDisk(path, nil)
		if got := entries(t, other, time.Now()); len(got) != 1 {
			t.Errorf("another process sees %+v", got)
		}
		other.Close()
	}
}

// A file of a newer version is left alone.
func TestANewerFileIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "greylist.db")
	db, err := connect(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA user_version = 2"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	s := NewDisk(path, nil)
	defer s.Close()
	if _, err := s.Check(t.Context(), Try{Key: someKey}, policy); err == nil || !strings.Contains(err.Error(), "newer milterkit") {
		t.Errorf("got %v", err)
	}
}

// A file that another process holds is an error soon, and works again after it.
func TestABusyFileIsAnErrorSoon(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "greylist.db")
	s := NewDisk(path, nil)
	defer s.Close()
	mustCheck(t, s, someKey, time.Now())
	db, err := connect(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), storeTime)
	defer cancel()
	begin := time.Now()
	if r, err := s.Check(ctx, Try{Key: someKey, At: time.Now()}, policy); err == nil {
		t.Errorf("got %+v", r)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	tx.Rollback()
	mustCheck(t, s, someKey, time.Now())
}

// Each connection has a bound, commits to the log without waiting for the disk, and
// has the disk take the log before the database: less and a power cut could damage
// it, more and mail would wait.
func TestHowAFileIsOpened(t *testing.T) {
	t.Parallel()
	s := NewDisk(filepath.Join(t.TempDir(), "greylist.db"), nil)
	defer s.Close()
	o, err := s.use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, db := range []*sql.DB{o.checks, o.rest} {
		for pragma, want := range map[string]string{"max_page_count": fmt.Sprint(maxPages), "journal_mode": "wal", "synchronous": "1", "wal_autocheckpoint": "0"} {
			var got string
			if err := db.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %q, %v; want %q", pragma, got, err, want)
			}
		}
	}
}

// A file has a bound: beyond it what is new is an error, and what is known is not.
func TestAFileHasABound(t *testing.T) {
	t.Parallel()
	s := NewDisk(filepath.Join(t.TempDir(), "greylist.db"), nil)
	defer s.Close()
	mustCheck(t, s, someKey, time.Now())
	o, err := s.use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, db := range []*sql.DB{o.checks, o.rest} {
		if _, err := db.Exec("PRAGMA max_page_count = 20"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1000 {
		if _, err = s.Check(t.Context(), Try{Key: numbered(i), At: time.Now()}, policy); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("got %v", err)
	}
	if r := mustCheck(t, s, someKey, time.Now()); r.Tries != 2 {
		t.Errorf("got %+v", r)
	}
}

// What has expired is removed, a batch at a time, and nothing else.
func TestWhatHasExpiredIsRemoved(t *testing.T) {
	t.Parallel()
	clock := &miltertest.Clock{}
	s := NewDisk(filepath.Join(t.TempDir(), "greylist.db"), clock.Now)
	defer s.Close()
	for i := range 5 * batch {
		mustCheck(t, s, numbered(i), clock.Now())
	}
	clock.Advance(time.Hour)
	mustCheck(t, s, someKey, clock.Now())
	o, err := s.use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := o.expire(t.Context(), clock.Now(), time.Minute); n != 0 {
		t.Errorf("%d were removed", n)
	}
	if n := o.expire(t.Context(), clock.Now().Add(policy.RetryWindow-time.Minute), time.Minute); n != 5*batch {
		t.Errorf("%d were removed", n)
	}
	if got := entries(t, s, time.Time{}); len(got) != 1 || got[0].Key != someKey {
		t.Errorf("left are %+v", got)
	}
}

// A log that has got long begins anew, also where there is never a moment without
// a write, and no entry is lost by that.
func TestTheLogBeginsAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "greylist.db")
	s := NewDisk(path, nil)
	defer s.Close()
	logged := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	mustCheck(t, s, numbered(0), time.Now())
	o, err := s.use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const n = 50
	for i := range n {
		mustCheck(t, s, numbered(i), time.Now())
	}
	d := &Disk{path: s.path, clock: s.clock, logSize: 1 << 30}
	before := logged()
	if d.checkpoint(t.Context(), o); logged() < before {
		t.Errorf("the log was short, and has %d bytes after %d", logged(), before)
	}
	for _, d.logSize = range []int64{before - 1, 1} {
		if d.checkpoint(t.Context(), o); logged() > before/2 {
			t.Errorf("the log has still %d bytes of %d", logged(), before)
		}
		for i := range n {
			mustCheck(t, s, numbered(i), time.Now())
		}
	}
	if got := len(entries(t, s, time.Now())); got != n {
		t.Errorf("%d entries, want %d", got, n)
	}
}

// Who is slow to take the entries, or changes some meanwhile, keeps nobody waiting,
// and the log can begin anew.
func TestEntriesKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "greylist.db")
	s := NewDisk(path, nil)
	defer s.Close()
	const n = pageSize + 10
	for i := range n {
		mustCheck(t, s, numbered(i), time.Now())
	}
	o, err := s.use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for e, err := range s.Entries(t.Context(), time.Now()) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen > 1 {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if gone, err := s.Forget(ctx, []Entry{e}); gone != 1 || err != nil {
			t.Fatalf("forgot %d, %v", gone, err)
		}
		cancel()
		d := &Disk{path: s.path, clock: s.clock, logSize: 1}
		d.checkpoint(t.Context(), o)
		if info, err := os.Stat(path + "-wal"); err != nil || info.Size() > 1<<16 {
			t.Errorf("the log has %v, %v", info, err)
		}
	}
	if seen != n {
		t.Errorf("there were %d entries, want %d", seen, n)
	}
}

// A call whose ctx is done ends, and so does one of a file that is not there.
func TestDiskErrors(t *testing.T) {
	t.Parallel()
	s := NewDisk(filepath.Join(t.TempDir(), "greylist.db"), nil)
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Check(ctx, Try{Key: someKey, At: time.Now()}, policy); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	mustCheck(t, s, someKey, time.Now())
	gone := NewDisk("/nowhere/at/all.db", nil)
	defer gone.Close()
	if _, err := gone.Check(t.Context(), Try{Key: someKey}, policy); err == nil || !strings.Contains(err.Error(), "/nowhere/at/all.db") {
		t.Errorf("got %v", err)
	}
}

// A file that takes long to open is opened all the same, for those who ask later,
// and Close waits for it.
func TestAFileThatIsSlowToOpen(t *testing.T) {
	t.Parallel()
	s := NewDisk(filepath.Join(t.TempDir(), "greylist.db"), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		if _, err := s.use(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	mustCheck(t, s, someKey, time.Now())
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = NewDisk(filepath.Join(t.TempDir(), "greylist.db"), nil)
	s.use(ctx)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// BenchmarkCheck looks up in a file of a million entries, while nothing expires,
// and while everything does.
func BenchmarkCheck(b *testing.B) {
	const million = 1_000_000
	path := filepath.Join(b.TempDir(), "greylist.db")
	clock := &miltertest.Clock{}
	s := NewDisk(path, clock.Now)
	defer s.Close()
	o, err := s.use(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	tx, err := o.rest.Begin()
	if err != nil {
		b.Fatal(err)
	}
	insert, err := tx.Prepare("INSERT INTO triplet VALUES (?, ?, ?, 0, ?, ?, 1, ?)")
	if err != nil {
		b.Fatal(err)
	}
	now := clock.Now().UnixMilli()
	for i := range million {
		k := random(i)
		if _, err := insert.Exec(k.Client, k.Sender, k.Recipient, now, now, now+policy.RetryWindow.Milliseconds()); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	s.checkpoint(b.Context(), o)
	runtime.GC()
	look := func(b *testing.B) {
		var took []time.Duration
		for b.Loop() {
			begin := time.Now()
			mustCheck(b, s, random(rand.IntN(million*11/10)), clock.Now()) // one in eleven is new
			took = append(took, time.Since(begin))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "worst-ms")
	}
	b.Run("quiet", look)
	b.Run("expiring", func(b *testing.B) {
		clock.Advance(policy.RetryWindow + time.Hour)
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan int)
		go func() { ended <- o.expire(ctx, clock.Now(), time.Hour) }()
		look(b)
		cancel()
		b.ReportMetric(float64(<-ended)/b.Elapsed().Seconds(), "expired/s")
	})
}

// random is one of many triplets that stand in no order.
func random(i int) Key {
	r := rand.New(rand.NewPCG(uint64(i), 1))
	return Key{fmt.Sprintf("%d.%d.%d.0/24", r.IntN(224), r.IntN(256), r.IntN(256)), fmt.Sprintf("sender%d@example%d.org", r.IntN(1e9), r.IntN(1000)), fmt.Sprintf("user%d@example.net", r.IntN(5000))}
}
