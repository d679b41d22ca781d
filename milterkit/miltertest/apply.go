package miltertest

import (
	"slices"
	"strings"

	"github.com/milterkit/sdk/milterkit/wire"
)

// Apply returns what Postfix makes of the message when a filter asks for these
// edits; m stays as it is. Edits of the envelope are left to [Envelope.Apply].
//
// Each edit is applied to the outcome of the one before. The position of an
// insert counts all fields, also the MTA's own Received (as if it were there,
// where the message has none), so that 0 is above that and 1 below; one beyond
// the end appends. A change counts the fields of that name, in either case,
// without the MTA's own, wherever that has got to. A change of a field that is
// not there appends it, a delete of one does nothing, and index 0 is 1.
//
// All this is as Postfix 3.7 was seen to do it.
func (m *Message) Apply(edits []Edit) *Message {
	out := &Message{Fields: slices.Clone(m.Fields), Body: m.Body}
	isOwn := func(f Field) bool { return f.Own }
	had := slices.ContainsFunc(out.Fields, isOwn)
	if !had {
		out.AddReceived("")
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
	if !had {
		out.Fields = slices.DeleteFunc(out.Fields, isOwn)
	}
	return out
}

// change gives the field another value, or deletes it where that is empty.
func (m *Message) change(nth int, to Field) {
	nth = max(nth, 1)
	for i, f := range m.Fields {
		if f.Own || !strings.EqualFold(f.Name, to.Name) {
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
