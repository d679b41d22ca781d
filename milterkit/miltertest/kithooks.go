package miltertest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

// hooks returns the child's hooks of this session, with the kit before each.
func (v *visit) hooks() milterkit.Hooks {
	v.hooked = v.s.hooks()
	h := v.hooked
	h.Prompt = v.direct
	if f := v.hooked.Connect; f != nil {
		h.Connect = func(ctx context.Context, s *milterkit.Session) milterkit.Verdict {
			return v.ask(ctx, "Connect", "connect", func(ctx context.Context) milterkit.Verdict { return f(ctx, s) })
		}
	}
	if f := v.hooked.Helo; f != nil {
		h.Helo = func(ctx context.Context, s *milterkit.Session) milterkit.Verdict {
			return v.ask(ctx, "Helo", "helo", func(ctx context.Context) milterkit.Verdict { return f(ctx, s) })
		}
	}
	if f := v.hooked.Unknown; f != nil {
		h.Unknown = func(ctx context.Context, s *milterkit.Session, line string) milterkit.Verdict {
			return v.ask(ctx, "Unknown", "unknown command", func(ctx context.Context) milterkit.Verdict { return f(ctx, s, line) })
		}
	}
	v.envelopeHooks(&h)
	v.contentHooks(&h)
	if f := v.hooked.Reset; f != nil {
		h.Reset = func() { v.tell("Reset", f) }
	}
	if f := v.hooked.Close; f != nil {
		h.Close = func() { v.tell("Close", f) }
	}
	return h
}

func (v *visit) envelopeHooks(h *milterkit.Hooks) {
	type onEnvelope = func(context.Context, *milterkit.Envelope) milterkit.Verdict
	type onRecipient = func(context.Context, *milterkit.Envelope, milterkit.Address) milterkit.Verdict
	envelope := func(hook, as string, f onEnvelope) onEnvelope {
		return func(ctx context.Context, e *milterkit.Envelope) milterkit.Verdict {
			defer v.watchRecipients(hook, e)()
			return v.ask(ctx, hook, as, func(ctx context.Context) milterkit.Verdict { return f(ctx, e) })
		}
	}
	recipient := func(hook string, f onRecipient) onRecipient {
		return func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
			defer v.watchRecipients(hook, e)()
			return v.ask(ctx, hook, "rcpt "+to.Raw, func(ctx context.Context) milterkit.Verdict { return f(ctx, e, to) })
		}
	}
	if h.Mail != nil {
		h.Mail = envelope("Mail", "mail", h.Mail)
	}
	if h.Rcpt != nil {
		h.Rcpt = recipient("Rcpt", h.Rcpt)
	}
	if h.RefusedRcpt != nil {
		h.RefusedRcpt = recipient("RefusedRcpt", h.RefusedRcpt)
	}
	if h.Data != nil {
		h.Data = envelope("Data", "data", h.Data)
	}
}

// contentHooks has what a child says of the content noted alike wherever it says
// it: that may depend on how the body was cut.
func (v *visit) contentHooks(h *milterkit.Hooks) {
	const content = "content"
	if f := v.hooked.Header; f != nil {
		h.Header = func(ctx context.Context, m *milterkit.Message) milterkit.Verdict {
			defer v.watchRecipients("Header", m.Envelope)()
			return v.ask(ctx, "Header", content, func(ctx context.Context) milterkit.Verdict { return f(ctx, m) })
		}
	}
	if f := v.hooked.Body; f != nil {
		h.Body = func(ctx context.Context, m *milterkit.Message, piece []byte) milterkit.Verdict {
			if v.shared && !m.Complete() {
				live := newMemory(len(piece) + 1)
				piece = live.put("the piece of the body that Body is given", string(piece))
				defer v.loseLive(live)
			}
			return v.ask(ctx, "Body", content, func(ctx context.Context) milterkit.Verdict { return f(ctx, m, piece) })
		}
	}
	if f := v.hooked.Message; f != nil {
		h.Message = func(ctx context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
			defer v.watchRecipients("Message", m.Envelope)()
			own := *e // the child's, also later
			answer := v.ask(ctx, "Message", content, func(ctx context.Context) milterkit.Verdict { return f(ctx, m, &own) })
			if !v.k.halted() {
				*e = own
				v.edited(&own, answer)
			}
			return answer
		}
	}
}

// loseLive ends the life of a piece that has been shown while the message arrives.
func (v *visit) loseLive(m *memory) {
	if v.k.halted() {
		return
	}
	v.damaged("Body", m)
	m.poison()
	v.gone = append(v.gone, m)
}

