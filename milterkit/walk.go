package milterkit

import (
	"cmp"
	"context"
	"iter"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/milterkit/sdk/internal/overlay"
)

// progressEvery is how often an MTA is told that work goes on while hooks run.
// Sendmail waits 10 s for the next word at the end of a message.
const progressEvery = 5 * time.Second

// endTimeout bounds all children together at the end of a message, and at that
// of a session, where they are told and not asked. The MTA may be waiting for its
// next answer already, whose own time begins after this.
const endTimeout = time.Second

// hooksTimeout bounds all children together when they are asked for their hooks,
// which they have at hand. The MTA waits for the answer to the negotiation, and
// which one it is, is not known yet.
const hooksTimeout = 2 * time.Second

// Memory is what the bytes of a message stand in. A Walk holds on to it for a
// hook that does not return, for as long as that may look at it.
type Memory interface {
	Retain()
	Release()
}

// A Walk takes one SMTP session past the children, stage by stage. Its methods
// mirror [Hooks] and are called in the order of the stages, by one goroutine
// at a time. A stage that the MTA leaves out may be left out.
//
// The verdict that a method returns is what the MTA is to be told: Continue,
// Discard, or a refusal. Where ctx is done, hooks under way are told to stop, and
// the answer is 451 4.3.2: no child is to blame, and no default action decides.
type Walk struct {
	// OnProgress, where it is set, is called every five seconds while hooks run, so that the MTA can be told to
	// wait. It may be called on another goroutine, while a method of the Walk is under way, and must not panic.
	OnProgress func()

	// Memory, where it is set, holds the bytes given to Header and Body.
	Memory Memory

	d     *Dispatcher
	parts []part

	// What is known so far.
	sess      Session
	env       Envelope
	connected bool
	greeted   bool
	open      bool    // a message is under way
	messages  uint64  // so far
	ended     Verdict // the message is refused or discarded already

	content

	// Of the stage at hand.
	ctx   context.Context
	stage Stage
	first int // of the parts that are still to be asked
	began moment
	kind  mta // that asks, as far as it is known
	until moment

	opening bool // all parts are asked for their hooks
	ending  bool // a message or the session ends: all parts hear of it

	contentSince moment // when the content stage at hand began

	running      []running
	here         *call      // that of them which runs on the session's goroutine
	mu           sync.Mutex // held by the alarm's goroutine while it does the session's work
	away         bool       // the session is in a hook
	idle         []*worker
	wake         chan *call      // hooks that have returned; nil: something is due
	alarm        *time.Timer     // rings at alarmAt, if not before
	alarmAt      moment          // 0: it does not ring
	watched      context.Context // that wakes the session when it is done
	forget       func() bool     // ends that
	nextProgress moment
	report       report
}

// Walk begins the walk of one SMTP session past the children. actions are the
// changes to a message that the MTA takes. Close ends it.
func (d *Dispatcher) Walk(actions Actions) *Walk {
	w := &Walk{
		d:     d,
		parts: make([]part, len(d.slots)),
		sess:  Session{ID: d.lastID.Add(1), Actions: actions},
		wake:  make(chan *call, len(d.slots)+1), // with room for all, and for one ring
	}
	w.alarm = time.AfterFunc(time.Hour, w.ring)
	w.env.Session = &w.sess
	w.header = overlay.New(nil)
	calls := make([]call, len(d.slots))
	for i := range w.parts {
		p := &w.parts[i]
		p.Slot, p.walk, p.index, p.call = &d.slots[i], w, i, &calls[i]
		p.call.part = p
	}
	w.begin(context.Background(), StageConnect)
	w.opening, w.until = true, w.began.add(d.hooksTimeout)
	for i := range w.parts {
		w.parts[i].openHooks()
	}
	return w
}

// openHooks asks the child for its hooks of this session. That may go wrong as
// with any hook; then none of them is called.
func (p *part) openHooks() {
	w := p.walk
	w.first = p.index
	known := &w.d.prompt[p.index]
	v := p.askWhere(StageConnect, runHooks, known.Load())
	if v.kind != KindFail {
		p.hooks = p.call.hooks
		known.Store(p.hooks.Prompt)
		return
	}
	if p.gone == nil {
		p.gone = v.err
	}
	w.warn(p, StageConnect, v.err)
}

