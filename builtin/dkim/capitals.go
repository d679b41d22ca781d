package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/milterkit/sdk/milterkit"
)

// The library takes i=joe@Example.ORG and d=example.org for two domains. A signature
// with such capitals it is given with others in i=, so that it checks all but the
// signature itself, which cannot be right then; and that is checked here.

// notVerified is how the library says that only the signature itself is wrong.
const notVerified = "signature did not verify"

// recased returns the signature's field with the capitals of d= in i=.
func (s signature) recased(f milterkit.Field) milterkit.Field {
	f.Value = editTag(f.Value, "i", s.identifier[:len(s.identifier)-len(s.domain)]+s.domain)
	return f
}

// editTag returns a list of tags with another value of one of them.
func editTag(list []byte, name, value string) []byte {
	pairs := strings.Split(string(list), ";")
	for i, pair := range pairs {
		if tag, _, found := strings.Cut(pair, "="); found && strings.TrimSpace(tag) == name {
			pairs[i] = tag + "=" + value
		}
	}
	return []byte(strings.Join(pairs, ";"))
}

// check verifies the signature itself, all else of which was found good.
func (h *signedHeader) check(s signature, key crypto.PublicKey) *fault {
	digest := sha256.Sum256(h.signedText(s))
	value, err := base64.StdEncoding.DecodeString(s.value)
	good := false
	switch key := key.(type) {
	case *rsa.PublicKey:
		good = err == nil && rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], value) == nil
	case ed25519.PublicKey:
		good = err == nil && ed25519.Verify(key, digest[:], value)
	}
	if !good {
		return faultf(Fail, notVerified)
	}
	return nil
}

// signedText is what of the header is signed. Source: RFC 6376 section 3.7.
func (h *signedHeader) signedText(s signature) []byte {
	canonical := func(f milterkit.Field) []byte { return appendField(nil, f) }
	if kind, _, _ := strings.Cut(s.canon, "/"); kind == "relaxed" {
		canonical = func(f milterkit.Field) []byte {
			return append(relaxedField(string(f.Name), f.Value), "\r\n"...)
		}
	}
	left := make(map[string][]milterkit.Field)
	for _, f := range h.picked {
		name := strings.ToLower(string(f.Name))
		left[name] = append(left[name], f)
	}
	var text []byte
	for _, name := range s.fields {
		name = strings.ToLower(name)
		if of := left[name]; len(of) > 0 { // the last one that is left
			text = append(text, canonical(of[len(of)-1])...)
			left[name] = of[:len(of)-1]
		}
	}
	own := h.own
	own.Value = editTag(own.Value, "b", "")
	return append(text, strings.TrimSuffix(string(canonical(own)), "\r\n")...)
}
