package spamd

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/milterkit/sdk/builtin/internal/letter"
	"github.com/milterkit/sdk/milterkit"
)

// maxLine bounds what of an address or a name is shown to spamd.
const maxLine = 500

// envelope returns the fields that tell spamd who has sent the message, and from
// where: X-Envelope-From and X-Envelope-To as spamass-milter writes them, and
// Received as Postfix will, which no milter is shown. SpamAssassin's rules about the
// client, SPF and blocklists are about the latter.
func envelope(m *milterkit.Message, now time.Time) string {
	var b strings.Builder
	sender := letter.Clean(m.Sender.Addr, maxLine)
	fmt.Fprintf(&b, "X-Envelope-From: <%s>\r\n", sender)
	for _, to := range m.Recipients {
		fmt.Fprintf(&b, "X-Envelope-To: <%s>\r\n", letter.Clean(to.Addr, maxLine))
	}
	b.WriteString("Received: " + client(m.Session) + "by " + word(m.MTAName(), "localhost") + " (Postfix) with " + protocol(m.Session))
	if id := m.QueueID(); id != "" {
		b.WriteString(" id " + word(id, "unknown"))
	}
	// An address that could be taken for more than one stands above only.
	if neuter(sender) == sender {
		b.WriteString("\r\n\t(envelope-from <" + sender + ">)")
	}
	b.WriteString(";\r\n\t" + now.Format(time.RFC1123Z) + "\r\n")
	return b.String()
}

// client returns what the Received field says of the client, or "" where it is not
// on a network.
func client(s *milterkit.Session) string {
	addr := s.Client().Addr()
	if !addr.IsValid() {
		return ""
	}
	ip := addr.Unmap().WithZone("").String()
	if addr.Unmap().Is6() {
		ip = "IPv6:" + ip
	}
	name := word(s.Host, "unknown")
	if strings.HasPrefix(name, "[") || isAddr(name) {
		name = "unknown"
	}
	text := fmt.Sprintf("from %s (%s [%s])\r\n\t", word(s.Helo, name), name, ip)
	if user := s.AuthUser(); user != "" {
		text += "(Authenticated sender: " + word(user, "unknown") + ")\r\n\t"
	}
	return text
}

func isAddr(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// protocol returns the name of the protocol that the client speaks; the A at its
// end has SpamAssassin take the client for authenticated. Source: RFC 3848.
func protocol(s *milterkit.Session) string {
	if s.Helo == "" {
		return "SMTP"
	}
	text := "ESMTP"
	if s.TLSVersion() != "" {
		text += "S"
	}
	if s.AuthUser() != "" {
		text += "A"
	}
	return text
}

// word makes text one word of a Received field, or returns other where there is
// none.
func word(text, other string) string {
	if text == "" {
		return other
	}
	return neuter(letter.Clean(text, maxLine))
}

// neuter puts "?" for what has a meaning in a Received field: a client could
// otherwise say, in its HELO, that it is another, or authenticated. Source: Postfix,
// NEUTER_CHARACTERS of smtpd.c; @ stays, which is in addresses.
func neuter(text string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t<>()\\\";", r) {
			return '?'
		}
		return r
	}, text)
}
