package milterkit

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
)

// The model is the specification of the Dispatcher: it asks the children one
// after another, on private copies, and knows nothing of workers, time, live
// content or memory. Children that run together each get a copy of the same
// message, and their edits are then made in order, on the fields they meant.

type model struct {
	kids               []*kid
	sess               Session
	env                Envelope
	connected, greeted bool
	open               bool
	ended              Verdict
	header             []*mfield
	body               net.Buffers
	edits              []Edit // those that are not of the header
}

// mfield is a field of the header; copies of a header share its identity.
type mfield struct {
	id          int
	name, value string
	gone        bool
}

type kid struct {
	*Slot
	hooks Hooks
	// Of the session.
	told           Stage
	settled, holds bool
	accepted       bool
	refusal        Verdict
	failed         error
	ofSession      Verdict // what it has said of that
	// Of the message.
	in, out, shown bool
	stuck, refused Verdict
	said           Verdict // of the message, or of the recipient at hand
	hold           bool
	rcpts          []Address
	macros         []macro
	content        Edits
}

func newModel(actions Actions, slots []Slot) *model {
	m := &model{sess: Session{ID: 1, Actions: actions}}
	for i := range slots {
		m.kids = append(m.kids, &kid{Slot: &slots[i], hooks: slots[i].Child.Hooks()})
	}
	return m
}

// view is what a child may know at a stage.
func (m *model) view(k *kid, at Stage) *Envelope {
	s := m.sess
	if k.perRcpt() {
		s.macros[StageRcpt] = k.macros
	}
	for st := range stages {
		if st > at && at != StageUnknown {
			s.macros[st] = nil
		}
	}
	e := &Envelope{Session: &s}
	if at < StageHelo {
		s.Helo = ""
	}
	if at >= StageMail {
		e.Sender = m.env.Sender
	}
	if at >= StageRcpt {
		e.Recipients = slices.Clone(m.env.Recipients)
		if k.perRcpt() {
			e.Recipients = slices.Clone(k.rcpts)
		}
	}
	return e
}

func (k *kid) perRcpt() bool { return k.When.Holds != nil && k.When.At == StageRcpt }

// concerned reports whether the child is in the message, for some recipient.
func (k *kid) concerned() bool { return k.in && !k.out && (!k.perRcpt() || len(k.rcpts) > 0) }

// guard turns a panic into a failure.
func guard(f func() Verdict) (v Verdict) {
	defer func() {
		if r := recover(); r != nil {
			v = Fail(&PanicError{Value: r})
		}
	}()
	return f()
}

func (m *model) settle(k *kid, at Stage, to Address) error {
	v := guard(func() Verdict {
		e := m.view(k, at)
		for _, other := range m.kids {
			if other == k {
				break
			}
			said := other.said
			switch {
			case said != Continue:
			case other.failed != nil:
				said = Fail(other.failed)
			default:
				said = other.ofSession
			}
			if said.Final() && !other.Shadow { // of something else, or nobody would be asked
				said = Continue
			}
			e.earlier = append(e.earlier, saying{other.Child.Name(), said})
		}
		if k.When.Holds(context.Background(), e, to) {
			return Continue
		}
		return Accept
	})
	k.settled, k.holds = v.err == nil, v.kind == KindContinue
	return v.err
}

func (m *model) each(ask func(*kid) Verdict) Verdict {
	for _, k := range m.kids {
		if v := ask(k); v.Final() {
			return v
		}
	}
	return Continue
}

func (m *model) connectOrHelo(at Stage) Verdict {
	return m.each(func(k *kid) Verdict {
		if k.When.Holds != nil && k.When.At == at {
			k.failed = m.settle(k, at, Address{})
		}
		switch {
		case k.When.Holds != nil && (k.When.At > at || !k.holds), k.accepted, k.failed != nil:
			return Continue
		case k.refusal.Final():
			return k.refusal
		}
		return m.catchUp(k, at)
	})
}

