package bench

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// newHistogram returns a histogram of times up to a minute, in microseconds,
// exact to three digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

// A Load plays sessions past milters, so many at one time, each of them begun
// as soon as the one before it has ended.
type Load struct {
	Addrs    []Addr // asked one after another; mostly there is one
	Mails    []Mail // of one session
	Sessions int    // at one time
}

// A Run is what came of a load.
type Run struct {
	Wall     time.Duration
	Sessions int
	Messages int
	Refused  int                     // sessions that ended with a refusal
	Times    *hdrhistogram.Histogram // of sessions, from the dial to the last answer, in microseconds
}

// Run plays sessions for a time, and lets those under way end. The first error
// that is no refusal ends it.
func (l *Load) Run(ctx context.Context, d time.Duration) (Run, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d, errTimeIsUp)
	defer cancel()
	m := &mta{addrs: l.Addrs}
	times := make([]*hdrhistogram.Histogram, l.Sessions)
	var refused atomic.Int64
	var first error
	var once sync.Once
	var all sync.WaitGroup
	began := time.Now()
	for i := range l.Sessions {
		times[i] = newHistogram()
		all.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				err := m.session(l.Mails)
				if errors.Is(err, errRefused) {
					refused.Add(1)
					err = nil
				}
				if err != nil {
					once.Do(func() { first = err; cancel() })
					return
				}
				times[i].RecordValue(time.Since(start).Microseconds())
			}
		})
	}
	all.Wait()
	r := Run{Wall: time.Since(began), Refused: int(refused.Load()), Times: newHistogram()}
	for _, h := range times {
		r.Times.Merge(h)
	}
	r.Sessions = int(r.Times.TotalCount())
	r.Messages = r.Sessions * len(l.Mails)
	if first == nil && !errors.Is(context.Cause(ctx), errTimeIsUp) {
		first = context.Cause(ctx)
	}
	return r, first
}

var errTimeIsUp = errors.New("time is up")
