package when

import (
	"context"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"

	"github.com/milterkit/sdk/builtin/conditions"
	"github.com/milterkit/sdk/milterkit"
)

// condition compiles the whole of one.
func (c *compiler) condition(n ast.Node) part {
	p := c.check(n)
	if p.kind == text || p.kind == number {
		c.report(start(n), `this is %s, and a condition is true or false, such as helo == "mail.example.org"`, p.kind)
	}
	return p
}

// check compiles a part of a condition. What is not known here is refused.
func (c *compiler) check(n ast.Node) part {
	switch n := n.(type) {
	case *ast.BoolNode:
		return isTrue(func(context.Context, *milterkit.Envelope, milterkit.Address) bool { return n.Value })
	case *ast.StringNode:
		return part{kind: text, text: func(context.Context, *milterkit.Envelope, milterkit.Address) string { return n.Value }}
	case *ast.IntegerNode:
		return part{kind: number, number: func() int { return n.Value }}
	case *ast.MemberNode:
		if calls(n.Node, "children") {
			return c.verdict(n)
		}
		return c.name(n)
	case *ast.IdentifierNode:
		return c.name(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.CallNode:
		return c.call(n)
	case *ast.ArrayNode:
		c.report(n.Location(), `a list stands behind in: helo in ["a.example", "b.example"]`)
	case *ast.NilNode:
		c.report(n.Location(), `there is no nil; what is missing is the empty text ""`)
	default:
		c.report(n.Location(), "this has no meaning in a condition")
	}
	return part{}
}

func isTrue(f truthOf) part { return part{kind: truth, truth: f} }

// need compiles a part of which something is expected; who says by what.
func (c *compiler) need(n ast.Node, want kind, who string) part {
	p := c.check(n)
	if p.kind != want && p.kind != wrong {
		c.report(start(n), "%q wants %s, and this is %s", who, want, p.kind)
		return part{}
	}
	return p
}

// unary compiles a negation. It is of the next name only: !helo == "a" is
// (!helo) == "a", and one mistake.
func (c *compiler) unary(n *ast.UnaryNode) part {
	p := c.check(n.Node)
	switch p.kind {
	case wrong:
		return part{}
	case truth:
		return isTrue(func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
			return !p.truth(ctx, e, to)
		})
	}
	c.report(start(n.Node), "%q wants true or false, and this is %s; for not equal write !=", n.Operator, p.kind)
	return part{}
}

// binary compiles an operator between two parts. Where one of them is wrong, nobody
// will call what is made.
func (c *compiler) binary(n *ast.BinaryNode) part {
	op := n.Operator
	switch op {
	case "&&", "and":
		l, r := c.need(n.Left, truth, op).truth, c.need(n.Right, truth, op).truth
		return isTrue(func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
			return l(ctx, e, to) && r(ctx, e, to)
		})
	case "||", "or":
		return c.or(c.need(n.Left, truth, op), c.need(n.Right, truth, op))
	case "==", "!=":
		return c.equal(n)
	case "<", "<=", ">", ">=":
		return c.order(op, c.need(n.Left, number, op).number, c.need(n.Right, number, op).number)
	case "contains":
		return c.texts(n, strings.Contains)
	case "startsWith":
		return c.texts(n, strings.HasPrefix)
	case "endsWith":
		return c.texts(n, strings.HasSuffix)
	case "matches":
		return c.matches(n)
	case "in":
		return c.in(n)
	}
	c.report(n.Location(), "this has no meaning in a condition")
	return part{}
}

// or joins two parts. DNS lists are asked at the same time.
func (c *compiler) or(l, r part) part {
	if l.zones != nil && r.zones != nil {
		return c.blocklists(slices.Concat(l.zones, r.zones))
	}
	return isTrue(func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
		return l.truth(ctx, e, to) || r.truth(ctx, e, to)
	})
}

// equal compiles == and !=.
func (c *compiler) equal(n *ast.BinaryNode) part {
	l, r := c.check(n.Left), c.check(n.Right)
	if l.kind != r.kind && l.kind != wrong && r.kind != wrong {
		c.report(n.Location(), "%q compares %s with %s", n.Operator, l.kind, r.kind)
		return part{}
	}
	c.compare(n.Left, n.Right)
	c.compare(n.Right, n.Left)
	want := n.Operator == "=="
	switch l.kind {
	case text:
		return isTrue(func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
			return (l.text(ctx, e, to) == r.text(ctx, e, to)) == want
		})
	case number:
		return isTrue(func(context.Context, *milterkit.Envelope, milterkit.Address) bool {
			return (l.number() == r.number()) == want
		})
	}
	return isTrue(func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
		return (l.truth(ctx, e, to) == r.truth(ctx, e, to)) == want
	})
}

