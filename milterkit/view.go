package milterkit

import "slices"

// look brings the child's view up to date for a hook at a stage. What belongs
// to later stages is left out, so that a child that joins late is told just
// what it would have been told.
func (p *part) look(at Stage) {
	w := p.walk
	p.sess = w.sess
	p.env = Envelope{Session: &p.sess, earlier: p.earlier}
	if p.perRcpt() {
		p.sess.macros[StageRcpt] = p.rcptMacros
	}
	if at != StageUnknown {
		p.sess.macros.clear(at)
	}
	if at < StageHelo {
		p.sess.Helo = ""
	}
	if at < StageMail {
		return
	}
	p.env.Sender = w.env.Sender
	if at < StageRcpt {
		return
	}
	// Clipped, so that a child that appends to them makes a copy.
	p.env.Recipients = slices.Clip(w.env.Recipients)
	if p.perRcpt() {
		p.env.Recipients = slices.Clip(p.recipients)
	}
	if at >= StageHeader && at <= StageMessage {
		p.msg = Message{Envelope: &p.env, fields: w.header.Fields(), complete: w.complete}
		if p.hooks.Body == nil && w.complete { // before, it is still being made
			p.msg.body = w.body
		}
	}
}
