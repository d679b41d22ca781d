package milterkit

import (
	"context"
	"net"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"
)

// Hooks run on worker goroutines while their session waits, so that a hook
// that does not return costs its own timeout and nothing else: the worker and
// the memory that the hook was shown are then left to it.
//
// Hooks that promise to return (Hooks.Prompt) run on the goroutine of the session
// itself, of a group of them one. To hand a hook to another goroutine wakes another
// thread, twice, and costs more than most of what else is done for it.

// grace is how long a hook may take to return after its ctx is done, before it
// is given up.
const grace = 200 * time.Millisecond

// A call is one hook under way. There is one for each part of a session, used
// again and again until a hook is given up with it.
type call struct {
	part  *part
	stage atomic.Uint32 // the Stage of the hook that is running
	run   func(*call) Verdict
	ctx   *hookCtx
	hooks Hooks // of the child, as the worker got them

	// Arguments, as far as the hook has them. They are here and not in the
	// part, which goes on changing when the hook has been given up.
	to     Address
	line   string
	piece  []byte
	pieces net.Buffers // of the body, for a Body hook that was not shown them yet
	headed bool        // the child was told the header
	live   bool        // it was shown the body
	prompt bool        // it has promised to return

	condition bool // it is the child's condition
	edits     Edits

	// Of the session that waits.
	start   moment
	timeout time.Duration
	content bool   // the timeout is started anew by Progress
	limit   moment // when the time of all children together is over
	stopped moment // when the hook was told to stop; 0: it was not
	memory  Memory // left to the hook when it was given up

	verdict Verdict
	took    time.Duration
	state   atomic.Int32
}

// States of a call: a hook either returns in time or is given up, never both.
const (
	callRunning int32 = iota
	callReturned
	callGivenUp
)

// due returns when the session must look after the call next.
func (c *call) due() moment {
	if c.stopped != 0 {
		return c.stopped.add(grace)
	}
	from := c.start
	if m := moment(c.ctx.progress.Load()); m != 0 && c.content {
		from = max(from, m)
	}
	return min(from.add(c.timeout), c.limit)
}

// A worker runs one hook at a time.
type worker struct {
	jobs   chan *call
	exited chan struct{}
}

func startWorker() *worker {
	k := &worker{jobs: make(chan *call), exited: make(chan struct{})}
	go k.loop()
	return k
}

func (k *worker) loop() {
	growStack()
	// A message beyond max_memory is read from a mapped file: if the disk fails,
	// that is the failure of one hook.
	debug.SetPanicOnFault(true)
	again := false // a hook has called runtime.Goexit: go on in another goroutine
	defer func() {
		if again {
			go k.loop()
		} else {
			close(k.exited)
		}
	}()
	for c := range k.jobs {
		c.invoke(&again)
		if !again {
			return
		}
		again = false
	}
}

// invoke runs the hook, and leaves in wanted whether its session still waited
// for it. The hook may end the goroutine: then invoke does not return.
func (c *call) invoke(wanted *bool) {
	returned := false
	defer func() {
		if !returned {
			c.verdict = Fail(&PanicError{Value: recover(), Stack: debug.Stack()})
		}
		*wanted = c.finish()
	}()
	c.verdict = c.run(c)
	returned = true
}

// finish hands the verdict to the session. If that has given the hook up, the
// child's part ends here.
func (c *call) finish() bool {
	c.took = now().sub(c.start)
	if c.state.CompareAndSwap(callRunning, callReturned) {
		c.part.walk.wake <- c
		return true
	}
	c.part.walk.d.givenUp[c.part.index].Add(-1)
	c.closeHooks()
	if c.memory != nil {
		c.memory.Release()
	}
	return false
}

// closeHooks ends the child's part in a session that has given it up.
func (c *call) closeHooks() {
	defer func() { _ = recover() }() // nobody is left to hear of it
	runClose(c)
}

// over reports whether the hook was told to stop.
func (c *call) over() bool { return c.ctx.Err() != nil }

// start sets a hook going: on a worker, or, where it has promised to return, here,
// as soon as the session waits.
func (w *Walk) start(c *call) {
	if c.ctx == nil || !c.ctx.reuse(w.ctx) {
		c.ctx = &hookCtx{parent: w.ctx}
	}
	c.stopped = 0
	if c.prompt && w.here == nil {
		w.here = c
		w.running = append(w.running, running{c, nil})
		return
	}
	c.state.Store(callRunning)
	var k *worker
	if n := len(w.idle); n > 0 {
		k, w.idle = w.idle[n-1], w.idle[:n-1]
	} else {
		k = startWorker()
	}
	w.running = append(w.running, running{c, k})
	k.jobs <- c
}

// running is a call and the worker that it runs on; nil: it runs on the session's
// own goroutine.
type running struct {
	*call
	worker *worker
}

// back reports whether the hook has returned, and waits only for the session to hear
// of it: nothing is due any more.
func (r running) back() bool { return r.worker != nil && r.state.Load() == callReturned }

// await waits until every hook under way has returned or is given up. While it
// waits it has the MTA told every now and then that work is going on.
func (w *Walk) await() {
	if len(w.running) == 0 {
		return
	}
	w.watch()
	if w.here != nil {
		w.runHere()
	}
	for len(w.running) > 0 {
		w.setAlarm()
		if c := <-w.wake; c != nil {
			w.returned(c)
		} else {
			w.tick()
		}
	}
	// One worker a session is kept; a group's others have done their work.
	for len(w.idle) > 1 {
		k := w.idle[len(w.idle)-1]
		w.idle = w.idle[:len(w.idle)-1]
		close(k.jobs) // it ends in its own time
	}
}

