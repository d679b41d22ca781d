package milterkit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Progress says that the hook that was given ctx is still at work: its content
// timeout starts anew. It does not extend the time of all children together,
// nor that of hooks up to Data.
func Progress(ctx context.Context) {
	if h, ok := ctx.Value(hookCtxKey{}).(*hookCtx); ok {
		h.progress.Store(int64(now()))
	}
}

// A moment is a time on the monotonic clock, counted from epoch; 0: never. (It is
// negative in a bubble of synctest.) To ask for it costs half of what time.Now
// does, and a stage asks several times.
type moment time.Duration

var epoch = time.Now()

func now() moment { return moment(time.Since(epoch)) }

// add returns the moment d later.
func (m moment) add(d time.Duration) moment { return m + moment(d) }

// sub returns how much later m is than other.
func (m moment) sub(other moment) time.Duration { return time.Duration(m - other) }

// time returns the moment by the clock as it is set now, which may not be as it was at
// epoch.
func (m moment) time() time.Time {
	t := time.Now()
	return t.Add(time.Duration(m) - t.Sub(epoch))
}

// hookCtxKey finds the hookCtx from a context made of it.
type hookCtxKey struct{}

// A hookCtx is the ctx of one hook. It has no deadline of its own: the session
// that waits for the hook cancels it. A channel is made only if somebody asks
// for it, so that a hook which looks at nothing costs nothing.
type hookCtx struct {
	parent   context.Context
	progress atomic.Int64 // the moment when Progress was called last

	mu        sync.Mutex
	inner     context.Context // made when Done is first asked for
	stop      context.CancelFunc
	cancelled bool
	after     func() // called when the hook is told to stop
	forget    func() bool
}

// open returns the context that stands behind h, and makes it if need be.
func (h *hookCtx) open() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.inner == nil {
		h.inner, h.stop = context.WithCancel(h.parent)
		if h.cancelled {
			h.stop()
		}
	}
	return h.inner
}

// cancel tells the hook to stop.
func (h *hookCtx) cancel() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cancelled = true
	if h.stop != nil {
		h.stop()
	}
	if h.after != nil {
		go h.after()
		h.after = nil
	}
}

// AfterFunc is [context.AfterFunc] for this ctx: it has f called, in a goroutine
// of its own, when the hook is told to stop, and stop prevents that. It makes no
// channel and allocates nothing, for one f at a time. stop must be called before
// the hook returns.
func (h *hookCtx) AfterFunc(f func()) (stop func() bool) {
	h.mu.Lock()
	if h.after == nil && h.inner == nil && !h.cancelled {
		defer h.mu.Unlock()
		if h.forget == nil {
			h.forget = h.forgetAfter
		}
		h.after = f
		return h.forget
	}
	h.mu.Unlock()
	return context.AfterFunc(h.open(), f)
}

// forgetAfter reports false where the function has been called already.
func (h *hookCtx) forgetAfter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	waiting := h.after != nil
	h.after = nil
	return waiting
}

// pristine reports whether nobody holds on to h.
func (h *hookCtx) pristine() bool { return h.inner == nil && !h.cancelled && h.after == nil }

// reuse makes h the ctx of another hook, below parent. It reports false where
// somebody may hold on to h.
func (h *hookCtx) reuse(parent context.Context) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.pristine() {
		return false
	}
	h.parent = parent
	return true
}

// release ends h with its hook, for those who hold on to it.
func (h *hookCtx) release() {
	h.mu.Lock()
	held := !h.pristine()
	h.mu.Unlock()
	if held {
		h.cancel()
	}
}

// above returns the context that h stands on.
func (h *hookCtx) above() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.inner != nil {
		return h.inner
	}
	return h.parent
}

func (h *hookCtx) Deadline() (time.Time, bool) { return h.above().Deadline() }
func (h *hookCtx) Done() <-chan struct{}       { return h.open().Done() }

func (h *hookCtx) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.inner != nil:
		return h.inner.Err()
	case h.cancelled:
		return context.Canceled
	}
	return h.parent.Err()
}

func (h *hookCtx) Value(key any) any {
	if _, ok := key.(hookCtxKey); ok {
		return h
	}
	return h.above().Value(key)
}
