package milterkit

import (
	"errors"
	"time"
)

// A part is a child's part in one session: what it was told, what it has said
// for good, and its own view of what is going on.
type part struct {
	*Slot
	walk  *Walk
	index int
	hooks Hooks
	call  *call

	// Of the session.
	told     Stage   // the last of connect and helo that the child was told
	settled  bool    // its condition is settled, where that is at connect or helo
	holds    bool    // and it holds
	accepted bool    // it has accepted the session
	refusal  Verdict // it has refused the session, or would have, as a shadow
	saidAt   Stage   // where it did
	failed   error   // it failed at connect or helo: its default action is due at MAIL
	gone     error   // none of its hooks is called any more

	messagePart

	// The child's view. It has one of its own so that what a hook is shown
	// does not change under it, not even when it has been given up.
	sess    Session
	env     Envelope
	msg     Message
	earlier []saying // for its condition, while that is asked

	answer Verdict       // what the last hook said
	spent  time.Duration // in the child's hooks, in this message
}

// messagePart is a child's part in one message.
type messagePart struct {
	in      bool    // it was told MAIL
	out     bool    // it has accepted the message, or its default action has
	stuck   Verdict // its failure refuses the rest of the message
	refused Verdict // it has refused a message that it joined late
	hold    string  // its failure quarantines the message, for this reason

	// Of the content:
	live    bool // it is shown the content while that arrives
	headed  bool // it was told the header
	decided bool // its verdict is known before the end
	content Verdict
	said    Stage // where it gave that verdict

	// Where the condition is on recipients:
	shown      bool      // it holds for the recipient at hand
	recipients []Address // taken so far, of those for which it holds
	rcptMacros []macro   // of the last of them

	spoken  Verdict // what it has said of the message, or of the recipient at hand
	verdict Verdict // the last one that was not continue, for the log
	at      Stage   // where that was
	edits   int     // how many it asked for
}

// perRcpt reports whether the child takes part recipient by recipient.
func (p *part) perRcpt() bool { return p.When.Holds != nil && p.When.At == StageRcpt }

// concerned reports whether the message still goes to somebody for whom the child
// takes part.
func (p *part) concerned() bool { return !p.perRcpt() || len(p.recipients) > 0 }

// refuses reports whether the child has refused the session.
func (p *part) refuses() bool { return p.refusal.Final() && !p.Shadow }

// usable reports whether the child can be asked anything in this session.
func (p *part) usable() bool {
	return p.gone == nil && p.failed == nil && !p.accepted && !p.refusal.Final()
}

// ask runs a hook and returns what the child said.
func (p *part) ask(at Stage, run func(*call) Verdict) Verdict {
	return p.askWhere(at, run, p.hooks.Prompt)
}

// askWhere is ask; prompt says whether the hook may have the session's goroutine.
func (p *part) askWhere(at Stage, run func(*call) Verdict, prompt bool) Verdict {
	p.call.prompt = prompt
	if p.set(at, run) {
		p.walk.await()
	}
	return p.answer
}

// begin sets a hook going; Walk.await waits for it.
func (p *part) begin(at Stage, run func(*call) Verdict) {
	p.call.prompt = p.hooks.Prompt
	p.set(at, run)
}

// set sets a hook going. Where that can not be it reports false, and the answer
// says why.
func (p *part) set(at Stage, run func(*call) Verdict) bool {
	w, c := p.walk, p.call
	c.stage.Store(uint32(at))
	switch n := w.d.givenUp[p.index].Load(); {
	case p.gone != nil:
		p.answer = Fail(p.gone)
	case n >= w.d.maxGivenUp() && !w.ending:
		p.answer = Fail(ErrTooManyGivenUp)
	default:
		c.run = run
		c.timeout, c.content = p.commandTimeout(), w.atContent()
		if c.content {
			c.timeout = p.contentTimeout()
		}
		c.start = now()
		if c.limit = w.share(c.start); c.limit > c.start {
			p.look(at)
			w.start(c)
			return true
		}
		p.answer = Fail(ErrNoTimeLeft)
	}
	w.report.events.add(p, now(), 0)
	return false
}

// settle runs the condition. A condition that fails is the child's failure.
func (p *part) settle(at Stage, to Address) (holds bool, err error) {
	p.call.to = to
	p.earlier = p.walk.sayings(p.earlier, p.index)
	p.call.condition = true
	v := p.askWhere(at, runCondition, false)
	p.call.condition, p.earlier = false, p.earlier[:0]
	p.settled, p.holds = v.err == nil, v.kind == KindContinue
	return p.holds, v.err
}

// ---- connect and helo ----