// ask calls a hook, and looks at what it does.
func (v *visit) ask(ctx context.Context, hook, as string, f func(context.Context) milterkit.Verdict) milterkit.Verdict {
	if v.k.over() || v.cut != nil && v.cut.done {
		return milterkit.Continue
	}
	v.note(hook)
	answer, ok := v.call(ctx, hook, f)
	switch {
	case !ok:
		return milterkit.Fail(errBroken)
	case v.cut != nil && v.cut.done:
		return milterkit.TempFail("") // the Walk ends the message so
	}
	v.after(hook)
	if answer.Final() && v.cut == nil {
		v.k.act()
	}
	if err := answer.Err(); err != nil && !v.mild {
		v.k.fault("fail "+hook, "%s gives a Fail for %s: %v. That costs the mail its delivery (the slot's default action). Give a verdict on such mail too; a server that the child needs must answer in this test.", hook, v.mail(), err)
	}
	if as != "content" || answer.Kind() != milterkit.KindContinue {
		v.said = append(v.said, said(as, answer))
	}
	return answer
}

// call calls a hook and waits for it; it reports whether it has returned well.
func (v *visit) call(ctx context.Context, hook string, f func(context.Context) milterkit.Verdict) (answer milterkit.Verdict, ok bool) {
	cuts := v.cut != nil && v.cut.hook == hook
	if v.direct {
		if cuts {
			v.cut.done = true
			defer time.AfterFunc(cutAfter, v.cancel).Stop()
		}
		return f(ctx), true
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if cuts && v.cut.before {
		cancel()
	}
	c := v.s.start(ctx, hook, func(ctx context.Context) { answer = f(ctx) })
	limit := long
	if cuts {
		v.cut.done = true
		limit = cutAfter
	}
	if !wait(c.done, limit) {
		cancel()
		if !v.waitStopped(c, cuts) {
			return milterkit.Continue, false
		}
	}
	return answer, v.s.endedWell(c, " on "+v.mail())
}

// waitStopped waits for a hook that was told to stop. It reports whether that
// has returned.
func (v *visit) waitStopped(c *call, cut bool) bool {
	if wait(c.done, soon) {
		if !cut {
			v.k.tooSlow("long "+c.what, "%s took %v for %s, and returned only when its ctx was done. What it needs must answer in this test.", c.what, long, v.mail())
		}
		return true
	}
	where, began := v.s.standsAt(c), time.Now()
	if !wait(c.done, forever) {
		v.s.stuck(c, "blocks, with %s: it has not returned %v after its ctx was done.", v.mail(), soon+forever)
		return false
	}
	v.k.tooSlow(c.what, "%s does not stop when its ctx is done: with %s it took another %v. It must look at ctx wherever it waits. %v after the ctx was done it stood here:\n%s",
		c.what, v.mail(), (soon + time.Since(began)).Round(tick), soon, where)
	return true
}

// tell calls a hook that has no ctx.
func (v *visit) tell(hook string, f func()) {
	if v.k.halted() {
		return
	}
	v.note(hook)
	if v.direct {
		f()
	} else if !v.s.plain(hook, soonEnough, f) {
		return
	}
	v.after(hook)
}

// note notes that a hook is called.
func (v *visit) note(hook string) {
	v.k.mu.Lock()
	defer v.k.mu.Unlock()
	v.k.called[hook] = true
}

// after looks at what a hook has left behind.
func (v *visit) after(hook string) {
	if v.k.trying("EditsApply") {
		v.s.lateEdits("in " + hook)
	}
	v.checkWrites(hook)
}

// mail names the mail at hand.
func (v *visit) mail() string {
	if v.letter != nil {
		return v.letter.name
	}
	return v.client.name
}

// checkWrites tells of bytes of the message that have changed.
func (v *visit) checkWrites(hook string) {
	if v.mem != nil {
		v.damaged(hook, v.mem)
	}
}

func (v *visit) damaged(hook string, m *memory) {
	if !v.k.trying("WritesNothing") {
		return
	}
	if what := m.damage(); what != "" {
		v.k.fault("write "+hook, "%s writes to the bytes of %s, which all children and the MTA share. It changed %s. Write to a copy: bytes.Clone(b).", hook, v.mail(), what)
		copy(m.bytes, m.was)
	}
}

// watchRecipients tells, in the end, whether the lists of addresses were changed.
func (v *visit) watchRecipients(hook string, e *milterkit.Envelope) func() {
	if !v.k.trying("WritesNothing") {
		return func() {}
	}
	shown := e.Recipients
	was := slices.Clone(shown)
	for i := range was {
		was[i].Args = slices.Clone(was[i].Args)
	}
	return func() {
		if !v.k.halted() && !reflect.DeepEqual(shown, was) && len(was) > 0 {
			v.k.fault("recipients", "%s changes elements of Recipients, which are shared: %s. Sort or change a copy: slices.Clone(e.Recipients). To change who gets the mail use Edits.AddRecipient and DeleteRecipient.",
				hook, fmt.Sprintf("%.60v became %.60v", was, shown))
		}
	}
}
