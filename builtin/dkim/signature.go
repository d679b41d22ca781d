package dkim

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

// This file makes signatures, canonicalised relaxed/relaxed. (The library's Signer
// writes h= in one line, however long, and hashes the body anew for each key.)

// bodyHash returns the hash of a body, base64, as it stands in bh=.
func bodyHash(ctx context.Context, body net.Buffers) (string, error) {
	h := relaxedBody{sum: sha256.New(), out: make([]byte, 0, 2*maxPiece)}
	for _, piece := range body {
		for part := range slices.Chunk(piece, maxPiece) {
			if err := ctx.Err(); err != nil {
				return "", err
			}
			h.write(part)
		}
	}
	return base64.StdEncoding.EncodeToString(h.end()), nil
}

// A relaxedBody hashes a body that is canonicalised as RFC 6376 section 3.4.4 has it.
// A bare LF ends a line too; a bare CR is a character as any other.
type relaxedBody struct {
	sum   hash.Hash
	out   []byte // what is to be hashed
	lines int    // ends of lines that were held back: the last ones do not count
	space bool   // white space was held back: at the end of a line it does not count
	cr    bool   // the last byte was a CR
	any   bool   // is there a line that is not empty?
}

func (b *relaxedBody) write(text []byte) {
	for _, c := range text {
		if b.cr {
			if b.cr = false; c != '\n' {
				b.char('\r')
			}
		}
		switch c {
		case '\r':
			b.cr = true
		case '\n':
			b.lines++
			b.space = false
		case ' ', '\t':
			b.space = true
		default:
			b.char(c)
		}
	}
	b.flush()
}

// char takes a byte that is not white space, and what was held back before it.
func (b *relaxedBody) char(c byte) {
	for ; b.lines > 0; b.lines-- {
		if b.out = append(b.out, "\r\n"...); len(b.out) > maxPiece {
			b.flush()
		}
	}
	if b.space {
		b.out = append(b.out, ' ')
	}
	b.out = append(b.out, c)
	b.space, b.any = false, true
}

func (b *relaxedBody) flush() {
	b.sum.Write(b.out)
	b.out = b.out[:0]
}

func (b *relaxedBody) end() []byte {
	if b.cr {
		b.char('\r')
	}
	if b.any {
		b.out = append(b.out, "\r\n"...)
	}
	b.flush()
	return b.sum.Sum(nil)
}

// relaxedField returns a field that is canonicalised as RFC 6376 section 3.4.2 has
// it, without the end of its line.
func relaxedField(name string, value []byte) []byte {
	out := append([]byte(strings.ToLower(strings.TrimSpace(name))), ':')
	first := true
	for word := range bytes.FieldsFuncSeq(value, func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }) {
		if !first {
			out = append(out, ' ')
		}
		out, first = append(out, word...), false
	}
	return out
}

// maxSigned bounds the fields that a signature can be about.
const maxSigned = 1000

// toSign returns what of a header is signed: the names as they stand in h=, and the
// canonical fields. All fields of these names are, from the last to the first; those
// of oversign once more than there are, so that none can be added.
func toSign(m *milterkit.Message, names, oversign []string) (list []string, text []byte, err error) {
	all := make(map[string][]milterkit.Field, len(names))
	for _, name := range slices.Concat(names, oversign) {
		all[strings.ToLower(name)] = nil
	}
	var lower []byte
	for _, f := range m.Header() {
		lower = lowerInto(lower, f.Name)
		if of, wanted := all[string(lower)]; wanted {
			all[string(lower)] = append(of, f)
		}
	}
	for _, name := range slices.Concat(names, oversign) {
		key := strings.ToLower(name)
		for _, f := range slices.Backward(all[key]) {
			list = append(list, name)
			text = append(append(text, relaxedField(name, f.Value)...), "\r\n"...)
		}
		delete(all, key)
	}
	if len(list) > maxSigned {
		return nil, nil, fmt.Errorf("%d fields would be signed, and %d are the most", len(list), maxSigned)
	}
	return append(list, oversign...), text, nil
}

// An identity is in whose name a message is signed, and with what.
type identity struct {
	domain, selector string
	agent            string // i=, or ""
	key              crypto.Signer
}

// algorithm returns what a= says.
func (id identity) algorithm() string {
	if _, ok := id.key.(ed25519.PrivateKey); ok {
		return "ed25519-sha256"
	}
	return "rsa-sha256"
}

// sign returns the value of a signature field. h and header are what toSign returns.
func (id identity) sign(h []string, header []byte, bodyHash string, now time.Time) (string, error) {
	var f folder
	f.tag("v=1;", "a="+id.algorithm()+";", "c=relaxed/relaxed;", "d="+id.domain+";", "s="+id.selector+";")
	if id.agent != "" {
		f.tag("i=" + id.agent + ";")
	}
	f.tag("t=" + strconv.FormatInt(now.Unix(), 10) + ";")
	for i, name := range h {
		switch {
		case i == 0 && len(h) == 1:
			f.tag("h=" + name + ";")
		case i == 0:
			f.tag("h=" + name + ":")
		case i == len(h)-1:
			f.word(name + ";")
		default:
			f.word(name + ":")
		}
	}
	f.tag("bh="+bodyHash+";", "b=")
	unsigned := f.text.String()
	digest := sha256.Sum256(append(slices.Clip(header), relaxedField(FieldName, []byte(unsigned))...))
	var value []byte
	var err error
	switch key := id.key.(type) {
	case *rsa.PrivateKey:
		value, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	case ed25519.PrivateKey: // RFC 8463 section 3
		value, err = key.Sign(rand.Reader, digest[:], crypto.Hash(0))
	default:
		err = fmt.Errorf("a %T is no key to sign with", key)
	}
	if err != nil {
		return "", err
	}
	f.data(base64.StdEncoding.EncodeToString(value))
	return f.text.String(), nil
}

// maxLine is how long a line of a signature may be, the tab at its beginning taken
// for eight.
const maxLine = 77

// A folder writes the value of a field in lines.
type folder struct {
	text  strings.Builder
	width int
}

// tag writes tags, with a space or a fold before each.
func (f *folder) tag(tags ...string) {
	for _, tag := range tags {
		switch {
		case f.width == 0:
			f.width = len(FieldName) + 2
		case f.width+1+len(tag) > maxLine:
			f.fold()
		default:
			f.text.WriteByte(' ')
			f.width++
		}
		f.text.WriteString(tag)
		f.width += len(tag)
	}
}

// word writes a part of a tag, with a fold before it where it needs one.
func (f *folder) word(word string) {
	if f.width+len(word) > maxLine {
		f.fold()
	}
	f.text.WriteString(word)
	f.width += len(word)
}

// data writes what can be folded anywhere.
func (f *folder) data(text string) {
	for text != "" {
		if f.width >= maxLine {
			f.fold()
		}
		n := min(len(text), maxLine-f.width)
		f.text.WriteString(text[:n])
		f.width += n
		text = text[n:]
	}
}

func (f *folder) fold() {
	f.text.WriteString("\n\t")
	f.width = 8
}
