package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/milterkit/sdk/builtin/dns"
)

// CheckNames returns an error where a domain or a selector cannot be one. Both are in
// ASCII.
func CheckNames(domain, selector string) error {
	switch {
	case !isName(domain) || !isASCII(domain):
		return fmt.Errorf("%q is no domain, such as example.org", domain)
	case !isName(selector) || !isASCII(selector):
		return fmt.Errorf("%q is no selector, such as mail2026", selector)
	}
	return nil
}

// GenerateKey makes a key to sign with, of 2048 bits where it is an RSA one. kind is
// "rsa" or "ed25519".
func GenerateKey(kind string) (crypto.Signer, error) {
	switch kind {
	case "rsa":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("%q is no kind of key; there are rsa and ed25519", kind)
}

// WriteKey writes a key to a new file that only its owner can read. Where there is
// one of that name it fails; where it fails otherwise it leaves none behind.
func WriteKey(file string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der}), f.Sync(), f.Close())
	if err != nil {
		os.Remove(file) // half a key is of no use, and in the way of the next try
	}
	return err
}

// Record returns the text of the DNS record that publishes a key.
func Record(public crypto.PublicKey) (string, error) {
	switch key := public.(type) {
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(key)
		return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der), err
	case ed25519.PublicKey: // RFC 8463 section 4
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key), nil
	}
	return "", fmt.Errorf("a %T is no key for DKIM", public)
}

// ZoneRecord returns the record as a line of a zone file. A string of a record has 255
// bytes at most, so a long text is in several.
func ZoneRecord(domain, selector, text string) string {
	var parts []string
	for part := range slices.Chunk([]byte(text), 255) {
		parts = append(parts, `"`+string(part)+`"`)
	}
	data := strings.Join(parts, "\n\t")
	if len(parts) > 1 {
		data = "( " + data + " )"
	}
	return selector + "._domainkey." + domain + ".\tIN\tTXT\t" + data
}

// CheckRecord looks up the record of a domain and selector, and returns an error where
// verifiers would not find the given key in it, and notes on what else is odd.
func CheckRecord(ctx context.Context, r dns.Resolver, domain, selector string, public crypto.PublicKey) (notes []string, err error) {
	name, err := recordName(domain, selector)
	if err != nil {
		return nil, err
	}
	texts, err := lookupRecord(ctx, r, name)
	switch {
	case dns.NotFound(err):
		return nil, fmt.Errorf("there is no TXT record %s", name)
	case err != nil:
		return nil, err
	case len(texts) != 1:
		return nil, fmt.Errorf("there are %d TXT records %s; one is right, and the strings of a long one belong to one record", len(texts), name)
	}
	record, err := parseRecord(texts[0])
	if err != nil {
		return nil, fmt.Errorf("the TXT record %s cannot be read: %w", name, err)
	}
	if key, ok := record.public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !key.Equal(public) {
		return nil, fmt.Errorf("the TXT record %s has another key, %s of %d bits", name, record.kind, record.bits)
	}
	if record.hashes != nil && !slices.Contains(record.hashes, "sha256") {
		return nil, fmt.Errorf("the TXT record %s does not allow SHA-256 (h=%s)", name, strings.Join(record.hashes, ":"))
	}
	if record.services != nil && !slices.Contains(record.services, "email") && !slices.Contains(record.services, "*") {
		return nil, fmt.Errorf("the TXT record %s is not for mail (s=%s)", name, strings.Join(record.services, ":"))
	}
	if record.flag("y") {
		notes = append(notes, "t=y says that the key is being tried out: take it away when it works")
	}
	if record.flag("s") {
		notes = append(notes, "t=s keeps signatures from naming a sub-domain in i=")
	}
	if record.bits < 2048 && record.kind == "rsa" {
		notes = append(notes, fmt.Sprintf("an RSA key of %d bits is short; 2048 are good", record.bits))
	}
	return notes, nil
}
