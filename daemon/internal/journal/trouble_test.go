package journal

import (
	"bytes"
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// logged has what is logged from now on.
func logged(t *testing.T) func() string {
	t.Helper()
	var mu sync.Mutex
	var b bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(writer(func(p []byte) {
		mu.Lock()
		defer mu.Unlock()
		b.Write(p)
	}), nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return b.String()
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// has reports whether a message is in the journal.
func has(j *Journal, i int) bool {
	found, err := j.Find(Query{Text: message(i).QueueID})
	return err == nil && len(found) == 1
}

// A file that is no good is moved away with a word in the log, and a new one begun.
func TestAFileThatIsNoGoodIsSetAside(t *testing.T) {
	db := func(statement string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, make := range map[string]func(*testing.T, string){
		"text":            func(t *testing.T, path string) { os.WriteFile(path, []byte(strings.Repeat("history ", 1000)), 0o600) },
		"a newer version": db("CREATE TABLE record (x); PRAGMA user_version = 99"),
		"another's":       db("CREATE TABLE record (x)"),
		"half of one": func(t *testing.T, path string) {
			fill(t, open(t, path, MinSize), 100)
			if err := os.Truncate(path, 50_000); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.db")
			make(t, path)
			log := logged(t)
			j := open(t, path, MinSize)
			j.Put(message(1))
			eventually(t, "it is written", func() bool { return has(j, 1) })
			if _, err := os.Stat(path + ".old"); err != nil || strings.Count(log(), "moved away") != 1 {
				t.Errorf("%v\n%s", err, log())
			}
			if err := j.Close(); err != nil || j.Lost() > 0 {
				t.Error(err, j.Lost())
			}
		})
	}
}

// What is damaged while it is open is set aside too.
func TestDamageIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	fill(t, open(t, path, MinSize), 200)
	log := logged(t)
	j := open(t, path, MinSize)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()/3/4096*4096); err != nil {
		t.Fatal(err)
	}
	for i := 0; !strings.Contains(log(), "moved away"); i++ {
		j.Put(message(1000 + i))
		time.Sleep(20 * time.Millisecond)
		if i > 500 {
			t.Fatal("the damage was not noticed\n" + log())
		}
	}
	j.Put(message(1))
	eventually(t, "it is written again", func() bool { return has(j, 1) })
}

// Where there is no file to write to, mail goes on: the log says so once, and once
// that it works again.
func TestTheFolderCanComeLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	log := logged(t)
	j := open(t, filepath.Join(dir, "journal.db"), MinSize)
	j.Put(message(1))
	j.Put(message(2))
	if err := j.Save("x", nil); err == nil {
		t.Error("what could not be saved is no error")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is written", func() bool { return has(j, 1) && has(j, 2) })
	if strings.Count(log(), "cannot be written") != 1 || strings.Count(log(), "there is no folder "+dir) != 1 || strings.Count(log(), "written again") != 1 {
		t.Error(log())
	}
}

// A file that is moved away or removed is begun anew.
func TestAFileThatIsGoneIsBegunAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path, MinSize)
	j.Put(message(1))
	eventually(t, "it is written", func() bool { return has(j, 1) })
	for _, part := range []string{"", "-wal", "-shm"} {
		os.Remove(path + part)
	}
	i := 2
	eventually(t, "a new one has what comes", func() bool { i++; j.Put(message(i)); return has(j, i-1) })
}

// A process that drains does not move away what one of another version, which has taken
// over, writes to.
func TestAFileOfTheNextVersionIsLeftAlone(t *testing.T) {
	log := logged(t)
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path, MinSize)
	next := path + ".next"
	db, err := sql.Open("sqlite", next)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE t (x); PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	os.Remove(path + "-wal")
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log says it", func() bool { return strings.Contains(log(), "version 99") })
	j.Close()
	if _, err := os.Stat(path + ".old"); !os.IsNotExist(err) {
		t.Errorf("it was moved away: %v", err)
	}
}

// Two write to one file, as at a restart, and both find what each has written.
func TestTwoCanWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	one, other := open(t, path, MinSize), open(t, path, MinSize)
	for i := range 20 {
		one.Put(message(i))
		other.Put(message(1000 + i))
	}
	one.Close()
	eventually(t, "all is there", func() bool { return has(other, 19) && has(other, 1019) })
	if one.Lost()+other.Lost() > 0 {
		t.Error(one.Lost(), other.Lost())
	}
}