// connectOrHelo asks the child at connect or helo.
func (p *part) connectOrHelo(at Stage) Verdict {
	if p.When.Holds != nil && p.When.At == at && p.gone == nil {
		p.failed = nil
		if _, err := p.settle(at, Address{}); err != nil {
			if p.walk.ctx.Err() != nil {
				return cutShort
			}
			p.failSession(at, err)
		}
	}
	switch {
	case p.When.Holds != nil && (p.When.At > at || !p.holds):
		return Continue
	case p.refuses():
		return p.refusal
	case !p.usable():
		return Continue
	}
	return p.catchUp(at)
}

// catchUp tells the child what it has missed of connect and helo, as far as
// the stage that is asked now.
func (p *part) catchUp(at Stage) Verdict {
	if p.told < StageConnect && p.walk.connected {
		if v := p.tell(StageConnect, runConnect); v.Final() || !p.usable() {
			return v
		}
	}
	if p.told < StageHelo && p.walk.greeted && at >= StageHelo {
		return p.tell(StageHelo, runHelo)
	}
	return Continue
}

// tell asks the child at connect or helo, and keeps what it says for good.
func (p *part) tell(at Stage, run func(*call) Verdict) Verdict {
	v := Continue
	if at == StageConnect && p.hooks.Connect != nil || at == StageHelo && p.hooks.Helo != nil {
		v = p.ask(at, run)
	}
	if v.kind == KindFail && p.walk.ctx.Err() != nil {
		return cutShort
	}
	p.note(at, v)
	switch v.kind {
	case KindFail:
		p.failSession(at, v.err)
		return Continue
	case KindDiscard:
		p.walk.warn(p, at, errors.New("a discard has no meaning here"))
		v = Continue
	case KindAccept:
		p.accepted = true
	case KindReject, KindTempFail:
		p.refusal, p.saidAt = v, at
		if p.Shadow {
			p.accepted = true
			return Continue
		}
	}
	p.told = at
	return v
}

// failSession remembers a failure at connect or helo until MAIL.
func (p *part) failSession(at Stage, err error) {
	p.walk.warn(p, at, err)
	p.failed = err
}

// ---- a message ----

// mail asks the child at MAIL.
func (p *part) mail() Verdict {
	if p.failed != nil {
		err := p.failed
		p.failed = nil
		return p.due(StageMail, err)
	}
	if p.When.Holds != nil {
		if p.perRcpt() {
			return Continue
		}
		// One that has never come to its stage, or failed there, is settled now.
		if p.gone == nil && (p.When.At == StageMail || !p.settled) {
			if _, err := p.settle(StageMail, Address{}); err != nil {
				return p.fail(StageMail, err)
			}
		}
		// Of a child that was given up it is not known: it fails, to be safe.
		if !p.holds && p.gone == nil {
			return Continue
		}
	}
	return p.join()
}

// join brings the child into the message, at MAIL or when it turns out later
// that it takes part.
func (p *part) join() Verdict {
	at := p.walk.stage
	switch {
	case p.refuses():
		return p.refusal
	case p.accepted:
		return Continue
	case p.gone != nil:
		return p.fail(at, p.gone)
	}
	v := p.catchUp(StageMail)
	switch {
	case v.Final() || p.accepted:
		return v
	case p.failed != nil:
		err := p.failed
		p.failed = nil
		return p.due(at, err)
	}
	p.in = true
	if p.hooks.Mail == nil {
		return Continue
	}
	v = p.heed(StageMail, p.ask(StageMail, runMail))
	if v.Final() && v.kind != KindDiscard && !p.stuck.Final() {
		p.refused, p.out = v, true
	}
	return v
}

// rcpt asks the child about a recipient.
func (p *part) rcpt(to Address) Verdict {
	p.shown = false
	if !p.out && !p.stuck.Final() { // what it has said was about another recipient
		p.spoken = Continue
	}
	switch {
	case p.stuck.Final():
		return p.stuck
	case p.perRcpt():
		if v, ask := p.rcptCondition(to); !ask {
			return v
		}
	case !p.in || p.out:
		return Continue
	}
	if p.hooks.Rcpt == nil {
		return Continue
	}
	p.call.to = to
	return p.heed(StageRcpt, p.ask(StageRcpt, runRcpt))
}

// rcptCondition settles a condition on recipients, and brings the child into
// the message at the first one for which it holds.
func (p *part) rcptCondition(to Address) (v Verdict, ask bool) {
	if p.accepted || p.out && !p.refused.Final() {
		return Continue, false
	}
	if p.gone == nil {
		before := p.rcptMacros
		p.rcptMacros = p.walk.sess.macros[StageRcpt]
		holds, err := p.settle(StageRcpt, to)
		if err != nil {
			return p.fail(StageRcpt, err), false
		}
		if !holds {
			p.rcptMacros = before
			return Continue, false
		}
	}
	if p.refused.Final() {
		return p.refused, false
	}
	p.shown = true
	if !p.in {
		if v := p.join(); v.Final() {
			return v, false
		}
	}
	return Continue, p.in && !p.out
}

