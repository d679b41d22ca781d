package when

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/milterkit/sdk/builtin/conditions"
	"github.com/milterkit/sdk/milterkit"
)

var functions = []string{"macro", "cidr", "dnsbl", "list", "time_between", "children"}

// examples show how a function is called.
var examples = map[string]string{
	"macro":        `macro("auth_type")`,
	"cidr":         `cidr(client.addr, "192.0.2.0/24", "2001:db8::/32")`,
	"dnsbl":        `dnsbl("zen.spamhaus.org")`,
	"list":         `mail_from in list("/etc/milterkit/senders")`,
	"children":     `children("spf").verdict == "accept"`,
	"time_between": `time_between("22:00", "06:00")`,
}

func (c *compiler) call(n *ast.CallNode) part {
	switch name, _ := dotted(n.Callee, c.text); name {
	case "macro":
		return c.macro(n)
	case "cidr":
		return c.cidr(n)
	case "dnsbl":
		return c.dnsbl(n)
	case "time_between":
		return c.timeBetween(n)
	case "children":
		c.report(n.Location(), "of a milter before this one there is what it has said: %s", examples["children"])
	case "list":
		c.report(n.Location(), "a list stands behind in: %s", examples["list"])
	default:
		c.reportWord(start(n.Callee), name, functions, fmt.Sprintf("unknown function %q", name))
	}
	return part{}
}

// calls reports whether n is a call of a function.
func calls(n ast.Node, function string) bool {
	call, ok := n.(*ast.CallNode)
	if !ok {
		return false
	}
	id, ok := call.Callee.(*ast.IdentifierNode)
	return ok && id.Value == function
}

// one returns the only argument of a call, which is to stand in quotes; what says
// what it is.
func (c *compiler) one(n *ast.CallNode, function, what string) *ast.StringNode {
	if len(n.Arguments) == 1 {
		if s, ok := n.Arguments[0].(*ast.StringNode); ok {
			return s
		}
	}
	c.report(n.Location(), "%s wants one %s in quotes, such as %s", function, what, examples[function])
	return nil
}

// macro compiles a call of macro, and notes when it is known and that it is to be
// asked for.
func (c *compiler) macro(n *ast.CallNode) part {
	name := c.one(n, "macro", "name")
	if name == nil {
		return part{}
	}
	if problem := c.tell(name.Value); problem != "" {
		c.report(name.Location(), "macro: %s", problem)
		return part{}
	}
	return part{kind: text, text: func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) string { return e.Macro(name.Value) }}
}

// cidr compiles a call of cidr: whether an address is in one of some networks. What
// is not an IP address is in none.
func (c *compiler) cidr(n *ast.CallNode) part {
	if len(n.Arguments) < 2 {
		c.report(n.Location(), "cidr wants an address and a network: %s", examples["cidr"])
		return part{}
	}
	addr := n.Arguments[0]
	name, _ := dotted(addr, c.text)
	var of textOf
	if name == "client.addr" || calls(addr, "macro") {
		of = c.check(addr).text
	} else {
		c.report(start(addr), `cidr: this is not an address; there is client.addr, or a macro such as macro("if_addr")`)
	}
	var networks []netip.Prefix
	for _, arg := range n.Arguments[1:] {
		s, ok := arg.(*ast.StringNode)
		if !ok {
			c.report(start(arg), "cidr: networks stand in quotes, one after another: %s", examples["cidr"])
			continue
		}
		p, err := conditions.ParseNetwork(s.Value)
		if err != nil {
			c.report(arg.Location(), "cidr: %s", err)
		}
		networks = append(networks, p)
	}
	if name == "client.addr" {
		return isTrue(conditions.Network(networks...).Holds)
	}
	return isTrue(func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
		addr, ok := conditions.ParseAddr(of(ctx, e, to))
		return ok && slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr) })
	})
}

// dnsbl compiles a call of dnsbl.
func (c *compiler) dnsbl(n *ast.CallNode) part {
	if len(n.Arguments) == 0 {
		c.report(n.Location(), "dnsbl wants the domain of a list in quotes, or several: %s", examples["dnsbl"])
		return part{}
	}
	var zones []conditions.Zone
	for _, arg := range n.Arguments {
		s, ok := arg.(*ast.StringNode)
		if !ok {
			c.report(start(arg), "dnsbl: lists stand in quotes, one after another: %s", examples["dnsbl"])
			continue
		}
		z, err := conditions.ParseZone(s.Value)
		if err != nil {
			c.report(arg.Location(), "dnsbl: %s", err)
		}
		zones = append(zones, z)
	}
	return c.blocklists(zones)
}

// timeBetween compiles a call of time_between.
func (c *compiler) timeBetween(n *ast.CallNode) part {
	if len(n.Arguments) != 2 {
		c.report(n.Location(), "time_between wants two times of day in quotes: %s", examples["time_between"])
		return part{}
	}
	var times [2]time.Duration
	for i, arg := range n.Arguments {
		s, ok := arg.(*ast.StringNode)
		if !ok {
			c.report(start(arg), "time_between: times stand in quotes: %s", examples["time_between"])
			return part{}
		}
		if s.Value == "24:00" {
			times[i] = 24 * time.Hour
			continue
		}
		t, err := time.Parse("15:04", s.Value)
		if err != nil || len(s.Value) != 5 {
			c.report(arg.Location(), `time_between: %q is not a time of day; write it "00:00" to "24:00"`, s.Value)
			return part{}
		}
		times[i] = time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	}
	if times[0] == times[1] {
		c.report(n.Arguments[1].Location(), `time_between: nothing is between a time and itself; all day is "00:00", "24:00"`)
	}
	return isTrue(conditions.TimeBetween(times[0], times[1], c.env.now).Holds)
}

// inFile compiles the question whether something is in the list of a file.
func (c *compiler) inFile(what ast.Node, of textOf, n *ast.CallNode) part {
	path := c.one(n, "list", "file")
	switch {
	case path == nil:
		return part{}
	case !filepath.IsAbs(path.Value):
		c.report(path.Location(), "list: %q does not begin with /: %s", path.Value, examples["list"])
		return part{}
	}
	if name, _ := dotted(what, c.text); name == "spf" || name == "weekday" {
		c.report(start(what), "a list has domains, addresses and networks, and %s is none of these", name)
		return part{}
	}
	l, err := c.env.list(path.Value)
	if err != nil {
		for _, err := range each(err) {
			c.report(path.Location(), "list: %s", plain(err))
		}
		return part{}
	}
	return isTrue(func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
		return l.Has(of(ctx, e, to))
	})
}

// each returns the errors that were joined to one.
func each(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// plain is the message of an error about a file, without the name of the system call.
func plain(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Sprintf("%q: %v", e.Path, e.Err)
	}
	return err.Error()
}