// order compiles the operators that put numbers in order.
func (c *compiler) order(op string, l, r numberOf) part {
	return isTrue(func(context.Context, *milterkit.Envelope, milterkit.Address) bool {
		switch l, r := l(), r(); op {
		case "<":
			return l < r
		case "<=":
			return l <= r
		case ">":
			return l > r
		default:
			return l >= r
		}
	})
}

// texts compiles an operator of two texts.
func (c *compiler) texts(n *ast.BinaryNode, operate func(l, r string) bool) part {
	l, r := c.need(n.Left, text, n.Operator).text, c.need(n.Right, text, n.Operator).text
	return isTrue(func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
		return operate(l(ctx, e, to), r(ctx, e, to))
	})
}

// matches compiles a regular expression, once for all sessions.
func (c *compiler) matches(n *ast.BinaryNode) part {
	l := c.need(n.Left, text, n.Operator).text
	s, ok := n.Right.(*ast.StringNode)
	if !ok {
		c.report(start(n.Right), `"matches" wants a regular expression in quotes, such as "@example[.]org$"`)
		return part{}
	}
	pattern, err := regexp.Compile(s.Value)
	if err != nil {
		message := err.Error()
		if e, ok := err.(*syntax.Error); ok {
			message = fmt.Sprintf("%s: %q", e.Code, e.Expr)
		}
		c.report(s.Location(), "this is not a regular expression: %s", message)
		return part{}
	}
	return isTrue(func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
		return pattern.MatchString(l(ctx, e, to))
	})
}

// in compiles the question whether a text is in a list.
func (c *compiler) in(n *ast.BinaryNode) part {
	l := c.need(n.Left, text, "in").text
	if calls(n.Right, "list") {
		return c.inFile(n.Left, l, n.Right.(*ast.CallNode))
	}
	items, ok := n.Right.(*ast.ArrayNode)
	name, _ := dotted(n.Left, c.text)
	switch {
	case !ok && name == "client.addr":
		c.report(start(n.Right), `for a network write %s`, examples["cidr"])
		return part{}
	case !ok:
		c.report(start(n.Right), `"in" wants a list, such as ["a.example", "b.example"] or list("/etc/milterkit/domains"); for a part of a text write contains`)
		return part{}
	case len(items.Nodes) == 0:
		c.report(n.Right.Location(), "the list is empty, so nothing is ever in it")
		return part{}
	}
	list := make([]textOf, len(items.Nodes))
	for i, item := range items.Nodes {
		list[i] = c.need(item, text, "in").text
		c.compare(n.Left, item)
	}
	return isTrue(func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
		it := l(ctx, e, to)
		for _, item := range list {
			if item(ctx, e, to) == it {
				return true
			}
		}
		return false
	})
}

// name compiles a name, and notes when it is known.
func (c *compiler) name(n ast.Node) part {
	name, ok := dotted(n, c.text)
	root, _, _ := strings.Cut(name, ".")
	w, known := words[name]
	switch {
	case !ok:
		c.report(n.Location(), "this has no meaning in a condition")
	case known:
		c.at = max(c.at, w.at)
		return w.part(c.env)
	case slices.Contains(functions, name):
		c.report(start(n), "%s is a function: %s", name, examples[name])
	case name == "client":
		c.report(start(n), "of the client there are client.addr and client.name")
	case told[name] != 0:
		c.report(start(n), "%s is a macro: write macro(%q)", name, name)
	case root != name && root != "client" && root != "mail_from" && root != "rcpt_to":
		c.report(start(n), "unknown name %q; text stands in quotes", name)
	default:
		c.reportWord(start(n), name, names, fmt.Sprintf("unknown name %q", name))
	}
	return part{}
}

// dotted returns a name such as client.addr as it stands in source. Brackets,
// as in client["addr"], make none.
func dotted(n ast.Node, source string) (name string, ok bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value, true
	case *ast.MemberNode:
		of, ok := dotted(n.Node, source)
		property, isName := n.Property.(*ast.StringNode)
		// The place of a property behind a dot is that of its name, else that
		// of the bracket.
		if !ok || !isName || n.Optional || n.Location() != property.Location() {
			return "", false
		}
		return of + "." + property.Value, true
	}
	return "", false
}

// start returns where a part begins; the place of an operator is the operator.
func start(n ast.Node) file.Location {
	switch n := n.(type) {
	case *ast.MemberNode:
		return start(n.Node)
	case *ast.BinaryNode:
		return start(n.Left)
	}
	return n.Location()
}

// blocklists compiles the question whether the client is on one of some DNS lists.
func (c *compiler) blocklists(zones []conditions.Zone) part {
	return part{kind: truth, truth: conditions.DNSBL(c.env.resolver(), zones...).Holds, zones: zones}
}
