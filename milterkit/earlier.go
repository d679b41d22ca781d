package milterkit

// What children have said, for the conditions of those after them.

// A saying is what a child has said so far.
type saying struct {
	child   string
	verdict Verdict
}

// Verdict returns what an earlier child has said of the session, this message or the
// recipient at hand: for conditions. It is Continue where that child has said nothing
// else, or was not asked.
func (e *Envelope) Verdict(child string) Verdict {
	for i := range e.earlier {
		if e.earlier[i].child == child {
			return e.earlier[i].verdict
		}
	}
	return Continue
}

// saying returns what the child has said so far: for conditions of those after it.
// Where they are asked after a refusal that was none of a shadow, that was about
// something else, such as a recipient before.
func (p *part) saying() Verdict {
	v := Continue
	switch {
	case p.spoken.kind != KindContinue:
		v = p.spoken
	case p.failed != nil:
		v = Fail(p.failed)
	case p.refusal.Final():
		v = p.refusal
	case p.accepted:
		v = Accept
	}
	if v.Final() && !p.Shadow {
		return Continue
	}
	return v
}

// sayings returns what the parts before one have said so far, in list.
func (w *Walk) sayings(list []saying, before int) []saying {
	list = list[:0]
	for i := range w.parts[:before] {
		p := &w.parts[i]
		list = append(list, saying{p.Child.Name(), p.saying()})
	}
	return list
}
