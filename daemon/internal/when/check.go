package when

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"

	"github.com/milterkit/sdk/milterkit"
)

// A kind is what a part of a condition is, in the words of an error message.
type kind string

const (
	wrong kind = "" // it has been reported
	truth kind = "true or false"
	text  kind = "text"
)

// A word is something that a condition can name: what it is, and the first
// stage at which it is known.
type word struct {
	kind kind
	at   milterkit.Stage
}

var words = map[string]word{
	"authenticated": {truth, milterkit.StageMail},
	"local":         {truth, milterkit.StageConnect},
	"s25r":          {truth, milterkit.StageConnect},
	"client.addr":   {text, milterkit.StageConnect},
	"client.name":   {text, milterkit.StageConnect},
	"helo":          {text, milterkit.StageHelo},
	"mail_from":     {text, milterkit.StageMail},
	"rcpt_to":       {text, milterkit.StageRcpt},
}

var (
	// names are the words in the order in which messages have them.
	names = []string{"authenticated", "local", "s25r", "client.addr", "client.name", "helo", "mail_from", "rcpt_to"}

	functions = []string{"macro", "cidr"}

	// later are the names whose time has not come.
	later = []string{"trusted", "stress"}
)

// condition checks the whole of one.
func (c *compiler) condition(n ast.Node) {
	if k := c.check(n); k == text {
		c.report(start(n), `this is text, and a condition is true or false, such as helo == "mail.example.org"`)
	}
}

// check checks a part of a condition and returns what it is. What is not known
// here is refused.
func (c *compiler) check(n ast.Node) kind {
	switch n := n.(type) {
	case *ast.BoolNode:
		return truth
	case *ast.StringNode:
		return text
	case *ast.IdentifierNode, *ast.MemberNode:
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
	return wrong
}

// need checks a part of which something is expected; who says by what.
func (c *compiler) need(n ast.Node, want kind, who string) {
	if got := c.check(n); got != want && got != wrong {
		c.report(start(n), "%q wants %s, and this is %s", who, want, got)
	}
}

// unary checks a negation. It is of the next name only: !helo == "a" is
// (!helo) == "a", and one mistake.
func (c *compiler) unary(n *ast.UnaryNode) kind {
	k := c.check(n.Node)
	if k == text {
		c.report(start(n.Node), "%q wants true or false, and this is text; for not equal write !=", n.Operator)
		return wrong
	}
	return k
}

func (c *compiler) binary(n *ast.BinaryNode) kind {
	switch n.Operator {
	case "&&", "||", "and", "or":
		c.need(n.Left, truth, n.Operator)
		c.need(n.Right, truth, n.Operator)
	case "==", "!=":
		l, r := c.check(n.Left), c.check(n.Right)
		if l != r && l != wrong && r != wrong {
			c.report(n.Location(), "%q compares %s with %s", n.Operator, l, r)
		}
		c.compare(n.Left, n.Right)
		c.compare(n.Right, n.Left)
	case "contains", "startsWith", "endsWith":
		c.need(n.Left, text, n.Operator)
		c.need(n.Right, text, n.Operator)
	case "matches":
		c.need(n.Left, text, n.Operator)
		c.pattern(n.Right)
	case "in":
		c.need(n.Left, text, n.Operator)
		c.list(n.Left, n.Right)
	}
	return truth
}

// pattern checks a regular expression, which is compiled once for all sessions.
func (c *compiler) pattern(n ast.Node) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		c.report(start(n), `"matches" wants a regular expression in quotes, such as "@example[.]org$"`)
		return
	}
	if _, err := syntax.Parse(s.Value, syntax.Perl); err != nil {
		message := err.Error()
		if e, ok := err.(*syntax.Error); ok {
			message = fmt.Sprintf("%s: %q", e.Code, e.Expr)
		}
		c.report(n.Location(), "this is not a regular expression: %s", message)
	}
}

// list checks what stands behind in.
func (c *compiler) list(of, n ast.Node) {
	items, ok := n.(*ast.ArrayNode)
	name, _ := dotted(of, c.text)
	switch {
	case !ok && name == "client.addr":
		c.report(start(n), `for a network write %s`, examples["cidr"])
	case !ok:
		c.report(start(n), `"in" wants a list, such as ["a.example", "b.example"]; for a part of a text write contains`)
	case len(items.Nodes) == 0:
		c.report(n.Location(), "the list is empty, so nothing is ever in it")
	default:
		for _, item := range items.Nodes {
			c.need(item, text, "in")
			c.compare(of, item)
		}
	}
}

// name checks a name, and notes when it is known.
func (c *compiler) name(n ast.Node) kind {
	name, ok := dotted(n, c.text)
	root, _, _ := strings.Cut(name, ".")
	w, known := words[name]
	switch {
	case !ok:
		c.report(n.Location(), "this has no meaning in a condition")
	case known:
		c.at = max(c.at, w.at)
		c.s25r = c.s25r || name == "s25r"
		return w.kind
	case slices.Contains(later, root):
		c.report(start(n), "%s is not supported by this version yet", root)
	case slices.Contains(functions, name):
		c.report(start(n), "%s is a function: %s", name, examples[name])
	case name == "client":
		c.report(start(n), "of the client there are client.addr and client.name")
	case told[name] != 0:
		c.report(start(n), "%s is a macro: write macro(%q)", name, name)
	case root != name && root != "client":
		c.report(start(n), "unknown name %q; text stands in quotes", name)
	default:
		c.reportWord(start(n), name, names, fmt.Sprintf("unknown name %q", name))
	}
	return wrong
}

// examples show how a function is called.
var examples = map[string]string{
	"macro": `macro("auth_type")`,
	"cidr":  `cidr(client.addr, "192.0.2.0/24", "2001:db8::/32")`,
}

func (c *compiler) call(n *ast.CallNode) kind {
	switch name, _ := dotted(n.Callee, c.text); name {
	case "macro":
		return c.macro(n)
	case "cidr":
		return c.cidr(n)
	default:
		c.reportWord(start(n.Callee), name, functions, fmt.Sprintf("unknown function %q", name))
	}
	return wrong
}

// macro checks a call of macro, and notes when it is known and that it is to be
// asked for.
func (c *compiler) macro(n *ast.CallNode) kind {
	var name *ast.StringNode
	if len(n.Arguments) == 1 {
		name, _ = n.Arguments[0].(*ast.StringNode)
	}
	if name == nil {
		c.report(n.Location(), "macro wants one name in quotes, such as %s", examples["macro"])
		return wrong
	}
	if problem := c.tell(name.Value); problem != "" {
		c.report(name.Location(), "macro: %s", problem)
		return wrong
	}
	return text
}

// cidr checks a call of cidr, and keeps its networks.
func (c *compiler) cidr(n *ast.CallNode) kind {
	if len(n.Arguments) < 2 {
		c.report(n.Location(), "cidr wants an address and a network: %s", examples["cidr"])
		return wrong
	}
	addr := n.Arguments[0]
	if name, _ := dotted(addr, c.text); name == "client.addr" || calls(addr, "macro") {
		c.check(addr)
	} else {
		c.report(start(addr), `cidr: this is not an address; there is client.addr, or a macro such as macro("if_addr")`)
	}
	for _, arg := range n.Arguments[1:] {
		s, ok := arg.(*ast.StringNode)
		if !ok {
			c.report(start(arg), "cidr: networks stand in quotes, one after another: %s", examples["cidr"])
			continue
		}
		if err := c.networks.add(s.Value); err != nil {
			c.report(arg.Location(), "cidr: %s", err)
		}
	}
	return truth
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
