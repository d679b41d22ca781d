package miltertest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

// oddMail is mail that is rare, and that every MTA lets in. Each is the ordinary
// one but for what its name says.
func oddMail(ordinary *letter) (list []*letter) {
	odd := func(name string, change func(*letter)) {
		l := *ordinary
		l.name = name
		change(&l)
		list = append(list, &l)
	}
	odd("mail with no header at all", func(l *letter) { l.fields = nil })
	odd("mail without a body", func(l *letter) { l.body = nil })
	odd("mail with neither header nor body", func(l *letter) { l.fields, l.body = nil, nil })
	odd("mail whose fields are empty", func(l *letter) {
		l.fields = fields("Received", "", "From", "", "To", "", "Subject", "", "Date", " ", "Message-ID", "", "Content-Type", "", "Cc", " \n\t")
	})
	odd("mail with fields that only an MTA could love", func(l *letter) {
		l.fields = fields("from", " nobody in particular", "FROM", " <>, <>, @", "Subject", " \xff\xfe\x80", "X-\x01", " control", "-", " -",
			"Content-Type", " multipart/mixed; boundary", "Content-Transfer-Encoding", " x-none", "Date", " yesterday", "To", " \"unclosed <bob@", "Subject", " again")
	})
	odd("mail with NULs and bare LFs in the body", func(l *letter) { l.body = []string{"a\x00b\nc\rd\r\n\n.\n\x00", "\n", "\r"} })
	odd("8-bit mail that is not UTF-8", func(l *letter) {
		l.fields = fields("From", " J\xf6rg <j\xf6rg@example.org>", "Subject", " Gr\xfc\xdfe")
		l.body = []string{"Gr\xfc\xdfe\r\n"}
	})
	odd("mail with a field of 1 MB", func(l *letter) {
		l.fields = append(fields("References", strings.Repeat("\n\t<a-rather-long-id@example.org>", 1_000_000/33)), l.fields...)
	})
	odd("mail with 10,000 fields", func(l *letter) {
		l.fields = slices.Clone(l.fields)
		for i := range 10000 {
			l.fields = append(l.fields, Field{Name: fmt.Sprintf("X-Trace-%d", i%10), Value: " hop"})
		}
	})
	odd("mail to 1,000 recipients", func(l *letter) {
		l.to = nil
		for i := range 1000 {
			l.to = append(l.to, address(fmt.Sprintf("<user%d@example.net>", i)))
		}
	})
	odd("mail to one recipient twice", func(l *letter) { l.to = addresses("<bob@example.net>", "<bob@example.net>", "<BOB@example.net>") })
	odd("mail from nobody (<>), as bounces are", func(l *letter) { l.from = address("<>") })
	odd("mail with addresses without brackets or domain", func(l *letter) {
		l.from, l.to = address("alice"), []milterkit.Address{address("postmaster"), address("<@>")}
	})
	odd("mail with an address in UTF-8", func(l *letter) {
		l.from, l.to = address("<j\xc3\xb6rg@b\xc3\xbccher.example>", "SMTPUTF8"), addresses("<\"a b\"@example.net>")
	})
	odd("mail from a client that the MTA does not know", func(l *letter) { l.client = Client{Host: "unknown", Helo: l.client.Helo} })
	odd("mail from an IPv6 client", func(l *letter) {
		l.client.Host, l.client.Family, l.client.Addr = "unknown", wire.FamilyInet6, "2001:db8::7"
	})
	odd("mail from an IPv6 client, as Sendmail writes it", func(l *letter) {
		l.client.Host, l.client.Family, l.client.Addr = "[IPv6:2001:db8::7]", wire.FamilyInet6, "IPv6:2001:db8::7"
	})
	odd("mail from a client on a unix socket", func(l *letter) {
		l.client.Host, l.client.Family, l.client.Addr, l.client.Port = "localhost", wire.FamilyUnix, "/run/submit.sock", 0
	})
	odd("mail without HELO", func(l *letter) { l.client.Helo = "" })
	odd("mail with a HELO of nonsense", func(l *letter) { l.client.Helo = "[\xff] \x00.." })
	odd("mail without any macros", func(l *letter) { l.bare = true })
	odd("mail whose body comes byte by byte", func(l *letter) { l.body = bytewise(l.body) })
	odd("a long mail whose body comes byte by byte", func(l *letter) {
		l.body = append([]string{strings.Repeat("x", wire.MaxBody-2) + "\r\n"}, bytewise(l.body)...)
	})
	return list
}

// bytewise cuts a body into pieces of one byte.
func bytewise(body []string) []string { return strings.Split(strings.Join(body, ""), "") }
