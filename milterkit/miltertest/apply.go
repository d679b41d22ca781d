package miltertest

import (
	"slices"
	"strings"

	"github.com/milterkit/sdk/milterkit/wire"
)

// ownReceived stands for the MTA's own Received field in a message that has
// none. No field can be called so.
const ownReceived = ":"

// Apply returns what Postfix makes of the message when a filter asks for these
// edits; m stays as it is. Edits of the envelope are left to [Envelope.Apply].
//
// Each edit is applied to the outcome of the one before. The position of an
// insert counts all fields, the MTA's own Received as 0, and one beyond the end
// appends. A change counts the fields of that name, in either case, without the
// first of the whole header, which is the MTA's own Received until something is
// inserted above it; a change of a field that is not there appends it, a delete
// of one does nothing, and index 0 is 1.
// Source: Postfix, cleanup_milter.c; SKIP_ONE_HEADER there.
func (m *Message) Apply(edits []Edit) *Message {
	out := &Message{Fields: slices.Clone(m.Fields), Body: m.Body, Received: m.Received}
	if !m.Received {
		out.Fields = slices.Insert(out.Fields, 0, Field{Name: ownReceived})
	}
	for _, e := range edits {
		f := Field{Name: e.Name, Value: e.Value}
		switch e.Code {
		case wire.RepAddHeader:
			out.Fields = append(out.Fields, f)
		case wire.RepInsHeader:
			out.Fields = slices.Insert(out.Fields, min(max(e.Index, 0), len(out.Fields)), f)
		case wire.RepChgHeader:
			out.change(e.Index, f)
		case wire.RepReplaceBody:
			out.Body = crlf([]byte(e.Body))
		}
	}
	if !m.Received {
		out.Fields = slices.DeleteFunc(out.Fields, func(f Field) bool { return f.Name == ownReceived })
	}
	return out
}

// change gives the field another value, or deletes it where that is empty.
func (m *Message) change(nth int, to Field) {
	nth = max(nth, 1)
	for i := 1; i < len(m.Fields); i++ {
		if !strings.EqualFold(m.Fields[i].Name, to.Name) {
			continue
		}
		if nth--; nth > 0 {
			continue
		}
		if to.Value == "" {
			m.Fields = slices.Delete(m.Fields, i, i+1)
		} else {
			m.Fields[i] = to
		}
		return
	}
	if to.Value != "" {
		m.Fields = append(m.Fields, to)
	}
}

// An Envelope is who a message is from and who it is for, as the addresses came.
type Envelope struct {
	From     string
	FromArgs []string
	To       []string
}

// Apply returns the envelope that Postfix makes of it; e stays as it is. A
// recipient is deleted where it is spelled the same, brackets aside.
func (e Envelope) Apply(edits []Edit) Envelope {
	e.To = slices.Clone(e.To)
	for _, x := range edits {
		switch x.Code {
		case wire.RepChgFrom:
			e.From, e.FromArgs = x.Name, strings.Fields(x.Value)
		case wire.RepAddRcpt, wire.RepAddRcptArgs:
			e.To = append(e.To, x.Name)
		case wire.RepDelRcpt:
			e.To = slices.DeleteFunc(e.To, func(to string) bool { return unbracket(to) == unbracket(x.Name) })
		}
	}
	return e
}

// unbracket returns an address without the <> around it.
func unbracket(addr string) string {
	if len(addr) >= 2 && addr[0] == '<' && addr[len(addr)-1] == '>' {
		return addr[1 : len(addr)-1]
	}
	return addr
}

// Held returns the reason for which the edits have the MTA hold the message.
func Held(edits []Edit) (reason string, held bool) {
	for _, e := range edits {
		if e.Code == wire.RepQuarantine {
			reason, held = e.Value, true // the last one counts, as in Postfix
		}
	}
	return reason, held
}
