package detect

import (
	"fmt"
	"strings"
)

// A token is a word of a shell script as it stands there, with its quotes, or
// an operator. The one at the end has neither.
type token struct {
	word string
	op   string // "\n", ";", ";;", "&&", "||", "|", "&", "(", ")", "<", ">"
	line int
}

func (t token) end() bool { return t.word == "" && t.op == "" }

// A lexer cuts a shell script into tokens.
type lexer struct {
	text  string
	pos   int
	line  int
	heres []string // ends of the texts that begin with the next line
	err   *lineError
}

// A lineError is what is wrong with a line of a text.
type lineError struct {
	line    int
	message string
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.message) }

func (l *lexer) fail(line int, message string) token {
	if l.err == nil {
		l.err = &lineError{line, message}
	}
	l.pos = len(l.text)
	return token{line: line}
}

func (l *lexer) peek(n int) string { return l.text[l.pos:min(l.pos+n, len(l.text))] }

func (l *lexer) next() token {
	l.skipBlank()
	if l.pos >= len(l.text) {
		return token{line: l.line}
	}
	line := l.line
	switch c := l.text[l.pos]; c {
	case '\n':
		l.pos++
		l.line++
		l.skipHeres()
		return token{op: "\n", line: line}
	case '<', '>':
		return l.redirection(c)
	case ';', '&', '|', '(', ')':
		if two := l.peek(2); two == ";;" || two == "&&" || two == "||" {
			l.pos += 2
			return token{op: two, line: line}
		}
		l.pos++
		return token{op: string(c), line: line}
	}
	return l.word()
}

func (l *lexer) skipBlank() {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case c == ' ' || c == '\t' || c == '\r':
			l.pos++
		case l.peek(2) == "\\\n":
			l.pos += 2
			l.line++
		case c == '#':
			n := strings.IndexByte(l.text[l.pos:], '\n')
			if n < 0 {
				n = len(l.text) - l.pos
			}
			l.pos += n
		default:
			return
		}
	}
}

// redirection takes the operator and its word, and remembers the end of a text
// that follows.
func (l *lexer) redirection(c byte) token {
	line := l.line
	here := strings.HasPrefix(l.text[l.pos:], "<<") && !strings.HasPrefix(l.text[l.pos:], "<<<")
	for l.pos < len(l.text) && strings.IndexByte("<>&|-", l.text[l.pos]) >= 0 {
		l.pos++
	}
	l.skipBlank()
	if l.pos < len(l.text) && strings.IndexByte("\n;&|()<>", l.text[l.pos]) < 0 {
		target := l.word()
		if here {
			l.heres = append(l.heres, strings.NewReplacer("'", "", `"`, "", `\`, "").Replace(target.word))
		}
	}
	return token{op: string(c), line: line}
}

func (l *lexer) skipHeres() {
	for _, end := range l.heres {
		for l.pos < len(l.text) {
			row, _, _ := strings.Cut(l.text[l.pos:], "\n")
			l.pos = min(l.pos+len(row)+1, len(l.text))
			l.line++
			if strings.TrimLeft(row, "\t") == end {
				break
			}
		}
	}
	l.heres = nil
}

// word takes a word, quotes and all.
func (l *lexer) word() token {
	start, line := l.pos, l.line
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		if strings.IndexByte(" \t\r\n;&|()<>", c) >= 0 {
			if (c == '<' || c == '>') && strings.Trim(l.text[start:l.pos], "0123456789") == "" && l.pos > start {
				return l.redirection(c) // 2>&1
			}
			break
		}
		if !l.piece() {
			return token{line: l.line}
		}
	}
	return token{word: strings.ReplaceAll(l.text[start:l.pos], "\\\n", ""), line: line}
}

// piece goes past one character of a word, or what belongs together.
func (l *lexer) piece() bool {
	line := l.line
	closed := true
	switch c := l.text[l.pos]; {
	case c == '\\':
		if strings.HasPrefix(l.text[l.pos+1:], "\n") {
			l.line++
		}
		l.pos = min(l.pos+2, len(l.text))
	case c == '\'':
		l.pos++
		closed = l.until('\'', false)
	case c == '"':
		l.pos++
		closed = l.until('"', true)
	case c == '`':
		l.pos++
		closed = l.until('`', true)
	case l.peek(2) == "${":
		l.pos += 2
		closed = l.nested('{', '}')
	case l.peek(2) == "$(":
		l.pos += 2
		closed = l.nested('(', ')')
	default:
		if c == '\n' {
			l.line++
		}
		l.pos++
	}
	if !closed {
		l.fail(line, "what begins here with a quote or a bracket has no end")
	}
	return closed
}

// until goes past the end of what is quoted.
func (l *lexer) until(end byte, special bool) bool {
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		switch {
		case c == end:
			l.pos++
			return true
		case special && (c == '\\' || c == '$' && end != '`'):
			if !l.piece() {
				return false
			}
		default:
			if c == '\n' {
				l.line++
			}
			l.pos++
		}
	}
	return false
}

// maxNested bounds what stands within each other.
const maxNested = 100

// nested goes past the bracket that ends this one.
func (l *lexer) nested(open, end byte) bool {
	depth := 1
	for l.pos < len(l.text) && depth < maxNested {
		switch c := l.text[l.pos]; c {
		case end:
			l.pos++
			if depth--; depth == 0 {
				return true
			}
		case open:
			depth++
			l.pos++
		case '\'', '"', '`', '\\':
			if !l.flatPiece(c) {
				return false
			}
		default:
			if c == '\n' {
				l.line++
			}
			l.pos++
		}
	}
	return false
}

// flatPiece goes past something quoted within brackets, without looking for more
// brackets in it, so that a hostile text is read in one pass.
func (l *lexer) flatPiece(c byte) bool {
	l.pos++
	if c == '\\' {
		if strings.HasPrefix(l.text[l.pos:], "\n") {
			l.line++
		}
		l.pos = min(l.pos+1, len(l.text))
		return true
	}
	for l.pos < len(l.text) {
		at := l.text[l.pos]
		l.pos++
		switch {
		case at == c:
			return true
		case at == '\n':
			l.line++
		case at == '\\' && c != '\'' && l.pos < len(l.text):
			if l.text[l.pos] == '\n' {
				l.line++
			}
			l.pos++
		}
	}
	return false
}
