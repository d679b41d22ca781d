package miltertest

import (
	"io"
	"reflect"

	"github.com/milterkit/sdk/milterkit"
)

// A subject is one child under test.
type subject struct {
	k     *kit
	id    int64
	child milterkit.Child
	given []*handed // edits that its hooks were given
	shut  bool
}

// handed is an *Edits that a hook was given and has returned from.
type handed struct {
	edits *milterkit.Edits
	n     int
	err   error
}

// subject returns a new child.
func (k *kit) subject() *subject {
	s := &subject{k: k, id: lastID.Add(1)}
	s.child = k.New()
	if s.child == nil || reflect.ValueOf(s.child).Kind() == reflect.Pointer && reflect.ValueOf(s.child).IsNil() {
		k.giveUp()
		k.fault("nil", "newChild returns nil: it is to return a new child.")
		return s
	}
	k.mu.Lock()
	k.subjects = append(k.subjects, s)
	k.mu.Unlock()
	return s
}

// close closes the child, if it can be closed, once.
func (s *subject) close() {
	c, ok := s.child.(io.Closer)
	if !ok || s.shut || s.k.halted() {
		return
	}
	s.shut = true
	var err error
	if s.plain("the child's Close", long, func() { err = c.Close() }) && err != nil {
		s.k.fault("close", "the child's Close, after all sessions, gives an error: %v", err)
	}
}

// hooks asks the child for the hooks of a session.
func (s *subject) hooks() (h milterkit.Hooks) {
	if s.k.halted() {
		return h
	}
	var got milterkit.Hooks
	if s.plain("Hooks", soonEnough, func() { got = s.child.Hooks() }) {
		h = got
	}
	k := s.k
	k.mu.Lock()
	defer k.mu.Unlock()
	k.has = named(&h)
	k.prompt, k.slack = k.prompt || h.Prompt, k.slack || !h.Prompt
	return h
}

// named returns the names of the hooks that there are.
func named(h *milterkit.Hooks) []string {
	var list []string
	v := reflect.ValueOf(h).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Func && !f.IsNil() {
			list = append(list, v.Type().Field(i).Name)
		}
	}
	return list
}

// lateEdits tells of edits that were made after the hook that may make them.
func (s *subject) lateEdits(where string) {
	for _, g := range s.given {
		if g.edits.Len() == g.n && g.edits.Err() == g.err {
			continue
		}
		s.k.fault("late", "Somebody goes on editing %s with the *Edits of a Message hook that has returned: such edits are lost, or fall on another message. Make all edits before Message returns, and do not keep e: wait in Message for goroutines that find out what to edit, and keep in variables what earlier hooks find out.", where)
		g.n, g.err = g.edits.Len(), g.edits.Err()
	}
}
