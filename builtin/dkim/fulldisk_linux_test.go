package dkim

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Where the disk is full there is no half of a key, which would be in the way of the
// next try. The disk is one of no room: files must not be longer than nothing.
func TestNoHalfKey(t *testing.T) {
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 0, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	err := WriteKey(file, edKey())
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err == nil {
		t.Error("the key was written where there is no room")
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file is left")
	}
	if err := WriteKey(file, edKey()); err != nil {
		t.Errorf("the next try: %v", err)
	}
}
