package detect

import "regexp"

// A node is a part of a shell script: simple, *andOr, *branch, *choice, *function,
// group, or nil for what is not looked into (loops, the commands of a pipe).
type node any

type (
	simple []token // a command and its words
	group  []node  // one after another

	// andOr is LEFT && RIGHT, or LEFT || RIGHT, or ! LEFT.
	andOr struct {
		left, right node
		op          string
	}
	// branch is if TEST; then BODY; else REST.
	branch struct{ test, body, rest node }

	choice struct { // case SUBJECT in ARMS
		subject token
		arms    []arm
	}
	arm struct {
		patterns []token
		body     node
	}
	function struct {
		name string
		body node
	}
)

// A parser makes nodes of tokens.
type parser struct {
	lexer lexer
	tok   token
	depth int
}

// parseShell reads a script. What stands before a mistake is returned with it, as
// a shell would have run it.
func parseShell(text string) (group, *lineError) {
	p := &parser{lexer: lexer{text: text, line: 1}}
	p.advance()
	var all group
	for {
		more := p.list()
		all = append(all, more...)
		if p.tok.end() {
			return all, p.lexer.err
		}
		p.unexpected()
	}
}

func (p *parser) advance() { p.tok = p.lexer.next() }

func (p *parser) unexpected() {
	switch what := p.tok.word + p.tok.op; what {
	case "":
		p.fail("the script ends too early")
	case "\n":
		p.fail("unexpected end of the line")
	default:
		p.fail("unexpected " + what)
	}
}

func (p *parser) fail(message string) { p.tok = p.lexer.fail(p.tok.line, message) }

// want takes a word that must come now.
func (p *parser) want(word string) {
	switch {
	case p.tok.word == word:
		p.advance()
	case p.tok.end():
		p.fail("the script ends before a " + word)
	default:
		p.unexpected()
	}
}

func (p *parser) skipNewlines() {
	for p.tok.op == "\n" {
		p.advance()
	}
}

// closers end a list.
var closers = map[string]bool{"then": true, "else": true, "elif": true, "fi": true, "do": true, "done": true, "esac": true, "}": true}

// list takes commands up to what ends them, which it leaves.
func (p *parser) list() group {
	if p.depth++; p.depth > maxNested {
		p.fail("too much stands within each other")
	}
	defer func() { p.depth-- }()
	var all group
	for {
		for p.tok.op == "\n" || p.tok.op == ";" || p.tok.op == "&" {
			p.advance()
		}
		if p.tok.end() || p.tok.op == ")" || p.tok.op == ";;" || closers[p.tok.word] {
			return all
		}
		before := p.lexer.pos
		n := p.andOr()
		if p.lexer.err != nil {
			return all
		}
		all = append(all, n)
		if p.lexer.pos == before && !p.tok.end() && p.tok.op != "\n" && p.tok.op != ";" {
			p.unexpected()
		}
		switch p.tok.op {
		case "\n", ";", "&", ")", ";;":
		default:
			if !p.tok.end() {
				p.unexpected()
			}
		}
	}
}

func (p *parser) andOr() node {
	left := p.pipe()
	for p.tok.op == "&&" || p.tok.op == "||" {
		op := p.tok.op
		p.advance()
		p.skipNewlines()
		left = &andOr{left, p.pipe(), op}
	}
	return left
}

func (p *parser) pipe() node {
	if p.tok.word == "!" {
		p.advance()
		return &andOr{left: p.pipe1(), op: "!"}
	}
	return p.pipe1()
}

// pipe1 takes commands with | between them; what such do is not known.
func (p *parser) pipe1() node {
	n := p.command()
	for p.tok.op == "|" {
		p.advance()
		p.skipNewlines()
		p.command()
		n = nil
	}
	return n
}

func (p *parser) redirections() {
	for p.tok.op == "<" || p.tok.op == ">" {
		p.advance()
	}
}

func (p *parser) command() node {
	p.redirections()
	var n node
	switch p.tok.word {
	case "if":
		p.advance()
		n = p.branch()
	case "case":
		p.advance()
		n = p.choice()
	case "while", "until":
		p.advance()
		p.list()
		p.loopBody()
	case "for", "select":
		for !p.tok.end() && p.tok.op != "\n" && p.tok.op != ";" && p.tok.word != "do" {
			p.advance()
		}
		for p.tok.op == "\n" || p.tok.op == ";" {
			p.advance()
		}
		p.loopBody()
	case "{":
		p.advance()
		n = p.list()
		p.want("}")
	case "":
		if p.tok.op != "(" {
			p.unexpected()
			return nil
		}
		p.advance()
		p.list() // a shell of its own changes nothing in this one
		p.closeParenthesis()
	default:
		return p.simple()
	}
	p.redirections()
	return n
}

func (p *parser) loopBody() {
	p.want("do")
	p.list()
	p.want("done")
}

func (p *parser) closeParenthesis() {
	if p.tok.op != ")" {
		p.unexpected()
		return
	}
	p.advance()
}

func (p *parser) branch() node {
	if p.depth++; p.depth > maxNested { // elif stands within itself
		p.fail("too much stands within each other")
	}
	defer func() { p.depth-- }()
	b := &branch{test: p.list()}
	p.want("then")
	b.body = p.list()
	switch p.tok.word {
	case "elif":
		p.advance()
		b.rest = p.branch()
		return b
	case "else":
		p.advance()
		b.rest = p.list()
	}
	p.want("fi")
	return b
}

func (p *parser) choice() node {
	c := &choice{subject: p.tok}
	p.advance()
	p.skipNewlines()
	p.want("in")
	for p.lexer.err == nil {
		for p.tok.op == "\n" || p.tok.op == ";" {
			p.advance()
		}
		if p.tok.word == "esac" {
			p.advance()
			return c
		}
		var a arm
		if p.tok.op == "(" {
			p.advance()
		}
		for p.tok.word != "" {
			a.patterns = append(a.patterns, p.tok)
			p.advance()
			if p.tok.op == "|" {
				p.advance()
			}
		}
		p.closeParenthesis()
		a.body = p.list()
		c.arms = append(c.arms, a)
		if p.tok.op == ";;" {
			p.advance()
		} else if p.tok.word != "esac" {
			p.unexpected()
		}
	}
	return c
}

var functionName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

func (p *parser) simple() node {
	var s simple
	for {
		if len(s) > 0 && s[0].word == "[[" && s[len(s)-1].word != "]]" && p.tok.op != "\n" && p.tok.op != "" {
			p.tok.word, p.tok.op = p.tok.op, "" // the test of bash has operators as its words
		}
		p.redirections()
		if p.tok.word == "" {
			break
		}
		s = append(s, p.tok)
		p.advance()
		if len(s) == 2 && s[0].word == "function" && p.tok.op != "(" {
			return p.function(s[1].word)
		}
		if p.tok.op == "(" {
			p.advance()
			p.closeParenthesis()
			return p.function(s[len(s)-1].word)
		}
	}
	return s
}

func (p *parser) function(name string) node {
	if !functionName.MatchString(name) {
		p.fail("a function cannot be called " + name)
		return nil
	}
	if p.depth++; p.depth > maxNested {
		p.fail("too much stands within each other")
		return nil
	}
	defer func() { p.depth-- }()
	p.skipNewlines()
	return &function{name, p.command()}
}
