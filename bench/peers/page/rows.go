package page

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/milterkit/sdk/bench"
)

// Plots of bars show so many loads at most; the rest is in the tables.
const maxFigures = 8

// grouped sorts contests into groups, the lightest load first.
func grouped(r *bench.Report, want func(*bench.Taken) bool, key func(*bench.Taken) group) ([]group, map[group][]*bench.Taken) {
	groups := map[group][]*bench.Taken{}
	var order []group
	for i := range r.Taken {
		t := &r.Taken[i]
		if !want(t) {
			continue
		}
		g := key(t)
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], t)
	}
	slices.SortStableFunc(order, func(a, b group) int {
		return cmp.Or(cmp.Compare(a.scenario, b.scenario), cmp.Compare(a.children, b.children), cmp.Compare(a.delay, b.delay), cmp.Compare(a.sessions, b.sessions))
	})
	return order, groups
}

// waits is what one message waits: what half of the sessions take at most, or
// where that was not measured, so many times the time per message as there are
// sessions at one time.
func waits(p *bench.Point) func(*bench.Sample) float64 {
	return func(s *bench.Sample) float64 {
		if v := session(s); finite(v) {
			return v / float64(max(p.Messages, 1))
		}
		return bench.Wall(s) * float64(max(p.Sessions, 1))
	}
}

// together plots children that take their time, asked together and in order.
func together(r *bench.Report) (*plot, error) {
	order, groups := grouped(r, func(t *bench.Taken) bool {
		return !isPostfix(t) && !isPeers(t) && t.Point.Delay > 0 && t.Point.Children > 1 && plays(t, bench.Milterkit)
	}, func(t *bench.Taken) group {
		return group{children: t.Point.Children, delay: t.Point.Delay, sessions: t.Point.Sessions, mail: t.Point.Mail.Name, kind: t.Point.Kind}
	})
	if order == nil {
		return nil, nil
	}
	p := &plot{ID: "together", Title: "Together, or in order",
		Method: "What one message waits (the median of the sessions) for children that each take a set time at its end. The grey bar is that time.",
		Table:  table{"What a message waits", []string{"Load", "Asked by", "Time"}, nil}}
	for _, g := range order {
		side, row, err := p.addTogether(g, groups[g])
		if err != nil {
			return nil, err
		}
		if finite(side.Median) && finite(row.Median) { // the last one told has most children
			p.Finding = fmt.Sprintf("%s that take %s each: a message waits %s when they run together, and %s when they run in order.",
				upper(children(g.children)), pause(g.delay), amount(seconds, side.Median), amount(seconds, row.Median))
		}
	}
	return p, nil
}

// addTogether adds a load, and returns what milterkit took together and in order.
func (p *plot) addTogether(g group, list []*bench.Taken) (side, row bench.Spread, err error) {
	side, row = none, none
	delay := g.delay.Seconds()
	caption := fmt.Sprintf("%s of %s, %s", upper(children(g.children)), pause(g.delay), sessions(g.sessions))
	seen := map[string]bool{}
	var all []bar
	for _, t := range list {
		for _, n := range t.Names {
			v := of(t, n, waits(&t.Point))
			label := n
			if n == bench.Milterkit && t.Point.Together {
				label, side = n+", together", v
			} else if n == bench.Milterkit {
				label, row = n+", in order", v
			}
			if finite(v.Median) && !seen[label] {
				seen[label] = true
				all = append(all, barOf(n, label, v))
			}
		}
	}
	if !finite(row.Median) { // asking one after another is in order too
		for _, t := range list {
			if v := of(t, bench.Direct, waits(&t.Point)); finite(v.Median) {
				row = v
			}
		}
	}
	slices.SortStableFunc(all, func(a, b bar) int { return cmp.Compare(b.Value.Median, a.Value.Median) })
	for _, b := range all {
		p.Table.add(caption, b.Label, spread(seconds, b.Value))
	}
	all = append(all, bar{Name: "delay", Label: "one child", Value: bench.Spread{Median: delay, Low: delay, High: delay}, Text: pause(g.delay)})
	return side, row, p.addBars(caption, all)
}

// addBars adds a picture, where there is room for one more.
func (p *plot) addBars(caption string, all []bar) error {
	if len(p.Figures) == maxFigures {
		return nil
	}
	f, err := draw(caption, all)
	p.Figures = append(p.Figures, f)
	return err
}

