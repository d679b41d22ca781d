package milterkit

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/milterkit/sdk/internal/overlay"
)

// An Outcome is what the children have made of a message. It is valid until
// Reset; after that it tells of nothing.
type Outcome struct {
	// Verdict is Continue, Discard or a refusal.
	Verdict Verdict

	// Edits turn the message as the MTA has it into the message as the children left it, if they are made one
	// after the other: the sender, the recipients, fields of the header from the last to the first, new
	// fields, quarantine, the body.
	Edits []Edit

	walk *Walk  // nil where the message does not go on
	nth  uint64 // the message is this one of the session
}

// valid reports whether the message is still at hand.
func (o Outcome) valid() bool { return o.walk != nil && o.walk.open && o.nth == o.walk.messages }

// Sender returns the sender as the children left it.
func (o Outcome) Sender() Address {
	for _, e := range o.Edits {
		if e.Op == OpChangeSender {
			return NewAddress(e.Name, strings.Fields(e.Value)...)
		}
	}
	if !o.valid() {
		return Address{}
	}
	return o.walk.env.Sender
}

// Recipients returns the recipients as the children left them.
func (o Outcome) Recipients() []Address {
	if !o.valid() {
		return nil
	}
	list := slices.Clone(o.walk.env.Recipients)
	for _, e := range o.Edits {
		a := NewAddress(e.Name, strings.Fields(e.Value)...)
		is := func(other Address) bool { return other.Addr == a.Addr }
		switch {
		case e.Op == OpDeleteRecipient:
			list = slices.DeleteFunc(list, is)
		case e.Op == OpAddRecipient && !slices.ContainsFunc(list, is):
			list = append(list, a)
		}
	}
	return list
}

// Held returns whether a child wants the message to be held, and the reason.
func (o Outcome) Held() (reason string, held bool) {
	for _, e := range o.Edits {
		if e.Op == OpQuarantine {
			return e.Value, true
		}
	}
	return "", false
}

// WriteMessage writes the message as the children left it, with header lines that
// end in CRLF. received is the mail server's own Received field, without an end of
// line, or "": it stands where children take it to be, on top but for what they have
// inserted above it. This is for a message that was given to [Walk.Message] and goes
// on; for another one it is an error.
func (o Outcome) WriteMessage(w io.Writer, received string) error {
	if !o.valid() || !o.walk.whole {
		return errNotWhole
	}
	fields := o.walk.header.Fields()
	if name, value, ok := strings.Cut(strings.ReplaceAll(received, "\r\n", "\n"), ":"); ok {
		fields = slices.Insert(slices.Clone(fields), o.walk.header.Above(), overlay.Field{Name: []byte(name), Value: []byte(value)})
	}
	if _, err := w.Write(headerText(fields)); err != nil {
		return err
	}
	body := net.Buffers{o.walk.text}
	for _, e := range o.Edits {
		if e.Op == OpReplaceBody {
			body = slices.Clone(e.Body)
		}
	}
	_, err := body.WriteTo(w)
	return err
}

var errNotWhole = errors.New("milterkit: no message that was given as a whole, and goes on")
