package bench

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/milterkit/sdk/internal/nearest"
)

// A Mail is what one message looks like.
type Mail struct {
	Name       string
	Fields     int // of the header
	Header     int // bytes of the header, about
	Body       int // bytes of the body
	Recipients int
}

// Mails are the mails that scenarios name.
var Mails = []Mail{
	{Name: "tiny", Fields: 8, Header: 600, Body: 64, Recipients: 1},
	{Name: "short", Fields: 12, Header: 1 << 10, Body: 3 << 10, Recipients: 1}, // 4 KB in all
	{Name: "list", Fields: 40, Header: 8 << 10, Body: 32 << 10, Recipients: 1}, // 40 KB with 40 fields
	{Name: "100KB", Fields: 16, Header: 2 << 10, Body: 98 << 10, Recipients: 1},
	{Name: "1MB", Fields: 16, Header: 2 << 10, Body: 1 << 20, Recipients: 1},
	{Name: "10MB", Fields: 16, Header: 2 << 10, Body: 10 << 20, Recipients: 1},
	{Name: "recipients", Fields: 12, Header: 1 << 10, Body: 3 << 10, Recipients: 200},
}

// MailNamed returns the one of mails, such as Mails, that has the name.
func MailNamed(mails []Mail, name string) (Mail, error) {
	var names []string
	for _, m := range mails {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	near := nearest.DidYouMean(name, names)
	if near == "" {
		near = "; there are " + strings.Join(names, ", ")
	}
	return Mail{}, fmt.Errorf("there is no mail %q%s", name, near)
}

// Size returns the bytes of the message, about.
func (m Mail) Size() int { return m.Header + m.Body }

// header returns the fields in the order in which they are sent.
func (m Mail) header() [][2]string {
	list := [][2]string{
		{"From", " Alice <alice@example.org>"},
		{"To", " Bob <bob@example.net>"},
		{"Subject", " a mail of the benchmark"},
		{"Date", " Thu, 26 Nov 2026 10:00:00 +0000"},
		{"Message-ID", " <1@example.org>"},
		{"MIME-Version", " 1.0"},
		{"Content-Type", " text/plain; charset=utf-8"},
	}
	used := 0
	for _, f := range list {
		used += len(f[0]) + len(f[1]) + 3
	}
	more := max(m.Fields-len(list), 1)
	filler := strings.Repeat("x", max((m.Header-used)/more-len("X-Field-00:  \r\n"), 1))
	for i := range more {
		list = append(list, [2]string{fmt.Sprintf("X-Field-%02d", i), " " + filler})
	}
	return list
}

// body returns the body: lines as text has them.
func (m Mail) body() []byte {
	line := []byte("The quick brown fox jumps over the lazy dog, and the mail goes on its way.\r\n")
	b := bytes.Repeat(line, m.Body/len(line)+1)[:m.Body]
	return b
}
