package page

import (
	"fmt"
	"slices"
	"time"

	"github.com/milterkit/sdk/bench"
)

// A group is what contests have in common that differ in the rest only.
type group struct {
	mail               string
	sessions, children int
	kind               string
	silent, together   bool
	delay              time.Duration
	scenario           string
}

// usual reports whether a is nearer to what most mail is than b is.
func usual(a, b group) bool {
	rank := func(g group) (n int) {
		for i, odd := range []bool{g.children > 1, g.sessions != 8, g.mail != "short", g.silent, g.together, g.kind != "remote"} {
			if odd {
				n += 1 << i
			}
		}
		return n
	}
	if x, y := rank(a), rank(b); x != y {
		return x < y
	}
	return fmt.Sprint(a) < fmt.Sprint(b)
}

// ordinary reports whether a contest is one of those with children that take no
// time, and mail that goes to one.
func ordinary(t *bench.Taken) bool {
	return !isPostfix(t) && !isPeers(t) && t.Point.Delay == 0 && t.Point.Mail.Recipients <= 1
}

// pick returns the first contest that is as wanted, or nil.
func pick(list []*bench.Taken, want func(*bench.Taken) bool) *bench.Taken {
	if i := slices.IndexFunc(list, want); i >= 0 {
		return list[i]
	}
	return nil
}

// fairest returns the number of children that a finding is told of: three, which
// many a mail server has, or else the most.
func fairest(counts []int) int {
	if slices.Contains(counts, 3) {
		return 3
	}
	return slices.Max(counts)
}

// overChildren plots time against the number of children.
func overChildren(r *bench.Report) (*plot, error) {
	groups := map[group][]*bench.Taken{}
	for i := range r.Taken {
		if t := &r.Taken[i]; ordinary(t) && plays(t, bench.Direct, bench.Milterkit) {
			g := group{mail: t.Point.Mail.Name, kind: t.Point.Kind, silent: t.Point.Silent, together: t.Point.Together}
			groups[g] = append(groups[g], t)
		}
	}
	g, list := best(groups, func(l []*bench.Taken) int {
		if n := distinct(l, childrenOf); n > 1 {
			return n * distinct(l, sessionsOf)
		}
		return 0
	}, usual)
	if list == nil {
		return nil, nil
	}
	first := &list[0].Point
	p := &plot{ID: "children", Title: "More children",
		Method: fmt.Sprintf("Time per message against the number of children: %s; %s.%s", mail(first.Mail), kindOf(first), quiet(first)),
		Table:  table{"Time per message", []string{"Load", bench.Direct, bench.Milterkit, "milterkit : direct"}, nil}}
	at := fairest(values(list, childrenOf))
	var said []string
	for _, n := range values(list, sessionsOf) {
		for _, c := range values(list, childrenOf) {
			t := pick(list, func(t *bench.Taken) bool { return t.Point.Sessions == n && t.Point.Children == c })
			if t == nil {
				continue
			}
			share := to(t, bench.Milterkit, bench.Direct, bench.Wall)
			p.Table.add(fmt.Sprintf("%s, %s", children(c), sessions(n)), spread(seconds, of(t, bench.Direct, bench.Wall)),
				spread(seconds, of(t, bench.Milterkit, bench.Wall)), ratio(share))
			if c == at {
				said = append(said, fmt.Sprintf("%.2f (%s)", share.Median, sessions(n)))
			}
		}
	}
	if said != nil {
		p.Finding = fmt.Sprintf("%s: against asking them one after another, milterkit takes %s of the time.", upper(children(at)), listed(said))
	}
	return p, p.drawChildren(list, natives(r, g))
}

// natives returns the contests that are as those of the group, with native
// children.
func natives(r *bench.Report, g group) []*bench.Taken {
	var list []*bench.Taken
	for i := range r.Taken {
		if t := &r.Taken[i]; ordinary(t) && t.Point.Kind == "native" && t.Point.Mail.Name == g.mail &&
			t.Point.Together == g.together && plays(t, bench.Milterkit) {
			list = append(list, t)
		}
	}
	return list
}

// drawChildren draws a picture for each number of sessions, all with one axis.
// A single number of children makes no line.
func (p *plot) drawChildren(list, natives []*bench.Taken) error {
	list = slices.DeleteFunc(slices.Clone(list), func(t *bench.Taken) bool {
		return distinct(slices.DeleteFunc(slices.Clone(list), func(u *bench.Taken) bool { return sessionsOf(u) != sessionsOf(t) }), childrenOf) < 2
	})
	counts := values(list, childrenOf)
	sources := []struct {
		contestant, name string
		list             []*bench.Taken
	}{
		{bench.Direct, bench.Direct, list}, {bench.Milterkit, bench.Milterkit, list}, {bench.Milterkit, "milterkit, native children", natives},
	}
	var all []lines
	top := 0.0
	for _, n := range values(list, sessionsOf) {
		l := lines{Alt: fmt.Sprintf("Lines of the time per message against the number of children, %s. The figures are in the table.", sessions(n))}
		for _, c := range counts {
			l.Labels = append(l.Labels, fmt.Sprint(c))
		}
		for _, s := range sources {
			one := line{Name: s.name}
			for _, c := range counts {
				v := none
				if t := pick(s.list, func(t *bench.Taken) bool { return t.Point.Sessions == n && t.Point.Children == c }); t != nil {
					v = of(t, s.contestant, bench.Wall)
				}
				one.Values = append(one.Values, v)
			}
			if h := highest(one.Values...); h > 0 {
				l.Lines, top = append(l.Lines, one), max(top, h)
			}
		}
		all = append(all, l)
	}
	u := fit(seconds, top)
	for i, n := range values(list, sessionsOf) {
		l := all[i]
		l.Top, l.Unit = top/u.of, u.of
		if len(l.Lines) > len(p.Legend) {
			p.Legend = legends(l.Lines)
		}
		svg, err := l.svg()
		if err != nil {
			return err
		}
		p.Figures = append(p.Figures, figure{upper(sessions(n)), "children", "time per message, " + u.name, svg})
	}
	return nil
}

