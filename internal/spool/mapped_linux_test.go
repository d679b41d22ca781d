package spool

import (
	"os"
	"strings"
	"testing"
)

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
