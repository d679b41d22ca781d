package milterkit

import (
	"net"
	"strings"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// ask has a stage asked and answers the MTA, unless it was told that it would
// not be answered.
func (c *conn) ask(cmd byte, stage func() Verdict) error {
	c.waiting = c.answer.Steps&wire.NoReply(cmd) == 0
	v := stage()
	if !c.waiting {
		return nil
	}
	c.waiting = false
	c.out = appendVerdict(c.out[:0], v)
	return c.write()
}

// proceed answers a command of the content, which is always to go on.
func (c *conn) proceed(cmd byte) error {
	if c.answer.Steps&wire.NoReply(cmd) != 0 {
		return nil
	}
	c.out = wire.AppendFrame(c.out[:0], wire.RepContinue, nil)
	return c.write()
}

// progress tells the MTA that work goes on, where it takes that.
func (c *conn) progress() {
	if !c.waiting || !c.w.mta().takesProgress(c.w.stage) {
		return
	}
	// A broken connection shows when the answer is written.
	c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	c.nc.Write(wire.AppendFrame(nil, wire.RepProgress, nil))
}

func (c *conn) write() error {
	// A deadline that is nearly as far off as a new one stays.
	if now := now(); c.written == 0 || now.sub(c.written) > writeTimeout/8 {
		c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
		c.written = now
	}
	_, err := c.nc.Write(c.out)
	return err
}

// appendVerdict appends the answer that a verdict stands for.
func appendVerdict(dst []byte, v Verdict) []byte {
	switch {
	case v.kind == KindDiscard:
		return wire.AppendFrame(dst, wire.RepDiscard, nil)
	case v.reply != "":
		return wire.AppendReplyCode(dst, []byte(asFormat(v.reply)))
	case v.kind == KindReject:
		return wire.AppendFrame(dst, wire.RepReject, nil)
	case v.kind == KindTempFail:
		return wire.AppendFrame(dst, wire.RepTempFail, nil)
	}
	return wire.AppendFrame(dst, wire.RepContinue, nil)
}

// writeOutcome writes the edits of a message and the last answer. A new body is
// sent whole, last, by a vectored write.
func (c *conn) writeOutcome(o Outcome) error {
	c.out = c.out[:0]
	var body net.Buffers
	for _, e := range o.Edits {
		if e.Op == OpReplaceBody {
			body = appendBody(body, e.Body)
			continue
		}
		c.out = c.appendEdit(c.out, e)
	}
	if len(body) == 0 {
		c.out = appendVerdict(c.out, o.Verdict)
		return c.write()
	}
	all := append(net.Buffers{c.out}, body...)
	all = append(all, appendVerdict(nil, o.Verdict))
	c.nc.SetWriteDeadline(time.Now().Add(bodyTimeout))
	c.written = 0
	_, err := all.WriteTo(c.nc)
	return err
}

// appendBody appends the frames of a new body: for each piece its frame's
// header, and the piece as it stands.
func appendBody(dst net.Buffers, pieces net.Buffers) net.Buffers {
	empty := true
	for _, p := range pieces {
		for len(p) > 0 {
			n := min(len(p), wire.MaxBody)
			dst = append(dst, wire.AppendFrameHeader(nil, wire.RepReplaceBody, n), p[:n:n])
			p, empty = p[n:], false
		}
	}
	if empty {
		dst = append(dst, wire.AppendReplaceBody(nil, nil))
	}
	return dst
}

// appendEdit appends the frame of an edit that is not one of the body.
func (c *conn) appendEdit(dst []byte, e Edit) []byte {
	switch e.Op {
	case OpAddHeader:
		return wire.AppendAddHeader(dst, c.headerEdit(e))
	case OpInsertHeader:
		return wire.AppendInsHeader(dst, c.headerEdit(e))
	case OpChangeHeader, OpDeleteHeader:
		return wire.AppendChgHeader(dst, c.headerEdit(e))
	case OpChangeSender:
		return wire.AppendChgFrom(dst, wire.RcptEdit{Addr: []byte(e.Name), Args: []byte(e.Value)})
	case OpAddRecipient:
		rcpt := wire.RcptEdit{Addr: []byte(e.Name), Args: []byte(e.Value)}
		if e.Value != "" {
			return wire.AppendAddRcptArgs(dst, rcpt)
		}
		return wire.AppendAddRcpt(dst, rcpt)
	case OpDeleteRecipient:
		return wire.AppendDelRcpt(dst, wire.RcptEdit{Addr: []byte(e.Name)})
	case OpQuarantine:
		return wire.AppendQuarantine(dst, []byte(e.Value))
	}
	return dst
}

// headerEdit gives an edit's value the form that was agreed on: an MTA that
// eats the space after the colon puts one there too.
func (c *conn) headerEdit(e Edit) wire.HeaderEdit {
	value := e.Value
	// A value of nothing but the space stays as it is: an empty one is a delete.
	if c.answer.Steps&wire.LeadingSpace == 0 && (value != " " || e.Op != OpChangeHeader) {
		value = strings.TrimPrefix(value, " ")
	}
	return wire.HeaderEdit{Index: uint32(e.Index), Name: []byte(e.Name), Value: []byte(value)}
}
