package bench

import (
	"context"
	"fmt"
	"time"
)

// Names of the contestants that Hold and HoldOwn have.
const (
	Direct    = "direct"    // the milters asked one after another, as Postfix asks its smtpd_milters
	Relay     = "relay"     // a relay before the only milter
	Milterkit = "milterkit" // milterkit before the milters
)

// Terms say how a contest is held.
type Terms struct {
	Rounds   int           // that count
	Time     time.Duration // of each contestant in a round
	Progress func(round int, c *Contestant)
}

// Estimate returns how long it takes to hold contests, about.
func Estimate(points []Point, t Terms) time.Duration {
	var turns int
	for _, p := range points {
		switch {
		case p.Kind == "remote" && p.Children == 1:
			turns += 3
		case p.Kind == "remote", p.Kind == "own":
			turns += 2
		default:
			turns++
		}
	}
	return time.Duration(turns) * (time.Duration(t.Rounds)*t.Time + t.Time/2)
}

// Hold holds the contest at a point, with children that are started for it:
// Milterkit, and where all children are remote Direct, and where there is one
// Relay too. The processes are ended again. The error is a *DescriptorError
// where this machine's limit is too low for the point.
func Hold(ctx context.Context, lab *Lab, p Point, t Terms) (Taken, error) {
	if err := roomFor(p); err != nil {
		return Taken{}, err
	}
	mark := len(lab.parts)
	defer func() { lab.stop(mark) }()
	remote := 0
	for i := range p.Children {
		if p.isRemote(i) {
			remote++
		}
	}
	var filters []*Part
	var addrs []Addr
	if remote > 0 {
		list, part, err := lab.Filters(ctx, Filters{Count: remote, Delay: p.Delay, Silent: p.Silent})
		if err != nil {
			return Taken{}, err
		}
		addrs, filters = list, []*Part{part}
	}
	var all []*Contestant
	if remote == p.Children {
		all = append(all, &Contestant{Name: Direct, Addrs: addrs, Filters: filters})
		if remote == 1 {
			at, part, err := lab.Relay(ctx, addrs[0])
			if err != nil {
				return Taken{}, err
			}
			all = append(all, &Contestant{Name: Relay, Addrs: []Addr{at}, Between: part, Filters: filters})
		}
	}
	var mux Mux
	for i := range p.Children {
		c := Child{Delay: p.Delay, Together: p.Together}
		if p.isRemote(i) {
			c.Remote, addrs = addrs[0], addrs[1:]
		}
		mux.Children = append(mux.Children, c)
	}
	at, part, err := lab.Milterkit(ctx, mux)
	if err != nil {
		return Taken{}, err
	}
	all = append(all, &Contestant{Name: Milterkit, Addrs: []Addr{at}, Between: part, Filters: filters})
	return p.hold(ctx, all, t)
}

// isRemote reports whether the child of that number is a remote one. Mixed
// children alternate.
func (p *Point) isRemote(i int) bool { return p.Kind != "native" && (p.Kind != "mixed" || i%2 == 0) }

// HoldOwn holds the contest at a point with milters that run already: Direct,
// and Milterkit before them. p.Children and p.Kind are set for it. What the
// milters use of the CPU is told as far as their sockets say whose they are.
func HoldOwn(ctx context.Context, lab *Lab, p Point, milters []Addr, t Terms) (Taken, error) {
	p.Children, p.Kind = len(milters), "own"
	if err := roomFor(p); err != nil {
		return Taken{}, err
	}
	mark := len(lab.parts)
	defer func() { lab.stop(mark) }()
	var mux Mux
	for _, a := range milters {
		mux.Children = append(mux.Children, Child{Remote: a, Together: p.Together})
	}
	at, part, err := lab.Milterkit(ctx, mux)
	if err != nil {
		return Taken{}, err
	}
	filters := owners(milters)
	return p.hold(ctx, []*Contestant{
		{Name: Direct, Addrs: milters, Filters: filters},
		{Name: Milterkit, Addrs: []Addr{at}, Between: part, Filters: filters},
	}, t)
}