// catchUp tells a child connect and helo, if it has not heard of them.
func (m *model) catchUp(k *kid, at Stage) Verdict {
	for _, st := range []Stage{StageConnect, StageHelo} {
		happened := st == StageConnect && m.connected || st == StageHelo && m.greeted
		if k.told >= st || !happened || st > at || k.accepted || k.failed != nil {
			continue
		}
		s, hook := m.view(k, st).Session, k.hooks.Connect
		if st == StageHelo {
			hook = k.hooks.Helo
		}
		v := Continue
		if hook != nil {
			v = guard(func() Verdict { return hook(context.Background(), s) })
		}
		if v != Continue && v != Discard && v.kind != KindFail {
			k.ofSession = v
		}
		switch {
		case v.kind == KindFail:
			k.failed = v.err
			return Continue
		case v.kind == KindAccept, v.kind >= KindTempFail && k.Shadow:
			k.accepted = true
		case v.kind >= KindTempFail:
			k.refusal = v
			return v
		}
		k.told = st
	}
	return Continue
}

func (m *model) mail(sender Address) Verdict {
	m.reset()
	m.open, m.env = true, Envelope{Session: &m.sess, Sender: sender}
	m.sess.macros.clear(StageMail)
	m.ended = m.each(func(k *kid) Verdict {
		if err := k.failed; err != nil {
			k.failed = nil
			return m.fail(k)
		}
		if k.When.Holds != nil {
			if k.perRcpt() {
				return Continue
			}
			if k.When.At == StageMail || !k.settled {
				if m.settle(k, StageMail, Address{}) != nil {
					return m.fail(k)
				}
			}
			if !k.holds {
				return Continue
			}
		}
		return m.join(k)
	})
	return m.ended
}

func (m *model) join(k *kid) Verdict {
	if k.refusal.Final() {
		return k.refusal
	}
	if k.accepted {
		return Continue
	}
	if v := m.catchUp(k, StageMail); v.Final() || k.accepted {
		return v
	}
	if k.failed != nil {
		k.failed = nil
		return m.fail(k)
	}
	k.in = true
	if k.hooks.Mail == nil {
		return Continue
	}
	e := m.view(k, StageMail)
	v := m.heed(k, StageMail, guard(func() Verdict { return k.hooks.Mail(context.Background(), e) }))
	if v.kind >= KindTempFail && !k.stuck.Final() {
		k.refused, k.out = v, true
	}
	return v
}

// heed does what a verdict on a message asks for.
func (m *model) heed(k *kid, at Stage, v Verdict) Verdict {
	if v != Continue {
		k.said = v
	}
	switch {
	case v.kind == KindFail:
		return m.fail(k)
	case v.kind == KindAccept:
		k.out = true
	case v.Final() && !k.Shadow:
		return v
	case v.kind == KindDiscard, v.Final() && at != StageRcpt && at != StageUnknown:
		k.out = true
	}
	return Continue
}

// fail is the default action.
func (m *model) fail(k *kid) Verdict {
	k.said = Fail(nil)
	action := k.DefaultAction
	if action == DefaultQuarantine && m.sess.Actions&OpQuarantine.Action() == 0 {
		action = DefaultTempFail
	}
	switch {
	case k.Shadow, action == DefaultAccept:
		k.out = true
		return Continue
	case action == DefaultQuarantine:
		k.out, k.hold = true, true
		return Continue
	case action == DefaultDiscard:
		k.stuck = Discard
	case action == DefaultReject:
		k.stuck = Reject("")
	default:
		k.stuck = TempFail("")
	}
	return k.stuck
}

func (m *model) rcpt(to Address) Verdict {
	if m.ended.Final() {
		return m.ended
	}
	m.sess.macros.clear(StageRcpt)
	v := m.each(func(k *kid) Verdict { return m.askRcpt(k, to) })
	if v.kind == KindDiscard {
		m.ended = v
	} else if !v.Final() {
		m.env.Recipients = append(m.env.Recipients, to)
		for _, k := range m.kids {
			if k.perRcpt() && k.shown {
				k.rcpts = append(k.rcpts, to)
			}
		}
	}
	return v
}

func (m *model) askRcpt(k *kid, to Address) Verdict {
	k.shown = false
	if k.stuck.Final() {
		return k.stuck
	}
	if !k.out {
		k.said = Continue
	}
	if k.perRcpt() {
		if k.accepted || k.out && !k.refused.Final() {
			return Continue
		}
		before := k.macros
		k.macros = m.sess.macros[StageRcpt]
		if m.settle(k, StageRcpt, to) != nil {
			return m.fail(k)
		}
		if !k.holds {
			k.macros = before
			return Continue
		}
		if k.refused.Final() {
			return k.refused
		}
		k.shown = true
		if !k.in {
			if v := m.join(k); v.Final() {
				return v
			}
		}
	}
	if !k.in || k.out || k.hooks.Rcpt == nil {
		return Continue
	}
	e := m.view(k, StageRcpt)
	return m.heed(k, StageRcpt, guard(func() Verdict { return k.hooks.Rcpt(context.Background(), e, to) }))
}

