package mime

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"strings"

	"github.com/milterkit/sdk/milterkit"
)

// parameters reads a field such as "attachment; filename=x". One that is written
// wrongly, as by programs that forget the quotes round a name with a space, is read
// as mail programs read it.
func parameters(field string) (value string, params map[string]string) {
	if value, params, err := mime.ParseMediaType(field); err == nil {
		return value, params
	}
	value, rest, _ := strings.Cut(field, ";")
	params = map[string]string{}
	for part := range strings.SplitSeq(rest, ";") {
		name, text, ok := strings.Cut(part, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, there := params[name]; ok && !there {
			params[name] = strings.Trim(strings.TrimSpace(text), `"`)
		}
	}
	return strings.ToLower(strings.TrimSpace(value)), params
}

// content returns the message without those fields of its header that say nothing
// of its parts: they may be such as no library reads.
func content(m *milterkit.Message) io.Reader {
	var header bytes.Buffer
	for _, f := range m.Header() {
		if name := strings.ToLower(string(f.Name)); strings.HasPrefix(name, "content-") && !strings.ContainsFunc(name, odd) {
			header.WriteString(name + ":" + strings.ReplaceAll(string(f.Value), "\n", "\r\n") + "\r\n")
		}
	}
	header.WriteString("\r\n")
	body := m.Body()
	return io.MultiReader(&header, &body)
}

// odd reports whether r has no place in the name of a field about content.
func odd(r rune) bool { return (r < 'a' || r > 'z') && r != '-' }

// A source is what a walk reads from, which may be bounded for a while.
type source struct {
	r       io.Reader
	bounded bool
	left    int
}

var errHeaderTooLong = errors.New("its header is too long")

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if s.bounded {
		if s.left -= n; s.left < 0 {
			return 0, errHeaderTooLong
		}
	}
	return n, err
}
