package overlay

// A gapped slice has its free room where it was changed last, so that changes next
// to each other move next to nothing: a filter may delete tens of thousands of
// fields, one after the other.
type gapped[T any] struct {
	all      []T
	gap, end int // all[gap:end] is free
}

// gappedOf returns s as one without room, which is not written to before own.
func gappedOf[T any](s []T) gapped[T] { return gapped[T]{s, len(s), len(s)} }

// own puts what there is into memory of its own, with room for more.
func (g *gapped[T]) own(room int) {
	n := g.len()
	all := make([]T, n+room)
	copy(all, g.all[:g.gap])
	copy(all[g.gap:], g.all[g.end:])
	g.all, g.gap, g.end = all, n, n+room
}

func (g *gapped[T]) len() int { return len(g.all) - (g.end - g.gap) }

// at returns the item number i, to read it, or to change it where the memory is its
// own.
func (g *gapped[T]) at(i int) *T {
	if i >= g.gap {
		i += g.end - g.gap
	}
	return &g.all[i]
}

// move has the gap begin before item number i.
func (g *gapped[T]) move(i int) {
	size := g.end - g.gap
	if i < g.gap {
		copy(g.all[i+size:g.end], g.all[i:g.gap])
	} else {
		copy(g.all[g.gap:], g.all[g.end:i+size])
	}
	g.gap, g.end = i, i+size
}

// insert puts x before item number i.
func (g *gapped[T]) insert(i int, x T) {
	if g.gap == g.end {
		g.own(max(len(g.all), 8))
	}
	g.move(i)
	g.all[g.gap] = x
	g.gap++
}

// remove takes item number i out.
func (g *gapped[T]) remove(i int) {
	if i < g.gap {
		g.move(i + 1)
		g.gap--
	} else {
		g.move(i)
		g.end++
	}
}

// flat returns all items in one piece, which stays as it is until the next change.
func (g *gapped[T]) flat() []T {
	if g.gap < g.len() {
		g.move(g.len())
	}
	return g.all[:g.gap:g.gap]
}
