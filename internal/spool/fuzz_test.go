package spool

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// An account is what a store must hold: the fuzz target keeps it by hand.
type account struct {
	store *Store
	refs  int
	slabs [][]byte // filled with mark
	mark  byte
	views [][]byte
	want  [][]byte
}

func (a *account) check(t *testing.T) {
	t.Helper()
	for _, slab := range a.slabs {
		if slab[0] != a.mark || slab[SlabSize-1] != a.mark {
			t.Fatal("a slab in use was written to by another store")
		}
	}
	var total int64
	for i := range a.views {
		if !bytes.Equal(a.views[i], a.want[i]) {
			t.Fatalf("spilled piece %d has changed", i)
		}
		total += int64(len(a.want[i]))
	}
	if a.store.Spilled() != total {
		t.Fatalf("spilled %d, want %d", a.store.Spilled(), total)
	}
}

// play does to a few stores what each byte of in says.
func play(t *testing.T, dir string, in []byte) {
	const slabs = 5
	b := &Budget{Max: slabs * SlabSize, Dir: dir, Poison: true, window: 64 << 10}
	accounts := make([]*account, 3)
	used := 0
	drop := func(i int) {
		a := accounts[i]
		a.check(t)
		if a.refs--; a.refs == 0 {
			used -= len(a.slabs)
			accounts[i] = nil
		}
		a.store.Release()
	}
	for n, c := range in {
		i := int(c) % len(accounts)
		a := accounts[i]
		if a == nil {
			a = &account{store: b.NewStore(), refs: 1, mark: byte(n)}
			accounts[i] = a
		}
		switch c / 3 % 8 {
		case 0, 1, 2:
			slab := a.store.Slab()
			stores := 0 // that each may come to need a page
			for _, a := range accounts {
				if a != nil {
					stores++
				}
			}
			if fits := (used+1)*SlabSize <= slabs*SlabSize-stores*PageSize; (slab != nil) != fits {
				t.Fatalf("slab %v with %d of %d used, %d stores", slab != nil, used, slabs, stores)
			}
			if slab != nil {
				used++
				slab[0], slab[SlabSize-1] = a.mark, a.mark
				a.slabs = append(a.slabs, slab)
			}
		case 3, 4:
			p := piece(int(c)*int(c)*2, uint64(n)) // up to 127 KiB
			view, _, err := a.store.Spill(p, false)
			if err != nil {
				t.Fatal(err)
			}
			a.views, a.want = append(a.views, view), append(a.want, p)
		case 5:
			a.store.Retain()
			a.refs++
		default:
			drop(i)
		}
		if b.Used() != int64(used)*SlabSize {
			t.Fatalf("used %d, want %d slabs", b.Used(), used)
		}
	}
	for i, a := range accounts {
		for a != nil && accounts[i] != nil {
			drop(i)
		}
	}
	if b.Used() != 0 {
		t.Fatalf("used %d in the end", b.Used())
	}
}

func FuzzSpool(f *testing.F) {
	f.Add([]byte("any bytes will do, these are some"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, in []byte) { play(t, dir, in[:min(len(in), 200)]) })
}

func TestRandomUseAgreesWithTheAccount(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		in := make([]byte, r.IntN(120))
		for i := range in {
			in[i] = byte(r.Uint32())
		}
		play(t, t.TempDir(), in)
	}
}
