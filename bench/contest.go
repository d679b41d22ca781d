package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Contestant is one way to get mail past milters.
type Contestant struct {
	Name  string
	Addrs []Addr // of the milters as the MTA knows them

	// Between is what stands between the MTA and the filters: milterkit, a
	// relay. Nil: nothing does, or it is not ours to look into.
	Between *Part

	// Filters are the processes behind it, as far as they are ours.
	Filters []*Part

	// Play, where it is set, plays the load instead of the Contest: mail that
	// comes by SMTP, for instance.
	Play func(ctx context.Context, d time.Duration) (Run, error)
}

// A Sample is what one contestant did in one round. What is of a process is
// 0 where there is none of it to look at.
type Sample struct {
	Run
	Rate    float64 // messages a second
	LoadCPU float64 // CPU of playing the MTA, in seconds a message
	CPU     float64 // of what stands between, in seconds a message
	Filters float64 // of the filters, in seconds a message
	Allocs  float64 // allocations of what stands between, a message
	Bytes   float64 // that were allocated
	Copied  float64 // bytes of the body that it copied, a message
	Peak    float64 // memory of what stands between, in bytes, at most
}

// A Contest has contestants take turns with the same load.
type Contest struct {
	Contestants []*Contestant
	Mails       []Mail        // in turn, as in Load
	Messages    int           // in a session, as in Load
	Sessions    int           // at one time
	Rounds      int           // that count
	Time        time.Duration // of each contestant in a round

	// Progress, where it is set, is told of each turn before it is taken.
	Progress func(round int, c *Contestant)
}

// Run has the contestants take turns, a round for warming up first, every other
// round in the other order. The result has a Sample a round for each of them.
func (t *Contest) Run(ctx context.Context) (Results, error) {
	samples := make(Results)
	order := slices.Clone(t.Contestants)
	for round := range t.Rounds + 1 {
		for _, c := range order {
			if t.Progress != nil {
				t.Progress(round, c)
			}
			d := t.Time
			if round == 0 {
				d /= 2
			}
			s, err := t.turn(ctx, c, d)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Name, err)
			}
			if round > 0 {
				samples[c.Name] = append(samples[c.Name], s)
			}
		}
		slices.Reverse(order)
	}
	return samples, nil
}

// turn is one contestant's turn.
func (t *Contest) turn(ctx context.Context, c *Contestant, d time.Duration) (s Sample, err error) {
	before, err := c.usage()
	if err != nil {
		return s, err
	}
	if c.Between != nil {
		if err := forgetPeak(c.Between.Pid()); err != nil {
			return s, err
		}
	}
	own := ownCPU()
	play := c.Play
	if play == nil {
		play = (&Load{Addrs: c.Addrs, Mails: t.Mails, Messages: t.Messages, Sessions: t.Sessions}).Run
	}
	if s.Run, err = play(ctx, d); err != nil {
		return s, err
	}
	own = ownCPU() - own
	after, err := c.usage()
	if err != nil {
		return s, err
	}
	if s.Messages == 0 {
		return s, fmt.Errorf("no message came through: %w", cmp.Or(s.Refusal, errors.New("none ended in time")))
	}
	n := float64(s.Messages)
	s.Rate = n / s.Wall.Seconds()
	s.LoadCPU = own.Seconds() / n
	s.CPU = (after.between - before.between).Seconds() / n
	s.Filters = (after.filters - before.filters).Seconds() / n
	s.Allocs = float64(after.Mallocs-before.Mallocs) / n
	s.Bytes = float64(after.Bytes-before.Bytes) / n
	s.Copied = float64(after.Copied-before.Copied) / n
	s.Peak = float64(after.peak)
	return s, nil
}

// usage is what the processes of a contestant have used so far.
type usage struct {
	between, filters time.Duration
	partStats
	peak int64
}

func (c *Contestant) usage() (u usage, err error) {
	if c.Between != nil {
		if u.between, err = cpuOf(c.Between.Pid()); err != nil {
			return u, err
		}
		if _, u.peak, err = memoryOf(c.Between.Pid()); err != nil {
			return u, err
		}
		if u.partStats, err = c.Between.stats(); err != nil {
			return u, err
		}
	}
	for _, p := range c.Filters {
		cpu, err := cpuOf(p.Pid())
		if err != nil {
			return u, err
		}
		u.filters += cpu
	}
	return u, nil
}