// overSize plots time against the size of a message, and how it is against the
// relay, or where there is none, against asking the children directly.
func overSize(r *bench.Report) (*plot, error) {
	groups := map[group][]*bench.Taken{}
	for i := range r.Taken {
		t := &r.Taken[i]
		if ordinary(t) && len(t.Point.Mix) == 0 && plays(t, bench.Milterkit) && (plays(t, bench.Direct) || plays(t, bench.Relay)) {
			g := group{sessions: t.Point.Sessions, children: t.Point.Children, kind: t.Point.Kind, silent: t.Point.Silent, together: t.Point.Together}
			groups[g] = append(groups[g], t)
		}
	}
	g, list := best(groups, func(l []*bench.Taken) int {
		if n := distinct(l, sizeOf); n > 1 {
			return n
		}
		return 0
	}, usual)
	if list == nil {
		return nil, nil
	}
	list = bySize(list)
	base := bench.Relay
	if pick(list, func(t *bench.Taken) bool { return plays(t, bench.Relay) }) == nil {
		base = bench.Direct
	}
	p := &plot{ID: "size", Title: "Larger messages",
		Method: fmt.Sprintf("Time per message against its size: %s, %s; %s.%s In the first picture each line of the grid is ten times the one below it.",
			children(g.children), sessions(g.sessions), kindOf(&list[0].Point), quiet(&list[0].Point)),
		Table: table{Caption: "Time per message", Head: []string{"Size"}}}
	names := []string{}
	for _, n := range []string{bench.Direct, bench.Relay, bench.Milterkit} {
		if pick(list, func(t *bench.Taken) bool { return plays(t, n) }) != nil {
			names, p.Table.Head = append(names, n), append(p.Table.Head, n)
		}
	}
	p.Table.Head = append(p.Table.Head, "milterkit : "+base)
	var said []told
	var silent []*bench.Taken // of the same load
	if !g.silent {
		g.silent = true
		silent = bySize(groups[g])
	}
	for _, t := range slices.Concat(list, silent) {
		row := []string{size(t.Point.Mail)}
		if t.Point.Silent && silent != nil {
			row[0] += ", no answer to header and body"
		}
		for _, n := range names {
			row = append(row, spread(seconds, of(t, n, bench.Wall)))
		}
		share := to(t, bench.Milterkit, base, bench.Wall)
		p.Table.add(append(row, ratio(share))...)
		if finite(share.Median) {
			said = append(said, told{t.Point.Mail, share.Median, t.Point.Silent})
		}
	}
	if said != nil {
		p.Finding = fmt.Sprintf("%s: against %s, milterkit takes %s of the time.", upper(children(g.children)), called(base), tell(said))
	}
	return p, p.drawSizes(list, names, base)
}

// bySize returns contests in the order of their mails, one of each size.
func bySize(list []*bench.Taken) []*bench.Taken {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b *bench.Taken) int { return sizeOf(a) - sizeOf(b) })
	return slices.CompactFunc(list, func(a, b *bench.Taken) bool { return sizeOf(a) == sizeOf(b) })
}

// called says in a sentence what a contestant is.
func called(name string) string {
	switch name {
	case bench.Relay:
		return "a relay that only passes bytes on"
	case bench.Direct:
		return "asking them one after another"
	}
	return name
}

// drawSizes draws the times, and what they are against those of base.
func (p *plot) drawSizes(list []*bench.Taken, names []string, base string) error {
	share := 1.0
	times := lines{Log: true, Alt: "Lines of the time per message against its size. The figures are in the table."}
	shares := lines{Unit: 1, Alt: "Lines of the time per message, as a multiple of that of " + base + ", against the size of the message."}
	for _, n := range names {
		a, b := line{Name: n}, line{Name: n}
		for _, t := range list {
			a.Values = append(a.Values, of(t, n, bench.Wall))
			b.Values = append(b.Values, to(t, n, base, bench.Wall))
		}
		share = max(share, highest(b.Values...))
		times.Lines, shares.Lines = append(times.Lines, a), append(shares.Lines, b)
	}
	for _, t := range list {
		times.Labels = append(times.Labels, size(t.Point.Mail))
	}
	times.Unit, times.Power = 1, func(v float64) string { return brief(seconds, v) }
	shares.Labels, shares.Top = times.Labels, share
	p.Legend = legends(times.Lines)
	for _, f := range []struct {
		caption, y string
		lines
	}{
		{"Time", "time per message", times},
		{"Against " + base, "time per message, that of " + base + " being 1", shares},
	} {
		svg, err := f.svg()
		if err != nil {
			return err
		}
		p.Figures = append(p.Figures, figure{f.caption, "size of the message", f.y, svg})
	}
	return nil
}
