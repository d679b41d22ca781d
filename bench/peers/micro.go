package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/milterkit/sdk/bench"
	"github.com/milterkit/sdk/builtin/conditions"
	"github.com/milterkit/sdk/builtin/s25r"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

// micro measures the dispatcher without a socket: what it costs to show a native
// child a piece of a body, whatever its length, and to ask children at a stage.
func (r *run) micro() error {
	testing.Init()
	if err := flag.Set("test.benchtime", r.turn(r.time/2).String()); err != nil {
		return err
	}
	sizes := []int{64, 64 << 10}
	var times [2][]float64
	var allocs [2]int64
	for range r.rounds {
		for i, size := range sizes {
			b := bodyPiece(size)
			times[i] = append(times[i], float64(b.NsPerOp()))
			allocs[i] = max(allocs[i], b.AllocsPerOp())
		}
	}
	var ratios []float64
	for i := range times[0] {
		ratios = append(ratios, times[1][i]/times[0][i])
	}
	longer := atMost("a piece of a body past a native child: time of 64 KiB against 64 B", bench.SpreadOf(ratios), 1.1, "")
	longer.Note = fmt.Sprintf("64 B %s, 64 KiB %s", number(bench.SpreadOf(times[0]), " ns"), number(bench.SpreadOf(times[1]), " ns"))
	for i, size := range sizes {
		r.goal(onceAtMost(fmt.Sprintf("a piece of a body of %d bytes past a native child: allocations", size), float64(allocs[i]), 0, ""))
	}
	r.goal(longer)
	for _, n := range []int{1, 5, 20} {
		b := stage(n)
		g := onceAtMost(fmt.Sprintf("a stage past %d native children: allocations", n), float64(b.AllocsPerOp()), 0, "")
		g.Note = fmt.Sprintf("%d ns", b.NsPerOp())
		r.goal(g)
	}
	b := tenConditions()
	g := onceAtMost("ten conditions on a session: allocations", float64(b.AllocsPerOp()), 0, "")
	g.Note = fmt.Sprintf("%d ns for all", b.NsPerOp())
	r.goal(g)
	return nil
}

// looker is a native child that looks at DATA and at bodies.
type looker struct{ name string }

func (c looker) Name() string { return c.name }

func (c looker) Hooks() milterkit.Hooks {
	return milterkit.Hooks{
		Data: func(context.Context, *milterkit.Envelope) milterkit.Verdict { return milterkit.Continue },
		Body: func(context.Context, *milterkit.Message, []byte) milterkit.Verdict { return milterkit.Continue },
	}
}

// walk returns a walk past native children that has come to a message.
func walk(children int) *milterkit.Walk {
	var slots []milterkit.Slot
	for i := range children {
		slots = append(slots, milterkit.Slot{Child: looker{fmt.Sprint("child", i)}})
	}
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		panic(err) // the slots are in this program
	}
	d.Logger = slog.New(slog.DiscardHandler)
	w := d.Walk(wire.AllActions)
	w.Mail(context.Background(), milterkit.NewAddress("<a@example.org>"))
	return w
}

// bodyPiece measures a piece of a body past a native child that is shown the body as
// it arrives.
func bodyPiece(size int) testing.BenchmarkResult {
	w := walk(1)
	defer w.Close()
	w.Body(context.Background(), make([]byte, 64<<10)) // from now on it is
	piece := make([]byte, size)
	return testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			w.Body(context.Background(), piece)
		}
	})
}

// stage measures one stage past native children.
func stage(children int) testing.BenchmarkResult {
	w := walk(children)
	defer w.Close()
	return testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			w.Data(context.Background())
		}
	})
}

// tenConditions measures what a session costs that has ten conditions, none of which
// asks the DNS.
func tenConditions() testing.BenchmarkResult {
	authenticated, local, endUser := conditions.Authenticated(), conditions.Local(), s25r.Default.Condition()
	ten := []milterkit.Condition{
		authenticated, local, endUser,
		conditions.Not(authenticated),
		conditions.Not(local),
		conditions.All(endUser, conditions.Not(authenticated)),
		conditions.Any(local, authenticated),
		conditions.Network(netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")),
		conditions.Stress(func() int { return 1 }, 75),
		conditions.TimeBetween(22*time.Hour, 6*time.Hour, time.Now),
	}
	e := &milterkit.Envelope{
		Session: &milterkit.Session{Host: "203-0-113-7.dyn.example.net", Family: milterkit.FamilyInet, Addr: "203.0.113.7", Port: 40000},
		Sender:  milterkit.NewAddress("<alice@example.org>"),
	}
	ctx := context.Background()
	return testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for i := range ten {
				ten[i].Holds(ctx, e, milterkit.Address{})
			}
		}
	})
}
