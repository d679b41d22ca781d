package spool

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A real disk that is really full: no reader may be killed by a page that has no
// room. Only root can mount one; for others there is
// TestFullDiskIsASpillErrorAndMayPass.
func TestFullFileSystem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Fatalf("cannot mount a tmpfs: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v: is a file still held?", err)
		}
	}()
	b := &Budget{Dir: dir}
	other, s := b.NewStore(), b.NewStore()
	mustSpill(t, other, piece(100<<10, 1))
	var views [][]byte
	var err error
	for i := 0; i < 20 && err == nil; i++ {
		var view []byte
		if view, err = s.Spill(piece(60_001, uint64(i))); err == nil {
			views = append(views, view)
		}
	}
	var failed *SpillError
	if !errors.As(err, &failed) || failed.Dir != dir || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("%v", err)
	}
	other.Release() // makes room
	views = append(views, mustSpill(t, s, piece(60_001, uint64(len(views)))))
	for i, view := range views {
		if !bytes.Equal(view, piece(60_001, uint64(i))) {
			t.Errorf("view %d has changed", i)
		}
	}
	s.Release()
}

// mapped returns how often the process's memory map names dir.
func mapped(t *testing.T, dir string) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(maps), dir)
}

func TestLastReleaseUnmaps(t *testing.T) {
	dir := t.TempDir()
	s := (&Budget{Dir: dir, window: 64 << 10}).NewStore()
	for range 5 {
		mustSpill(t, s, piece(40<<10, 1))
	}
	if mapped(t, dir) == 0 {
		t.Fatal("the map does not name the directory")
	}
	s.Release()
	if n := mapped(t, dir); n != 0 {
		t.Errorf("%d mappings left", n)
	}
}
