//go:debug rsa1024min=0

package test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
)

// dkimKeys are the keys of the corpus, by their selectors. The shortest is one that
// Go makes only when asked to, at the top of this file.
type dkimKeys map[string]crypto.Signer

func newDKIMKeys() (dkimKeys, error) {
	keys := dkimKeys{"ed": ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}
	for selector, bits := range map[string]int{"rsa": 2048, "k1024": 1024, "k512": 512} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return nil, err
		}
		keys[selector] = key
	}
	return keys, nil
}

// record is what a record says that publishes a key; more is further tags.
func (k dkimKeys) record(selector, more string) string {
	switch public := k[selector].Public().(type) {
	case ed25519.PublicKey:
		return "v=DKIM1; k=ed25519; " + more + "p=" + base64.StdEncoding.EncodeToString(public)
	default:
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			panic(err) // it is an RSA key
		}
		return "v=DKIM1; k=rsa; " + more + "p=" + base64.StdEncoding.EncodeToString(der)
	}
}

// signature is how a message is to be signed. It can be wrong in ways in which no
// signer is.
type signature struct {
	domain   string // d=
	selector string // s=
	key      string // the selector that has the key, "" for the same

	header, body string // "simple", or relaxed
	sha1         bool
	fields       string // h=, with colons
	length       int    // l=, where it is not 0

	// more are tags that stand before bh=, such as "x=1; ".
	more string

	// edit changes the field before it is signed.
	edit *strings.Replacer
}

// signedFields are what is signed unless a signature has others.
const signedFields = "From:To:Subject:Date:Message-ID"

// sign returns the message with the signature above it. It knows no library for
// that, so it takes none for right.
func (k dkimKeys) sign(message []byte, s signature) []byte {
	head, body, _ := strings.Cut(string(message), "\r\n\r\n")
	if s.fields == "" {
		s.fields = signedFields
	}
	key := k[s.selector]
	if s.key != "" {
		key = k[s.key]
	}
	hash, algorithm := crypto.SHA256, "rsa-sha256"
	if s.sha1 {
		hash, algorithm = crypto.SHA1, "rsa-sha1"
	}
	_, isEd := key.(ed25519.PrivateKey)
	if isEd {
		algorithm = "ed25519-sha256"
	}
	content, l := canonicalBody(body, s.body), ""
	if s.length > 0 {
		content, l = content[:s.length], fmt.Sprintf("l=%d; ", s.length)
	}
	field := fmt.Sprintf("DKIM-Signature: v=1; a=%s; c=%s/%s; d=%s; s=%s;\r\n\t%s%sh=%s;\r\n\tbh=%s;\r\n\tb=",
		algorithm, canon(s.header), canon(s.body), s.domain, s.selector, s.more, l, s.fields, base64.StdEncoding.EncodeToString(digest(hash, content)))
	if s.edit != nil {
		field = s.edit.Replace(field)
	}
	sum := digest(hash, signedHeader(head, s)+strings.TrimSuffix(canonicalField(field, s.header), "\r\n"))
	if isEd {
		hash = 0 // it signs the sum as if that were the message: RFC 8463 section 3
	}
	b, err := key.Sign(rand.Reader, sum, hash)
	if err != nil {
		panic(err)
	}
	return []byte(field + fold(base64.StdEncoding.EncodeToString(b)) + "\r\n" + string(message))
}

func canon(c string) string {
	if c == "" {
		return "relaxed"
	}
	return c
}

func digest(hash crypto.Hash, text string) []byte {
	if hash == crypto.SHA1 {
		sum := sha1.Sum([]byte(text))
		return sum[:]
	}
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// fold breaks the base64 text of a signature into lines.
func fold(text string) string {
	var lines []string
	for ; len(text) > 70; text = text[70:] {
		lines = append(lines, text[:70])
	}
	return strings.Join(append(lines, text), "\r\n\t")
}

var fieldStart = regexp.MustCompile(`(?m)^[^ \t]`)

// signedHeader are the fields that are signed, in their order: of those with the
// same name the last first. A name once too often stands for no field.
func signedHeader(head string, s signature) string {
	starts := fieldStart.FindAllStringIndex(head, -1)
	fields := make([]string, 0, len(starts))
	for i, at := range starts {
		end := len(head)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		fields = append(fields, strings.TrimSuffix(head[at[0]:end], "\r\n"))
	}
	var b strings.Builder
	for name := range strings.SplitSeq(s.fields, ":") {
		for i := len(fields) - 1; i >= 0; i-- {
			if n, _, _ := strings.Cut(fields[i], ":"); strings.EqualFold(strings.TrimSpace(n), name) {
				b.WriteString(canonicalField(fields[i], s.header))
				fields = append(fields[:i], fields[i+1:]...)
				break
			}
		}
	}
	return b.String()
}

var blanks = regexp.MustCompile(`[ \t]+`)

// canonicalField is RFC 6376 sections 3.4.1 and 3.4.2.
func canonicalField(field, how string) string {
	if how == "simple" {
		return field + "\r\n"
	}
	name, value, _ := strings.Cut(field, ":")
	value = blanks.ReplaceAllString(strings.ReplaceAll(value, "\r\n", ""), " ")
	return strings.ToLower(strings.TrimSpace(name)) + ":" + strings.TrimSpace(value) + "\r\n"
}

// canonicalBody is RFC 6376 sections 3.4.3 and 3.4.4.
func canonicalBody(body, how string) string {
	if how != "simple" {
		lines := strings.Split(body, "\r\n")
		for i, line := range lines {
			lines[i] = strings.TrimRight(blanks.ReplaceAllString(line, " "), " ")
		}
		body = strings.Join(lines, "\r\n")
	}
	for strings.HasSuffix(body, "\r\n") {
		body = strings.TrimSuffix(body, "\r\n")
	}
	if body == "" && how != "simple" {
		return ""
	}
	return body + "\r\n"
}