// overCPU plots the CPU of what stands between the mail server and the filters.
func overCPU(r *bench.Report) (*plot, error) {
	order, groups := grouped(r, func(t *bench.Taken) bool {
		return ordinary(t) && users(t) > 1 && of(t, bench.Milterkit, bench.CPU).Median > 0
	}, func(t *bench.Taken) group {
		return group{mail: t.Point.Mail.Name, sessions: t.Point.Sessions, children: t.Point.Children, kind: t.Point.Kind, silent: t.Point.Silent}
	})
	if order == nil {
		return nil, nil
	}
	slices.SortStableFunc(order, func(a, b group) int { // sizes side by side, and the usual number of sessions first
		return cmp.Or(cmp.Compare(oddness(a), oddness(b)), silence(a)-silence(b), cmp.Compare(sizeOf(groups[a][0]), sizeOf(groups[b][0])))
	})
	p := &plot{ID: "cpu", Title: "CPU",
		Method: "CPU time per message of the process between the mail server and the filters; that of the filters is not counted.",
		Table:  table{"CPU time per message", []string{"Load", "Between", "CPU", "Against the relay"}, nil}}
	var said []told
	for _, g := range order {
		t := groups[g][0]
		caption := where(&t.Point)
		if g.silent {
			caption += ", no answer to header and body"
		}
		var all []bar
		for _, n := range t.Names {
			if v := of(t, n, bench.CPU); v.Median > 0 {
				all = append(all, barOf(n, n, v))
				against := "1"
				if n != bench.Relay {
					against = ratio(to(t, n, bench.Relay, bench.CPU))
				}
				p.Table.add(caption, n, spread(seconds, v), against)
			}
		}
		slices.SortStableFunc(all, func(a, b bar) int { return cmp.Compare(rank(a), rank(b)) })
		if len(order) <= 4 || like(g, order[0]) {
			if err := p.addBars(caption, all); err != nil {
				return nil, err
			}
		}
		if share := to(t, bench.Milterkit, bench.Relay, bench.CPU); finite(share.Median) && like(g, order[0]) {
			said = append(said, told{t.Point.Mail, share.Median, g.silent})
		}
	}
	if said != nil {
		p.Finding = fmt.Sprintf("%s, %s: against a relay that only passes bytes on, milterkit takes %s of the CPU.",
			upper(children(order[0].children)), sessions(order[0].sessions), tell(said))
	}
	return p, nil
}

// users returns how many contestants had CPU of their own.
func users(t *bench.Taken) (n int) {
	for _, name := range t.Names {
		if of(t, name, bench.CPU).Median > 0 {
			n++
		}
	}
	return n
}

// rank puts the relay first: it is what others are held against.
func rank(b bar) int {
	if b.Name == bench.Relay {
		return 0
	}
	return 1
}

// oddness is how far a load is from the one that goals are told for.
func oddness(g group) int {
	return 100*g.children + int(math.Abs(math.Log2(float64(max(g.sessions, 1))/8)))
}

// silence is 1 where filters do not answer the header and the body.
func silence(g group) int {
	if g.silent {
		return 1
	}
	return 0
}

// like reports whether two loads are of as many children and sessions.
func like(a, b group) bool { return a.children == b.children && a.sessions == b.sessions }

// against plots what a filter costs in milterkit's process, and in one of its
// own on the libraries that filters are made with.
func against(r *bench.Report) (*plot, error) {
	p := &plot{ID: "native", Title: "In milterkit's process, or in one of its own",
		Method: "What one more filter adds to a message: time, and the CPU of milterkit and the filter. The same load without it is taken off, round by round.",
		Table:  table{"What a filter adds", []string{"Load", "Filter", "Time", "CPU"}, nil}}
	any := false
	for i := range r.Taken {
		if t := &r.Taken[i]; isPeers(t) {
			any = true
			if err := p.addFilters(t); err != nil {
				return nil, err
			}
		}
	}
	if !any {
		return nil, nil
	}
	return p, nil
}

// more returns what one more filter adds to a figure. Where a contest has no
// contestant without the filter, it returns the figure.
func more(t *bench.Taken, name string, figure func(*bench.Sample) float64) bench.Spread {
	i := slices.IndexFunc(t.Names, func(n string) bool { return !isAdded(n) })
	if i < 0 {
		return of(t, name, figure)
	}
	_, n := added(name)
	return rounds(t, name, t.Names[i], figure, func(a, b float64) float64 { return (a - b) / float64(n) })
}

