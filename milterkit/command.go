package milterkit

import (
	"fmt"
	"iter"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// One method for each command of the MTA. A command that is out of turn or
// malformed ends the connection: the MTA then does what it does when a filter
// fails, so the message is deferred and not lost.

// command carries out one command.
func (c *conn) command(f wire.Frame) error {
	if c.w == nil && f.Code != wire.CmdNegotiate && f.Code != wire.CmdQuit {
		return outOfTurn(f.Code, "before the negotiation")
	}
	switch f.Code {
	case wire.CmdRcpt, wire.CmdData, wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM:
		if !c.w.open {
			return outOfTurn(f.Code, "before MAIL")
		}
	}
	switch f.Code {
	case wire.CmdRcpt, wire.CmdData, wire.CmdUnknown:
		if c.w.content.begun() {
			return outOfTurn(f.Code, "within the content of a message")
		}
	}
	method := methods[f.Code]
	if method == nil {
		return &wire.ProtocolError{Code: f.Code, Reason: "not a command of the milter protocol"}
	}
	return method(c, f.Payload)
}

var methods = [256]func(*conn, []byte) error{
	wire.CmdNegotiate: (*conn).negotiate,
	wire.CmdMacros:    (*conn).macros,
	wire.CmdConnect:   (*conn).connect,
	wire.CmdHelo:      (*conn).helo,
	wire.CmdMail:      (*conn).mail,
	wire.CmdRcpt:      (*conn).rcpt,
	wire.CmdData:      (*conn).data,
	wire.CmdHeader:    (*conn).headerField,
	wire.CmdEOH:       (*conn).endOfHeader,
	wire.CmdBody:      (*conn).body,
	wire.CmdEOM:       (*conn).endOfMessage,
	wire.CmdUnknown:   (*conn).unknown,
	wire.CmdAbort:     (*conn).abort,
	wire.CmdQuit:      (*conn).goodbye,
	wire.CmdQuitNew:   (*conn).nextSession,
}

func outOfTurn(code byte, when string) error {
	return &wire.ProtocolError{Code: code, Reason: "out of turn: " + when}
}

func (c *conn) negotiate(p []byte) error {
	if c.w != nil {
		return outOfTurn(wire.CmdNegotiate, "a second negotiation")
	}
	offer, err := wire.ParseNegotiation(p)
	if err != nil {
		return err
	}
	c.nc.SetReadDeadline(time.Time{})
	c.placed = c.s.takePlace()
	c.of = c.s.join(c)
	c.beginSession(offer.Actions & wire.AllActions)
	c.answer, err = negotiate(offer, c.w.d.slots, c.w.hooks())
	if err != nil {
		return err
	}
	c.out = c.answer.Append(c.out[:0])
	return c.write()
}

// beginSession begins the walk of a session past the children, or, where there
// is no room for it, past one that turns its messages away.
func (c *conn) beginSession(actions Actions) {
	d := c.of.d
	if !c.placed {
		d = c.of.noRoom
	}
	c.w = d.Walk(actions)
	c.w.OnProgress = c.progress
}

// nextSession is QUIT_NC: the same connection goes on with another client, and
// without another negotiation. Where that would have had another answer, because
// a child wants now what it did not want before, or there are other children, the
// MTA has to connect anew.
func (c *conn) nextSession([]byte) error {
	if c.s.replaced(c.of) {
		return errGoodbye
	}
	actions := c.w.sess.Actions
	c.endMessage()
	c.w.Close()
	c.beginSession(actions)
	if c.answer.Steps&allStages&^wantedSteps(c.w.hooks()) != 0 {
		return errGoodbye
	}
	return nil
}

// allStages are the stages that an MTA can be told to leave out.
const allStages = wire.NoConnect | wire.NoHelo | wire.NoMail | wire.NoRcpt | wire.NoData |
	wire.NoHeader | wire.NoEOH | wire.NoBody | wire.NoUnknown

func (c *conn) goodbye([]byte) error { return errGoodbye }

func (c *conn) macros(p []byte) error {
	m, err := wire.ParseMacros(p)
	if err != nil {
		return err
	}
	at, ok := stageOf[m.For]
	if !ok {
		return nil // for a command that has no stage; nobody could ask for them
	}
	if c.w.sameMacros(at, m.All()) {
		return nil
	}
	list := make([]macro, 0, m.Len())
	for name, value := range m.Strings() {
		list = append(list, macro{name, value})
	}
	c.w.sess.macros.set(at, list)
	return nil
}

// sameMacros reports whether a stage has just these macros already. Postfix
// sends the same ones with each field of the header.
func (w *Walk) sameMacros(at Stage, pairs iter.Seq2[[]byte, []byte]) bool {
	list := w.sess.macros[at]
	for name, value := range pairs {
		if len(list) == 0 || list[0].name != string(name) || list[0].value != string(value) {
			return false
		}
		list = list[1:]
	}
	return len(list) == 0
}

func (c *conn) connect(p []byte) error {
	if c.w.connected {
		return outOfTurn(wire.CmdConnect, "a second CONNECT")
	}
	m, err := wire.ParseConnect(p)
	if err != nil {
		return err
	}
	host, addr := string(m.Host), string(m.Addr)
	return c.ask(wire.CmdConnect, func() Verdict { return c.w.Connect(c.of.ctx, host, m.Family, addr, m.Port) })
}

func (c *conn) helo(p []byte) error {
	name, err := wire.ParseHelo(p)
	if err != nil {
		return err
	}
	text := string(name)
	c.endMessage()
	return c.ask(wire.CmdHelo, func() Verdict { return c.w.Helo(c.of.ctx, text) })
}

func (c *conn) mail(p []byte) error {
	sender, err := address(wire.CmdMail, p)
	if err != nil {
		return err
	}
	c.endMessage()
	c.beginMessage()
	return c.ask(wire.CmdMail, func() Verdict { return c.w.Mail(c.of.ctx, sender) })
}

func (c *conn) rcpt(p []byte) error {
	to, err := address(wire.CmdRcpt, p)
	if err != nil {
		return err
	}
	c.envelope += len(p) + fieldCost
	return c.ask(wire.CmdRcpt, func() Verdict {
		if c.envelope > maxEnvelope {
			return tooManyRecipients
		}
		if c.answer.Steps&wire.RefusedRcpts != 0 && c.w.sess.macros.at(StageRcpt, "rcpt_mailer") == mailerError {
			c.w.RefusedRcpt(c.of.ctx, to)
			return Continue
		}
		return c.w.Rcpt(c.of.ctx, to)
	})
}

// maxEnvelope bounds the bytes of a message's recipients, their parameters
// included; each counts fieldCost besides.
const maxEnvelope = 4 << 20

// tooManyRecipients is the answer to those beyond. Source: RFC 5321, 4.5.3.1.10.
var tooManyRecipients = Reply(452, "4.5.3 Too many recipients")

// address makes strings of an address on the wire.
func address(code byte, p []byte) (Address, error) {
	a, err := wire.ParseAddress(code, p)
	if err != nil {
		return Address{}, err
	}
	var args []string
	for arg := range a.Args() {
		args = append(args, string(arg))
	}
	return NewAddress(string(a.Addr), args...), nil
}

func (c *conn) data([]byte) error {
	return c.ask(wire.CmdData, func() Verdict { return c.w.Data(c.of.ctx) })
}

func (c *conn) unknown(p []byte) error {
	line, err := wire.ParseUnknown(p)
	if err != nil {
		return err
	}
	text := string(line)
	return c.ask(wire.CmdUnknown, func() Verdict { return c.w.Unknown(c.of.ctx, text) })
}

// fieldCost is what a header field or a recipient counts besides its bytes, so
// that many short ones are bounded too.
const fieldCost = 64

func (c *conn) headerField(p []byte) error {
	if c.w.content.headed {
		return outOfTurn(wire.CmdHeader, "after the end of the header")
	}
	name, value, err := wire.ParseHeader(p)
	if err != nil {
		return err
	}
	limit := or(c.s.MaxHeader, DefaultMaxHeader)
	if c.header += len(p) + fieldCost; c.header > limit {
		c.w.Refuse(Reply(552, fmt.Sprintf("5.3.4 Message header is longer than %d bytes", limit)))
		return c.proceed(wire.CmdHeader)
	}
	// The space is put back in the place of the NUL before the value.
	if eatsSpace(c.answer.Steps, value) {
		p[len(name)] = ' '
		value = p[len(name) : len(name)+1+len(value)]
	}
	c.w.Header(c.keep(name), c.keep(value))
	return c.proceed(wire.CmdHeader)
}

func (c *conn) endOfHeader([]byte) error {
	c.w.EndOfHeader(c.of.ctx)
	return c.proceed(wire.CmdEOH)
}

func (c *conn) body(p []byte) error {
	if err := c.takeBody(p); err != nil {
		return err
	}
	if c.r.Rest() > 0 {
		return nil // the rest of this frame follows; it has one answer
	}
	return c.proceed(wire.CmdBody)
}

// maxPieces is how many pieces of a body are kept: what is known of each takes
// memory too, 24 bytes. Both MTAs send pieces of nearly 64 KiB.
const maxPieces = 1 << 20

// takeBody shows a piece of the body to the children, and keeps it if need be.
func (c *conn) takeBody(p []byte) error {
	c.w.EndOfHeader(c.of.ctx)
	if len(p) == 0 {
		return nil
	}
	if c.pieces++; c.pieces > maxPieces {
		c.w.Refuse(Reply(552, fmt.Sprintf("5.3.4 Message body comes in more than %d pieces", maxPieces)))
	}
	if c.scratch && !c.w.fed && !c.w.ended.Final() {
		c.w.feed(c.of.ctx) // there is no memory to wait in
	}
	kept, joined := p, false
	if c.w.KeepsBody() && !c.w.ended.Final() {
		var err error
		if kept, joined, err = c.keepBody(p); err != nil {
			c.s.logger().Error("a message cannot be kept", "session", c.w.sess.ID, "queue_id", c.w.env.QueueID(), "error", err)
			c.w.Refuse(Reply(452, "4.3.1 Insufficient system storage"))
			return nil // and all that follows is thrown away
		}
	}
	c.w.takePiece(c.of.ctx, p, kept, joined)
	if c.memory.fresh {
		// A hook that was given up may still look at p, and at no other piece that
		// does not stay anyway.
		c.memory.fresh, c.page = false, nil
		c.r.Pin()
	}
	return nil
}

func (c *conn) endOfMessage(p []byte) error {
	// It may carry a last piece of the body. Source: libmilter's st_bodyend.
	if len(p) > 0 {
		if err := c.takeBody(p); err != nil {
			return err
		}
	}
	c.leavePage()
	c.waiting = true
	outcome := c.w.EndOfMessage(c.of.ctx)
	c.waiting = false
	err := c.writeOutcome(outcome)
	c.w.report.untold = err != nil
	c.endMessage()
	return err
}

func (c *conn) abort([]byte) error {
	c.endMessage()
	return nil
}

// hooks returns the hooks of all children.
func (w *Walk) hooks() []Hooks {
	list := make([]Hooks, len(w.parts))
	for i := range w.parts {
		list[i] = w.parts[i].hooks
	}
	return list
}
