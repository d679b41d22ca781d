package remote

import (
	"context"
	"net"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

func (c *conn) connect(ctx context.Context, s *milterkit.Session) milterkit.Verdict {
	if _, err := c.ensure(ctx, s); err != nil {
		return milterkit.Fail(err)
	}
	return c.do(ctx, func() (milterkit.Verdict, error) {
		c.tellConnect(s)
		return c.ask(ctx, 0)
	})
}

func (c *conn) tellConnect(s *milterkit.Session) {
	c.macros(wire.CmdConnect, s, milterkit.StageConnect)
	if c.wants(wire.CmdConnect) {
		family := s.Family
		if family == 0 {
			family = wire.FamilyUnknown
		}
		c.out = wire.Connect{Host: []byte(s.Host), Family: family, Port: s.Port, Addr: []byte(s.Addr)}.Append(c.out)
	}
}

func (c *conn) helo(ctx context.Context, s *milterkit.Session) milterkit.Verdict {
	if v, ok := c.resume(ctx, s, false); !ok {
		return v
	}
	return c.do(ctx, func() (milterkit.Verdict, error) {
		c.tellHelo(s)
		return c.ask(ctx, 0)
	})
}

func (c *conn) tellHelo(s *milterkit.Session) {
	c.macros(wire.CmdHelo, s, milterkit.StageHelo)
	if c.wants(wire.CmdHelo) {
		c.out = wire.AppendHelo(c.out, []byte(s.Helo))
	}
}

// resume sees to it that there is a connection on which the milter knows the
// client, and its HELO if that is wanted. It reports false, and the verdict to
// give, if the milter has something against them.
func (c *conn) resume(ctx context.Context, s *milterkit.Session, helo bool) (milterkit.Verdict, bool) {
	fresh, err := c.ensure(ctx, s)
	if err != nil {
		return milterkit.Fail(err), false
	}
	if !fresh {
		return milterkit.Continue, true
	}
	v := c.do(ctx, func() (milterkit.Verdict, error) {
		c.tellConnect(s)
		v, err := c.ask(ctx, 0)
		if err != nil || v.Kind() != milterkit.KindContinue || !helo || s.Helo == "" {
			return v, err
		}
		c.tellHelo(s)
		return c.ask(ctx, 0)
	})
	return v, v.Kind() == milterkit.KindContinue
}

func (c *conn) mail(ctx context.Context, e *milterkit.Envelope) milterkit.Verdict {
	if v, ok := c.resume(ctx, e.Session, true); !ok {
		return v
	}
	c.inMessage = true
	return c.do(ctx, func() (milterkit.Verdict, error) {
		c.macros(wire.CmdMail, e.Session, milterkit.StageMail)
		if c.wants(wire.CmdMail) {
			c.out = wire.AppendAddress(c.out, wire.CmdMail, raw(e.Sender), e.Sender.Args)
		}
		return c.ask(ctx, 0)
	})
}

// raw returns the address as it came, or as it would have come.
func raw(a milterkit.Address) string {
	if a.Raw == "" {
		return "<" + a.Addr + ">"
	}
	return a.Raw
}

func (c *conn) rcpt(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
	return c.do(ctx, func() (milterkit.Verdict, error) {
		c.macros(wire.CmdRcpt, e.Session, milterkit.StageRcpt)
		if c.wants(wire.CmdRcpt) {
			c.out = wire.AppendAddress(c.out, wire.CmdRcpt, raw(to), to.Args)
		}
		return c.ask(ctx, 0)
	})
}

// refusedRcpt tells only a milter that has asked for it.
func (c *conn) refusedRcpt(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
	if c.answer.Steps&wire.RefusedRcpts == 0 {
		return milterkit.Continue
	}
	return c.rcpt(ctx, e, to)
}

func (c *conn) data(ctx context.Context, e *milterkit.Envelope) milterkit.Verdict {
	return c.do(ctx, func() (milterkit.Verdict, error) {
		c.macros(wire.CmdData, e.Session, milterkit.StageData)
		if c.wants(wire.CmdData) {
			c.out = wire.AppendFrame(c.out, wire.CmdData, nil)
		}
		return c.ask(ctx, 0)
	})
}

func (c *conn) unknown(ctx context.Context, s *milterkit.Session, line string) milterkit.Verdict {
	if c.nc == nil {
		return milterkit.Continue // it will be told of the session at the next message
	}
	return c.do(ctx, func() (milterkit.Verdict, error) {
		c.macros(wire.CmdUnknown, s, milterkit.StageUnknown)
		if c.wants(wire.CmdUnknown) {
			c.out = wire.AppendUnknown(c.out, []byte(line))
		}
		return c.ask(ctx, 0)
	})
}

// header sends the header in few writes; the replies to its fields are read
// when they have gathered.
func (c *conn) header(ctx context.Context, m *milterkit.Message) milterkit.Verdict {
	return c.do(ctx, func() (milterkit.Verdict, error) {
		c.macros(wire.CmdHeader, m.Session, milterkit.StageHeader)
		for _, f := range m.Header() {
			if c.skip || !c.wants(wire.CmdHeader) {
				break
			}
			c.out = wire.AppendHeader(c.out, f.Name, c.sentValue(f.Value))
			if c.owed < maxOwed && len(c.out) < maxOut {
				continue
			}
			if v, err := c.ask(ctx, 0); err != nil || v.Kind() != milterkit.KindContinue {
				return v, err
			}
		}
		c.macros(wire.CmdEOH, m.Session, milterkit.StageHeader)
		if c.wants(wire.CmdEOH) {
			c.out = wire.AppendFrame(c.out, wire.CmdEOH, nil)
		}
		v, err := c.ask(ctx, 0)
		c.skip = false // a skip of header fields says nothing of the body
		return v, err
	})
}

// sentValue gives a field's value the form that the milter expects: without the
// space after the colon, unless it has asked for it.
func (c *conn) sentValue(value []byte) []byte {
	if c.answer.Steps&wire.LeadingSpace == 0 && len(value) > 0 && value[0] == ' ' {
		return value[1:]
	}
	return value
}

// body sends a piece of the body from where it stands. Its reply is read when a
// few more have been sent, so that the milter works while more arrives.
func (c *conn) body(ctx context.Context, m *milterkit.Message, piece []byte) milterkit.Verdict {
	if c.skip || c.answer.Steps&wire.NoBody != 0 {
		return milterkit.Continue
	}
	return c.do(ctx, func() (milterkit.Verdict, error) {
		if !c.begun {
			c.macros(wire.CmdBody, m.Session, milterkit.StageBody)
			c.begun = true
		}
		for len(piece) > 0 && !c.skip {
			n := min(len(piece), wire.MaxBody)
			c.wants(wire.CmdBody)
			c.out = wire.AppendFrameHeader(c.out, wire.CmdBody, n)
			if err := c.flush(net.Buffers{piece[:n]}); err != nil {
				return milterkit.Continue, err
			}
			piece = piece[n:]
			if v, err := c.collect(ctx, maxOwdBody-1); err != nil || v.Kind() != milterkit.KindContinue {
				return v, err
			}
		}
		return milterkit.Continue, nil
	})
}

// message ends the message and takes the milter's edits.
func (c *conn) message(ctx context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
	return c.do(ctx, func() (milterkit.Verdict, error) {
		c.macros(wire.CmdEOM, m.Session, milterkit.StageMessage)
		c.wants(wire.CmdEOM)
		c.out = wire.AppendFrame(c.out, wire.CmdEOM, nil)
		// Replies to pieces of the body come first; an edit among them is out of turn.
		if v, err := c.ask(ctx, 1); err != nil || v.Kind() != milterkit.KindContinue {
			return v, err
		}
		var body newBody
		for {
			f, err := c.r.Next()
			if err != nil {
				return milterkit.Continue, err
			}
			if f.Code == wire.RepProgress {
				milterkit.Progress(ctx)
				continue
			}
			if edit, ok, err := c.edit(f, &body); err != nil {
				return milterkit.Continue, err
			} else if ok {
				if edit.Op != 0 {
					e.Append(edit)
				}
				continue
			}
			v, err := c.verdict(f)
			c.owed--
			if err == nil && body.begun {
				e.Append(milterkit.Edit{Op: milterkit.OpReplaceBody, Body: body.pieces})
			}
			return v, err
		}
	})
}