// hold has the contestants take turns at the point.
func (p *Point) hold(ctx context.Context, all []*Contestant, t Terms) (Taken, error) {
	taken := Taken{Title: p.String(), Point: *p}
	for _, c := range all {
		taken.Names = append(taken.Names, c.Name)
	}
	contest := &Contest{
		Contestants: all,
		Mails:       p.Mails(),
		Messages:    max(p.Messages, 1),
		Sessions:    p.Sessions,
		Rounds:      t.Rounds,
		Time:        t.Time,
		Progress:    t.Progress,
	}
	var err error
	if taken.Results, err = contest.Run(ctx); err != nil {
		return Taken{}, fmt.Errorf("%s: %w", taken.Title, err)
	}
	return taken, nil
}

// Mails returns what is played in turn.
func (p *Point) Mails() []Mail {
	if len(p.Mix) > 0 {
		return p.Mix
	}
	return []Mail{p.Mail}
}

// String says in a line what is played and past whom.
func (p *Point) String() string {
	text := p.Mail.Name + " mail"
	if p.Messages > 1 {
		text = fmt.Sprintf("%d messages of %s mail in a session", p.Messages, p.Mail.Name)
	}
	text += ", " + plural(p.Sessions, "session") + " at one time, "
	switch p.Kind {
	case "own":
		text += plural(p.Children, "milter") + " of your own"
	case "":
		text += plural(p.Children, "child")
	default:
		text += fmt.Sprintf("%d %s", p.Children, p.Kind) + plural(p.Children, "child")[len(fmt.Sprint(p.Children)):]
	}
	if p.Silent {
		text += " without an answer to header and body"
	}
	if p.Delay > 0 {
		text += fmt.Sprintf(", each taking %v", p.Delay)
	}
	if p.Together {
		text += ", together behind milterkit"
	}
	return text
}

// plural writes a number and what there are so many of.
func plural(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case noun == "child":
		return fmt.Sprintf("%d children", n)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// A DescriptorError says that the limit of descriptors is too low for so many
// sessions past so many milters.
type DescriptorError struct {
	Need, Limit        uint64 // of one process
	Sessions, Children int
}

// Error says what is too low.
func (e *DescriptorError) Error() string {
	return fmt.Sprintf("%s at one time with %s take %d descriptors in one process, and the limit is %d",
		plural(e.Sessions, "session"), plural(e.Children, "child"), e.Need, e.Limit)
}

// Cure says how to raise the limit.
func (e *DescriptorError) Cure() string {
	return fmt.Sprintf("as root: ulimit -n %d; under systemd: LimitNOFILE=%d", e.Need, e.Need)
}

// spareDescriptors are what a process has open besides its sessions.
const spareDescriptors = 64

// roomFor returns an error where the sessions of a point would want for
// descriptors. The most of them has milterkit: the MTA's connection, one to
// each remote child, and a file for what does not fit into memory.
func roomFor(p Point) error {
	remotes := 0
	for i := range p.Children {
		if p.isRemote(i) {
			remotes++
		}
	}
	need := uint64(p.Sessions*(remotes+2) + spareDescriptors)
	if limit := raiseDescriptors(); limit < need {
		return &DescriptorError{Need: need, Limit: limit, Sessions: p.Sessions, Children: p.Children}
	}
	return nil
}

// owners returns the processes that listen on the sockets, each once. Sockets
// that tell no process are left out, and all of them where init has opened one
// on behalf of a milter: half of a sum is worth nothing.
func owners(addrs []Addr) []*Part {
	var parts []*Part
	seen := map[int]bool{}
	for _, a := range addrs {
		pid := listenerOf(a)
		if pid <= 1 {
			return nil
		}
		if !seen[pid] {
			seen[pid] = true
			parts = append(parts, Running(a.String(), pid))
		}
	}
	return parts
}
