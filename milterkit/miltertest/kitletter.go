package miltertest

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"strings"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

// Whom a short mail is from and to, and every mail that names nobody.
const (
	usualFrom = "<alice@example.org>"
	usualTo   = "<bob@example.net>"
)

// A letter is one message with the client that brings it.
type letter struct {
	name    string // for a person: "mail with no header at all"
	client  Client
	bare    bool // the MTA sends no macros at all
	unknown []string
	from    milterkit.Address
	to      []milterkit.Address
	refused []milterkit.Address // by the MTA itself
	queueID string
	fields  []Field
	body    []string // in pieces
}

// ordinaryMail is what a child may expect, from one client: each kind of child
// should have something to do with it. The first two are short.
func ordinaryMail(c ChildTest) []*letter {
	client := c.Client
	if client.Addr == "" {
		client.Host, client.Family, client.Addr, client.Port = "mail.example.org", wire.FamilyInet, "192.0.2.7", 40000
	}
	if addr, err := netip.ParseAddr(client.Addr); client.Family == 0 && err == nil {
		client.Family = wire.FamilyInet
		if addr.Is6() {
			client.Family = wire.FamilyInet6
		}
	}
	if client.Helo == "" {
		client.Helo = "mail.example.org"
	}
	if client.MTA == "" {
		client.MTA = "mx.example.net"
	}
	short := &letter{
		name: "a short mail", from: address(usualFrom, "SIZE=300"),
		to: addresses(usualTo), queueID: "4BKIT1",
		fields: fields("Received", " from alice.example.org (alice.example.org [198.51.100.1])\n\tby mail.example.org with ESMTP id 1;\n\tMon, 6 Jul 2026 10:00:00 +0200",
			"From", " Alice <alice@example.org>", "To", " bob@example.net", "Subject", " Lunch",
			"Date", " Mon, 6 Jul 2026 10:00:00 +0200", "Message-ID", " <1@example.org>"),
		body: []string{"Hi Bob,\r\n\r\nlunch at noon?\r\n"},
	}
	parts := &letter{
		name: "a mail with an attachment", from: address("<news@lists.example.com>", "SIZE=2000", "BODY=8BITMIME"),
		to: addresses("<carol@example.net>", "<dave@example.net>", "<erin@example.net>"), queueID: "4BKIT2",
		refused: addresses("<nobody@example.net>"),
		fields: fields("From", " =?utf-8?q?Nouvelles_=C3=A9lues?= <news@lists.example.com>", "To", " a long list:;", "Cc", " carol@example.net,\n dave@example.net",
			"Subject", " =?utf-8?b?RmFjdHVyZSDDoCBwYXllcg==?=", "List-Id", " <news.lists.example.com>", "X-Spam-Flag", " NO", "X-Spam-Flag", " NO",
			"Message-ID", " <2@lists.example.com>", "MIME-Version", " 1.0", "Content-Type", " multipart/mixed;\n\tboundary=\"b\""),
		body: []string{"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nVoil\xc3\xa0 \xe2\x80\xa6\r\n--b\r\nContent-Type: application/octet-stream\r\n" +
			"Content-Disposition: attachment; filename=\"invoice.exe\"\r\nContent-Transfer-Encoding: base64\r\n\r\nTVqQ\r\n", "--b--\r\n"},
	}
	long := *short
	long.name, long.queueID, long.unknown = "a mail whose body is shown while it arrives", "4BKIT3", []string{"XFOO bar"}
	for range 3 { // the hooks are called when there are 64 KiB of it
		long.body = append(long.body, strings.Repeat("A line of a long body, and another word.\r\n", 1400))
	}
	list := []*letter{short, parts, &long}
	for i, m := range c.Mails {
		list = append(list, ownLetter(i, m))
	}
	for _, l := range list {
		l.client = client
	}
	return list
}

