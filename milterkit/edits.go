package milterkit

import (
	"errors"
	"fmt"
	"iter"
	"net"
	"slices"
	"strings"

	"github.com/milterkit/sdk/internal/overlay"
)

// An Op is a kind of [Edit].
type Op uint8

const (
	OpAddHeader Op = iota + 1 // add a field at the end of the header
	OpInsertHeader
	OpChangeHeader
	OpDeleteHeader
	OpChangeSender
	OpAddRecipient
	OpDeleteRecipient
	OpQuarantine
	OpReplaceBody
)

var opNames = [...]string{"", "add header", "insert header", "change header", "delete header",
	"change sender", "add recipient", "delete recipient", "quarantine", "replace body"}

// String returns the name of the operation as it stands in logs.
func (o Op) String() string { return nameOf(opNames[:], o) }

// Action returns the action that an MTA must offer for the operation.
func (o Op) Action() Actions {
	switch o {
	case OpAddHeader, OpInsertHeader:
		return ActionAddHeader
	case OpChangeHeader, OpDeleteHeader:
		return ActionChangeHeader
	case OpChangeSender:
		return ActionChangeSender
	case OpAddRecipient:
		return ActionAddRecipient
	case OpDeleteRecipient:
		return ActionDeleteRecipient
	case OpQuarantine:
		return ActionQuarantine
	case OpReplaceBody:
		return ActionChangeBody
	}
	return 0
}

// An Edit is one change to a message, as data: it can be logged, compared in
// a test, or dropped.
type Edit struct {
	Op Op

	// Index is a position for OpInsertHeader: 0 is the top, above the MTA's own Received field, which counts.
	// For OpChangeHeader and OpDeleteHeader it says which field of that name, from 1 (0 is 1).
	Index int

	Name  string      // of a header field; the address of a sender or recipient
	Value string      // what stands after the colon; ESMTP parameters; the reason of a quarantine
	Body  net.Buffers // OpReplaceBody: the new body, CRLF lines; unchanged until Reset
}

// Edits collects the changes of one child to one message. Its methods return
// no errors: an edit that cannot be made turns the child's verdict into a
// [Fail]. What is asked for is applied as the MTA would: a change of a field
// that is not there adds it, the deletion of one is nothing. Behind Sendmail
// deleted fields go on to count, and so do fields of Sendmail's own that no child
// is shown; what is added goes before the first field of that name.
type Edits struct {
	offered Actions
	mta     mta
	header  []overlay.Field // as the child is shown it
	list    []Edit
	err     error
}

// SetHeader sees to it that the message has one field of that name, with that
// value: the first one is changed, where it stands, and the others are deleted;
// where there is none, one is added. So do two children that run together.
func (e *Edits) SetHeader(name, value string) {
	last := e.lastOf(name)
	if last == 0 {
		e.AddHeader(name, value)
		return
	}
	for nth := last; nth > 1; nth-- {
		e.DeleteHeader(name, nth)
	}
	e.ChangeHeader(name, 1, value)
}

// DeleteHeaders deletes all fields of that name.
func (e *Edits) DeleteHeaders(name string) {
	for nth := e.lastOf(name); nth > 0; nth-- { // the last first: Postfix counts anew after each
		e.DeleteHeader(name, nth)
	}
}

// lastOf returns the number of the last field of that name, as the MTA will count
// after the edits so far; 0 where there is none.
func (e *Edits) lastOf(name string) int {
	last := 0
	for _, f := range e.header {
		if overlay.SameName(f.Name, name) {
			last++
		}
	}
	for _, x := range e.list {
		if !overlay.SameName([]byte(x.Name), name) {
			continue
		}
		there := max(x.Index, 1) <= last
		switch remove := x.Op == OpDeleteHeader || x.Value == ""; {
		case x.Op == OpAddHeader, x.Op == OpInsertHeader:
			last++
		case x.Op != OpChangeHeader && x.Op != OpDeleteHeader:
		case remove && there && !e.mta.countsDeleted():
			last--
		case !remove && !there:
			last++
		}
	}
	return last
}

// AddHeader adds a field at the end of the header, with a space before the value.
// Lines of it but the first are continuations.
func (e *Edits) AddHeader(name, value string) {
	e.Append(Edit{Op: OpAddHeader, Name: name, Value: " " + value})
}

// InsertHeader inserts a field at a position; 0 is the top of the header,
// above the MTA's own Received field, and counts as it does.
func (e *Edits) InsertHeader(position int, name, value string) {
	e.Append(Edit{Op: OpInsertHeader, Index: position, Name: name, Value: " " + value})
}

// ChangeHeader gives the nth field of that name, counted from 1, a new value.
func (e *Edits) ChangeHeader(name string, nth int, value string) {
	e.Append(Edit{Op: OpChangeHeader, Index: nth, Name: name, Value: " " + value})
}

