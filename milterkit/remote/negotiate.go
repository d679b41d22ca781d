package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/milterkit/sdk/internal/quickack"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

// Terms are what a milter has agreed to.
type terms struct {
	offered milterkit.Actions
	reply   []byte // its answer as it came
	answer  wire.Negotiation
	lists   map[milterkit.Stage][]string // the macros it has asked for
}

// offer is what a milter is offered. Macro lists are always: it is the multiplexer
// that heeds them, whatever the MTA does.
func offer(actions milterkit.Actions) wire.Negotiation {
	return wire.Negotiation{
		Version: wire.MaxVersion,
		Actions: actions&wire.AllActions | wire.ActSetMacros,
		Steps:   wire.AllSteps,
	}
}

// A limit is the time that a connection has. It is lifted when the milter has
// agreed to terms, and may be cut short at any moment, by another goroutine: then
// it is not lifted any more.
type limit struct {
	mu   sync.Mutex
	nc   net.Conn
	over bool
}

func (l *limit) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	l.nc.SetDeadline(aLongTimeAgo)
}

func (l *limit) lift() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.nc.SetDeadline(time.Time{})
	}
}

// open dials the milter and negotiates with it. With ahead the negotiation is
// begun only, on the terms of the last time, if there are any: it goes out with the
// first command, and agreed has the answer. After an error there is no connection to
// be used, and it is to be hung up.
func (c *conn) open(ctx context.Context, actions milterkit.Actions, ahead bool) error {
	c.began = time.Now()
	by := c.began.Add(c.m.connectTimeout())
	nc, err := c.m.dial(ctx, by)
	if err != nil {
		return err
	}
	nc.SetDeadline(by)
	l := &limit{nc: nc}
	c.nc, c.limit, c.cut, c.ear, c.desk = nc, l, l.cut, newEar(nc), newDesk()
	c.r = wire.NewReader(quickack.Reader(nc), c.desk.in[:])
	c.spread()
	c.out = offer(actions).Append(c.out)
	if ahead {
		if t := c.m.lastTerms(); t.offered == offer(actions).Actions {
			c.terms = t
			c.expect(wire.CmdNegotiate)
			return nil
		}
	}
	release := afterFunc(ctx, c.cut)
	err = c.negotiate(offer(actions))
	if !release() {
		err = context.Cause(ctx)
	}
	if err != nil {
		return c.inTime(err)
	}
	c.limit.lift()
	return nil
}

// inTime says what it was that took too long, if that is the error.
func (c *conn) inTime(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return timeout{fmt.Errorf("no answer to the negotiation within %v", c.m.connectTimeout())}
	}
	return err
}

// timeout is an error that says of itself, as those of package net do, that
// something took too long.
type timeout struct{ error }

// Timeout reports that it is one.
func (timeout) Timeout() bool { return true }

// negotiate agrees with the milter on how it is spoken with.
func (c *conn) negotiate(offer wire.Negotiation) error {
	if err := c.writeTo(c.nc); err != nil {
		return fmt.Errorf("negotiation: %w", explain(err))
	}
	f, err := c.r.Next()
	switch {
	case errors.Is(err, io.EOF) && offer.Actions != wire.AllActions:
		// libmilter closes where an action that its filter needs is missing.
		return fmt.Errorf("%w: %w", errTerms, explain(err))
	case err != nil:
		return fmt.Errorf("negotiation: %w", explain(err))
	case f.Code != wire.CmdNegotiate:
		return &wire.ProtocolError{Code: f.Code, Reason: "in place of the negotiation"}
	case c.r.Buffered() > 0:
		return fmt.Errorf("negotiation: %w", ErrUnasked)
	}
	c.terms, err = c.m.agree(offer, f.Payload)
	return err
}

// errOtherTerms says that the milter has not agreed to what it agreed to the last
// time. It may agree to something else.
var errOtherTerms = errors.New("it has not agreed to the same terms again")

// unsure reports whether the milter has yet to agree to the terms.
func (c *conn) unsure() bool { return len(c.due) > 0 && c.due[0].cmd == wire.CmdNegotiate }

// agreed takes the milter's answer to what was sent ahead.
func (c *conn) agreed(f wire.Frame) error {
	if f.Code != wire.CmdNegotiate || !bytes.Equal(f.Payload, c.reply) {
		return errOtherTerms
	}
	c.settle()
	c.limit.lift()
	return nil
}

// disagreed returns what an error means of a milter that has not agreed to terms
// which were sent ahead: it is not there, or it is to be asked for its terms.
func (c *conn) disagreed(ctx context.Context, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil {
		err = c.inTime(err)
		c.notReached(ctx, err)
		return err
	}
	return fmt.Errorf("%w: %w", errOtherTerms, err)
}

// lastTerms returns what was agreed on the last time.
func (m *Milter) lastTerms() terms {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// agree checks a milter's answer to an offer, and remembers it.
func (m *Milter) agree(offer wire.Negotiation, reply []byte) (terms, error) {
	if t := m.lastTerms(); t.offered == offer.Actions && bytes.Equal(t.reply, reply) {
		return t, nil
	}
	answer, err := wire.ParseNegotiation(reply)
	switch more := answer.Actions &^ offer.Actions; {
	case err != nil:
		return terms{}, err
	case answer.Version < wire.MinVersion || answer.Version > offer.Version:
		return terms{}, fmt.Errorf("it speaks version %d of the milter protocol; 2 to 6 are spoken here", answer.Version)
	case more != 0:
		return terms{}, fmt.Errorf("%w: it asks for %s", errTerms, actionNames(more))
	}
	// Commands that its version does not have.
	if answer.Version < 3 {
		answer.Steps |= wire.NoUnknown
	}
	if answer.Version < 4 {
		answer.Steps |= wire.NoData
	}
	t := terms{offer.Actions, bytes.Clone(reply), answer, macroLists(answer)}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = t
	if t.lists != nil {
		m.lists = m.wanted(t.lists)
	}
	return t, nil
}

// actionNames returns what an administrator calls actions.
func actionNames(a milterkit.Actions) string {
	var names []string
	for op := milterkit.OpAddHeader; op <= milterkit.OpReplaceBody; op++ {
		if op.Action()&a != 0 {
			names = append(names, op.String())
			a &^= op.Action()
		}
	}
	if a != 0 {
		names = append(names, fmt.Sprintf("actions %#x", uint32(a)))
	}
	return strings.Join(names, ", ")
}

// macroLists returns the macros that a milter has asked for, by stage. Header
// fields go by the list of the end of header, the body by that of the end of
// message. Source: Postfix, milter8_header and milter8_body.
func macroLists(answer wire.Negotiation) map[milterkit.Stage][]string {
	if len(answer.MacroLists) == 0 {
		return nil
	}
	lists := make(map[milterkit.Stage][]string, len(answer.MacroLists)+1)
	for _, l := range answer.MacroLists {
		if at, ok := listStages[l.Stage]; ok {
			lists[at] = l.Names
		}
	}
	lists[milterkit.StageBody] = lists[milterkit.StageMessage]
	return lists
}

var listStages = map[wire.Stage]milterkit.Stage{
	wire.StageConnect: milterkit.StageConnect,
	wire.StageHelo:    milterkit.StageHelo,
	wire.StageMail:    milterkit.StageMail,
	wire.StageRcpt:    milterkit.StageRcpt,
	wire.StageData:    milterkit.StageData,
	wire.StageEOH:     milterkit.StageHeader,
	wire.StageEOM:     milterkit.StageMessage,
}
