package when

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/parser/lexer"
)

// The operators of the language; and, or and not are &&, || and !.
var (
	signs         = []string{"&&", "||", "!", "==", "!=", "<", "<=", ">", ">="}
	wordOperators = []string{"in", "matches", "contains", "startsWith", "endsWith", "and", "or", "not"}
	operators     = slices.Concat(signs, wordOperators)
)

// slips are what one writes in place of an operator.
var slips = map[string]string{"=": "==", "&": "&&", "|": "||", "<>": "!=", "~": "matches"}

// parse returns the tree of the condition, nil where there is none. Of words out
// of place only the first is told: those after it are seldom mistakes of their own.
func (c *compiler) parse() ast.Node {
	if len(c.text) > maxLength {
		c.report(file.Location{}, "a condition has at most %d bytes", maxLength)
		return nil
	}
	tokens, err := lexer.Lex(file.NewSource(c.text))
	if err != nil {
		c.unreadable(err)
		return nil
	}
	for i, token := range tokens {
		if !c.known(tokens, i, token) {
			return nil
		}
	}
	tree, err := parser.ParseWithConfig(c.text, nil)
	if err != nil {
		c.misplaced(tokens, err)
		return nil
	}
	return tree.Node
}

// unreadable reports what cannot be split into words.
func (c *compiler) unreadable(err error) {
	var fe *file.Error
	if !errors.As(err, &fe) {
		c.foreign(err)
		return
	}
	at := fe.Location
	switch {
	case fe.Message == "literal not terminated":
		c.report(at, "the text in quotes has no end")
	case strings.Contains(fe.Message, "escape"):
		before := c.text[:c.offset(at.From)]
		if i := strings.LastIndexByte(before, '\\'); i >= 0 {
			at.From = len([]rune(before[:i]))
		}
		c.report(at, "this is no escape; a backslash in quotes is written twice, or the text stands in `backquotes`")
	case strings.HasPrefix(fe.Message, "bad number"), strings.HasPrefix(fe.Message, "unrecognized character"):
		c.report(at, `this is no word of a condition; text stands in quotes, such as "192.0.2.1"`)
	case fe.Message == "unclosed comment":
		c.report(at, "the comment has no end")
	default:
		c.foreign(err)
	}
}

// known reports whether a token is a word of the language, and says so if not.
func (c *compiler) known(tokens []lexer.Token, i int, t lexer.Token) bool {
	switch {
	case t.Kind == lexer.Number && len(t.Value) < 10 && strings.Trim(t.Value, "0123456789") == "" && !tokens[i+1].Is(lexer.Operator, ":"):
		return true // and not the beginning of an IPv6 address
	case t.Kind == lexer.Number, t.Kind == lexer.Bytes:
		c.report(t.Location, `a condition has whole numbers only, such as sessions >= 75; text stands in quotes, such as "192.0.2.1"`)
	case t.Is(lexer.Bracket, "{", "}"):
		c.report(t.Location, "%q has no meaning in a condition", t.Value)
	case t.Kind == lexer.Operator && !t.Is(lexer.Operator, ",", ".") && !slices.Contains(operators, t.Value):
		c.noOperator(t)
	case t.Kind == lexer.Identifier && tokens[i+1].Is(lexer.Bracket, "("): // there is always an EOF behind it
		return c.callable(tokens, i, t)
	default:
		return true
	}
	return false
}

// callable reports whether a name in front of a parenthesis can be there, and
// says so if not.
func (c *compiler) callable(tokens []lexer.Token, i int, t lexer.Token) bool {
	switch {
	case slices.Contains(functions, t.Value), i > 0 && tokens[i-1].Is(lexer.Operator, "."):
		return true
	case !startsOperand(tokens, i):
		c.noOperator(t)
	case t.Value == "trusted":
		c.report(t.Location, `trusted is not a function; for domains of your own write mail_from.domain in list("/etc/milterkit/trusted") && spf == "pass"`)
	case slices.Contains(names, t.Value):
		c.report(t.Location, "%s is not a function; write it without parentheses", t.Value)
	default:
		c.reportWord(t.Location, t.Value, functions, fmt.Sprintf("unknown function %q", t.Value))
	}
	return false
}

// noOperator reports a word that stands where an operator should.
func (c *compiler) noOperator(t lexer.Token) {
	message := fmt.Sprintf("%q is not an operator of a condition", t.Value)
	switch right := slips[t.Value]; {
	case right != "":
		c.report(t.Location, "%s; did you mean %q?", message, right)
	case t.Kind == lexer.Identifier:
		c.reportWord(t.Location, strings.ToLower(t.Value), wordOperators, message)
	default:
		c.report(t.Location, "%s; there are %s", message, strings.Join(operators, ", "))
	}
}

// startsOperand reports whether the token at i can begin something: it does not
// follow what has just ended.
func startsOperand(tokens []lexer.Token, i int) bool {
	if i == 0 {
		return true
	}
	t := tokens[i-1]
	return t.Kind == lexer.Operator || t.Is(lexer.Bracket, "(", "[")
}

// misplaced reports a known word in the wrong place.
func (c *compiler) misplaced(tokens []lexer.Token, err error) {
	var fe *file.Error
	if !errors.As(err, &fe) {
		c.foreign(err)
		return
	}
	i := slices.IndexFunc(tokens, func(t lexer.Token) bool { return t.Location == fe.Location })
	switch {
	case strings.Contains(fe.Message, "maximum allowed nodes"):
		c.report(file.Location{}, "the condition has too many words")
	case strings.Contains(fe.Message, "EOF"), strings.Contains(fe.Message, "end of expression"), i < 0:
		c.errs = append(c.errs, Error{Offset: len(c.text), Message: "the condition ends too early"})
	case tokens[i].Kind == lexer.Identifier && !startsOperand(tokens, i):
		c.noOperator(tokens[i])
	case tokens[i].Kind == lexer.String && !startsOperand(tokens, i):
		c.report(fe.Location, "an operator is missing before this text")
	default:
		c.report(fe.Location, "%q is not expected here", tokens[i].Value)
	}
}
