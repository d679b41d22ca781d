package when

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/milterkit/sdk/builtin/conditions"
)

// What a name is never equal to. Such a comparison compiles, and the milter would
// be asked never, or always, without a sign of it.

// compare checks a name against a text that it is compared with.
func (c *compiler) compare(name, with ast.Node) {
	s, ok := with.(*ast.StringNode)
	if !ok {
		return
	}
	if call := verdictOf(name); call != nil {
		c.saying(call, s)
		return
	}
	switch name, _ := dotted(name, c.text); name {
	case "mail_from", "rcpt_to":
		if strings.HasPrefix(s.Value, "<") && strings.HasSuffix(s.Value, ">") {
			c.report(with.Location(), "%s has no angle brackets: write %q", name, s.Value[1:len(s.Value)-1])
		}
	case "mail_from.domain", "rcpt_to.domain":
		if right := strings.TrimSuffix(strings.ToLower(s.Value[strings.LastIndexByte(s.Value, '@')+1:]), "."); right != s.Value {
			c.report(with.Location(), "%s is a domain in small letters: write %q", name, right)
		}
	case "spf":
		c.oneOf(s, name, results)
	case "weekday":
		c.oneOf(s, name, weekdays)
	case "client.addr":
		c.address(s)
	}
}

// oneOf checks a text with which a name is compared that can be one of a few only.
func (c *compiler) oneOf(s *ast.StringNode, name string, values []string) {
	if !slices.Contains(values, s.Value) {
		c.reportWord(s.Location(), cmp.Or(s.Value, " "), values, fmt.Sprintf("%s is never %q", name, s.Value))
	}
}

// address checks a text that client.addr is compared with.
func (c *compiler) address(s *ast.StringNode) {
	if _, err := netip.ParsePrefix(s.Value); err == nil {
		c.report(s.Location(), "client.addr is one address and no network: write cidr(client.addr, %q)", s.Value)
		return
	}
	if addr, ok := conditions.ParseAddr(s.Value); ok && addr.String() != s.Value {
		c.report(s.Location(), "client.addr never has this form: write %q", addr)
	}
}
