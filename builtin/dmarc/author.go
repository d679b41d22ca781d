package dmarc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/milterkit/sdk/builtin/internal/domain"
	"github.com/milterkit/sdk/builtin/internal/fieldname"
	"github.com/milterkit/sdk/milterkit"
)

// author returns the domain of the message's author, "" where From names none. An
// error is that it is not clear who the author is: From stands there several times,
// names several domains, or may be read in more than one way. Source: RFC 9989
// section 5.3.1.
func author(m *milterkit.Message) (string, error) {
	fields, found := 0, ""
	for _, f := range m.Header() {
		if !fieldname.Is(f, "From") {
			continue
		}
		if fields++; fields > 1 {
			return "", errors.New("several From fields")
		}
		name, err := authorOf(string(f.Value))
		if err != nil {
			return "", fmt.Errorf("%w in From", err)
		}
		found = name
	}
	return found, nil
}

var (
	errUnclear = errors.New("an address that cannot be made out")
	errSeveral = errors.New("several domains")
)

// authorOf is author for the value of a field.
func authorOf(value string) (string, error) {
	addrs, err := addresses(value)
	if err != nil {
		return "", err
	}
	found := ""
	for _, addr := range addrs {
		local, name, _ := strings.Cut(addr, "@")
		if local == "" || strings.ContainsAny(local, " \t\n") {
			return "", errUnclear
		}
		name, err := domain.ASCII(name)
		if err != nil {
			return "", errUnclear
		}
		if found != "" && found != name {
			return "", errSeveral
		}
		found = name
	}
	// A reader might see an address where there is none by the rules: in a name, or
	// in what an encoded word stands for.
	if found == "" && (strings.Contains(value, "@") || strings.Contains(value, "=?")) {
		return "", errUnclear
	}
	return found, nil
}

// addresses returns what stands in From as addresses, as readers of mail take it
// rather than by the letter: in angle brackets, or, between commas, with an @ in it.
// Quoted strings have become a q, and comments a space. What could be read in more
// than one way is an error.
func addresses(value string) ([]string, error) {
	text, err := unquoted(value)
	if err != nil {
		return nil, err
	}
	var found []string
	for len(text) > 0 {
		n := strings.IndexAny(text, ",;:<>")
		if n < 0 {
			n = len(text)
		}
		plain := strings.Trim(text[:n], " \t\n")
		rest := text[min(n+1, len(text)):]
		switch {
		case n < len(text) && text[n] == '>':
			return nil, errUnclear
		case n < len(text) && text[n] == '<': // the name before it does not matter
			addr, after, ended := strings.Cut(rest, ">")
			if !ended || strings.ContainsAny(addr, "<,;:") {
				return nil, errUnclear
			}
			if addr = strings.Trim(addr, " \t\n"); strings.Contains(addr, "@") {
				found = append(found, addr)
			}
			end := strings.IndexAny(after, ",;:<>")
			if end < 0 {
				end = len(after)
			}
			if strings.Contains(after[:end], "@") || end < len(after) && strings.IndexByte("<>", after[end]) >= 0 {
				return nil, errUnclear // something like an address behind it
			}
			rest = after[min(end+1, len(after)):]
		case strings.Contains(plain, "@"):
			found = append(found, plain)
		}
		text = rest
	}
	return found, nil
}

// unquoted returns a value with its quoted strings and comments replaced, and what is
// in square brackets, whose signs mean something else.
func unquoted(value string) (string, error) {
	var b strings.Builder
	lastBracket := strings.LastIndexByte(value, ']')
	for i := 0; i < len(value); {
		n := 1
		switch c := value[i]; c {
		case '"':
			n = enclosed(value[i:], '"', '"')
			b.WriteByte('q')
		case '(':
			n = enclosed(value[i:], '(', ')')
			b.WriteByte(' ')
		case '[':
			if i < lastBracket {
				n = enclosed(value[i:], '[', ']')
			}
			if strings.ContainsAny(value[i:i+n], "<>@") { // an address, for who does not mind the brackets
				return "", errUnclear
			}
			b.WriteByte('[')
		case '\r', 0:
			return "", errUnclear
		case '\\': // it takes a sign's meaning away in quoted strings only; some do so elsewhere
			if i+1 < len(value) && strings.IndexByte(`"()[]<>@,`, value[i+1]) >= 0 {
				return "", errUnclear
			}
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
		if n == 0 {
			return "", errUnclear
		}
		i += n
	}
	return b.String(), nil
}

// enclosed returns the length of what begins with the sign open and ends with the
// sign end, 0 where it does not end. Comments stand in comments.
func enclosed(text string, open, end byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == end && (open != end || depth > 0):
			if depth--; depth == 0 {
				return i + 1
			}
		case c == open && (open == '(' || depth == 0):
			depth++
		}
	}
	return 0
}
