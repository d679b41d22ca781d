package milterkit

// The hooks as the worker runs them. Each is a plain function of the call, so
// that setting one going allocates nothing.

func runCondition(c *call) Verdict {
	if c.part.When.Holds(c.ctx, &c.part.env, c.to) {
		return Continue
	}
	return Accept
}

func runConnect(c *call) Verdict { return c.part.hooks.Connect(c.ctx, &c.part.sess) }
func runHelo(c *call) Verdict    { return c.part.hooks.Helo(c.ctx, &c.part.sess) }
func runMail(c *call) Verdict    { return c.part.hooks.Mail(c.ctx, &c.part.env) }
func runRcpt(c *call) Verdict    { return c.part.hooks.Rcpt(c.ctx, &c.part.env, c.to) }
func runData(c *call) Verdict    { return c.part.hooks.Data(c.ctx, &c.part.env) }
func runHeader(c *call) Verdict  { return c.part.hooks.Header(c.ctx, &c.part.msg) }
func runBody(c *call) Verdict    { return c.part.hooks.Body(c.ctx, &c.part.msg, c.piece) }
func runUnknown(c *call) Verdict { return c.part.hooks.Unknown(c.ctx, &c.part.sess, c.line) }

func runRefusedRcpt(c *call) Verdict {
	return c.part.hooks.RefusedRcpt(c.ctx, &c.part.env, c.to)
}

func runReset(c *call) Verdict {
	c.part.hooks.Reset()
	return Continue
}

// runHooks asks the child for its hooks. They are the part's own only when they
// have come in time.
func runHooks(c *call) Verdict {
	c.hooks = c.part.Child.Hooks()
	return Continue
}

// runClose calls Close at most once.
func runClose(c *call) Verdict {
	if end := c.hooks.Close; end != nil {
		c.hooks.Close = nil
		end()
	}
	return Continue
}

// runContent takes the child past what it has not yet seen of the message. Each
// hook has the content timeout for itself, and sees no more than if it were
// asked when its stage arrives. When it is told to stop, or was given up, none
// of the child's hooks is called any more.
func runContent(c *call) Verdict {
	p := c.part
	macros, body := p.sess.macros, p.msg.body
	p.msg.body = nil
	if p.hooks.Header != nil && !c.headed {
		c.stage.Store(uint32(StageHeader))
		p.sess.macros.clear(StageHeader)
		if v := p.hooks.Header(c.ctx, &p.msg); v.kind != KindContinue || c.over() {
			return v
		}
	}
	if p.hooks.Body != nil && !c.live {
		c.stage.Store(uint32(StageBody))
		p.sess.macros = macros
		p.sess.macros.clear(StageBody)
		for _, piece := range c.pieces {
			Progress(c.ctx)
			if v := p.hooks.Body(c.ctx, &p.msg, piece); v.kind != KindContinue || c.over() {
				return v
			}
		}
	}
	c.stage.Store(uint32(StageMessage))
	if p.hooks.Message == nil {
		return Continue
	}
	Progress(c.ctx)
	p.sess.macros, p.msg.body = macros, body
	v := p.hooks.Message(c.ctx, &p.msg, &c.edits)
	if err := c.edits.err; err != nil && (v.kind == KindContinue || v.kind == KindAccept) {
		return Fail(err)
	}
	return v
}
