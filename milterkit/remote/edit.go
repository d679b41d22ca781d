package remote

import (
	"fmt"
	"math"
	"net"

	"github.com/milterkit/sdk/internal/bodycopy"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

// newBody is the body that a milter puts in place of the message's, as far as
// it has sent it.
type newBody struct {
	pieces net.Buffers
	size   int
	begun  bool
}

// add takes a piece. Small ones are put together, so that many of them cost no
// more memory than few.
func (b *newBody) add(piece []byte) error {
	b.begun = true
	if b.size += len(piece); b.size > maxNewBody {
		return fmt.Errorf("its new body is longer than %d MiB", maxNewBody>>20)
	}
	last := len(b.pieces) - 1
	if last < 0 || cap(b.pieces[last])-len(b.pieces[last]) < len(piece) {
		room := max(len(piece), min(b.size, wire.MaxBody))
		b.pieces = append(b.pieces, make([]byte, 0, room))
		last++
	}
	b.pieces[last] = bodycopy.Append(b.pieces[last], piece)
	return nil
}

// edit returns the edit that a frame asks for. It reports false for a frame that
// is none. Pieces of a new body are gathered, and give an edit without an Op.
func (c *conn) edit(f wire.Frame, body *newBody) (e milterkit.Edit, ok bool, err error) {
	switch f.Code {
	case wire.RepReplaceBody:
		return e, true, body.add(f.Payload)
	case wire.RepAddHeader:
		h, err := wire.ParseAddHeader(f.Payload)
		return c.headerEdit(milterkit.OpAddHeader, h), true, err
	case wire.RepInsHeader:
		h, err := wire.ParseInsHeader(f.Payload)
		return c.headerEdit(milterkit.OpInsertHeader, h), true, err
	case wire.RepChgHeader:
		h, err := wire.ParseChgHeader(f.Payload)
		if len(h.Value) == 0 {
			return c.headerEdit(milterkit.OpDeleteHeader, h), true, err
		}
		return c.headerEdit(milterkit.OpChangeHeader, h), true, err
	case wire.RepAddRcpt:
		r, err := wire.ParseAddRcpt(f.Payload)
		return rcptEdit(milterkit.OpAddRecipient, r), true, err
	case wire.RepAddRcptArgs:
		r, err := wire.ParseAddRcptArgs(f.Payload)
		return rcptEdit(milterkit.OpAddRecipient, r), true, err
	case wire.RepDelRcpt:
		r, err := wire.ParseDelRcpt(f.Payload)
		return rcptEdit(milterkit.OpDeleteRecipient, r), true, err
	case wire.RepChgFrom:
		r, err := wire.ParseChgFrom(f.Payload)
		return rcptEdit(milterkit.OpChangeSender, r), true, err
	case wire.RepQuarantine:
		reason, err := wire.ParseQuarantine(f.Payload)
		return milterkit.Edit{Op: milterkit.OpQuarantine, Value: string(reason)}, true, err
	}
	return e, false, nil
}

// headerEdit puts the space after the colon in front of the value, where the
// milter leaves that to the MTA.
func (c *conn) headerEdit(op milterkit.Op, h wire.HeaderEdit) milterkit.Edit {
	e := milterkit.Edit{Op: op, Index: int(min(h.Index, math.MaxInt32)), Name: string(h.Name)}
	if op == milterkit.OpDeleteHeader {
		return e
	}
	e.Value = string(h.Value)
	if c.answer.Steps&wire.LeadingSpace == 0 {
		e.Value = " " + e.Value
	}
	return e
}

func rcptEdit(op milterkit.Op, r wire.RcptEdit) milterkit.Edit {
	return milterkit.Edit{Op: op, Name: string(r.Addr), Value: string(r.Args)}
}