func (m *model) refusedRcpt(to Address) {
	if m.ended.Final() {
		return
	}
	m.each(func(k *kid) Verdict {
		if k.in && !k.out && !k.stuck.Final() && !k.perRcpt() && k.hooks.RefusedRcpt != nil {
			e := m.view(k, StageRcpt)
			if guard(func() Verdict { return k.hooks.RefusedRcpt(context.Background(), e, to) }).kind == KindFail {
				m.fail(k)
			}
		}
		return Continue
	})
	m.sess.macros.set(StageRcpt, nil)
}

func (m *model) data() Verdict {
	if m.ended.Final() {
		return m.ended
	}
	m.sess.macros.clear(StageData)
	v := m.each(func(k *kid) Verdict {
		if k.stuck.Final() || !k.concerned() || k.hooks.Data == nil {
			return k.stuck
		}
		e := m.view(k, StageData)
		return m.heed(k, StageData, guard(func() Verdict { return k.hooks.Data(context.Background(), e) }))
	})
	if v.kind == KindDiscard {
		m.ended = v
	}
	return v
}

func (m *model) unknown(line string) Verdict {
	return m.each(func(k *kid) Verdict {
		contacted := k.in || k.told >= StageConnect && (k.When.Holds == nil || k.When.At <= StageHelo && k.holds)
		switch {
		case k.refusal.Final():
			return k.refusal
		case !contacted || k.failed != nil || k.accepted || k.out || k.stuck.Final() || k.hooks.Unknown == nil:
			return Continue
		}
		s := m.view(k, StageUnknown).Session
		v := guard(func() Verdict { return k.hooks.Unknown(context.Background(), s, line) })
		switch {
		case v.kind == KindDiscard:
			return Continue
		case k.in:
			if v = m.heed(k, StageUnknown, v); v.kind == KindDiscard {
				return Continue
			}
			return v
		case v.kind == KindFail:
			k.failed = v.err
		case v.Final() && !k.Shadow:
			return v
		}
		return Continue
	})
}

// endOfMessage asks about the content: group by group, on copies.
func (m *model) endOfMessage() Verdict {
	if m.ended.Final() {
		return m.ended
	}
	for i := 0; i < len(m.kids); {
		j := i + 1
		for j < len(m.kids) && m.kids[j].Together {
			j++
		}
		group := m.kids[i:j]
		i = j
		verdicts := make([]Verdict, len(group))
		for n, k := range group {
			if k.concerned() && !k.stuck.Final() {
				verdicts[n] = m.content(k)
			}
		}
		for n, k := range group {
			v := k.stuck
			if !v.Final() {
				v = m.heed(k, StageMessage, verdicts[n])
			}
			if v.Final() {
				return v
			}
			if verdicts[n].kind > KindAccept || k.Shadow {
				k.content.reset(0, unknownMTA, nil)
			}
		}
		m.merge(group)
	}
	for _, k := range m.kids {
		if k.hold {
			m.edits = append(m.edits, Edit{Op: OpQuarantine, Value: k.Child.Name() + " failed"})
		}
	}
	return Continue
}

// content shows a child the message as it is now.
func (m *model) content(k *kid) Verdict {
	ctx := context.Background()
	msg := func(at Stage) *Message {
		x := &Message{Envelope: m.view(k, at)}
		for _, f := range m.header {
			if !f.gone && f.id > 0 {
				x.fields = append(x.fields, field(f.name, f.value))
			}
		}
		return x
	}
	if k.hooks.Header != nil {
		if v := guard(func() Verdict { return k.hooks.Header(ctx, msg(StageHeader)) }); v.kind != KindContinue {
			return v
		}
	}
	if k.hooks.Body != nil {
		for _, p := range m.body {
			v := guard(func() Verdict { return k.hooks.Body(ctx, msg(StageBody), bytes.Clone(p)) })
			if v.kind != KindContinue {
				return v
			}
		}
	}
	if k.hooks.Message == nil {
		return Continue
	}
	x := msg(StageMessage)
	if k.hooks.Body == nil {
		x.body = m.body
	}
	k.content.reset(m.sess.Actions, unknownMTA, nil)
	v := guard(func() Verdict { return k.hooks.Message(ctx, x, &k.content) })
	if k.content.err != nil && v.kind <= KindAccept {
		return Fail(k.content.err)
	}
	return v
}

