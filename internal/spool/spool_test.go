package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// piece returns n bytes that no other number gives.
func piece(n int, number uint64) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], number)
	p := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(p) // never fails
	return p
}

func mustSpill(t *testing.T, s *Store, p []byte) []byte {
	t.Helper()
	view, _, err := s.Spill(p, false)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(view, p) {
		t.Fatalf("view of %d bytes differs from what was spilled", len(p))
	}
	return view
}

func panics(t *testing.T, rule string, do func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", rule)
		}
	}()
	do()
}

func TestBudgetIsExact(t *testing.T) {
	b := &Budget{Max: 3*SlabSize + SlabSize/2} // what does not fill a slab is not used
	s1, s2 := b.NewStore(), b.NewStore()
	for i, s := range []*Store{s1, s2, s2} {
		if p := s.Slab(); len(p) != SlabSize || cap(p) != SlabSize {
			t.Fatalf("slab %d has %d bytes, room for %d", i, len(p), cap(p))
		}
		if got := b.Used(); got != int64(i+1)*SlabSize {
			t.Errorf("used %d after %d slabs", got, i+1)
		}
	}
	if s1.Slab() != nil || s2.Slab() != nil {
		t.Error("a slab beyond the budget")
	}
	if b.Used() != 3*SlabSize {
		t.Errorf("used %d: refused slabs were counted", b.Used())
	}
	s2.Release()
	if b.Used() != SlabSize {
		t.Errorf("used %d after a release", b.Used())
	}
	if s1.Slab() == nil {
		t.Error("no slab although one was given back")
	}
	s1.Release()
	if b.Used() != 0 {
		t.Errorf("used %d in the end", b.Used())
	}
}

// Pages are there when slabs are not, and are given back with the store, or before.
func TestPagesAreUsedAgain(t *testing.T) {
	b := &Budget{Max: SlabSize - 1}
	s := b.NewStore()
	first, second := s.Page(), s.Page()
	if first == second || s.Slab() != nil {
		t.Error("a page twice, or a slab")
	}
	s.LeavePage(first)
	if again := s.Page(); again != first {
		t.Error("a page that was left is not used again")
	}
	s.Retain()
	s.Release()
	if other := b.NewStore(); other.Page() == first || other.Page() == second {
		t.Error("a page of a store that is still held")
	}
	s.Release()
}

func TestNoLimit(t *testing.T) {
	for _, limit := range []int64{0, -1} {
		b := &Budget{Max: limit}
		s := b.NewStore()
		for range 20 {
			if s.Slab() == nil {
				t.Fatalf("Max %d: no slab", limit)
			}
		}
		s.Release()
		if b.Used() != 0 {
			t.Errorf("Max %d: used %d", limit, b.Used())
		}
	}
}

func TestBudgetBelowASlabGivesNone(t *testing.T) {
	s := (&Budget{Max: SlabSize - 1}).NewStore()
	defer s.Release()
	if s.Slab() != nil {
		t.Error("a slab")
	}
}

func TestSlabsDoNotOverlap(t *testing.T) {
	s := new(Budget).NewStore()
	defer s.Release()
	var slabs [][]byte
	for i := range 9 {
		p := s.Slab()
		for j := range p {
			p[j] = byte(i)
		}
		slabs = append(slabs, p)
	}
	for i, p := range slabs {
		if !bytes.Equal(p, bytes.Repeat([]byte{byte(i)}, SlabSize)) {
			t.Errorf("slab %d was written to through another", i)
		}
	}
}

func TestSpilledViewsReadBackOverSeveralWindows(t *testing.T) {
	s := (&Budget{Dir: t.TempDir()}).NewStore()
	defer s.Release()
	r := rand.New(rand.NewPCG(1, 1))
	var want, views [][]byte
	var total int64
	for i := 0; total < 3*windowSize+windowSize/2; i++ {
		p := piece(1+r.IntN(128<<10), uint64(i))
		want, views = append(want, p), append(views, mustSpill(t, s, p))
		total += int64(len(p))
	}
	if len(s.file.windows) < 4 {
		t.Errorf("only %d windows", len(s.file.windows))
	}
	for i := range views {
		if !bytes.Equal(views[i], want[i]) {
			t.Errorf("piece %d of %d bytes has changed", i, len(want[i]))
		}
		if cap(views[i]) != len(views[i]) {
			t.Errorf("piece %d: an append would write to the mapping", i)
		}
	}
	if s.Spilled() != total {
		t.Errorf("spilled %d, want %d", s.Spilled(), total)
	}
}

