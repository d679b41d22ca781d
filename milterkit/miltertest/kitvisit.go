package miltertest

import (
	"context"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

// A visit is one session past the child.
type visit struct {
	k      *kit
	s      *subject
	client *letter // of the session
	w      *milterkit.Walk
	hooked milterkit.Hooks // the child's own

	ctx    context.Context
	cancel context.CancelFunc
	cut    *cut
	direct bool // hooks run on the goroutine of the visit, as prompt ones do
	shared bool // memory is as milterkit's own: it is lost at Reset
	mild   bool // a Fail is right: the MTA offers nothing

	refused bool   // the session is refused
	greeted answer // to connect and helo

	// Of the message at hand.
	letter *letter
	mem    *memory
	names  [][]byte
	values [][]byte
	pieces [][]byte
	ended  bool // it is refused: the client goes on to the next
	bodies []newBodyGiven
	said   answer

	gone []*memory // of messages that are over
}

// A cut is a hook whose ctx is cancelled.
type cut struct {
	hook   string
	before bool // before it is called; else while it is under way
	done   bool
}

// newBodyGiven is a new body that the child has asked for.
type newBodyGiven struct {
	edit milterkit.Edit
	sum  uint32
}

// visit begins a session, for the client of a letter. with changes it before.
func (s *subject) visit(l *letter, with func(*visit)) *visit {
	v := &visit{k: s.k, s: s, client: l}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	if with != nil {
		with(v)
	}
	actions := milterkit.AllActions
	if v.mild {
		actions = 0
	}
	s.k.opening.Lock()
	s.k.opened = v
	v.w = s.k.d.Walk(actions)
	s.k.opening.Unlock()
	return v
}

// lost has the memory of messages lost at Reset.
func lost(v *visit) { v.shared = true }

// stageOrder is the order of the stages of a message.
var stageOrder = []milterkit.Stage{milterkit.StageConnect, milterkit.StageHelo, milterkit.StageMail, milterkit.StageRcpt,
	milterkit.StageData, milterkit.StageHeader, milterkit.StageBody, milterkit.StageMessage}

// greet plays connect and HELO.
func (v *visit) greet() {
	v.step(v.client, milterkit.StageConnect)
	v.step(v.client, milterkit.StageHelo)
	v.refused = v.ended
	v.greeted, v.said = v.said, nil
}

// send plays the message of a letter, up to a stage, without its end.
func (v *visit) send(l *letter, upTo milterkit.Stage) {
	for _, at := range stageOrder[2:] {
		if at <= upTo {
			v.step(l, at)
		}
	}
}

// message plays the message of a letter, and returns what the child said.
func (v *visit) message(l *letter) answer {
	v.send(l, milterkit.StageMessage)
	v.reset()
	return v.said
}

// over reports whether the message, or everything, is over before its time.
func (v *visit) over() bool { return v.ended || v.k.over() || v.cut != nil && v.cut.done }

// step plays one stage.
func (v *visit) step(l *letter, at milterkit.Stage) {
	c := &l.client
	if at == milterkit.StageMail {
		v.begin(l)
	}
	if v.over() {
		return
	}
	w, ctx := v.w, v.ctx
	switch at {
	case milterkit.StageConnect:
		v.macros(at, milterkit.Address{})
		v.heed(w.Connect(ctx, c.Host, c.Family, c.Addr, c.Port))
	case milterkit.StageHelo:
		if c.Helo != "" {
			v.macros(at, milterkit.Address{})
			v.heed(w.Helo(ctx, c.Helo))
		}
	case milterkit.StageMail:
		v.macros(at, l.from)
		v.heed(w.Mail(ctx, l.from))
	case milterkit.StageRcpt:
		v.recipients(l)
	case milterkit.StageData:
		v.macros(at, milterkit.Address{})
		v.heed(w.Data(ctx))
	case milterkit.StageHeader:
		v.macros(at, milterkit.Address{})
		for i := range v.names {
			w.Header(v.names[i], v.values[i])
		}
		w.EndOfHeader(ctx)
	case milterkit.StageBody:
		for _, p := range v.pieces {
			w.Body(ctx, p)
		}
	case milterkit.StageMessage:
		v.macros(at, milterkit.Address{})
		w.EndOfMessage(ctx)
	}
}

// begin begins a message, also where the session is refused: then it is a client
// that tries all the same, and nothing is said.
func (v *visit) begin(l *letter) {
	v.letter, v.said, v.bodies = l, nil, nil
	v.mem, v.names, v.values, v.pieces = l.memory()
	for _, command := range l.unknown {
		if !v.over() {
			v.w.Unknown(v.ctx, command)
		}
	}
}

// heed notes that a verdict ends the message.
func (v *visit) heed(answer milterkit.Verdict) {
	if answer.Final() {
		v.ended = true
	}
}

// recipients plays RCPT. A message without recipients ends there.
func (v *visit) recipients(l *letter) {
	taken := false
	for _, to := range l.refused {
		v.macros(milterkit.StageRcpt, to)
		v.w.RefusedRcpt(v.ctx, to)
	}
	for _, to := range l.to {
		if v.over() {
			return
		}
		v.macros(milterkit.StageRcpt, to)
		taken = !v.w.Rcpt(v.ctx, to).Final() || taken
	}
	v.ended = v.ended || !taken
}

// macros gives the macros of a stage.
func (v *visit) macros(at milterkit.Stage, a milterkit.Address) {
	l := v.letter
	if l == nil || at < milterkit.StageMail {
		l = v.client
	}
	v.w.Macros(at, pairSeq(l.macros(at, v.hooked.Macros[at], a)))
}

// reset ends the message.
func (v *visit) reset() {
	v.checkBodies()
	v.w.Reset()
	v.lose()
	v.ended = v.refused
}

// lose has the memory of the message lost.
func (v *visit) lose() {
	if v.mem == nil || v.k.halted() {
		return
	}
	v.checkWrites("Reset")
	if v.shared {
		v.mem.poison()
		v.gone = append(v.gone, v.mem)
	}
	v.mem = nil
}

// close ends the session.
func (v *visit) close() {
	v.w.Close()
	v.cancel()
	v.lose()
	if v.k.trying("WritesNothing") && !v.k.halted() {
		for _, m := range v.gone {
			if what := m.damage(); what != "" {
				v.k.fault("write late", "It writes to the bytes of a message that is over, which belong to other mail by then. It changed %s. Write to a copy: bytes.Clone(b).", what)
			}
		}
	}
}

// cutAfter is how long a hook is under way before its ctx is cancelled.
const cutAfter = 2 * time.Millisecond
