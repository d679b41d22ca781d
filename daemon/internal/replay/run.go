package replay

import (
	"context"
	"iter"
	"sync"
)

// A Turn is one message and what became of it.
type Turn struct {
	Letter  Letter
	Results []*Result // of each chain; none where Err is set
	Err     error     // it could not be read, or milterkit failed
}

// A job is a turn on its way through Run.
type job struct {
	Turn
	done chan struct{} // closed when the turn is over
}

// Run takes letters past chains: each of the crews, which are players of the chains in
// their order, takes one letter at a time, past one chain after the other. Each is told
// of the letters in their order, by this goroutine, and may end it all with an error.
// Letters are read as they are needed: two or three for each crew are in memory. When
// ctx is done no more are, those under way are broken off, and its error is returned.
func Run(ctx context.Context, letters iter.Seq2[Letter, error], crews [][]*Player, each func(*Turn) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	work := make(chan *job)                // to the next crew that is free
	order := make(chan *job, 2*len(crews)) // as they were read
	for _, players := range crews {
		working.Go(func() {
			for j := next(ctx, work); j != nil; j = next(ctx, work) {
				j.play(ctx, players)
				close(j.done)
			}
		})
	}
	// It is not waited for: nothing ends a read of a pipe that nobody writes to.
	go handOut(ctx, letters, order, work)
	for {
		j := next(ctx, order)
		if j == nil {
			return ctx.Err()
		}
		select {
		case <-j.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if j.Err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := each(&j.Turn); err != nil {
			return err
		}
	}
}

// handOut reads the letters, and gives each to both channels.
func handOut(ctx context.Context, letters iter.Seq2[Letter, error], order, work chan<- *job) {
	defer close(order)
	defer close(work)
	for l, err := range letters {
		j := &job{Turn{Letter: l, Err: err}, make(chan struct{})}
		if err != nil {
			close(j.done)
		}
		if !give(ctx, order, j) || err == nil && !give(ctx, work, j) {
			return
		}
	}
}

func give(ctx context.Context, to chan<- *job, j *job) bool {
	select {
	case to <- j:
		return true
	case <-ctx.Done():
		return false
	}
}

// next returns nil where there is no more, or ctx is done.
func next(ctx context.Context, from <-chan *job) *job {
	select {
	case j := <-from:
		return j
	case <-ctx.Done():
		return nil
	}
}

// play takes the letter past the chains.
func (t *Turn) play(ctx context.Context, players []*Player) {
	for _, p := range players {
		r, err := p.Play(ctx, &t.Letter)
		if err != nil {
			t.Results, t.Err = nil, err
			return
		}
		t.Results = append(t.Results, r)
	}
}