// Session returns what is known of the client so far. It is the Walk's own.
func (w *Walk) Session() *Session { return &w.sess }

// Macros sets the macros of a stage, before that stage is asked. It replaces
// those that the stage had.
func (w *Walk) Macros(at Stage, pairs iter.Seq2[string, string]) {
	var list []macro
	for name, value := range pairs {
		list = append(list, macro{name, value})
	}
	w.sess.macros.set(at, list)
}

// Connect tells of the client. host is its name as the MTA found it, addr its
// address as text, or a path.
func (w *Walk) Connect(ctx context.Context, host string, family Family, addr string, port uint16) Verdict {
	w.sess.Host, w.sess.Family, w.sess.Addr, w.sess.Port = host, family, addr, port
	w.sess.macros.clear(StageConnect)
	w.connected = true
	w.begin(ctx, StageConnect)
	return w.each(func(p *part) Verdict { return p.connectOrHelo(StageConnect) })
}

// ConnectAddr is Connect with an address of package net. An empty host is made of
// the address: "[192.0.2.1]".
func (w *Walk) ConnectAddr(ctx context.Context, host string, client net.Addr) Verdict {
	family, addr, port := FamilyUnknown, "", uint16(0)
	if at, err := netip.ParseAddrPort(client.String()); err == nil {
		ip := at.Addr().Unmap().WithZone("")
		family, addr, port = FamilyInet, ip.String(), at.Port()
		if ip.Is6() {
			family = FamilyInet6
		}
	} else if client.Network() == "unix" {
		family, addr = FamilyUnix, client.String()
	}
	if host == "" && family != FamilyUnix {
		host = "[" + addr + "]"
	}
	return w.Connect(ctx, cmp.Or(host, "localhost"), family, addr, port)
}

// Helo tells of a HELO or EHLO. It ends a message that is under way.
func (w *Walk) Helo(ctx context.Context, name string) Verdict {
	w.Reset()
	w.sess.Helo = name
	w.sess.macros.clear(StageHelo)
	w.greeted = true
	w.begin(ctx, StageHelo)
	for i := range w.parts {
		w.parts[i].told = min(w.parts[i].told, StageConnect)
	}
	return w.each(func(p *part) Verdict { return p.connectOrHelo(StageHelo) })
}

// Mail begins a message. One that is under way is ended first. A refusal
// refuses the message: until the next Mail every stage gets the same answer.
func (w *Walk) Mail(ctx context.Context, sender Address) Verdict {
	w.Reset()
	w.open = true
	w.messages++
	w.env = Envelope{Session: &w.sess, Sender: sender}
	w.sess.macros.clear(StageMail)
	w.report.begin()
	for i := range w.parts {
		w.parts[i].spent = 0
	}
	w.begin(ctx, StageMail)
	v := w.each((*part).mail)
	if v.Final() {
		w.ended = v
	}
	return v
}

// Rcpt tells of a recipient. A refusal refuses that recipient.
func (w *Walk) Rcpt(ctx context.Context, to Address) Verdict {
	if w.ended.Final() {
		return w.ended
	}
	w.sess.macros.clear(StageRcpt)
	w.begin(ctx, StageRcpt)
	v := w.each(func(p *part) Verdict { return p.rcpt(to) })
	switch {
	case v.kind == KindDiscard:
		w.ended = v
	case !v.Final():
		// What hooks were shown of these lists is never written to again.
		w.env.Recipients = append(w.env.Recipients, to)
		for i := range w.parts {
			if p := &w.parts[i]; p.perRcpt() && p.shown {
				p.recipients = append(p.recipients, to)
			}
		}
	}
	return v
}

// RefusedRcpt tells of a recipient that the MTA itself has refused.
func (w *Walk) RefusedRcpt(ctx context.Context, to Address) {
	if w.ended.Final() {
		return
	}
	w.begin(ctx, StageRcpt)
	w.each(func(p *part) Verdict { p.refusedRcpt(to); return Continue })
	w.sess.macros.set(StageRcpt, nil) // they say that it was refused
}

