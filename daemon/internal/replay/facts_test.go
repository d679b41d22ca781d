package replay

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/milterkit/sdk/milterkit/miltertest"
)

// What a mail server writes into Received is understood, whichever it is.
func TestReceivedTellsOfTheClient(t *testing.T) {
	for value, want := range map[string]hop{
		"from mail.example.com (host.example.net [198.51.100.7])\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n\t key-exchange X25519)\n\t(No client certificate requested)\n\t(Authenticated sender: alice)\n\tby mx.example.org (Postfix) with ESMTPSA id 4XYZ\n\tfor <bob@example.org>; Thu, 26 Nov 2026 10:00:00 +0000 (UTC)": {
			helo: "mail.example.com", name: "host.example.net", addr: "198.51.100.7", by: "mx.example.org", id: "4XYZ", auth: "alice",
			rcpt: "bob@example.org", tls: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", bits: "256"},
		"from mail (unknown [IPv6:2001:db8::1]) by mx (Postfix) with ESMTP id 1": {helo: "mail", name: "unknown", addr: "2001:db8::1", by: "mx", id: "1"},
		"from helo.example.com (ident@host.example.net [198.51.100.7] (may be forged))\n\tby mx (8.18.1/8.18.1) with ESMTPS id 5AQ\n\t(version=TLSv1.2 cipher=AES256 bits=256 verify=NO); Thu": {
			helo: "helo.example.com", name: "host.example.net", addr: "198.51.100.7", by: "mx", id: "5AQ", tls: "TLSv1.2", cipher: "AES256", bits: "256"},
		"from host.example.net ([198.51.100.7] helo=helo.example.com)\n\tby mx with esmtp (Exim 4.98)": {helo: "helo.example.com", name: "host.example.net", addr: "198.51.100.7", by: "mx"},
		"from [198.51.100.7] (helo=x) by mx":                 {helo: "x", name: "unknown", addr: "198.51.100.7", by: "mx"},
		"from google.com (google.com. [198.51.100.7]) by mx": {helo: "google.com", name: "google.com", addr: "198.51.100.7", by: "mx"},
	} {
		got, ok := parseHop(value)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(hop{})); diff != "" || !ok {
			t.Errorf("%s: %v\n%s", value, ok, diff)
		}
	}
	for _, value := range []string{"", "by mx (Postfix, from userid 0) id 1; Thu", "from mx by mx with LMTP id 1", "from a ([999.1.1.1]) by b", "from", "from (((("} {
		if h, ok := parseHop(value); ok {
			t.Errorf("%q tells of %+v", value, h)
		}
	}
}

const delivered = `Return-Path: <alice@example.com>
X-Original-To: info@example.org
Delivered-To: bob@example.org
Received: from localhost (localhost [127.0.0.1]) by mx.example.org (Postfix) with ESMTP id 4SECOND
Received: from mail.example.com (host.example.net [198.51.100.7]) by mx.example.org (Postfix) with ESMTP id 4FIRST
Authentication-Results: mx.example.org; dkim=pass
Received: from inside.example.com (inside [192.0.2.99]) by mail.example.com (Postfix) with ESMTP id 4BEFORE
Authentication-Results: mail.example.com; spf=pass
X-Spam-Flag: NO
From: Alice <a@example.com>
To: list@example.net

text
`

// facts returns "name value (from)" of each fact.
func facts(g Given, l *Letter) string {
	var list []string
	for _, f := range g.transferOf(l, miltertest.ParseMessage(l.Text)).facts {
		list = append(list, f.Name+" "+f.Value+" ("+f.From+")")
	}
	return strings.Join(list, "; ")
}