// DeleteHeader deletes the nth field of that name, counted from 1.
func (e *Edits) DeleteHeader(name string, nth int) {
	e.Append(Edit{Op: OpDeleteHeader, Index: nth, Name: name})
}

// ChangeSender replaces the envelope's sender. args are ESMTP parameters;
// Postfix takes RET and ENVID.
func (e *Edits) ChangeSender(addr string, args ...string) {
	e.Append(Edit{Op: OpChangeSender, Name: addr, Value: strings.Join(args, " ")})
}

// AddRecipient adds a recipient. args are ESMTP parameters; Postfix takes
// NOTIFY and ORCPT.
func (e *Edits) AddRecipient(addr string, args ...string) {
	e.Append(Edit{Op: OpAddRecipient, Name: addr, Value: strings.Join(args, " ")})
}

// DeleteRecipient takes a recipient away. addr must be spelled as it came.
func (e *Edits) DeleteRecipient(addr string) {
	e.Append(Edit{Op: OpDeleteRecipient, Name: addr})
}

// ReplaceBody replaces the whole body. Lines end in CRLF. The pieces must stay
// as they are until Reset.
func (e *Edits) ReplaceBody(pieces ...[]byte) {
	e.Append(Edit{Op: OpReplaceBody, Body: net.Buffers(slices.Clone(pieces))})
}

// Quarantine has the MTA hold the message.
func (e *Edits) Quarantine(reason string) {
	e.Append(Edit{Op: OpQuarantine, Value: reason})
}

// Append adds an edit as it stands; a header value is what follows the colon,
// so it mostly begins with a space.
func (e *Edits) Append(x Edit) {
	if err := e.check(&x); err != nil {
		if e.err == nil {
			e.err = err
		}
		return
	}
	e.list = append(e.list, x)
}

// All yields the edits in the order in which they were made.
func (e *Edits) All() iter.Seq[Edit] { return slices.Values(e.list) }

// Len returns how many edits there are.
func (e *Edits) Len() int { return len(e.list) }

// Err returns why an edit could not be made, or nil.
func (e *Edits) Err() error { return e.err }

// check reports what is wrong with x, and mends what every MTA would choke on.
func (e *Edits) check(x *Edit) error {
	need := x.Op.Action()
	if x.Op == OpAddRecipient && x.Value != "" {
		need = ActionAddRecipientArgs
	}
	if need == 0 {
		return fmt.Errorf("edit with unknown operation %d", x.Op)
	}
	if e.offered&need != need {
		return fmt.Errorf("%s: the MTA does not offer that action", x.Op)
	}
	if strings.ContainsRune(x.Name, 0) || strings.ContainsRune(x.Value, 0) {
		return fmt.Errorf("%s: NUL in name or value", x.Op)
	}
	switch x.Op {
	case OpAddHeader, OpInsertHeader, OpChangeHeader, OpDeleteHeader:
		if x.Name == "" || strings.ContainsAny(x.Name, ":\r\n \t") {
			return fmt.Errorf("%s: %.40q is not the name of a header field", x.Op, x.Name)
		}
		// Postfix would make "\r\r\n" of a CRLF in a value.
		if strings.ContainsRune(x.Value, '\r') {
			x.Value = strings.ReplaceAll(strings.ReplaceAll(x.Value, "\r\n", "\n"), "\r", "")
		}
		if !e.mta.folds() {
			x.Value = folded(x.Value)
		}
	case OpAddRecipient, OpDeleteRecipient:
		if x.Name == "" || x.Name == "<>" {
			return errors.New(x.Op.String() + ": no address")
		}
	}
	switch x.Op {
	case OpAddRecipient, OpDeleteRecipient, OpChangeSender:
		// It ends up in an SMTP command of the MTA.
		if strings.ContainsAny(x.Name, "\r\n") || strings.ContainsAny(x.Value, "\r\n") {
			return fmt.Errorf("%s: %.40q has more than one line", x.Op, x.Name+" "+x.Value)
		}
	}
	return nil
}

// reset makes e ready for another message, of which the child is shown this
// header, of an MTA that offers these actions.
func (e *Edits) reset(offered Actions, m mta, header []overlay.Field) {
	clear(e.list)
	if cap(e.list) > keptList {
		e.list = nil
	}
	*e = Edits{offered: offered, mta: m, header: header, list: e.list[:0]}
}

// folded returns a value of which every line but the first begins with a blank:
// the others would be fields of their own. Source: Postfix, cleanup_out_header,
// which puts a tab there.
func folded(value string) string {
	if !strings.Contains(value, "\n") {
		return value
	}
	lines := strings.Split(value, "\n")
	for i, line := range lines[1:] {
		if line == "" || line[0] != ' ' && line[0] != '\t' {
			lines[i+1] = "\t" + line
		}
	}
	return strings.Join(lines, "\n")
}
