// Package domain is about the names of domains, as senders write them.
package domain

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// MaxLength is the longest that a name may be, in bytes. Source: RFC 1035 section
// 2.3.4.
const MaxLength = 253

var errNone = errors.New("not a domain")

// ASCII returns a name as the DNS has it, in small letters and without a dot at the
// end; one with other letters than ASCII has as its A-label. An error is that there
// can be no such name.
func ASCII(name string) (string, error) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "" || len(name) > MaxLength || !utf8.ValidString(name) {
		return "", errNone
	}
	if strings.HasPrefix(name, "[") {
		return "", errors.New("an address, not a domain")
	}
	if strings.IndexFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		a, err := idna.Lookup.ToASCII(name)
		if err != nil {
			return "", errNone
		}
		name = a
	}
	for _, label := range strings.Split(name, ".") {
		if label == "" || len(label) > 63 || strings.IndexFunc(label, odd) >= 0 {
			return "", errNone
		}
	}
	return name, nil
}

// odd reports whether a character has no place in the name of a host or a domain.
func odd(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`@/\"'<>()[]{},;:=%`, r) }

// Under reports whether a name is that of a domain, or below it. Both are as ASCII
// returns them.
func Under(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}
