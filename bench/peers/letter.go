package main

import (
	"archive/zip"
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/milterkit/sdk/test/stack"
)

// letter returns a mail for filters that look at what they are given: a text, the
// same as HTML and an archive, signed by the key. Its lines end in LF.
func letter(key *stack.DKIMKey) ([]byte, error) {
	archive, err := archived()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("From: Alice <alice@" + stack.DKIMDomain + ">\nTo: Bob <bob@example.net>\nSubject: the figures of last week\n" +
		"Date: Thu, 26 Nov 2026 10:00:00 +0000\nMessage-ID: <figures@" + stack.DKIMDomain + ">\nMIME-Version: 1.0\n" +
		"Content-Type: multipart/mixed; boundary=\"part\"\n\n")
	text := prose(40)
	fmt.Fprintf(&b, "--part\nContent-Type: text/plain; charset=utf-8\n\n%s\n", text)
	fmt.Fprintf(&b, "--part\nContent-Type: text/html; charset=utf-8\n\n<html><body><p>%s</p></body></html>\n", strings.ReplaceAll(text, "\n", "<br>\n"))
	b.WriteString("--part\nContent-Type: application/zip; name=\"figures.zip\"\nContent-Transfer-Encoding: base64\n" +
		"Content-Disposition: attachment; filename=\"figures.zip\"\n\n")
	const line = 57 // bytes, which are 76 in base64
	for len(archive) > 0 {
		n := min(line, len(archive))
		b.WriteString(base64.StdEncoding.EncodeToString(archive[:n]) + "\n")
		archive = archive[n:]
	}
	b.WriteString("--part--\n")
	return signed(b.String(), key)
}

// prose returns lines of words, the same ones each time.
func prose(lines int) string {
	words := strings.Fields("the figures of last week are in the archive and they look better than those before but we should talk about three of them on Monday")
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for range lines {
		for range 11 {
			b.WriteString(words[random.IntN(len(words))] + " ")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// archived returns an archive of about 60 KB.
func archived() ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range 3 {
		w, err := z.Create(fmt.Sprintf("week%d.csv", i+1))
		if err != nil {
			return nil, err
		}
		for range 3000 {
			fmt.Fprintf(w, "%d;%d;%d\n", random.IntN(1000), random.IntN(1000), random.IntN(1000))
		}
	}
	err := z.Close()
	return b.Bytes(), err
}

// signed returns a mail with a signature of DKIM.
func signed(mail string, key *stack.DKIMKey) ([]byte, error) {
	block, _ := pem.Decode([]byte(key.PEM()))
	if block == nil {
		return nil, errors.New("the key is not PEM")
	}
	private, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = dkim.Sign(&b, strings.NewReader(strings.ReplaceAll(mail, "\n", "\r\n")), &dkim.SignOptions{
		Domain: stack.DKIMDomain, Selector: stack.DKIMSelector, Signer: private,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	})
	return bytes.ReplaceAll(b.Bytes(), []byte("\r\n"), []byte("\n")), err
}