// refusedRcpt tells the child of a recipient that the MTA has refused.
func (p *part) refusedRcpt(to Address) {
	if !p.in || p.out || p.stuck.Final() || p.perRcpt() || p.hooks.RefusedRcpt == nil {
		return
	}
	p.call.to = to
	if v := p.ask(StageRcpt, runRefusedRcpt); v.kind == KindFail {
		p.fail(StageRcpt, v.err)
	}
}

// data asks the child at DATA.
func (p *part) data() Verdict {
	switch {
	case p.stuck.Final():
		return p.stuck
	case !p.in || p.out || !p.concerned() || p.hooks.Data == nil:
		return Continue
	}
	return p.heed(StageData, p.ask(StageData, runData))
}

// unknown asks the child about a command that the MTA does not know.
func (p *part) unknown(line string) Verdict {
	contacted := p.in || p.told >= StageConnect && (p.When.Holds == nil || p.When.At <= StageHelo && p.holds)
	switch {
	case p.refuses():
		return p.refusal
	case !contacted || !p.usable() || p.out || p.stuck.Final() || p.hooks.Unknown == nil:
		return Continue
	}
	p.call.line = line
	v := p.ask(StageUnknown, runUnknown)
	switch {
	case v.kind == KindDiscard:
		p.walk.warn(p, StageUnknown, errors.New("a discard has no meaning here"))
		return Continue
	case p.in:
		if v = p.heed(StageUnknown, v); v.kind == KindDiscard {
			return Continue // the next stage that can say so will
		}
		return v
	case v.kind == KindFail:
		p.failSession(StageUnknown, v.err)
		return Continue
	case v.Final() && !p.Shadow:
		return v
	}
	return Continue
}

// heed does what a verdict within a message asks for, and returns what it
// means for the stage at hand.
func (p *part) heed(at Stage, v Verdict) Verdict {
	p.note(at, v)
	switch {
	case v.kind == KindFail:
		return p.fail(at, v.err)
	case v.kind == KindAccept:
		p.out = true
		return Continue
	case !v.Final():
		return Continue
	case p.Shadow:
		// A refused recipient is one of many; all else ends the message.
		if at != StageRcpt && at != StageUnknown || v.kind == KindDiscard {
			p.out = true
		}
		return Continue
	}
	return v
}

// fail logs a failure within a message, and does what the slot says.
func (p *part) fail(at Stage, err error) Verdict {
	if p.walk.ctx.Err() != nil {
		p.stuck = cutShort
		return p.stuck
	}
	p.walk.warn(p, at, err)
	return p.due(at, err)
}

// due gives the default action. It holds for all the rest of the message.
func (p *part) due(at Stage, err error) Verdict {
	p.note(at, Fail(err))
	if p.Shadow {
		p.out = true
		return Continue
	}
	if noneLeft(err) { // it is not the child that failed
		p.stuck = busy
		return p.stuck
	}
	switch p.defaultAction() {
	case DefaultAccept:
		p.out = true
		return Continue
	case DefaultQuarantine:
		p.out, p.hold = true, p.Child.Name()+" failed"
		return Continue
	case DefaultDiscard:
		p.stuck = Discard // also where this stage cannot say so
	case DefaultReject:
		p.stuck = Reject("")
	default:
		p.stuck = TempFail("")
	}
	return p.stuck
}

// defaultAction returns what is done in this session when the child fails. To
// hold a message takes an MTA that can.
func (p *part) defaultAction() DefaultAction {
	if p.DefaultAction == DefaultQuarantine && p.walk.sess.Actions&OpQuarantine.Action() == 0 {
		return DefaultTempFail
	}
	return p.DefaultAction
}

// note keeps a verdict for the log.
func (p *part) note(at Stage, v Verdict) {
	if v.kind != KindContinue {
		p.verdict, p.at = v, at
		if at >= StageMail {
			p.spoken = v
		}
	}
}

// reset ends the child's part in a message.
func (p *part) reset() {
	if p.in && p.gone == nil && p.hooks.Reset != nil {
		if v := p.ask(StageMessage, runReset); v.kind == KindFail {
			p.walk.warn(p, StageMessage, v.err)
		}
	}
	p.messagePart, p.spent = messagePart{}, 0
	if p.gone == nil { // else all this is left to the hook that has not returned
		p.call.edits.reset(0, p.walk.mta(), nil)
		p.call.piece, p.call.pieces = nil, nil
		p.msg, p.env = Message{}, Envelope{}
	}
}
