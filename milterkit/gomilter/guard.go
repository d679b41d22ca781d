package gomilter

import (
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"runtime/debug"

	"github.com/emersion/go-milter"

	"github.com/milterkit/sdk/milterkit"
)

// noReplies are the promises not to answer. They save nothing in a process, and
// go-milter does not keep them for a filter: it sends what the filter returns. So
// they are not passed on, and where a filter that made one returns nil it is
// answered for.
const noReplies = milter.OptNoConnReply | milter.OptNoHeloReply | milter.OptNoMailReply | milter.OptNoRcptReply |
	milter.OptNoDataReply | milter.OptNoUnknownReply | milter.OptNoHeaderReply | milter.OptNoEOHReply | milter.OptNoBodyReply

// A guard is a filter whose panics are errors, which end its session.
type guard struct {
	child  *Child
	filter milter.Milter
	broken error // why there is no filter
}

// newMilter returns a guard, which makes its filter when it is first called:
// go-milter asks for one where it takes connections, and one that does not come
// would keep all other sessions out.
func (c *Child) newMilter() milter.Milter { return &guard{child: c} }

// make makes the filter.
func (g *guard) make() {
	_, g.broken = g.guarded("NewMilter", 0, func() (milter.Response, error) {
		if g.filter = g.child.Server.NewMilter(); g.filter == nil {
			return nil, errors.New("NewMilter returned nil")
		}
		return nil, nil
	})
}

// call calls a hook of the filter. promised is its promise not to answer, if there
// is such a promise.
func (g *guard) call(hook string, promised milter.OptProtocol, do func() (milter.Response, error)) (r milter.Response, err error) {
	if g.filter == nil && g.broken == nil {
		g.make()
	}
	if g.broken != nil {
		return nil, g.broken
	}
	return g.guarded(hook, promised, do)
}

// guarded calls the filter's code, and makes an error of a panic.
func (g *guard) guarded(hook string, promised milter.OptProtocol, do func() (milter.Response, error)) (r milter.Response, err error) {
	defer func() {
		if v := recover(); v != nil {
			p := &milterkit.PanicError{Value: v, Stack: debug.Stack()}
			g.child.logger().Error("filter panicked", "milter", g.child.Name(), "hook", hook, "error", p, "stack", string(p.Stack))
			r, err = nil, fmt.Errorf("%s: %s: %w", g.child.Name(), hook, p)
		}
	}()
	if r, err = do(); r == nil && err == nil && g.child.Server.Protocol&promised != 0 {
		return milter.RespContinue, nil
	}
	return r, err
}

// Connect implements [milter.Milter].
func (g *guard) Connect(host, family string, port uint16, addr net.IP, m *milter.Modifier) (milter.Response, error) {
	return g.call("Connect", milter.OptNoConnReply, func() (milter.Response, error) { return g.filter.Connect(host, family, port, addr, m) })
}

// Helo implements [milter.Milter].
func (g *guard) Helo(name string, m *milter.Modifier) (milter.Response, error) {
	return g.call("Helo", milter.OptNoHeloReply, func() (milter.Response, error) { return g.filter.Helo(name, m) })
}

// MailFrom implements [milter.Milter].
func (g *guard) MailFrom(from string, m *milter.Modifier) (milter.Response, error) {
	return g.call("MailFrom", milter.OptNoMailReply, func() (milter.Response, error) { return g.filter.MailFrom(from, m) })
}

// RcptTo implements [milter.Milter].
func (g *guard) RcptTo(to string, m *milter.Modifier) (milter.Response, error) {
	return g.call("RcptTo", milter.OptNoRcptReply, func() (milter.Response, error) { return g.filter.RcptTo(to, m) })
}

// Header implements [milter.Milter].
func (g *guard) Header(name, value string, m *milter.Modifier) (milter.Response, error) {
	return g.call("Header", milter.OptNoHeaderReply, func() (milter.Response, error) { return g.filter.Header(name, value, m) })
}

// Headers implements [milter.Milter].
func (g *guard) Headers(h textproto.MIMEHeader, m *milter.Modifier) (milter.Response, error) {
	return g.call("Headers", milter.OptNoEOHReply, func() (milter.Response, error) { return g.filter.Headers(h, m) })
}

// BodyChunk implements [milter.Milter].
func (g *guard) BodyChunk(chunk []byte, m *milter.Modifier) (milter.Response, error) {
	return g.call("BodyChunk", milter.OptNoBodyReply, func() (milter.Response, error) { return g.filter.BodyChunk(chunk, m) })
}

// Body implements [milter.Milter].
func (g *guard) Body(m *milter.Modifier) (milter.Response, error) {
	return g.call("Body", 0, func() (milter.Response, error) { return g.filter.Body(m) })
}

// Abort implements [milter.Milter].
func (g *guard) Abort(m *milter.Modifier) error {
	_, err := g.call("Abort", 0, func() (milter.Response, error) { return nil, g.filter.Abort(m) })
	return err
}
