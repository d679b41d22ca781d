// Package mime looks into a message: its parts, decoded, one after another, and
// the text of its header. It costs nothing where it is not called. What it reads is
// as strangers wrote it: a part may lie about its type, and mail programs differ
// on what they show of one that is broken.
package mime

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // the charsets besides UTF-8 and ASCII

	"github.com/milterkit/sdk/milterkit"
)

// A Part is one part of a message that has no parts itself, or an attached message,
// of type "message/rfc822", before the parts of that.
type Part struct {
	Path     string            // "1.2" is the second part of the first; "" the only one there is
	Type     string            // in small letters, such as "text/plain", which is what it is where nothing is said
	Params   map[string]string // of the type; names are in small letters
	Filename string            // decoded, or ""; it may hold slashes and dots
	Attached bool              // the sender wants it shown as an attachment

	// Body is what the part holds: base64 and quoted-printable are decoded, and
	// text is in UTF-8 where its charset is known. It is read until the next part
	// at most. A Read may fail where the encoding is broken; mail programs may show
	// more. That of an attached message is empty: its parts follow.
	Body io.Reader
}

// Bounds of a message.
const (
	maxDepth   = 50        // parts within parts
	maxDecoded = 3         // attached messages within each other that are encoded, which RFC 2046 forbids
	maxParts   = 10_000    // in one message
	maxHeader  = 256 << 10 // of a part, in bytes
	maxText    = 64 << 10  // of a field that is decoded, in bytes
)

// Parts yields the parts of a message in order, those of attached messages
// included. It ends with an error where the message is broken so that no more parts
// can be told from each other, or has more than 10,000 parts, or parts within more
// than 50 others. The parts before it are as they should be; a mail program may show
// others, so a filter that forbids something refuses such a message, or holds it.
func Parts(m *milterkit.Message) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		w := walk{yield: yield, src: source{r: content(m)}}
		if err := w.message(&w.src, nil); err != nil && err != errStop {
			yield(Part{}, err)
		}
	}
}

// Text returns the first value of the named field as a person reads it.
func Text(m *milterkit.Message, name string) string { return Decode([]byte(m.Get(name))) }

// Decode returns the value of a field as a person reads it: encoded words are
// decoded, as far as their charset is known, and folds taken out. One of more than
// 64 KiB is left as it is. (A message may have
// several fields of one name; see [milterkit.Message.Header].)
func Decode(value []byte) string {
	if len(value) > maxText {
		return string(value)
	}
	var h message.Header
	h.Set("Text", strings.TrimSpace(strings.ReplaceAll(string(value), "\n", "")))
	text, _ := h.Text("Text") // with an error it is the text as it came
	return text
}

// A walk is on its way through a message.
type walk struct {
	yield   func(Part, error) bool
	src     source
	parts   int
	decoded int // attached messages around this one that were encoded
}

// errStop says that nobody wants any more parts.
var errStop = errors.New("no more parts are wanted")

// message goes through a message, or an attached one. path is where it stands.
func (w *walk) message(r io.Reader, path []int) error {
	e, err := message.Read(r)
	if err := serious(err); err != nil {
		return fmt.Errorf("mime: %s: %w", place(path), err)
	}
	return w.entity(e, path)
}

func (w *walk) entity(e *message.Entity, path []int) error {
	if len(path) > maxDepth {
		return fmt.Errorf("mime: parts within more than %d others", maxDepth)
	}
	kind, params := parameters(e.Header.Get("Content-Type"))
	if kind == "" {
		kind = "text/plain" // RFC 2045 section 5.2
	}
	switch parts := e.MultipartReader(); {
	case parts != nil && params["boundary"] != "":
		return w.multipart(parts, path)
	case strings.HasPrefix(kind, "multipart/"):
		return fmt.Errorf("mime: %s: its parts cannot be told from each other: Content-Type: %.60q", place(path), e.Header.Get("Content-Type"))
	case kind == "message/rfc822":
		if err := w.part(e, path, kind, params, strings.NewReader("")); err != nil {
			return err
		}
		return w.attached(e, append(path[:len(path):len(path)], 1))
	}
	return w.part(e, path, kind, params, e.Body)
}

// part yields one part.
func (w *walk) part(e *message.Entity, path []int, kind string, params map[string]string, body io.Reader) error {
	if w.parts++; w.parts > maxParts {
		return fmt.Errorf("mime: more than %d parts", maxParts)
	}
	p := Part{Path: join(path), Type: kind, Params: params, Filename: filename(e, params), Body: body}
	disposition, _ := parameters(e.Header.Get("Content-Disposition"))
	p.Attached = disposition == "attachment"
	if !w.yield(p, nil) {
		return errStop
	}
	return nil
}

// attached goes through an attached message.
func (w *walk) attached(e *message.Entity, path []int) error {
	switch strings.ToLower(e.Header.Get("Content-Transfer-Encoding")) {
	case "", "7bit", "8bit", "binary":
	default:
		if w.decoded++; w.decoded > maxDecoded {
			return fmt.Errorf("mime: %s: more than %d attached messages within each other are encoded", place(path), maxDecoded)
		}
		defer func() { w.decoded-- }()
	}
	return w.message(e.Body, path)
}

func (w *walk) multipart(parts message.MultipartReader, path []int) error {
	for n := 1; ; n++ {
		w.src.left, w.src.bounded = maxHeader, true
		e, err := parts.NextPart()
		w.src.bounded = false
		if err == io.EOF {
			return nil
		}
		at := append(path[:len(path):len(path)], n)
		if err := serious(err); err != nil {
			return fmt.Errorf("mime: %s: %w", place(at), err)
		}
		if err := w.entity(e, at); err != nil {
			return err
		}
		io.Copy(io.Discard, e.Body) // so that what follows is the next header, which is bounded
	}
}

// serious returns err, but for one that leaves the part readable as it came.
func serious(err error) error {
	if message.IsUnknownCharset(err) || message.IsUnknownEncoding(err) {
		return nil
	}
	return err
}

// filename returns the name that the sender gives a part, in either of the two
// places where mail programs put it.
func filename(e *message.Entity, params map[string]string) string {
	_, disposition := parameters(e.Header.Get("Content-Disposition"))
	name := disposition["filename"]
	if name == "" {
		name = params["name"]
	}
	return Decode([]byte(name)) // many programs encode it so, which RFC 2047 forbids there
}

func join(path []int) string {
	words := make([]string, len(path))
	for i, n := range path {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, ".")
}

func place(path []int) string {
	if len(path) == 0 {
		return "the message"
	}
	return "part " + join(path)
}
