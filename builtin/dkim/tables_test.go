package dkim

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What is taken from a KeyTable is complete, and nothing in one crashes the parser.
func FuzzKeyTable(f *testing.F) {
	f.Add([]byte("# keys\ndefault %:sel:/etc/keys/%.pem\nother example.org:sel:/x # y\n\n"))
	f.Add([]byte("a b:c:d\r\na\tb:c"))
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := parseKeyTable(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") {
				t.Fatal(err)
			}
			return
		}
		for name, key := range table {
			if name == "" || key.domain != "%" && !isName(key.domain) || !isName(key.selector) || !filepath.IsAbs(key.file) {
				t.Fatalf("%q is %q, %+v", text, name, key)
			}
		}
	})
}

// Each rule of a SigningTable is found for an address that it is about, and nothing in
// one crashes the parser.
func FuzzSigningTable(f *testing.F) {
	f.Add([]byte("*@example.org key\n*@*.example.org key i@%\n"), true, "alice@mail.example.org")
	f.Add([]byte("alice@example.org key\nexample.org key\nbob@.org key\n.org key\nbob@* key\n* %\n"), false, "bob@example.org")
	f.Fuzz(func(t *testing.T, text []byte, wild bool, addr string) {
		table, err := parseSigningTable(text, wild)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") {
				t.Fatal(err)
			}
			return
		}
		found := table.find(addr)
		for _, r := range found {
			if r.key == "" || r.pattern != found[0].pattern || strings.ContainsAny(r.agent, ";= \t\n") {
				t.Fatalf("%q for %q: %+v", text, addr, found)
			}
		}
		for _, r := range table.rules {
			if !strings.Contains(r.pattern, "*") && r.pattern == strings.ToLower(addr) && found == nil {
				t.Fatalf("%q: nothing for %q", text, addr)
			}
		}
	})
}

// An asterisk stands for any text, as ".*" does in a regular expression.
func FuzzPattern(f *testing.F) {
	f.Add("*@*.example.org", "a@b.example.org")
	f.Add("a*b*b", "aXbb")
	f.Add("**", "")
	f.Add("a*a", "a")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 100 || len(text) > 1000 {
			return
		}
		var parts []string
		for part := range strings.SplitSeq(pattern, "*") {
			parts = append(parts, regexp.QuoteMeta(part))
		}
		e, err := regexp.Compile(`(?s)\A` + strings.Join(parts, ".*") + `\z`)
		if err != nil { // it is no UTF-8
			return
		}
		if got, want := matches(pattern, text), e.MatchString(text); got != want && !strings.Contains(text, "\xef\xbf\xbd") {
			t.Fatalf("%q, %q: %t, want %t", pattern, text, got, want)
		}
	})
}

// A table without asterisks is asked for what is the most special first, as
// opendkim.conf(5) has it.
func TestPatternsOfAnAddress(t *testing.T) {
	got := slices.Collect(patternsOf("user@foo.example.com"))
	want := []string{"user@foo.example.com", "foo.example.com", "user@.example.com", "user@.com", ".example.com", ".com", "user@*", "*"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
