package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
)

// The sizes of RSA keys that are taken, in bits. Below the first, signatures must not
// be trusted (RFC 8301 section 3.2); beyond the second, verifying them takes long.
const (
	minBits = 1024
	maxBits = 8192
)

// A record is what a DNS record with a key says.
type record struct {
	kind   string // "rsa" or "ed25519"
	public crypto.PublicKey
	bits   int
	flags  []string // t=

	hashes, services []string // h=, s=; nil: any
}

func (r record) flag(name string) bool { return slices.Contains(r.flags, name) }

// parseRecord reads a record. Source: RFC 6376 section 3.6.1.
func parseRecord(text string) (r record, err error) {
	tags, err := parseTags(text)
	if err != nil {
		return r, err
	}
	if v, there := tags["v"]; there && v != "DKIM1" {
		return r, fmt.Errorf("v=%.20s is no version of such a record; it is DKIM1", v)
	}
	p, there := tags["p"]
	if !there {
		return r, errors.New("there is no p= with the key")
	}
	if p == "" {
		return r, errors.New("p= is empty: the key has been revoked")
	}
	der, err := base64.StdEncoding.DecodeString(squeeze(p))
	if err != nil {
		return r, fmt.Errorf("p= is not base64: %w", err)
	}
	r.kind, r.flags = tags["k"], listOf(tags["t"])
	r.hashes, r.services = listOf(tags["h"]), listOf(tags["s"])
	switch r.kind {
	case "", "rsa":
		r.kind = "rsa"
		key, err := parseRSA(der)
		if err != nil {
			return r, fmt.Errorf("p= is no RSA key: %w", err)
		}
		r.public, r.bits = key, key.N.BitLen()
	case "ed25519":
		if len(der) != ed25519.PublicKeySize {
			return r, fmt.Errorf("p= has %d bytes, and an Ed25519 key has %d", len(der), ed25519.PublicKeySize)
		}
		r.public, r.bits = ed25519.PublicKey(der), 8*len(der)
	default:
		return r, fmt.Errorf("k=%.20s is no kind of key; there are rsa and ed25519", r.kind)
	}
	return r, nil
}

// parseRSA reads a key in either of the forms that are in use. Source: RFC 6376,
// erratum 3017.
func parseRSA(der []byte) (*rsa.PublicKey, error) {
	if key, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return key, nil
	}
	any, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := any.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("it is a %T", any)
	}
	return key, nil
}
