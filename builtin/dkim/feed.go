package dkim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"

	"github.com/milterkit/sdk/milterkit"
)

// What the library is given at a time, and how much white space on end.
//
// With simple canonicalisation it copies and scans all the empty lines so far
// whenever it is given a piece that ends in one: the time grows with the square.
// Given a whole run of them at once it does so once.
const (
	maxPiece = 64 << 10
	maxBlank = 64 << 10
)

// errBlank says that a body has more white space on end than that. No letter has.
var errBlank = errors.New("more than 64 KiB of blank lines")

// A feed reads a message to the library. It ends with an error when ctx is done.
type feed struct {
	ctx    context.Context
	header []byte
	body   net.Buffers

	cur     []byte // what is being read
	blank   []byte // white space that was held back
	content []byte // what follows it
}

// newFeed returns a feed of a header and a body, whose bytes it reads as they are.
func newFeed(ctx context.Context, header []byte, body net.Buffers) *feed {
	return &feed{ctx: ctx, header: header, body: body}
}

// next returns what is to be read next, until the call after it.
func (f *feed) next() ([]byte, error) {
	if err := f.ctx.Err(); err != nil {
		return nil, err
	}
	if len(f.header) > 0 {
		header := f.header
		f.header = nil
		return header, nil
	}
	if content := f.content; len(content) > 0 {
		f.content = nil
		return content, nil
	}
	f.blank = f.blank[:0]
	for len(f.body) > 0 {
		piece := f.body[0][:min(len(f.body[0]), maxPiece)]
		rest := bytes.TrimLeft(piece, " \t\r\n")
		blank := piece[:len(piece)-len(rest)]
		if len(f.blank)+len(blank) > maxBlank {
			return nil, errBlank
		}
		f.blank = append(f.blank, blank...)
		content := bytes.TrimRight(rest, " \t\r\n")
		if f.body[0] = f.body[0][len(blank)+len(content):]; len(f.body[0]) == 0 {
			f.body = f.body[1:]
		}
		if len(content) == 0 {
			continue
		}
		if len(f.blank) == 0 {
			return content, nil
		}
		f.content = content
		break
	}
	if len(f.blank) == 0 {
		return nil, io.EOF
	}
	return f.blank, nil
}

// Read reads up to where the next piece begins.
func (f *feed) Read(p []byte) (int, error) {
	if len(f.cur) == 0 {
		var err error
		if f.cur, err = f.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.cur)
	f.cur = f.cur[n:]
	return n, nil
}

// WriteTo writes what is left, piece by piece. The library reads its body by it.
func (f *feed) WriteTo(w io.Writer) (n int64, err error) {
	for err == nil {
		if len(f.cur) == 0 {
			if f.cur, err = f.next(); err == io.EOF {
				return n, nil
			}
			continue
		}
		var written int
		written, err = w.Write(f.cur)
		n += int64(written)
		f.cur = nil
	}
	return n, err
}

var lf = []byte("\n")

// appendField adds a field as it stands in a message: its lines end in CRLF.
func appendField(text []byte, f milterkit.Field) []byte {
	text = append(append(text, f.Name...), ':')
	for i, line := range bytes.Split(bytes.TrimRight(f.Value, "\n"), lf) {
		if i > 0 {
			text = append(text, "\r\n"...)
			if len(line) == 0 || line[0] != ' ' && line[0] != '\t' {
				text = append(text, '\t') // a continuation, as Postfix and Sendmail write it
			}
		}
		text = append(text, bytes.TrimSuffix(line, []byte("\r"))...)
	}
	return append(text, "\r\n"...)
}
