package miltertest

import (
	"github.com/milterkit/sdk/milterkit"
)

// nameAndHooks asks for the name now and later. That Hooks returns is looked after
// wherever it is called.
func (k *kit) nameAndHooks() {
	s := k.subject()
	if k.over() {
		return
	}
	name := ""
	if !s.plain("Name", soonEnough, func() { name = s.child.Name() }) {
		return
	}
	if name == "" {
		k.fault("name", "Name returns \"\": a child needs a name, for logs and the configuration. NewDispatcher does not take it without.")
	}
	s.hooks()
	if k.over() {
		return
	}
	s.plain("Name", soonEnough, func() {
		if again := s.child.Name(); again != name {
			k.fault("name", "Name returns %q at first, and %q later: it must not change, as logs and the configuration go by it.", name, again)
		}
	})
}

// alone returns how a child that has seen nothing else answers to a letter.
func (k *kit) alone(l *letter) expectation {
	if e, ok := k.known[l]; ok {
		return e
	}
	one := func() answer {
		s := k.subject()
		if k.over() {
			return nil
		}
		v := s.visit(l, nil)
		v.greet()
		a := v.message(l)
		v.close()
		return append(v.greeted, a...)
	}
	a, b := one(), one()
	e := k.expect(l.name, a, b)
	k.known[l] = e
	return e
}

// compare tells where what was said to a letter differs from what is said to it
// alone. why says what came before.
func (k *kit) compare(v *visit, l *letter, key, why string) {
	if k.Remembers || k.over() {
		return
	}
	if diff := k.alone(l).differs(append(v.greeted[:len(v.greeted):len(v.greeted)], v.said...), "alone", "here"); diff != "" && !k.over() {
		k.fault(key, "%s\nTo %s %s", why, l.name, diff)
	}
}

// oddMail plays rare mail. Panics and failures are told of where they happen.
func (k *kit) oddMail() {
	for _, l := range oddMail(k.letters[0]) {
		s := k.subject()
		if k.over() {
			return
		}
		v := s.visit(l, lost)
		v.greet()
		v.message(l)
		v.close()
	}
	k.cutBodies()
}

// cutBodies compares the answers to one body in one piece, and cut byte by byte.
func (k *kit) cutBodies() {
	if k.Remembers || k.over() {
		return
	}
	whole := k.letters[0]
	cut := *whole
	cut.name, cut.body = "a short mail whose body comes byte by byte", bytewise(whole.body)
	a, b := k.alone(whole), k.alone(&cut)
	a.exact = a.exact && b.exact
	if diff := a.differs(b.answer, "in one piece", "in many"); b.shape && diff != "" {
		k.fault("cut", "The answer depends on where the body is cut: keep what a piece ends with (half a line, half a word, a CR) for the next. To the same mail %s", diff)
	}
}

// editsApply looks at edits, and at what is done with an *Edits later.
func (k *kit) editsApply() {
	s := k.subject()
	if k.over() {
		return
	}
	v := s.visit(k.letters[0], lost)
	v.greet()
	for _, l := range append(k.letters, k.letters[0]) {
		v.message(l)
	}
	wait(nil, 5*tick) // for a goroutine that goes on editing
	s.lateEdits("after a message")
	v.send(k.letters[0], milterkit.StageMessage)
	other := s.visit(k.letters[0], lost)
	other.greet()
	other.message(k.letters[1])
	other.close()
	v.reset() // only now are the first one's edits made
	v.close()
	s = k.subject()
	if k.over() {
		return
	}
	v = s.visit(k.letters[0], func(v *visit) { v.mild = true })
	v.greet()
	for _, l := range k.letters {
		v.message(l)
	}
	v.close()
}

// writesNothing looks at the bytes of messages after each hook, and in the end.
func (k *kit) writesNothing() {
	s := k.subject()
	if k.over() {
		return
	}
	for range 2 {
		v := s.visit(k.letters[0], lost)
		v.greet()
		for _, l := range append(k.letters, k.letters[0]) {
			v.message(l)
		}
		v.close()
	}
}

// keepsNothing plays the same sessions with bytes that stay for ever, and with
// bytes that are lost as soon as they may be.
func (k *kit) keepsNothing() {
	a, b := k.sessions(nil), k.sessions(nil)
	got := k.sessions(lost)
	if k.over() {
		return
	}
	for i, l := range k.inARow() {
		if diff := k.expect(l.name, a[i], b[i]).differs(got[i], "while the bytes of that stay", "when they are lost"); diff != "" {
			hint := ""
			if got[i].poisoned() {
				hint = " (the bytes \\xdb stand for memory that is lost)"
			}
			k.fault("keeps", "It keeps the bytes of a message past Reset, or a piece of the body past the call of Body: copy what you need for longer with bytes.Clone, or string.%s\nTo %s, after other mail, %s", hint, l.name, diff)
			return
		}
	}
}

// inARow are the letters of two sessions, one after the other: each is also the
// one before itself.
func (k *kit) inARow() (list []*letter) {
	for range 2 {
		for _, l := range k.letters {
			list = append(list, l, l)
		}
		list = append(list, k.letters[0])
	}
	return list
}

// sessions plays all of inARow at one child.
func (k *kit) sessions(with func(*visit)) (answers []answer) {
	s := k.subject()
	if k.over() {
		return
	}
	row := k.inARow()
	for half := range 2 {
		v := s.visit(k.letters[0], with)
		v.greet()
		for _, l := range row[half*len(row)/2 : (half+1)*len(row)/2] {
			answers = append(answers, v.message(l))
		}
		v.close()
	}
	return answers
}

// secondMessage plays letters again, and after one another.
func (k *kit) secondMessage() {
	const forgets = "It answers otherwise than to the first message of a session: something of the message before is still there. Set it back in Reset, or at Mail."
	for _, first := range k.letters {
		s := k.subject()
		if k.over() {
			return
		}
		v := s.visit(first, nil)
		v.greet()
		for _, l := range append([]*letter{first, first}, k.letters...) {
			v.message(l)
			k.compare(v, l, "second", forgets)
		}
		v.close()
	}
}

// closesOnce ends sessions at every moment, with Close.
func (k *kit) closesOnce() {
	l := k.letters[0]
	for _, at := range append([]milterkit.Stage{0}, stageOrder...) {
		s := k.subject()
		if k.over() {
			return
		}
		v := s.visit(l, nil)
		if at >= milterkit.StageConnect {
			v.step(l, milterkit.StageConnect)
		}
		if at >= milterkit.StageHelo {
			v.step(l, milterkit.StageHelo)
		}
		v.send(l, at)
		v.close()
		s.close()
	}
	s := k.subject()
	if k.over() {
		return
	}
	v := s.visit(l, nil) // an MTA may leave out connect and helo
	v.message(l)
	v.close()
}