// addFilters adds a contest of libraries.
func (p *plot) addFilters(t *bench.Taken) error {
	caption := fmt.Sprintf("%s, %s", upper(mail(t.Point.Mail)), sessions(t.Point.Sessions))
	if t.Point.Messages > 1 {
		caption += fmt.Sprintf(" of %d messages", t.Point.Messages)
	}
	var times, cpus []bar
	var native, remote bench.Spread
	for _, n := range t.Names {
		wall, cpu := more(t, n, bench.Wall), more(t, n, work)
		if !isAdded(n) || !finite(wall.Median) {
			continue
		}
		what, _ := added(n)
		times, cpus = append(times, barOf(n, what, wall)), append(cpus, barOf(n, what, cpu))
		p.Table.add(caption, what, spread(seconds, wall), spread(seconds, cpu))
		switch keyOf(n) {
		case "native":
			native = wall
		case "emersion":
			remote = wall
		}
	}
	if p.Finding == "" && native.Median > 0 && remote.Median > 0 {
		p.Finding = fmt.Sprintf("A filter in milterkit's process adds %s to a %s; the same filter as a program of its own, on emersion/go-milter, adds %s: %s times as much.",
			amount(seconds, native.Median), mail(t.Point.Mail), amount(seconds, remote.Median), fold(remote.Median/native.Median))
	}
	if err := p.addBars("Time: "+caption, times); err != nil {
		return err
	}
	return p.addBars("CPU: "+caption, cpus)
}

// endToEnd plots mail through a real Postfix.
func endToEnd(r *bench.Report) (*plot, error) {
	p := &plot{ID: "postfix", Title: "Through a real Postfix",
		Method: "Time per message through Postfix, with the filters in main.cf (direct), and with milterkit there and the same filters behind it.",
		Table:  table{"Time per message", []string{"Load", "With", "Time", "Against direct"}, nil}}
	least, most := share{Spread: bench.Spread{Median: math.Inf(1)}}, share{}
	loads := 0
	for i := range r.Taken {
		t := &r.Taken[i]
		if !isPostfix(t) {
			continue
		}
		loads++
		s, err := p.addPostfix(t)
		if err != nil {
			return nil, err
		}
		for _, s := range s {
			if s.Median < least.Median {
				least = s
			}
			if s.Median > most.Median {
				most = s
			}
		}
	}
	if loads == 0 {
		return nil, nil
	}
	if most.Median > 0 && least.what == most.what {
		p.Finding = fmt.Sprintf("Postfix with milterkit takes %.2f of the time of Postfix with the same filters in main.cf (%s).", most.Median, most.what)
	} else if most.Median > 0 {
		p.Finding = fmt.Sprintf("Postfix with milterkit takes from %.2f (%s) to %.2f (%s) of the time of Postfix with the same filters in main.cf.",
			least.Median, least.what, most.Median, most.what)
	}
	return p, nil
}

// A share is what milterkit takes of the time of main.cf, and with what.
type share struct {
	bench.Spread
	what string
}

// addPostfix adds a contest, and returns what milterkit took in it of the time
// of asking directly.
func (p *plot) addPostfix(t *bench.Taken) ([]share, error) {
	caption := upper(where(&t.Point))
	if t.Title != "" {
		caption = upper(t.Title[strings.LastIndex(t.Title, ": ")+1:]) // which filters, and how many sessions
	}
	base := ""
	if i := slices.IndexFunc(t.Names, asked); i >= 0 {
		base = t.Names[i]
	}
	var all []bar
	var shares []share
	for _, n := range t.Names {
		v := of(t, n, bench.Wall)
		if !finite(v.Median) {
			continue
		}
		label := strings.TrimPrefix(n, "postfix+")
		if _, after, ok := strings.Cut(label, ", "); ok { // what is before it, the caption says
			label = after
		}
		s := to(t, n, base, bench.Wall)
		if keyOf(n) == "milterkit" && finite(s.Median) {
			shares = append(shares, share{s, lower(caption) + map[bool]string{true: ", together"}[strings.Contains(n, "together")]})
		}
		if n == base {
			s = none
		}
		all = append(all, barOf(n, label, v))
		p.Table.add(caption, label, spread(seconds, v), ratio(s))
	}
	return shares, p.addBars(caption, all)
}