// Data tells of DATA. A refusal refuses the command; the message may still go
// on with more recipients and another DATA.
func (w *Walk) Data(ctx context.Context) Verdict {
	if w.ended.Final() {
		return w.ended
	}
	w.sess.macros.clear(StageData)
	w.report.data = Continue
	w.begin(ctx, StageData)
	v := w.each((*part).data)
	if v.kind == KindDiscard {
		w.ended = v
	}
	return v
}

// Unknown tells of a command that the MTA does not know.
func (w *Walk) Unknown(ctx context.Context, line string) Verdict {
	w.begin(ctx, StageUnknown)
	return w.each(func(p *part) Verdict { return p.unknown(line) })
}

// Reset ends the message that is under way, if there is one, however it stands.
// When it returns, the memory given to Header and Body is free, but for what
// Memory has been asked to retain.
func (w *Walk) Reset() {
	if !w.open {
		return
	}
	w.beginEnding()
	w.tell()
	w.report.events.begin() // what comes before the next message is the session's
	for i := range w.parts {
		w.first = i
		w.parts[i].reset()
	}
	w.open, w.ended = false, Continue
	w.env = Envelope{Session: &w.sess}
	w.content.reset()
}

// Close ends the session, and a message that is under way.
func (w *Walk) Close() {
	defer w.endWorkers() // also where a hook ends the goroutine
	w.Reset()
	w.beginEnding()
	for i := range w.parts {
		w.first = i
		if p := &w.parts[i]; p.gone == nil && p.hooks.Close != nil {
			if v := p.ask(StageUnknown, runClose); v.kind == KindFail {
				w.warn(p, StageUnknown, v.err)
			}
		}
	}
}

func (w *Walk) endWorkers() {
	for _, k := range w.idle {
		k.end()
	}
	w.idle = nil
	w.alarm.Stop()
	w.unwatch()
}

// begin starts the time that all children together have for a stage.
func (w *Walk) begin(ctx context.Context, at Stage) {
	w.began, w.kind = now(), mtaOf(w.sess.Macro("v"))
	limit := w.mta().stageTimeout(or(w.d.StageTimeout, DefaultStageTimeout))
	w.ctx, w.stage, w.first, w.opening, w.ending = ctx, at, 0, false, false
	w.until, w.nextProgress = w.began.add(limit), w.began.add(progressEvery)
}

// beginEnding is begin for the end of a message or of the session. The MTA may
// be waiting already for the answer to what it says next.
func (w *Walk) beginEnding() {
	w.begin(context.Background(), StageUnknown)
	w.ending, w.until = true, w.began.add(endTimeout)
}

// each asks the parts in order; the first final verdict is the answer, and the
// parts after it are not asked.
func (w *Walk) each(ask func(*part) Verdict) Verdict {
	for i := range w.parts {
		w.first = i
		if v := ask(&w.parts[i]); v.Final() {
			w.report.decide(&w.parts[i], w.stage, v)
			return v
		}
	}
	return Continue
}

// share returns until when the child at hand may work: the time that is left
// is split over the children that may still be asked. Those of a group that are
// asked at the same time have one share.
func (w *Walk) share(from moment) moment {
	left, counted := 1, true
	for i := w.first + 1; i < len(w.parts); i++ {
		p := &w.parts[i]
		if !p.Together || !w.atContent() {
			counted = false
		}
		if !counted && p.waits() {
			left++
			counted = true
		}
	}
	return from.add(w.until.sub(from) / time.Duration(left))
}

// atContent reports whether the content of a message is at hand.
func (w *Walk) atContent() bool { return w.stage >= StageHeader && w.stage <= StageMessage }

// waits reports whether the child may still be asked at the stage at hand.
func (p *part) waits() bool {
	switch {
	case p.gone != nil:
		return false
	case p.walk.opening, p.walk.ending:
		return true
	case p.walk.atContent():
		return p.wantsContent() && !p.decided
	case !p.usable() || p.out:
		return false
	}
	// One that may join now is told of earlier stages too.
	return p.hooks.has(p.walk.stage) || p.When.Holds != nil && !p.in
}
