package daemon

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
)

// message returns the message to send: that of the file, or a made-up one, with
// the fields that were asked for.
func (o *sendOptions) message(file string, stdin io.Reader, mail miltertest.Mail, date time.Time) (*miltertest.Message, error) {
	var m *miltertest.Message
	var err error
	if file != "" {
		if o.size != "" || len(o.attach) > 0 {
			return nil, usage("--size and --attachment are for a made-up message, and %s is one already", file)
		}
		text, err := readInput(file, stdin)
		if err != nil {
			return nil, usage("the message cannot be read: %w", err)
		}
		m = miltertest.ParseMessage(text)
	} else if m, err = o.makeUp(mail, date); err != nil {
		return nil, err
	}
	if o.subject != "" {
		setField(m, "Subject", o.subject)
	}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\n") {
			return nil, usage("--header %q: write \"Name: value\"", h)
		}
		value = strings.ReplaceAll(value, "\r\n", "\n")
		m.Fields = append(m.Fields, miltertest.Field{Name: name, Value: value})
	}
	return m, nil
}

// setField gives the first field of that name a value, or adds one.
func setField(m *miltertest.Message, name, value string) {
	for i := range m.Fields {
		if strings.EqualFold(m.Fields[i].Name, name) {
			m.Fields[i].Value = " " + value
			return
		}
	}
	m.Fields = append(m.Fields, miltertest.Field{Name: name, Value: " " + value})
}

// makeUp makes a message for the envelope.
func (o *sendOptions) makeUp(mail miltertest.Mail, date time.Time) (*miltertest.Message, error) {
	m := &miltertest.Message{}
	add := func(name, value string) {
		m.Fields = append(m.Fields, miltertest.Field{Name: name, Value: " " + value})
	}
	to := make([]string, len(mail.To))
	for i := range mail.To {
		to[i] = mail.To[i].Addr
	}
	add("From", mail.From)
	add("To", strings.Join(to, ",\n "))
	add("Subject", "a test by milterkit send")
	add("Date", date.Format(time.RFC1123Z))
	add("Message-ID", "<"+strings.ToLower(rand.Text())+"@"+o.mta+">")
	add("MIME-Version", "1.0")

	text := "This message was made up by milterkit send.\r\n"
	if o.size != "" {
		size, err := parseSize(o.size)
		if err != nil {
			return nil, usage("--size %s: %w", o.size, err)
		}
		text = filler(size)
	}
	if len(o.attach) == 0 {
		add("Content-Type", "text/plain; charset=us-ascii")
		m.Body = []byte(text)
		return m, nil
	}
	body, boundary, err := attached(text, o.attach)
	if err != nil {
		return nil, usage("--attachment: %w", err)
	}
	add("Content-Type", "multipart/mixed;\n boundary=\""+boundary+"\"")
	m.Body = body
	return m, nil
}

// filler returns lines of that many bytes in all.
func filler(size int) string {
	const line = "The quick brown fox jumps over the lazy dog, and milterkit send counts.\r\n"
	text := strings.Repeat(line, size/len(line))
	switch rest := size - len(text); {
	case rest >= 2:
		text += strings.Repeat(".", rest-2) + "\r\n"
	case rest == 1 && len(text) > 0:
		text = text[:len(text)-2] + ".\r\n"
	}
	return text
}

// attached returns the body of a message with that text and those files.
func attached(text string, files []string) (body []byte, boundary string, err error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary("milterkit-" + strings.ToLower(rand.Text())); err != nil {
		return nil, "", err
	}
	part, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {"text/plain; charset=us-ascii"}})
	if err != nil {
		return nil, "", err
	}
	io.WriteString(part, text) // to memory: no error
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, "", err
		}
		kind := mime.TypeByExtension(filepath.Ext(file))
		if kind == "" {
			kind = "application/octet-stream"
		}
		part, err := w.CreatePart(textproto.MIMEHeader{
			"Content-Type":              {kind},
			"Content-Transfer-Encoding": {"base64"},
			"Content-Disposition":       {mime.FormatMediaType("attachment", map[string]string{"filename": filepath.Base(file)})},
		})
		if err != nil {
			return nil, "", err
		}
		for enc := base64.StdEncoding.EncodeToString(content); enc != ""; {
			n := min(76, len(enc))
			fmt.Fprintf(part, "%s\r\n", enc[:n])
			enc = enc[n:]
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), w.Boundary(), nil
}