func TestPieceLongerThanAWindowIsOneSlice(t *testing.T) {
	s := (&Budget{Dir: t.TempDir(), window: 64 << 10}).NewStore()
	defer s.Release()
	first := mustSpill(t, s, piece(10, 1))
	mustSpill(t, s, piece(200<<10, 2))
	mustSpill(t, s, piece(64<<10, 3)) // exactly one window
	mustSpill(t, s, piece(64<<10, 4))
	if !bytes.Equal(first, piece(10, 1)) {
		t.Error("first piece has changed")
	}
}

// Pieces that are spilled one after the other are one view, from the first that is
// not to be joined on.
func TestPiecesInARowAreJoined(t *testing.T) {
	s := (&Budget{Dir: t.TempDir(), window: 64 << 10}).NewStore()
	defer s.Release()
	var run []byte
	for i, test := range []struct {
		size         int
		join, joined bool
	}{{10, true, false}, {20 << 10, true, true}, {1, true, true}, {10 << 10, false, false}, {20 << 10, true, true}, {40 << 10, true, false}, {9, true, true}} {
		p := piece(test.size, uint64(i))
		if !test.joined { // the last but one begins another window
			run = nil
		}
		run = append(run, p...)
		view, joined, err := s.Spill(p, test.join)
		if err != nil || joined != test.joined || !bytes.Equal(view, run) {
			t.Fatalf("piece %d: joined %t, %d bytes of %d, %v", i, joined, len(view), len(run), err)
		}
	}
}

func TestSpillOfNothingNeedsNoFile(t *testing.T) {
	s := (&Budget{Dir: "/nonexistent"}).NewStore()
	defer s.Release()
	if view, _, err := s.Spill(nil, false); view == nil || len(view) != 0 || err != nil {
		t.Errorf("%v, %v", view, err)
	}
}

func TestSpillKeepsNothingOfTheCaller(t *testing.T) {
	s := (&Budget{Dir: t.TempDir()}).NewStore()
	defer s.Release()
	p := piece(1000, 1)
	view := mustSpill(t, s, p)
	clear(p)
	if !bytes.Equal(view, piece(1000, 1)) {
		t.Error("view has changed with the caller's slice")
	}
}

func TestFileHasNoName(t *testing.T) {
	dir := t.TempDir()
	s := (&Budget{Dir: dir}).NewStore()
	defer s.Release()
	mustSpill(t, s, piece(1000, 1))
	if names, err := os.ReadDir(dir); len(names) != 0 || err != nil {
		t.Errorf("%v, %v", names, err)
	}
}

func TestDirDefaultsToTempDir(t *testing.T) {
	t.Setenv("TMPDIR", "/nonexistent/temp")
	s := new(Budget).NewStore()
	defer s.Release()
	var failed *SpillError
	if _, _, err := s.Spill([]byte("x"), false); !errors.As(err, &failed) || failed.Dir != "/nonexistent/temp" {
		t.Errorf("%v", err)
	}
}

func TestMissingDirIsASpillError(t *testing.T) {
	b := &Budget{Dir: t.TempDir() + "/missing"}
	s := b.NewStore()
	defer s.Release()
	_, _, err := s.Spill([]byte("x"), false)
	var failed *SpillError
	if !errors.As(err, &failed) || failed.Op != "create" || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%v", err)
	}
	if want := "spool: create in " + b.Dir + ": no such file or directory"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	// The store is as good as before, and so is a later attempt.
	if s.Slab() == nil {
		t.Error("no slab")
	}
	if err := os.Mkdir(b.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mustSpill(t, s, piece(10, 1))
}

// full is a disk that takes half of the piece and is full then.
func full(f *os.File, p []byte, off int64) (int, error) {
	n, err := f.WriteAt(p[:len(p)/2], off)
	if err != nil {
		return n, err
	}
	return n, &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
}

