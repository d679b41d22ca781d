package remote

import (
	"context"
	"errors"
	"fmt"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

// connect begins the session with the milter, from the start if need be.
func (c *conn) connect(ctx context.Context, s *milterkit.Session) milterkit.Verdict {
	c.close()
	c.session = milterkit.Continue
	v, _ := c.meet(ctx, s)
	return v
}

func (c *conn) tellConnect(ctx context.Context, s *milterkit.Session, own []pair) milterkit.Verdict {
	return c.do(ctx, wire.CmdConnect, func() (milterkit.Verdict, error) {
		c.macros(wire.CmdConnect, s, milterkit.StageConnect, own)
		if c.wants(wire.CmdConnect) {
			c.out = wire.Connect{Host: []byte(s.Host), Family: s.Family, Port: s.Port, Addr: []byte(s.Addr)}.Append(c.out)
		}
		return c.ask(ctx)
	})
}

func (c *conn) helo(ctx context.Context, s *milterkit.Session) milterkit.Verdict {
	if v, ok := c.resume(ctx, s, false); !ok {
		return v
	}
	return c.tellHelo(ctx, s)
}

func (c *conn) tellHelo(ctx context.Context, s *milterkit.Session) milterkit.Verdict {
	return c.do(ctx, wire.CmdHelo, func() (milterkit.Verdict, error) {
		c.macros(wire.CmdHelo, s, milterkit.StageHelo, c.ownOfSession(ctx, s, milterkit.StageHelo))
		if c.wants(wire.CmdHelo) {
			c.out = wire.AppendHelo(c.out, []byte(s.Helo))
		}
		return c.ask(ctx)
	})
}

// resume sees to it that there is a connection on which the milter knows the
// client, and its HELO if that is wanted. It reports false, and the verdict to
// give, if the milter has something against them: that holds for the rest of
// the session, as it would have held when they were new.
func (c *conn) resume(ctx context.Context, s *milterkit.Session, helo bool) (milterkit.Verdict, bool) {
	if c.session != milterkit.Continue {
		return c.session, false
	}
	v, fresh := c.meet(ctx, s)
	if !fresh {
		return milterkit.Continue, true
	}
	// A discard has no meaning at connect and helo.
	if helo && s.Helo != "" && (v == milterkit.Continue || v == milterkit.Discard) {
		v = c.tellHelo(ctx, s)
	}
	return v, v == milterkit.Continue || v == milterkit.Discard
}

// mail begins a message. A connection that has seen one before may be closed by
// the milter at this very moment; then there is another try.
func (c *conn) mail(ctx context.Context, e *milterkit.Envelope) milterkit.Verdict {
	v, used := c.tellMail(ctx, e)
	if used && errors.Is(v.Err(), ErrClosed) && ctx.Err() == nil {
		v, _ = c.tellMail(ctx, e)
	}
	return v
}

// tellMail also reports whether the connection has seen a message before.
func (c *conn) tellMail(ctx context.Context, e *milterkit.Envelope) (v milterkit.Verdict, used bool) {
	if v, ok := c.resume(ctx, e.Session, true); !ok {
		return v, false
	}
	c.inMessage, used = true, c.used
	return c.tellAddress(ctx, e, wire.CmdMail, milterkit.StageMail, e.Sender), used
}

func (c *conn) rcpt(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
	return c.tellAddress(ctx, e, wire.CmdRcpt, milterkit.StageRcpt, to)
}

// refusedRcpt tells only a milter that has asked for it.
func (c *conn) refusedRcpt(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
	if c.answer.Steps&wire.RefusedRcpts == 0 {
		return milterkit.Continue
	}
	return c.rcpt(ctx, e, to)
}

// tellAddress tells of the sender or of a recipient.
func (c *conn) tellAddress(ctx context.Context, e *milterkit.Envelope, cmd byte, at milterkit.Stage, a milterkit.Address) milterkit.Verdict {
	to := milterkit.Address{}
	if at == milterkit.StageRcpt {
		to = a
	}
	return c.do(ctx, cmd, func() (milterkit.Verdict, error) {
		c.macros(cmd, e.Session, at, c.own(ctx, e, to, at))
		if c.wants(cmd) {
			c.out = wire.AppendAddress(c.out, cmd, raw(a), a.Args)
		}
		return c.ask(ctx)
	})
}

// raw returns the address as it came, or as it would have come. The null sender
// of mail that did not come by SMTP is nothing at all.
func raw(a milterkit.Address) string {
	if a.Raw == "" && a.Addr != "" {
		return "<" + a.Addr + ">"
	}
	return a.Raw
}

func (c *conn) data(ctx context.Context, e *milterkit.Envelope) milterkit.Verdict {
	return c.do(ctx, wire.CmdData, func() (milterkit.Verdict, error) {
		c.macros(wire.CmdData, e.Session, milterkit.StageData, nil)
		if c.wants(wire.CmdData) {
			c.out = wire.AppendFrame(c.out, wire.CmdData, nil)
		}
		return c.ask(ctx)
	})
}

// unknown tells of a command that the MTA does not know. Between two messages a
// milter that has gone is none the worse for it: it is told of the session
// again at the next message.
func (c *conn) unknown(ctx context.Context, s *milterkit.Session, line string) milterkit.Verdict {
	if c.nc == nil || !c.inMessage && !c.usable() {
		return milterkit.Continue
	}
	return c.do(ctx, wire.CmdUnknown, func() (milterkit.Verdict, error) {
		c.macros(wire.CmdUnknown, s, milterkit.StageUnknown, nil)
		if c.wants(wire.CmdUnknown) {
			c.out = wire.AppendUnknown(c.out, []byte(line))
		}
		return c.ask(ctx)
	})
}

// header tells of the header. The replies to it are read after the body was told
// of too, but for a Lockstep milter.
func (c *conn) header(ctx context.Context, m *milterkit.Message) milterkit.Verdict {
	return c.do(ctx, wire.CmdHeader, func() (milterkit.Verdict, error) {
		if v, err := c.fields(ctx, m); err != nil || v != milterkit.Continue {
			return v, err
		}
		c.macros(wire.CmdEOH, m.Session, milterkit.StageHeader, nil)
		if c.wants(wire.CmdEOH) {
			c.out = wire.AppendFrame(c.out, wire.CmdEOH, nil)
		}
		return c.room(ctx)
	})
}

// fields tells of the fields of the header.
func (c *conn) fields(ctx context.Context, m *milterkit.Message) (milterkit.Verdict, error) {
	if !c.shown(wire.CmdHeader) {
		return milterkit.Continue, nil
	}
	for i, f := range m.Header() {
		if i == 0 {
			c.macros(wire.CmdHeader, m.Session, milterkit.StageHeader, nil)
		}
		c.wants(wire.CmdHeader)
		c.out = wire.AppendHeader(c.out, f.Name, c.sentValue(f.Value))
		if v, err := c.room(ctx); err != nil || v != milterkit.Continue || c.skip == wire.CmdHeader {
			return v, err
		}
	}
	return milterkit.Continue, nil
}

// sentValue gives a field's value the form that the milter expects: without the
// space after the colon, unless it has asked for it.
func (c *conn) sentValue(value []byte) []byte {
	if c.answer.Steps&wire.LeadingSpace == 0 && len(value) > 0 && value[0] == ' ' {
		return value[1:]
	}
	return value
}

// body tells of a piece of the body, from where it stands. Where the message has
// arrived the piece stays there, and is written with what follows. Where it has
// not, it is written now, and the replies are read when a few are due, so that
// the milter works while more arrives.
func (c *conn) body(ctx context.Context, m *milterkit.Message, piece []byte) milterkit.Verdict {
	if !c.shown(wire.CmdBody) {
		return milterkit.Continue
	}
	return c.do(ctx, wire.CmdBody, func() (milterkit.Verdict, error) {
		if !c.begun {
			c.macros(wire.CmdBody, m.Session, milterkit.StageBody, nil)
			c.begun = true
		}
		for len(piece) > 0 {
			if v, err := c.moreBody(ctx); err != nil || v != milterkit.Continue || c.skip == wire.CmdBody {
				return v, err
			}
			n := min(len(piece), wire.MaxBody)
			c.wants(wire.CmdBody)
			c.out = wire.AppendFrameHeader(c.out, wire.CmdBody, n)
			c.appendPiece(piece[:n:n])
			piece = piece[n:]
			if v, err := c.room(ctx); err != nil || v != milterkit.Continue {
				return v, err
			}
		}
		if m.Complete() {
			return milterkit.Continue, nil
		}
		return milterkit.Continue, c.flush()
	})
}

// moreBody waits for the answer to the piece of the body before, if the milter may
// say that it wants no more of it. What comes after that it may not be made for:
// no MTA sends it.
func (c *conn) moreBody(ctx context.Context) (milterkit.Verdict, error) {
	last := len(c.due) - 1
	if c.answer.Steps&wire.CanSkip == 0 || last < 0 || c.due[last].cmd != wire.CmdBody {
		return milterkit.Continue, nil
	}
	if err := c.flush(); err != nil {
		return milterkit.Continue, err
	}
	return c.collect(ctx, 0)
}

// endOfMessage ends the message and takes the milter's edits.
func (c *conn) endOfMessage(ctx context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
	v := c.do(ctx, wire.CmdEOM, func() (milterkit.Verdict, error) {
		if c.owed > 0 || c.m.Lockstep {
			// The replies come first: a milter that has given a verdict by then is
			// not told of an end, and when they are all there nothing more may
			// come, which would pass for the verdict on the message.
			if err := c.flush(); err != nil {
				return milterkit.Continue, err
			}
			if v, err := c.collect(ctx, 0); err != nil || v != milterkit.Continue {
				return v, err
			}
		}
		c.macros(wire.CmdEOM, m.Session, milterkit.StageMessage, nil)
		c.out = wire.AppendFrame(c.out, wire.CmdEOM, nil)
		if err := c.flush(); err != nil {
			return milterkit.Continue, err
		}
		c.expect(wire.CmdEOM)
		c.now = wire.CmdEOM
		return c.outcome(ctx, e)
	})
	if c.hold != nil {
		e.Append(*c.hold)
	}
	return v
}

// outcome reads the milter's edits and its last word on the message.
func (c *conn) outcome(ctx context.Context, e *milterkit.Edits) (milterkit.Verdict, error) {
	var body newBody
	size := 0
	for {
		f, err := c.r.Next()
		if err != nil {
			return milterkit.Continue, err
		}
		if f.Code == wire.RepProgress {
			if err := bare(f); err != nil {
				return milterkit.Continue, err
			}
			milterkit.Progress(ctx)
			continue
		}
		edit, ok, err := c.edit(f, &body)
		switch {
		case err != nil:
			return milterkit.Continue, err
		case ok && edit.Op != 0:
			if size += len(f.Payload) + editCost; size > maxEdits {
				return milterkit.Continue, fmt.Errorf("it asks for more than %d MiB of changes", maxEdits>>20)
			}
			e.Append(edit)
		case !ok:
			v, err := c.verdict(f)
			c.settle()
			c.ended = err == nil
			if err == nil && body.begun {
				e.Append(milterkit.Edit{Op: milterkit.OpReplaceBody, Body: body.pieces})
			}
			return v, errors.Join(err, c.settled())
		}
	}
}
