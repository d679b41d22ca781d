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
	// at most. That of an attached message is empty: its parts follow.
	Body io.Reader
}

// Bounds of a message.
const (
	maxDepth = 50     // parts within parts
	maxParts = 10_000 // in one message
)

// Parts yields the parts of a message in order, those of attached messages
// included. It ends with an error where the message is broken so that no more parts
// can be told from each other, or has more than 10,000 parts, or parts within more
// than 50 others. The parts before it are as they should be.
func Parts(m *milterkit.Message) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		w := walk{yield: yield}
		if err := w.message(m.Reader(), nil); err != nil && err != errStop {
			yield(Part{}, err)
		}
	}
}

// Text returns the first value of the named field as a person reads it.
func Text(m *milterkit.Message, name string) string { return Decode([]byte(m.Get(name))) }

// Decode returns the value of a field as a person reads it: encoded words are
// decoded, as far as their charset is known, and folds taken out. (A message may have
// several fields of one name; see [milterkit.Message.Header].)
func Decode(value []byte) string {
	var h message.Header
	h.Set("Text", strings.TrimSpace(strings.ReplaceAll(string(value), "\n", "")))
	text, _ := h.Text("Text") // with an error it is the text as it came
	return text
}

// A walk is on its way through a message.
type walk struct {
	yield func(Part, error) bool
	parts int
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
	kind, params, err := e.Header.ContentType()
	if err != nil || kind == "" {
		kind, params = "text/plain", nil // RFC 2045 section 5.2
	}
	kind = strings.ToLower(kind)
	switch parts := e.MultipartReader(); {
	case parts != nil:
		return w.multipart(parts, path)
	case kind == "message/rfc822":
		if err := w.part(e, path, kind, params, strings.NewReader("")); err != nil {
			return err
		}
		return w.message(e.Body, append(path[:len(path):len(path)], 1))
	}
	return w.part(e, path, kind, params, e.Body)
}

// part yields one part.
func (w *walk) part(e *message.Entity, path []int, kind string, params map[string]string, body io.Reader) error {
	if w.parts++; w.parts > maxParts {
		return fmt.Errorf("mime: more than %d parts", maxParts)
	}
	p := Part{Path: join(path), Type: kind, Params: params, Filename: filename(e, params), Body: body}
	disposition, _, _ := e.Header.ContentDisposition()
	p.Attached = strings.EqualFold(disposition, "attachment")
	if !w.yield(p, nil) {
		return errStop
	}
	return nil
}

func (w *walk) multipart(parts message.MultipartReader, path []int) error {
	for n := 1; ; n++ {
		e, err := parts.NextPart()
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
	_, disposition, _ := e.Header.ContentDisposition()
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