// merge makes the edits of a group: each child means the fields that it saw.
func (m *model) merge(group []*kid) {
	copies := make([][]*mfield, len(group))
	for n := range group {
		for _, f := range m.header {
			c := *f
			copies[n] = append(copies[n], &c)
		}
	}
	for n, k := range group {
		own := copies[n]
		for e := range k.content.All() {
			switch e.Op {
			case OpAddHeader, OpInsertHeader, OpChangeHeader, OpDeleteHeader:
				own = m.editHeader(own, e)
			case OpReplaceBody:
				m.body = net.Buffers{[]byte(naiveLines(string(bytes.Join(e.Body, nil))))}
				m.edits = append(m.edits, e)
			default:
				m.edits = append(m.edits, e)
			}
		}
		k.content.reset(0, unknownMTA, nil)
	}
}

// editHeader makes one edit on a child's own copy, and the same on the message.
func (m *model) editHeader(own []*mfield, e Edit) []*mfield {
	find := func(list []*mfield, id int) int {
		return slices.IndexFunc(list, func(f *mfield) bool { return f.id == id })
	}
	fresh := func() (a, b *mfield) {
		id := 1000 + len(m.header)
		return &mfield{id, e.Name, e.Value, false}, &mfield{id, e.Name, e.Value, false}
	}
	if e.Op == OpInsertHeader {
		n := 0
		for i, f := range own {
			if f.gone {
				continue
			}
			if n == e.Index {
				a, b := fresh()
				at := 0
				if p := lastLive(own[:i]); p >= 0 {
					at, i = find(m.header, own[p].id)+1, p+1
				} else {
					i = 0
				}
				m.header = slices.Insert(m.header, at, b)
				return slices.Insert(own, i, a)
			}
			n++
		}
		e.Op = OpAddHeader
	}
	if e.Op != OpAddHeader {
		n := max(e.Index, 1)
		for _, f := range own {
			if f.gone || f.id == 0 || !strings.EqualFold(f.name, e.Name) {
				continue
			}
			if n--; n > 0 {
				continue
			}
			g := m.header[find(m.header, f.id)]
			if f.gone = e.Op == OpDeleteHeader || e.Value == ""; f.gone {
				g.gone = true
				return own
			}
			f.name, f.value = e.Name, e.Value
			g.name, g.value, g.gone = e.Name, e.Value, false
			return own
		}
		if e.Op == OpDeleteHeader || e.Value == "" {
			return own
		}
	}
	a, b := fresh()
	m.header = append(m.header, b)
	return append(own, a)
}

func lastLive(list []*mfield) int {
	for i := len(list) - 1; i >= 0; i-- {
		if !list[i].gone {
			return i
		}
	}
	return -1
}

func (m *model) reset() {
	if !m.open {
		return
	}
	for _, k := range m.kids {
		if k.in && k.hooks.Reset != nil {
			guard(func() Verdict { k.hooks.Reset(); return Continue })
		}
		*k = kid{Slot: k.Slot, hooks: k.hooks, told: k.told, settled: k.settled, holds: k.holds,
			accepted: k.accepted, refusal: k.refusal, failed: k.failed, ofSession: k.ofSession}
	}
	m.open, m.ended, m.env = false, Continue, Envelope{}
	m.header, m.body, m.edits = nil, nil, nil
}

func (m *model) helo(name string) Verdict {
	m.reset()
	m.sess.Helo, m.greeted = name, true
	m.sess.macros.clear(StageHelo)
	for _, k := range m.kids {
		k.told = min(k.told, StageConnect)
	}
	return m.connectOrHelo(StageHelo)
}

func (m *model) close() {
	m.reset()
	for _, k := range m.kids {
		if k.hooks.Close != nil {
			k.hooks.Close()
		}
	}
}
