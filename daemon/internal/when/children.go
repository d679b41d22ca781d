package when

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/milterkit/sdk/milterkit"
)

// A Milter is one that a condition can ask about: what it has said so far.
type Milter struct {
	Name   string
	Shadow bool
}

// sayings are what a milter can have said, from what any can to what only a shadow
// can: what refuses or discards ends the stage, and nobody after it is asked.
var sayings = []milterkit.Kind{
	milterkit.KindContinue, milterkit.KindAccept, milterkit.KindFail,
	milterkit.KindTempFail, milterkit.KindReject, milterkit.KindDiscard,
}

// verdict compiles children("NAME").verdict: what a milter before this one has said of
// the session, the message or the recipient at hand. It may say something at each
// stage, so the condition is settled at the last one that can be.
func (c *compiler) verdict(n *ast.MemberNode) part {
	call := verdictOf(n)
	if call == nil {
		c.report(n.Node.Location(), "of a milter there is its verdict: %s", examples["children"])
		return part{}
	}
	name := c.one(call, "children", "name of a milter")
	switch {
	case name == nil:
		return part{}
	case c.before == nil:
		c.report(call.Location(), "children: only when of a milter knows what others have said")
		return part{}
	case len(c.before) == 0:
		c.report(call.Location(), "children: no milter stands before this one")
		return part{}
	case c.milter(name.Value) == nil:
		var names []string
		for _, m := range c.before {
			names = append(names, m.Name)
		}
		c.reportWord(name.Location(), cmp.Or(name.Value, " "), names, fmt.Sprintf("children: no milter before this one is called %q", name.Value))
		return part{}
	}
	c.at = max(c.at, rcpt)
	child := name.Value
	return part{kind: text, text: func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) string {
		return e.Verdict(child).Kind().String()
	}}
}

// verdictOf returns the call of children whose verdict n is, or nil.
func verdictOf(n ast.Node) *ast.CallNode {
	m, ok := n.(*ast.MemberNode)
	if !ok || !calls(m.Node, "children") || m.Optional {
		return nil
	}
	// The place of what stands in brackets is that of the bracket.
	if p, ok := m.Property.(*ast.StringNode); !ok || p.Value != "verdict" || m.Location() != p.Location() {
		return nil
	}
	return m.Node.(*ast.CallNode)
}

// milter returns the milter of that name before this one, or nil.
func (c *compiler) milter(name string) *Milter {
	i := slices.IndexFunc(c.before, func(m Milter) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &c.before[i]
}

// saying checks a text that a milter's verdict is compared with.
func (c *compiler) saying(call *ast.CallNode, s *ast.StringNode) {
	if len(call.Arguments) != 1 { // which has been told
		return
	}
	var all []string
	for _, k := range sayings {
		all = append(all, k.String())
	}
	possible := all
	if name, ok := call.Arguments[0].(*ast.StringNode); ok {
		if m := c.milter(name.Value); m != nil && !m.Shadow {
			possible = all[:3]
		}
	}
	switch {
	case slices.Contains(possible, s.Value):
	case slices.Contains(all, s.Value):
		c.report(s.Location(), "a verdict is %q here for a shadow only: where another milter refuses, this one is not asked", s.Value)
	default:
		c.reportWord(s.Location(), cmp.Or(s.Value, " "), possible, fmt.Sprintf("a verdict is never %q", s.Value))
	}
}