// The session and the envelope are the flags' where they say something, then the
// header's, then the defaults; each says which.
func TestWhereFactsAreFrom(t *testing.T) {
	null := ""
	for name, c := range map[string]struct {
		g    Given
		l    Letter
		want string
	}{
		"header":            {Given{}, Letter{Text: []byte(delivered)}, "client host.example.net [198.51.100.7] (Received); helo mail.example.com (Received); from <alice@example.com> (Return-Path); to <info@example.org> (X-Original-To)"},
		"ignored":           {Given{Blind: true}, Letter{Text: []byte(delivered), Sender: "x@y"}, "client mx.example.net [192.0.2.1] (default); helo mx.example.net (default); from <sender@example.com> (default); to <receiver@example.org> (default)"},
		"nothing":           {Given{}, Letter{Text: []byte("\n")}, "client mx.example.net [192.0.2.1] (default); helo mx.example.net (default); from <sender@example.com> (default); to <receiver@example.org> (default)"},
		"written":           {Given{}, Letter{Text: []byte("From: A <a@x.org>\nTo: b@x.org, C <c@x.org>\n\n")}, "client mx.example.net [192.0.2.1] (default); helo mx.example.net (default); from <a@x.org> (From); to <b@x.org>, <c@x.org> (To)"},
		"mbox":              {Given{}, Letter{Text: []byte("From: A <a@x.org>\n\n"), Sender: "box@x.org"}, "client mx.example.net [192.0.2.1] (default); helo mx.example.net (default); from <box@x.org> (mbox); to <receiver@example.org> (default)"},
		"bounce in an mbox": {Given{}, Letter{Text: []byte("From: A <a@x.org>\n\n"), Sender: "MAILER-DAEMON"}, "client mx.example.net [192.0.2.1] (default); helo mx.example.net (default); from <> (mbox); to <receiver@example.org> (default)"},
		"bounce":            {Given{}, Letter{Text: []byte("Return-Path: <>\n\n")}, "client mx.example.net [192.0.2.1] (default); helo mx.example.net (default); from <> (Return-Path); to <receiver@example.org> (default)"},
		"given":             {Given{Addr: "2001:db8::7", Helo: "h", Auth: "al", TLS: "TLSv1.3", Daemon: "smtps", From: &null, To: []miltertest.Recipient{{Addr: "<z@x.org>", Args: []string{"NOTIFY=NEVER"}}}}, Letter{Text: []byte(delivered)}, "client unknown [2001:db8::7] (given); helo h (given); auth al (given); tls TLSv1.3 (given); daemon smtps (given); from <> (given); to <z@x.org> NOTIFY=NEVER (given)"},
		"only the name":     {Given{Name: "n"}, Letter{Text: []byte(delivered)}, "client n [198.51.100.7] (given); helo mail.example.com (Received); from <alice@example.com> (Return-Path); to <info@example.org> (X-Original-To)"},
	} {
		if got := facts(c.g, &c.l); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", name, got, c.want)
		}
	}
}

// A message as it was received has nothing of what came on top since, and our own
// Received is hidden from filters again.
func TestAsReceived(t *testing.T) {
	m := miltertest.ParseMessage([]byte(delivered))
	s := Strip{AsReceived: true, Fields: []string{"x-spam-*", "received"}}
	if n := s.from(m); n != 7 {
		t.Errorf("%d fields were taken off", n)
	}
	var shown []string
	for _, f := range m.Shown() {
		shown = append(shown, f.Name+":"+f.Value)
	}
	if diff := cmp.Diff([]string{"Authentication-Results: mail.example.com; spf=pass", "From: Alice <a@example.com>", "To: list@example.net"}, shown); diff != "" {
		t.Error(diff)
	}
	if !m.Fields[0].Own || !strings.Contains(m.Fields[0].Value, "4FIRST") {
		t.Errorf("the first field is %+v", m.Fields[0])
	}
	m = miltertest.ParseMessage([]byte("Return-Path: <a@x.org>\nSubject: x\nDelivered-To: b@x.org\n\n"))
	if n := (&Strip{AsReceived: true}).from(m); n != 2 || len(m.Fields) != 1 {
		t.Errorf("without Received: %d off, %v", n, m.Fields)
	}
}

// Whatever stands in a header, what is taken from it is fit for a command of SMTP.
func FuzzFacts(f *testing.F) {
	f.Add([]byte(delivered), "a@x.org")
	f.Add([]byte("Received: from [::1] (helo=\x00) by\nReturn-Path: <<>>\nTo: \"\n\" <a b>\n\n"), "<")
	f.Fuzz(func(t *testing.T, text []byte, sender string) {
		m := miltertest.ParseMessage(text)
		x := (&Given{}).transferOf(&Letter{Text: text, Sender: sender}, m)
		words := []string{x.mail.From, x.client.Host, x.client.Helo}
		for _, to := range x.mail.To {
			words = append(words, to.Addr)
		}
		for _, word := range words {
			if word == "" || len(word) > maxWord+2 || strings.ContainsFunc(word, func(r rune) bool { return r < ' ' }) {
				t.Errorf("%q was taken from %q", word, text)
			}
		}
		(&Strip{AsReceived: true}).from(m)
	})
}