func TestFullDiskIsASpillErrorAndMayPass(t *testing.T) {
	b := &Budget{Dir: t.TempDir(), window: 64 << 10}
	s := b.NewStore()
	s.Slab()
	early := mustSpill(t, s, piece(40<<10, 1))
	b.writeAt = full
	for range 3 { // in the window at hand, and at the start of a new one
		for _, n := range []int{10, 60 << 10} {
			view, _, err := s.Spill(piece(n, 2), false)
			var failed *SpillError
			if view != nil || !errors.As(err, &failed) || !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("%d bytes, %v", len(view), err)
			}
			if failed.Dir != b.Dir || failed.Op != "write" || !strings.Contains(err.Error(), b.Dir+": no space left") {
				t.Errorf("%v", err)
			}
		}
	}
	if s.Spilled() != 40<<10 {
		t.Errorf("spilled %d", s.Spilled())
	}
	b.writeAt = nil
	mustSpill(t, s, piece(60<<10, 3))
	if !bytes.Equal(early, piece(40<<10, 1)) {
		t.Error("an earlier view has changed")
	}
	s.Release()
	if b.Used() != 0 {
		t.Errorf("used %d", b.Used())
	}
}

func TestViewsLiveUntilTheLastRelease(t *testing.T) {
	b := &Budget{Dir: t.TempDir(), Poison: true}
	s := b.NewStore()
	slab := s.Slab()
	copy(slab, "in a slab")
	spilled := mustSpill(t, s, piece(1000, 1))
	s.Retain() // another holder
	s.Release()
	if b.Used() != SlabSize {
		t.Errorf("used %d", b.Used())
	}
	if !bytes.HasPrefix(slab, []byte("in a slab")) || !bytes.Equal(spilled, piece(1000, 1)) {
		t.Error("views have changed")
	}
	s.Release()
	if b.Used() != 0 {
		t.Errorf("used %d in the end", b.Used())
	}
}

func TestPoisonMarksRecycledSlabs(t *testing.T) {
	b := &Budget{Poison: true}
	s := b.NewStore()
	slab := s.Slab()
	clear(slab)
	s.Release()
	if !bytes.Equal(slab, bytes.Repeat([]byte{0xDB}, SlabSize)) {
		t.Error("not poisoned")
	}
}

func TestUseAfterTheLastReleasePanics(t *testing.T) {
	s := new(Budget).NewStore()
	s.Release()
	for range 2 { // the first panic must not bring it back to life
		panics(t, "Slab", func() { s.Slab() })
		panics(t, "Spill", func() { _, _, _ = s.Spill([]byte("x"), false) })
		panics(t, "Retain", s.Retain)
		panics(t, "Release", s.Release)
	}
}

// Both ways to create a file are tried wherever there are two.
func TestFileIsPrivate(t *testing.T) {
	for name, create := range map[string]func(string) (*os.File, error){"create": create, "unlinked": createUnlinked} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f, err := create(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != 0o600 {
				t.Errorf("mode %v", info.Mode())
			}
			if links := info.Sys().(*syscall.Stat_t).Nlink; links != 0 {
				t.Errorf("%d names", links)
			}
			if names, _ := os.ReadDir(dir); len(names) != 0 {
				t.Errorf("in the directory: %v", names)
			}
			flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_GETFD, 0)
			if errno != 0 || flags&syscall.FD_CLOEXEC == 0 {
				t.Errorf("flags %#x, %v: not closed on exec", flags, errno)
			}
		})
	}
}

// TestSessionsShareTheBudget is for the race detector: many sessions, each with a
// reader that outlives it.
func TestSessionsShareTheBudget(t *testing.T) {
	b := &Budget{Max: 6 * SlabSize, Dir: t.TempDir(), Poison: true, window: 256 << 10}
	var sessions, readers sync.WaitGroup
	for i := range 8 {
		sessions.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 15 {
				s := b.NewStore()
				var views [][]byte
				fill := byte(r.Uint32())
				for range r.IntN(6) {
					view := s.Slab()
					if view != nil {
						view = view[:1000]
						copy(view, bytes.Repeat([]byte{fill}, 1000))
					} else {
						var err error
						if view, _, err = s.Spill(bytes.Repeat([]byte{fill}, 1+r.IntN(SlabSize)), false); err != nil {
							t.Error(err)
						}
					}
					views = append(views, view)
					if used := b.Used(); used > b.Max {
						t.Errorf("used %d of %d", used, b.Max)
					}
				}
				s.Retain()
				readers.Go(func() {
					defer s.Release()
					for _, view := range views {
						if bytes.Count(view, []byte{fill}) != len(view) {
							t.Error("a view has changed")
						}
					}
				})
				s.Release()
			}
		})
	}
	sessions.Wait()
	readers.Wait()
	if b.Used() != 0 {
		t.Errorf("used %d in the end", b.Used())
	}
}
