package when

import (
	"net/netip"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// What a name is never equal to. Such a comparison compiles, and the milter would
// be asked never, or always, without a sign of it.

// compare checks a name against a text that it is compared with.
func (c *compiler) compare(name, with ast.Node) {
	s, ok := with.(*ast.StringNode)
	if !ok {
		return
	}
	switch name, _ := dotted(name, c.text); name {
	case "mail_from", "rcpt_to":
		if strings.HasPrefix(s.Value, "<") && strings.HasSuffix(s.Value, ">") {
			c.report(with.Location(), "%s has no angle brackets: write %q", name, s.Value[1:len(s.Value)-1])
		}
	case "client.addr":
		c.address(s)
	}
}

// address checks a text that client.addr is compared with.
func (c *compiler) address(s *ast.StringNode) {
	if _, err := netip.ParsePrefix(s.Value); err == nil {
		c.report(s.Location(), "client.addr is one address and no network: write cidr(client.addr, %q)", s.Value)
		return
	}
	if addr, ok := parseAddr(s.Value); ok && addr.String() != s.Value {
		c.report(s.Location(), "client.addr never has this form: write %q", addr)
	}
}
