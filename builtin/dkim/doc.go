// Package dkim verifies and makes DKIM signatures (RFC 6376, RFC 8301, RFC 8463).
//
// There are two children: NewVerify adds the results to the message, as
// Authentication-Results, and can refuse mail that lacks a signature of its author's
// domain; NewSign signs what goes out. A Verifier is the former's work without the
// child, for others who judge senders. GenerateKey, Record and CheckRecord are for who
// looks after keys.
//
// Signatures are verified by emersion/go-msgauth, which believes what it is given to
// be harmless. A Verifier gives it one signature at a time, the fields that this one
// is about, and a body without what it takes too long for.
package dkim

import (
	"context"
	"errors"
	"net"
	"strings"

	"golang.org/x/net/idna"

	"github.com/milterkit/sdk/builtin/dns"
)

// FieldName is the name of the header field with a signature.
const FieldName = "DKIM-Signature"

// recordName returns the name of the record with the key of a domain and selector.
// Names that are not ASCII are looked up as RFC 8616 has it.
func recordName(domain, selector string) (string, error) {
	name := selector + "._domainkey." + domain
	if !isASCII(name) {
		ascii, err := idna.Lookup.ToASCII(domain)
		if err != nil {
			return "", err
		}
		if name, err = idna.Lookup.ToASCII(selector); err != nil {
			return "", err
		}
		name += "._domainkey." + ascii
	}
	if len(name) > 253 {
		return "", errors.New("the name of the key's record would be too long")
	}
	return name, nil
}

// lookupRecord returns the text of the one record with a key. Whatever fails, but for
// that there is none, may be gone a moment later: then the error is a *net.DNSError
// that is temporary, whatever kind the resolver's is of.
func lookupRecord(ctx context.Context, r dns.Resolver, name string) ([]string, error) {
	texts, err := r.LookupTXT(ctx, name)
	if err != nil && !dns.NotFound(err) {
		return nil, &net.DNSError{Err: err.Error(), Name: name, IsTemporary: true}
	}
	return texts, err
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}

// isName reports whether s can be a domain, or a selector: labels with dots between
// them.
func isName(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || strings.ContainsFunc(label, func(r rune) bool {
			return r <= ' ' || r < 0x80 && r != '-' && r != '_' && !isAlnum(byte(r))
		}) {
			return false
		}
	}
	return len(s) <= 253
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// under reports whether a domain is another one, or a sub-domain of it.
func under(domain, parent string) bool {
	n := len(domain) - len(parent)
	return n >= 0 && strings.EqualFold(domain[n:], parent) && (n == 0 || domain[n-1] == '.')
}

// lowerInto returns a name in small letters, in buf where there is room.
func lowerInto(buf, name []byte) []byte {
	buf = buf[:0]
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf = append(buf, c)
	}
	return buf
}
