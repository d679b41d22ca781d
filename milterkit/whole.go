package milterkit

import (
	"bytes"
	"context"

	"github.com/milterkit/sdk/milterkit/wire"
)

// Message takes the content of a message as a whole, in place of Header,
// EndOfHeader, Body and EndOfMessage: for a mail server that has it in memory.
// text must stay as it is until Reset. Its lines end in CRLF or LF; the header
// ends before the first line that is empty or no field. A first line that begins
// with "From ", as in an mbox, is left out.
func (w *Walk) Message(ctx context.Context, text []byte) Outcome {
	rest := text
	if bytes.HasPrefix(text, []byte("From ")) {
		_, rest, _ = bytes.Cut(text, lf)
	}
	for {
		name, value, after, ok := cutField(rest)
		if !ok {
			break
		}
		w.Header(name, value)
		rest = after
	}
	w.EndOfHeader(ctx)
	if line, after, _ := bytes.Cut(rest, lf); len(bytes.TrimSuffix(line, cr)) == 0 {
		rest = after
	}
	if w.open {
		w.content.text, w.content.whole = rest, true
	}
	for body := rest; len(body) > 0; {
		n := min(len(body), wire.MaxBody)
		w.Body(ctx, body[:n:n])
		body = body[n:]
	}
	return w.EndOfMessage(ctx)
}

var lf, cr = []byte("\n"), []byte("\r")

// cutField cuts the first field off a header. Its value has bare LF for folds,
// as MTAs show them. It reports false where there is no field.
func cutField(text []byte) (name, value, rest []byte, ok bool) {
	line, rest, _ := bytes.Cut(text, lf)
	head, _, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(head, " \t") // RFC 5322 section 4.5, obs-optional
	if !ok || len(name) == 0 || bytes.ContainsFunc(name, notInName) {
		return nil, nil, text, false
	}
	end := len(text) - len(rest)
	for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
		_, rest, _ = bytes.Cut(rest, lf)
		end = len(text) - len(rest)
	}
	value = bytes.TrimSuffix(bytes.TrimSuffix(text[len(head)+1:end], lf), cr)
	return name, bytes.ReplaceAll(value, []byte("\r\n"), lf), rest, true
}

// notInName reports whether r cannot stand in the name of a field.
func notInName(r rune) bool { return r <= ' ' || r == 0x7f }
