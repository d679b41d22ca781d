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
		h.progress.Store(int64(time.Since(epoch)))
	}
}

// epoch is what moments are counted from where they are kept as a number, so
// that they stay on the monotonic clock.
var epoch = time.Now()

// hookCtxKey finds the hookCtx from a context made of it.
type hookCtxKey struct{}

// A hookCtx is the ctx of one hook. It has no deadline of its own: the session
// that waits for the hook cancels it. A channel is made only if somebody asks
// for it, so that a hook which looks at nothing costs nothing.
type hookCtx struct {
	parent   context.Context
	progress atomic.Int64 // when Progress was called last, since epoch

	mu        sync.Mutex
	inner     context.Context // made when Done is first asked for
	stop      context.CancelFunc
	cancelled bool
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
}

// pristine reports whether nobody has asked for the channel, so that h may
// serve the next hook.
func (h *hookCtx) pristine() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.inner == nil && !h.cancelled
}

func (h *hookCtx) Deadline() (time.Time, bool) { return h.parent.Deadline() }
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
	h.mu.Lock()
	inner := h.inner
	h.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return h.parent.Value(key)
}
