package miltertest

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/milterkit/sdk/milterkit/wire"
)

// An oddity is a session that is not a plain one, and a good one all the same.
type oddity struct {
	name string
	make func(*Client, *Mail)

	// beyond says, of one that a milter need not bear, why. "": it must.
	beyond string
}

// run plays the session, and a plain message after it.
func (o oddity) run(t *trial) error {
	err := t.session(t.strict(wire.MaxVersion), func(p *Player) error {
		odd := plainMail()
		o.make(&p.Client, &odd)
		outcome, err := t.mail(p, odd)
		if err != nil {
			return err
		}
		t.keep(outcome)
		if outcome.Result != Accepted && outcome.Result != t.usual.Result {
			t.say("%s", ending(outcome)) // as it may be
		}
		if _, err = p.Mail(plainMail()); err != nil {
			return fmt.Errorf("in the message after it: %w", err)
		}
		return nil
	})
	if o.beyond != "" && closes(err) {
		t.note("closes the connection: %s", o.beyond)
		return nil
	}
	return err
}

// oddMessage is an oddity of the message alone.
func oddMessage(name string, change func(*Message)) oddity {
	return oddity{name: name, make: func(_ *Client, m *Mail) { change(m.Message) }}
}

// longField adds a field of some KB.
func longField(m *Message, kb int) {
	m.Fields = append(m.Fields, Field{Name: "X-Long", Value: strings.Repeat(" 0123456", kb<<7)})
}

var oddities = []oddity{
	oddMessage("no header", func(m *Message) { m.Fields = nil }),
	oddMessage("no body", func(m *Message) { m.Body = nil }),
	oddMessage("neither", func(m *Message) { *m = Message{} }),
	oddMessage("8-bit", func(m *Message) {
		m.Fields = append(m.Fields, Field{Name: "X-Latin", Value: " gr\xfc\xdfe"}, Field{Name: "X-UTF8", Value: " grüße"})
		m.Body = []byte("gr\xfc\xdfe\r\ngrüße\r\n")
	}),
	oddMessage("NUL in the body", func(m *Message) { m.Body = []byte("a\x00b\r\n\x00\r\n") }),
	oddMessage("bare CR and LF in the body", func(m *Message) { m.Body = []byte("a\nb\rc\r\r\n\n.\r\n..") }),
	oddMessage("fields that are strange", func(m *Message) {
		m.Fields = append(m.Fields, Field{Name: "X-Empty"}, Field{Name: "X-Tight", Value: "x"}, Field{Name: "X-Blank", Value: "  "},
			Field{Name: "X-Folded", Value: " a\n\tb\n c"}, Field{Name: "Subject", Value: " a second one"}, Field{Name: "From", Value: " @,;<"},
			Field{Name: "Date", Value: " never"}, Field{Name: "Content-Type", Value: " multipart/mixed"})
	}),
	oddMessage("a field of 60 KB", func(m *Message) { longField(m, 60) }),
	{"a field of 90 KB", func(_ *Client, m *Mail) { longField(m.Message, 90) },
		"so does libmilter where one is longer than 64 KB. Postfix sends fields of up to 100 KB, and defers the message then"},
	oddMessage("1000 fields", func(m *Message) {
		for i := range 1000 {
			m.Fields = append(m.Fields, Field{Name: "X-Many", Value: fmt.Sprintf(" %d", i)})
		}
	}),
	oddMessage("a body of 3 MB", func(m *Message) { m.Body = bytes.Repeat([]byte("A line of a body of many pieces.\r\n"), 90<<10) }),
	{name: "1000 recipients", make: func(_ *Client, m *Mail) {
		for i := range 1000 {
			m.To = append(m.To, Recipient{Addr: fmt.Sprintf("<user%04d@example.net>", i)})
		}
	}},
	{name: "the null sender", make: func(_ *Client, m *Mail) { m.From, m.FromArgs = "<>", nil }},
	{name: "addresses without brackets", make: func(_ *Client, m *Mail) {
		m.From, m.To = "alice@example.org", []Recipient{{Addr: "bob@example.net"}}
	}},
	{name: "addresses that are strange", make: func(_ *Client, m *Mail) {
		m.From, m.FromArgs = `<"a b@c\"d"@example.org>`, []string{"BODY=8BITMIME", "SMTPUTF8", "X=" + strings.Repeat("y", 900)}
		m.To = []Recipient{{Addr: "<grüße@example.net>", Args: []string{"NOTIFY=NEVER", "ORCPT=rfc822;bob@example.net"}}, {Addr: "<postmaster>"},
			{Addr: "<" + strings.Repeat("x", 2000) + "@example.net>"}}
	}},
	{name: "a client on IPv6", make: func(c *Client, _ *Mail) {
		c.Family, c.Addr, c.Helo = wire.FamilyInet6, "2001:db8::7", "[IPv6:2001:db8::7]"
	}},
	{name: "a client on a unix socket", make: func(c *Client, _ *Mail) {
		c.Host, c.Family, c.Addr, c.Port = "localhost", wire.FamilyUnix, "/run/client", 0
	}},
	{name: "a client without an address", make: func(c *Client, _ *Mail) { c.Host, c.Family, c.Addr, c.Port = "unknown", wire.FamilyUnknown, "", 0 }},
	{name: "a client without HELO", make: func(c *Client, _ *Mail) { c.Helo = "" }},
}
