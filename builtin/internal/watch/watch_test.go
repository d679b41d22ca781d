package watch

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// While a file is read anew, be it from a disk that does not answer, all but who reads
// it have what it held before, and at once; then the new.
func TestNobodyWaitsForAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	begun, goOn := make(chan struct{}), make(chan struct{})
	first := true
	var clock struct {
		sync.Mutex
		now time.Time
	}
	later := func() {
		clock.Lock()
		defer clock.Unlock()
		clock.now = clock.now.Add(2 * Every)
	}
	f := &File[string]{Path: path, Who: "test",
		Now: func() time.Time {
			clock.Lock()
			defer clock.Unlock()
			return clock.now
		},
		Read: func(path string) (string, error) {
			text, err := os.ReadFile(path)
			if !first {
				close(begun)
				<-goOn
			}
			first = false
			return string(text), err
		}}
	get := func(want string) {
		t.Helper()
		if got, err := f.Get(); err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	clock.now = time.Unix(1e9, 0)
	write("old")
	get("old")
	write("newer")
	later()
	var reader sync.WaitGroup
	reader.Go(func() { get("newer") })
	<-begun
	get("old")
	later()
	get("old")
	close(goOn)
	reader.Wait()
	get("newer")
}

// A reader that panics leaves the file as it was, and it can be read later.
func TestAReaderThatPanics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	now, boo := time.Unix(1e9, 0), false
	f := &File[int]{Path: path, Who: "test", Now: func() time.Time { return now }, Read: func(string) (int, error) {
		if boo {
			panic("boo")
		}
		return 1, nil
	}}
	f.Get()
	boo, now = true, now.Add(Every)
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { recover() }()
		f.Get()
	}()
	boo, now = false, now.Add(Every)
	if got, err := f.Get(); got != 1 || err != nil || f.busy {
		t.Error(got, err, f.busy)
	}
}