// ownLetter makes a letter of a Mail that the user has given. Without a sender and a
// recipient that is taken there would be no message, and nothing of the child tried.
func ownLetter(i int, m Mail) *letter {
	l := &letter{name: fmt.Sprintf("Mails[%d]", i), from: address(cmp.Or(m.From, usualFrom), m.FromArgs...), unknown: m.Unknown, queueID: m.QueueID}
	for _, r := range m.To {
		if r.Refused != "" {
			l.refused = append(l.refused, address(r.Addr, r.Args...))
		} else {
			l.to = append(l.to, address(r.Addr, r.Args...))
		}
	}
	if len(l.to) == 0 {
		l.to = addresses(usualTo)
	}
	if m.Message != nil {
		l.fields = m.Message.Shown()
		for b := m.Message.Body; len(b) > 0; {
			n := min(len(b), wire.MaxBody)
			l.body, b = append(l.body, string(b[:n])), b[n:]
		}
	}
	return l
}

func address(raw string, args ...string) milterkit.Address { return milterkit.NewAddress(raw, args...) }

func addresses(raw ...string) (list []milterkit.Address) {
	for _, r := range raw {
		list = append(list, address(r, "ORCPT=rfc822;"+unbracket(r)))
	}
	return list
}

// fields makes fields of names and values, in turn.
func fields(pairs ...string) (list []Field) {
	for name, value := range pairSeq(pairs) {
		list = append(list, Field{Name: name, Value: value})
	}
	return list
}

// memory returns the bytes of the letter's content, standing where a child is
// shown them.
func (l *letter) memory() (m *memory, names, values, pieces [][]byte) {
	size := 64 // so that an append to the last piece writes into it too
	for _, f := range l.fields {
		size += len(f.Name) + len(f.Value)
	}
	for _, p := range l.body {
		size += len(p)
	}
	m = newMemory(size)
	for _, f := range l.fields {
		names = append(names, m.put("the name of the field "+excerpt(f.Name), f.Name))
		values = append(values, m.put("the value of the field "+excerpt(f.Name), f.Value))
	}
	for i, p := range l.body {
		pieces = append(pieces, m.put(fmt.Sprintf("piece %d of the body", i+1), p))
	}
	m.put("what stands behind the body", strings.Repeat("~", 64))
	return m, names, values, pieces
}

// commands are the milter protocol's commands of the stages.
var commands = map[milterkit.Stage]byte{
	milterkit.StageConnect: wire.CmdConnect, milterkit.StageHelo: wire.CmdHelo, milterkit.StageMail: wire.CmdMail,
	milterkit.StageRcpt: wire.CmdRcpt, milterkit.StageData: wire.CmdData, milterkit.StageHeader: wire.CmdEOH, milterkit.StageMessage: wire.CmdEOM,
}

// macros returns names and values, in turn, of the macros that an MTA sends with a
// stage: those that it always sends, and those that the child would like to have.
// at is the address at hand.
func (l *letter) macros(stage milterkit.Stage, wanted []string, at milterkit.Address) (pairs []string) {
	if l.bare {
		return nil
	}
	c := &l.client
	domain := at.Addr[strings.LastIndexByte(at.Addr, '@')+1:]
	known := values{
		"j": c.MTA, "daemon_name": c.MTA, "daemon_addr": "127.0.0.1", "v": "Postfix 3.11.0",
		"_": c.Host + " [" + c.Addr + "]", "client_name": c.Host, "client_addr": c.Addr, "client_ptr": c.Host,
		"i": l.queueID, "mail_addr": at.Addr, "mail_host": domain, "mail_mailer": "smtp",
		"rcpt_addr": at.Addr, "rcpt_host": domain, "rcpt_mailer": "smtp",
	}
	maps.Copy(known, c.Known)
	cmd, have := commands[stage], map[string]bool{}
	for _, m := range c.Macros[cmd] {
		have[bareName(m.Name)] = true
		pairs = append(pairs, m.Name, m.Value)
	}
	for _, list := range [][]string{postfixMacros[cmd], wanted} {
		for _, name := range list {
			if value := known[bareName(name)]; value != "" && !have[bareName(name)] {
				have[bareName(name)] = true
				pairs = append(pairs, name, value)
			}
		}
	}
	return pairs
}
