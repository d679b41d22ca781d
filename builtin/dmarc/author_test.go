package dmarc

import (
	"net/mail"
	"strings"
	"testing"
)

// The author is whose address readers of mail will see; where there is room for
// doubt, nobody's.
func TestAuthor(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{" alice@example.org", "example.org"},
		{"alice@Example.ORG", "example.org"},
		{"<alice@example.org>", "example.org"},
		{"Alice <alice@example.org>", "example.org"},
		{"Alice\n\t<alice@example.org>", "example.org"},
		{`"Alice, of Wonderland" <alice@example.org>`, "example.org"},
		{`"ceo@bank.example" <alice@example.org>`, "example.org"},
		{"alice@example.org (Alice, see mallory@example.net)", "example.org"},
		{"(a (b@c) \\) d) alice@example.org", "example.org"},
		{`"alice@home"@example.org`, "example.org"},
		{`"quoted \" one"@example.org`, "example.org"},
		{`<"<x>,;:"@example.org>`, "example.org"},
		{"Friends: alice@example.org;", "example.org"},
		{"Friends: Alice <alice@example.org>, anna@example.org;", "example.org"},
		{"alice@example.org, anna@EXAMPLE.org", "example.org"},
		{"=?utf-8?q?Al=C3=AEce?= <alice@example.org>", "example.org"},
		{"=?x-unknown?b?////?= <alice@example.org>", "example.org"},
		{"alice@bücher.example", "xn--bcher-kva.example"},
		{"Алиса <алиса@bücher.example>", "xn--bcher-kva.example"},
		{"Al\xeece <alice@example.org>", "example.org"},
		{"alice@example.org.", "example.org"},
		// Not by the letter, but often seen, and plain enough.
		{"Doe, Alice <alice@example.org>", "example.org"},
		{"alice@example.org <alice@example.org>", "example.org"},
		{"ceo@bank.example <alice@example.org>", "example.org"},
		{"Dr. Alice [R&D] :) <alice@example.org>", "example.org"},
		{`EXAMPLE\alice <alice@example.org>`, "example.org"},
		{"Re: all <alice@example.org>", "example.org"},
		// Nobody's domain.
		{"", ""}, {"alice", ""}, {"<>", ""}, {"Alice", ""}, {"Friends:;", ""}, {`"Alice"`, ""}, {"Alice <alice>", ""},
	} {
		if got, err := authorOf(c.value); got != c.want || err != nil {
			t.Errorf("%q: %q, %v; want %q", c.value, got, err, c.want)
		}
	}
	for _, unclear := range []string{
		"[<a@example.org>] <b@example.com>", "[a@example.org] <b@example.com>", `\"<a@example.org>" <b@example.com>`, `\(<a@example.org>) <b@example.com>`,
		"alice@example.org, bob@example.net", "bob@example.net, Alice <alice@example.org>", "A: a@example.org;, b@example.net",
		"<a@example.org> <b@example.net>", "<a@example.org> b@example.net", "<a@example.org> (x) <b@example.net>", "a@example.org b@example.net",
		"<a@example.org", "a@example.org>", "<<a@example.org>>", "<a@example.org,b@example.net>", "<@x.example:a@example.org>", "<@x.example,@y.example:a@example.org>",
		"a@b@example.org", "@example.org", "a@", "a@.", "a@example..org", "a@[192.0.2.1]", "al ice@example.org", "alice@ example.org", "alice@exa mple.org",
		`"alice@example.org`, "(alice@example.org", `"ceo@bank.example"`, "=?utf-8?q?ceo=40bank.example?=", "(ceo@bank.example)",
		"a@example.org\x00", "a@exam\x00ple.org", "a@example.org\r", "a@\xff.example", "a@exa%6dple.org",
	} {
		if got, err := authorOf(unclear); err == nil {
			t.Errorf("%q is taken to be of %q", unclear, got)
		}
	}
}

// A field of a megabyte is read in no time.
func TestLongFrom(t *testing.T) {
	for _, part := range []string{"a@example.org,", "(", "\"", "<", "a@b ", ":", "[", "\\", "(a)", "=?"} {
		authorOf(strings.Repeat(part, 1<<20/len(part)))
	}
}

// Where package net/mail finds addresses, each of their domains is found here, or
// the field is unclear: no address that a reader sees is passed over.
func FuzzAuthor(f *testing.F) {
	for _, value := range []string{"Alice <alice@example.org>", `"a@b"@example.org`, "F: a@example.org, <b@example.net>;", "a@b (c@d)", "=?utf-8?q?a=40b?= <c@d>", "a@[192.0.2.1]"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, err := authorOf(value)
		if err != nil {
			return
		}
		list, err := mail.ParseAddressList(value)
		if err != nil {
			return
		}
		for _, addr := range list {
			if of := domainOf(addr.Address); of != got {
				t.Errorf("%q: %q, but %q is of %q", value, got, addr.Address, of)
			}
		}
	})
}
