package overlay

import (
	"math/rand/v2"
	"testing"
)

// names are few, so that they collide; some differ in case alone.
var names = []string{"A", "a", "B", "Received", "received", "X-K", "x-\u212a", "\xe9", "\xc9", ""}

var values = []string{"", " ", " 1", " 2", "\tfolded\n more", " \xff8-bit"}

// A tape makes choices out of bytes. When it runs out, all choices are 0.
type tape []byte

func (t *tape) choose(n int) int {
	if len(*t) == 0 {
		return 0
	}
	c := int((*t)[0])
	*t = (*t)[1:]
	return c % n
}

func (t *tape) fields() []Field {
	var fields []Field
	for range t.choose(12) {
		fields = append(fields, Field{Name: []byte(names[t.choose(len(names))]), Value: []byte(values[t.choose(len(values))])})
	}
	return fields
}

func (t *tape) edit() Edit {
	return Edit{Kind(t.choose(4)), t.choose(16) - 2, names[t.choose(len(names))], values[t.choose(len(values))]}
}

// checkOneByOne makes and merges one fork at a time: a header must be as the
// model has it after each edit and after each merge, and a dropped fork must
// leave no trace.
func checkOneByOne(t *testing.T, h *Header, in tape) {
	h.Reset(in.fields())
	m := newModel(h.orig)
	for len(in) > 0 {
		f, private := h.Fork(), &model{fields: append([]modelField(nil), m.fields...)}
		for range in.choose(6) {
			e := in.edit()
			f.Apply(e)
			private.apply(e)
			if in.choose(3) > 0 && text(f.Fields()) != private.text() {
				t.Fatalf("after %v the fork has:\n%swant:\n%s", e, text(f.Fields()), private.text())
			}
		}
		if in.choose(4) > 0 {
			h.Merge(f)
			m = private
		}
		if fullText(h) != m.full() {
			t.Fatalf("after the merge:\n%swant:\n%s", fullText(h), m.full())
		}
		checkScript(t, h)
	}
}

// checkTogether makes several forks of one state and merges them in order. The
// specification is the model of a merge below.
func checkTogether(t *testing.T, h *Header, in tape) {
	h.Reset(in.fields())
	m := newIdentityModel(h.orig)
	for len(in) > 0 {
		forks := make([]*Fork, 1+in.choose(4))
		edits := make([][]Edit, len(forks))
		for i := range forks {
			forks[i] = h.Fork()
		}
		for range in.choose(16) { // the forks' edits come mixed, as from filters that run at once
			i, e := in.choose(len(forks)), in.edit()
			forks[i].Apply(e)
			edits[i] = append(edits[i], e)
		}
		base := m.clone()
		for i, f := range forks {
			m.merge(base, edits[i])
			h.Merge(f)
		}
		if fullText(h) != m.full() {
			t.Fatalf("%v together:\n%swant:\n%s", edits, fullText(h), m.full())
		}
		checkScript(t, h)
	}
}

func FuzzOverlay(f *testing.F) {
	f.Add([]byte("a header and some edits of it"))
	for seed := range uint64(8) {
		f.Add([]byte(randomTape(rand.New(rand.NewPCG(seed, 1)), 200)))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		in = in[:min(len(in), 1000)]
		var h Header // used again, as a session does
		checkOneByOne(t, &h, in)
		checkTogether(t, &h, in)
	})
}

func TestRandomEditsAgreeWithTheModels(t *testing.T) {
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	r := rand.New(rand.NewPCG(1, 2))
	var h Header
	for range rounds {
		in := randomTape(r, r.IntN(150))
		checkOneByOne(t, &h, in)
		checkTogether(t, &h, in)
	}
}

func randomTape(r *rand.Rand, n int) tape {
	b := make(tape, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
