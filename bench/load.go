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
	Mails    []Mail // played in turn
	Messages int    // in a session; 0: as many as there are Mails
	Sessions int    // at one time
}

// A Run is what came of a load.
type Run struct {
	Wall     time.Duration
	Sessions int                     // that ended without a refusal
	Messages int                     // in them
	Refused  int                     // sessions that ended with a refusal, and are counted nowhere else
	Refusal  error                   // the first of these refusals
	Times    *hdrhistogram.Histogram // of sessions, from the dial to the last answer, in microseconds
}

// Run plays sessions for a time, and lets those under way end. The first error
// that is no refusal ends it. A session that is refused ends early, so that its
// time says nothing: it is counted apart.
func (l *Load) Run(ctx context.Context, d time.Duration) (Run, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d, errTimeIsUp)
	defer cancel()
	m := &mta{addrs: l.Addrs}
	times := make([]*hdrhistogram.Histogram, l.Sessions)
	var refused, played atomic.Int64
	var first, refusal error
	var once, onceRefused sync.Once
	messages := l.Messages
	if messages == 0 {
		messages = len(l.Mails)
	}
	var all sync.WaitGroup
	began := time.Now()
	for i := range l.Sessions {
		times[i] = newHistogram()
		all.Go(func() {
			mails := make([]Mail, messages)
			for ctx.Err() == nil {
				next := int(played.Add(int64(messages))) - messages
				for k := range mails {
					mails[k] = l.Mails[(next+k)%len(l.Mails)]
				}
				start := time.Now()
				err := m.session(mails)
				if errors.Is(err, errRefused) {
					refused.Add(1)
					onceRefused.Do(func() { refusal = err })
					continue
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
	r := Run{Wall: time.Since(began), Refused: int(refused.Load()), Refusal: refusal, Times: newHistogram()}
	for _, h := range times {
		r.Times.Merge(h)
	}
	r.Sessions = int(r.Times.TotalCount())
	r.Messages = r.Sessions * messages
	if first == nil && !errors.Is(context.Cause(ctx), errTimeIsUp) {
		first = context.Cause(ctx)
	}
	return r, first
}

var errTimeIsUp = errors.New("time is up")
