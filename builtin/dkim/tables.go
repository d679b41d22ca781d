package dkim

import (
	"bytes"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// This file reads OpenDKIM's KeyTable and SigningTable. Source: opendkim.conf(5).

// maxTable bounds a table, in bytes.
const maxTable = 16 << 20

// A tableKey is an entry of a KeyTable. "%" stands for the author's domain, as the
// whole of domain, and anywhere in file.
type tableKey struct{ domain, selector, file string }

// keyTable are the entries of a KeyTable, by their names.
type keyTable map[string]tableKey

// parseKeyTable reads a KeyTable: name, white space, domain:selector:file.
func parseKeyTable(text []byte) (keyTable, error) {
	table := keyTable{}
	for n, words := range tableLines(text) {
		if len(words) != 2 {
			return nil, fmt.Errorf("line %d: this is not a name and domain:selector:file", n)
		}
		parts := strings.SplitN(words[1], ":", 3)
		if len(parts) != 3 {
			return nil, fmt.Errorf("line %d: %q is not domain:selector:file", n, words[1])
		}
		key := tableKey{strings.ToLower(parts[0]), parts[1], parts[2]}
		if key.domain != "%" && !isName(key.domain) || !isName(key.selector) {
			return nil, fmt.Errorf("line %d: %q is not domain:selector:file", n, words[1])
		}
		if !filepath.IsAbs(key.file) {
			return nil, fmt.Errorf("line %d: the key is to be the absolute path of a file; keys within the table are not read", n)
		}
		if _, twice := table[words[0]]; twice {
			return nil, fmt.Errorf("line %d: there is a key %q already", n, words[0])
		}
		table[words[0]] = key
	}
	return table, nil
}

// A signingRule is an entry of a SigningTable. "%" stands for the author's domain, as
// the whole of key, and anywhere in agent.
type signingRule struct{ pattern, key, agent string }

// A signingTable says with which keys the mail of an author is signed.
type signingTable struct {
	wild  bool // patterns are compared in order, and have asterisks
	rules []signingRule
	by    map[string][]signingRule // where not wild
}

// parseSigningTable reads a SigningTable: pattern, white space, name of a key, and
// maybe white space and what is to stand in i=.
func parseSigningTable(text []byte, wild bool) (*signingTable, error) {
	table := &signingTable{wild: wild, by: map[string][]signingRule{}}
	for n, words := range tableLines(text) {
		if len(words) < 2 || len(words) > 3 {
			return nil, fmt.Errorf("line %d: this is not a pattern and the name of a key", n)
		}
		r := signingRule{pattern: strings.ToLower(words[0]), key: words[1]}
		if len(words) == 3 {
			r.agent = words[2]
		}
		if strings.ContainsAny(r.agent, ";=") {
			return nil, fmt.Errorf("line %d: %q cannot stand in i=", n, r.agent)
		}
		if !wild && strings.Contains(strings.TrimSuffix(r.pattern, "*"), "*") {
			return nil, fmt.Errorf("line %d: only a table that is called refile: can have %q", n, words[0])
		}
		table.rules = append(table.rules, r)
		table.by[r.pattern] = append(table.by[r.pattern], r)
	}
	return table, nil
}

// find returns the rules for an address: those of the first pattern that fits it, of
// which there can be several. OpenDKIM takes the first of them alone, unless it is
// told to take all patterns that fit.
func (t *signingTable) find(addr string) []signingRule {
	addr = strings.ToLower(addr)
	if t.wild {
		for _, r := range t.rules {
			if matches(r.pattern, addr) {
				return t.by[r.pattern]
			}
		}
		return nil
	}
	for pattern := range patternsOf(addr) {
		if rules := t.by[pattern]; rules != nil {
			return rules
		}
	}
	return nil
}

// patternsOf yields what can stand in a table for an address, the most special first.
func patternsOf(addr string) iter.Seq[string] {
	at := strings.LastIndexByte(addr, '@')
	user, domain := addr[:max(at, 0)], addr[at+1:]
	return func(yield func(string) bool) {
		if !yield(addr) || !yield(domain) {
			return
		}
		for _, before := range []string{user + "@.", "."} {
			_, rest, found := strings.Cut(domain, ".")
			for ; found; _, rest, found = strings.Cut(rest, ".") {
				if !yield(before + rest) {
					return
				}
			}
		}
		_ = yield(user+"@*") && yield("*")
	}
}

// matches reports whether a pattern fits: an asterisk stands for any text.
func matches(pattern, text string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	for ok {
		part, more, wild := strings.Cut(rest, "*")
		if !wild {
			return strings.HasSuffix(text, part)
		}
		at := strings.Index(text, part)
		if ok = at >= 0; ok {
			text, rest = text[at+len(part):], more
		}
	}
	return false
}

// tableLines yields the lines of a table, as words, with their numbers.
func tableLines(text []byte) iter.Seq2[int, []string] {
	return func(yield func(int, []string) bool) {
		n := 0
		for line := range bytes.Lines(text) {
			n++
			line, _, _ := strings.Cut(string(line), "#")
			if words := strings.Fields(line); len(words) > 0 && !yield(n, words) {
				return
			}
		}
	}
}

// readTable returns a function that reads a table from a file.
func readTable[T any](parse func([]byte) (T, error)) func(string) (T, error) {
	return func(file string) (table T, err error) {
		info, err := os.Stat(file)
		if err != nil {
			return table, err
		}
		if !info.Mode().IsRegular() || info.Size() > maxTable {
			return table, fmt.Errorf("%s: this is no table", file)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return table, err
		}
		if table, err = parse(text); err != nil {
			return table, fmt.Errorf("%s: %w", file, err)
		}
		return table, nil
	}
}