// runHere runs a hook on this goroutine. Meanwhile the alarm's does what the
// session does when it waits.
func (w *Walk) runHere() {
	w.mu.Lock()
	w.away = true
	if w.ctx.Err() != nil || len(w.wake) > 0 { // it may have rung just before
		w.tick()
	}
	w.setAlarm()
	w.mu.Unlock()
	c := w.here
	defer func() { // also where the hook ends the goroutine
		w.mu.Lock()
		w.away = false
		w.mu.Unlock()
		w.here = nil
		w.returned(c)
	}()
	c.verdict = Fail(errHookExit)
	c.invokeHere()
}

// invokeHere runs the hook.
func (c *call) invokeHere() {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			c.verdict, c.took = Fail(&PanicError{Value: r, Stack: debug.Stack()}), now().sub(c.start)
		}
	}()
	c.verdict = c.run(c)
	c.took = now().sub(c.start)
}

// ring wakes the session, if it waits, or does its work while a hook has it. It is
// called by other goroutines.
func (w *Walk) ring() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		w.tick()
		w.setAlarm()
		return
	}
	select {
	case w.wake <- nil:
	default: // it will wake up anyway
	}
}

// tick does what is due.
func (w *Walk) tick() {
	now := now()
	if now >= w.alarmAt {
		w.alarmAt = 0 // it has rung
	}
	if w.ctx.Err() != nil {
		for _, r := range w.running {
			r.stop()
		}
	}
	w.expire(now)
}

// watch has the session woken when the ctx at hand is done. For a ctx that lasts
// from stage to stage that is set up once.
func (w *Walk) watch() {
	if w.ctx.Done() == nil {
		return
	}
	if w.ctx != w.watched {
		w.unwatch()
		w.watched = w.ctx
		w.forget = context.AfterFunc(w.ctx, w.ring)
	}
	if w.ctx.Err() != nil {
		w.ring()
	}
}

func (w *Walk) unwatch() {
	if w.forget != nil {
		w.forget()
	}
	w.watched, w.forget = nil, nil
}

// setAlarm sees to it that the session is woken when something is due. An alarm
// that rings earlier is left as it is: nearly always the hook has returned long
// before, and the next one is due later.
func (w *Walk) setAlarm() {
	due := w.nextProgress
	for _, r := range w.running {
		if d := r.due(); d < due && !r.back() && (r.worker != nil || r.stopped == 0) {
			due = d
		}
	}
	if w.alarmAt != 0 && w.alarmAt <= due && w.alarmAt > w.running[0].start {
		return
	}
	w.alarmAt = due
	w.alarm.Reset(due.sub(now()))
}

func (k *worker) end() {
	close(k.jobs)
	<-k.exited
}

// stop tells the hook that its time is over.
func (c *call) stop() {
	if c.stopped == 0 {
		c.stopped = now()
		c.ctx.cancel()
	}
}

// returned takes a hook that has come back out of those under way.
func (w *Walk) returned(c *call) {
	i := slices.IndexFunc(w.running, func(r running) bool { return r.call == c })
	if k := w.running[i].worker; k != nil {
		w.idle = append(w.idle, k)
	}
	w.running = slices.Delete(w.running, i, i+1)
	c.part.answer = c.verdict
	if c.stopped != 0 || w.ctx.Err() != nil { // it may have seen that before we did
		c.part.answer = Fail(w.stopReason())
	}
	c.ctx.release()
	c.part.spent += c.took
	w.report.events.add(c.part, c.start, c.took)
}

// stopReason says why hooks were told to stop.
func (w *Walk) stopReason() error {
	if err := w.ctx.Err(); err != nil {
		return context.Cause(w.ctx)
	}
	return ErrTimeout
}

// expire looks after the hooks whose time is over, and after the MTA.
func (w *Walk) expire(now moment) {
	w.running = slices.DeleteFunc(w.running, func(r running) bool {
		switch {
		case r.back(), now < r.due():
			return false
		case r.stopped == 0:
			r.stop()
			return false
		}
		return r.worker != nil && w.giveUp(r.call)
	})
	if now >= w.nextProgress {
		w.nextProgress = now.add(progressEvery)
		if w.OnProgress != nil {
			w.OnProgress()
		}
	}
}

// giveUp leaves a hook that does not return to itself, with its worker and the
// memory that it was shown. It reports false if the hook came back just now.
func (w *Walk) giveUp(c *call) bool {
	c.memory = w.Memory
	if c.memory != nil {
		c.memory.Retain()
	}
	w.d.givenUp[c.part.index].Add(1)
	if !c.state.CompareAndSwap(callRunning, callGivenUp) {
		w.d.givenUp[c.part.index].Add(-1)
		if c.memory != nil {
			c.memory.Release()
		}
		return false
	}
	w.leaveMemory()
	c.part.gone = ErrGivenUp
	c.part.answer = Fail(w.stopReason())
	took := now().sub(c.start)
	c.part.spent += took
	w.report.events.add(c.part, c.start, took)
	return true
}
