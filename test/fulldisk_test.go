package test

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/milterkit/sdk/internal/spool"
)

// TestFullFileSystem fills a real file system, which only root can mount: no
// reader is killed by a page that has no room, what was written stays as it is,
// and there is room again when another message has ended.
func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Fatalf("cannot mount a tmpfs: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v: is a file still held?", err)
		}
	}()
	budget := &spool.Budget{Max: 1, Dir: dir}
	other, store := budget.NewStore(), budget.NewStore()
	if _, _, err := other.Spill(make([]byte, 100<<10), false); err != nil {
		t.Fatal(err)
	}
	piece := func(i int) []byte { return bytes.Repeat([]byte{byte(i + 1)}, 60_001) }
	var views [][]byte
	var err error
	for err == nil && len(views) < 20 {
		var view []byte
		if view, _, err = store.Spill(piece(len(views)), false); err == nil {
			views = append(views, view)
		}
	}
	var failed *spool.SpillError
	if !errors.As(err, &failed) || failed.Dir != dir || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("after %d pieces: %v", len(views), err)
	}
	other.Release() // makes room
	view, _, err := store.Spill(piece(len(views)), false)
	if err != nil {
		t.Fatal(err)
	}
	for i, view := range append(views, view) {
		if !bytes.Equal(view, piece(i)) {
			t.Errorf("view %d has changed", i)
		}
	}
	store.Release()
}
