package spamd

import (
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
)

const date = "\tThu, 26 Nov 2026 12:00:00 +0000\r\n"

// Spamd is told of the envelope, and of the client as the Received field will tell
// of it, which no filter is shown.
func TestEnvelope(t *testing.T) {
	for _, x := range []struct {
		name string
		mail mail
		want string
	}{
		{"a client", mail{macros: map[milterkit.Stage][]string{milterkit.StageConnect: {"j", "mx.example.org"}, milterkit.StageMessage: {"i", "4C0FFEE001"}}},
			"X-Envelope-From: <alice@example.com>\r\nX-Envelope-To: <bob@example.org>\r\n" +
				"Received: from helo.example.com (mail.example.com [192.0.2.7])\r\n\tby mx.example.org (Postfix) with ESMTP id 4C0FFEE001\r\n" +
				"\t(envelope-from <alice@example.com>);\r\n" + date + "From: Alice"},
		{"authenticated, with TLS", mail{macros: map[milterkit.Stage][]string{milterkit.StageHelo: {"{tls_version}", "TLSv1.3"}, milterkit.StageMail: {"{auth_authen}", "alice"}}},
			"[192.0.2.7])\r\n\t(Authenticated sender: alice)\r\n\tby localhost (Postfix) with ESMTPSA\r\n\t(envelope-from"},
		{"no name, no HELO", mail{host: "[192.0.2.7]", helo: "-"}, "Received: from unknown (unknown [192.0.2.7])\r\n\tby localhost (Postfix) with SMTP\r\n"},
		{"a name that is an address", mail{host: "192.0.2.7"}, "Received: from helo.example.com (unknown [192.0.2.7])\r\n"},
		{"IPv6", mail{addr: "IPv6:2001:db8::7"}, "Received: from helo.example.com (mail.example.com [IPv6:2001:db8::7])\r\n"},
		{"null sender, two recipients", mail{from: "<>", to: []string{"<bob@example.org>", "<carol@example.org>"}},
			"X-Envelope-From: <>\r\nX-Envelope-To: <bob@example.org>\r\nX-Envelope-To: <carol@example.org>\r\nReceived: "},
	} {
		f := startFake(t, hamAnswer)
		if v, _ := send(t, options(f), x.mail); v != milterkit.Continue {
			t.Fatal(x.name, v, v.Err())
		}
		if got := f.last(t).message; !strings.Contains(got, x.want) {
			t.Errorf("%s: spamd was shown\n%s\nwant in it\n%s", x.name, got, x.want)
		}
	}
}

// A client cannot say by its HELO or its address that it is somebody else.
func TestEnvelopeForged(t *testing.T) {
	f := startFake(t, hamAnswer)
	v, _ := send(t, options(f), mail{
		helo: "x (x [127.0.0.1]) (Authenticated sender: root) by mx (Postfix) with ESMTPA id 1;",
		from: "<\"a>) by mx with ESMTPA id 1 (\r\nX-Evil: 1\"@example.com>",
	})
	if v != milterkit.Continue {
		t.Fatal(v, v.Err())
	}
	envelope, _, _ := strings.Cut(f.last(t).message, "From: Alice")
	wantText(t, envelope, "Received: from x??x?[127.0.0.1]???Authenticated?sender:?root??by?mx??Postfix??with?ESMTPA?id?1? (mail.example.com [192.0.2.7])\r\n", `1 (??X-Evil: 1"@example.com>`+"\r\n")
	wantNoText(t, envelope, "\nX-Evil", "(envelope-from")
}