// While somebody holds on to what he reads the limit holds too: what there is no room
// for waits, and then is lost.
func TestTheLimitHoldsWhileSomebodyReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	fill(t, open(t, path, MinSize), 10)
	j := open(t, path, MinSize)
	log := logged(t)
	r, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	tx, err := r.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.QueryRow("SELECT count(*) FROM record").Scan(new(int)); err != nil {
		t.Fatal(err)
	}
	for i := 0; !strings.Contains(log(), "somebody reads"); i++ {
		j.Put(fat(i))
		eventually(t, "it is written", func() bool { return len(j.queue) < 60 || strings.Contains(log(), "somebody reads") })
		if n := onDisk(t, path); n > MinSize {
			t.Fatalf("%d bytes", n)
		}
	}
	for m := fat(1); j.Lost() == 0; {
		j.Put(m)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is written again", func() bool { return strings.Contains(log(), "written again") })
}

// Put does not wait, whatever the file does, and what waits is bounded.
func TestPutDoesNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path, MinSize)
	j.Put(message(0))
	eventually(t, "it is written", func() bool { return has(j, 0) })
	f, err := openFile(path, MinSize)
	if err != nil {
		t.Fatal(err)
	}
	defer f.db.Close()
	tx, err := f.db.Begin() // nobody else can write
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	const n = 3 * maxWaiting
	for i := range n {
		j.Put(message(i))
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	if lost := j.Lost(); lost < n-2*maxWaiting || j.weight.Load() > maxWeight {
		t.Errorf("%d lost, %d bytes wait", lost, j.weight.Load())
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	j.Close()
	j.Put(message(1))
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// What waits takes no more memory than it may, however large the records are, and all
// that is never written counts as lost.
func TestWhatWaitsIsBounded(t *testing.T) {
	logged(t)
	j := begin(filepath.Join(t.TempDir(), "nowhere", "journal.db"), MinSize)
	const n = 2000 // of 20 KB each
	m := fat(1)
	for range n {
		j.Put(m)
	}
	if w := j.weight.Load(); w > maxWeight {
		t.Errorf("%d bytes wait", w)
	}
	if err := j.Close(); err != nil || j.Lost() != n {
		t.Errorf("%d of %d are lost, %v", j.Lost(), n, err)
	}
}

// Who mails whom is read by the owner and the group only, whatever the umask.
func TestTheFileIsForItsGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	defer unix.Umask(unix.Umask(0o077))
	j := open(t, path, MinSize)
	j.Put(message(1))
	eventually(t, "it is written", func() bool { return has(j, 1) })
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v %v", filepath.Base(name), info.Mode(), err)
		}
	}
}

// What is kept under a name is there again, for another process too.
func TestStateIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path, MinSize)
	if data, err := j.Load("page"); data != nil || err != nil {
		t.Error(data, err)
	}
	for _, text := range []string{"one", "two"} {
		if err := j.Save("page", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Save("page", make([]byte, maxState+1)); err == nil {
		t.Error("too much is no error")
	}
	j.Close()
	if err := j.Save("page", nil); err == nil {
		t.Error("a closed journal is no error")
	}
	if data, err := open(t, path, MinSize).Load("page"); string(data) != "two" || err != nil {
		t.Errorf("%q %v", data, err)
	}
}

// A journal that is to be smaller than it was becomes so.
func TestAJournalShrinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path, MinSize)
	for i := range 220 {
		for len(j.queue) > 20 {
			time.Sleep(time.Millisecond)
		}
		j.Put(fat(i))
	}
	finish(t, j)
	if n := onDisk(t, path); n < 2*(small-maxWAL) {
		t.Fatalf("%d bytes are too few to tell", n)
	}
	j = open(t, path, small)
	j.Put(message(20000))
	eventually(t, "it is written", func() bool { return has(j, 20000) })
	j.Close()
	if n := onDisk(t, path); n > small-maxWAL {
		t.Errorf("%d bytes", n)
	}
}

// Who looks into a journal that nobody has open leaves it as it is.
func TestReadingLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	fill(t, open(t, path, MinSize), 10)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Error(info.Mode(), err)
	}
	r, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	found, err := r.Find(Query{})
	if err != nil || len(found) != 10 {
		t.Error(len(found), err)
	}
	if files, _ := filepath.Glob(path + "*"); len(files) != 1 {
		t.Error(files)
	}
	r.Close()
	if files, _ := filepath.Glob(path + "*"); len(files) != 1 {
		t.Error(files)
	}
}
