package domain

import (
	"strings"
	"testing"
)

// A name becomes what the DNS knows it by, or an error.
func TestASCII(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"Example.ORG.", "example.org"},
		{"com", "com"},
		{"_dmarc.example.org", "_dmarc.example.org"},
		{"bücher.example", "xn--bcher-kva.example"},
		{"BÜCHER.example", "xn--bcher-kva.example"},
		{"bücher。example", "xn--bcher-kva.example"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"", ""}, {".", ""}, {".org", ""}, {"a..b", ""}, {"a.b..", ""}, {"a b.example", ""}, {"a@b", ""}, {"[192.0.2.1]", ""},
		{"a\x00.example", ""}, {"\xff.example", ""}, {"a\n.example", ""}, {"%41.example", ""},
		{strings.Repeat("a", 64) + ".example", ""},
		{strings.Repeat("a.", 127) + "example", ""},
		{strings.Repeat("ü", 100000) + ".example", ""},
	} {
		got, err := ASCII(c.name)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%.40q: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

// Below a domain are names that end in it after a dot.
func TestUnder(t *testing.T) {
	for name, want := range map[string]bool{"example.org": true, "a.example.org": true, "notexample.org": false, "org": false} {
		if got := Under(name, "example.org"); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
