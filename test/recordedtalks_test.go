package test

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit/wire"
	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// TestRecords has clients of all manners talk to milters that record what they
// are told, directly and behind milterkit. The clients are told the same, what
// is delivered is the same, and so is each milter's record.
func TestRecords(t *testing.T) {
	root, err := stack.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Remove() })
	cert, err := stack.NewCertificate(root, "mx.example.test")
	if err != nil {
		t.Fatal(err)
	}
	talks := slices.Concat(envelopeTalks(), clientTalks(cert.TLS), messageTalks(), goneTalks())
	settings := []string{
		"inet_protocols = all", "smtpd_authorized_xclient_hosts = 127.0.0.1, 192.0.2.0/24",
		"smtpd_tls_security_level = may", "smtpd_tls_ask_ccert = yes",
		"smtpd_tls_chain_files = " + cert.File, "smtpd_tls_CAfile = " + cert.File,
	}
	with := func(s string) []string { return append(slices.Clone(settings), s) }
	chains := []recordedChain{
		{name: "plain", scripts: scriptsOf(plainScript), settings: settings, talks: talks},
		{name: "full", scripts: scriptsOf(fullScript), settings: settings, talks: slices.Concat(talks, fullTalks()), allow: skips},
		{name: "version2", scripts: scriptsOf(oldScript), settings: settings, talks: talks, never: []byte{wire.CmdData, wire.CmdUnknown}},
		{name: "mta2", scripts: scriptsOf(fullScript), settings: with("milter_protocol = 2"), talks: talks, allow: oldMTA,
			offers: map[string]string{"direct": "negotiate version=2 actions=0x1ff steps=0x7f"}, never: []byte{wire.CmdData, wire.CmdUnknown}},
		{name: "mta3", scripts: scriptsOf(fullScript), settings: with("milter_protocol = 3"), talks: talks, allow: oldMTA,
			offers: map[string]string{"direct": "negotiate version=3 actions=0x1ff steps=0x17f"}, never: []byte{wire.CmdData}},
		{name: "mta4", scripts: scriptsOf(fullScript), settings: with("milter_protocol = 4"), talks: talks, allow: oldMTA,
			offers: map[string]string{"direct": "negotiate version=4 actions=0x1ff steps=0x37f"}},
		{name: "pair", scripts: scriptsOf(plainScript, fullScript), settings: settings, talks: slices.Concat(talks, pairTalks()), allow: skips},
	}
	startRecorders(t, chains).run(t, chains)
}

// skips takes out of a record how far a milter was shown a long body after it
// had said that it wants no more: milterkit sends some pieces before it has the
// answer to the first.
func skips(_ route, rec *record) {
	for i, e := range rec.entries {
		if e.cmd == wire.CmdBody {
			rec.entries[i].args = e.args[:1]
		}
	}
}

// oldMTA takes out of a record what milterkit offers a milter that the MTA does
// not: all of version 6, and with it the space after the colon of a field.
func oldMTA(r route, rec *record) {
	skips(r, rec)
	rec.entries[0].args = nil
	for _, e := range rec.entries {
		if e.cmd == wire.CmdHeader && !r.direct {
			e.args[1] = strings.TrimPrefix(e.args[1], " ")
		}
	}
}

// fullTalks are those of which a milter that asks for all is told more.
func fullTalks() []recordedTalk {
	return []recordedTalk{
		{
			name: "recipients-that-postfix-refuses",
			talk: func(c *smtpclient.Client, helo string) {
				c.Ehlo(helo)
				c.Mail(alice)
				c.Rcpt("unknown@example.test", "NOTIFY=NEVER")
				c.Rcpt(bob)
				c.Rcpt("unknown@example.test")
				c.Data(letter("spaces", trickyFields, "Hello."))
			},
			told: []string{
				"rcpt <unknown@example.test> NOTIFY=NEVER | {rcpt_mailer}=error {rcpt_host}=5.1.1",
				"rcpt <bob@example.test> | {rcpt_mailer}=virtual", "rcpt <unknown@example.test> | {rcpt_mailer}=error", "data",
				`header Subject " spaces"`, `header X-Tight "no space after the colon"`, `header X-Wide "   three spaces"`,
				`header X-Tab "\ta tab"`, `header X-Folded " one\n\ttwo\n   three"`, `header X-Empty ""`, "eom",
			},
			mails: [][]string{{bob}},
		},
		{
			name: "skipped-body",
			talk: func(c *smtpclient.Client, helo string) {
				c.Ehlo(helo)
				transaction(c, bob, letter("long", "", strings.Repeat("A line of a long body.\r\n", 35_000)))
			},
			mails: [][]string{{bob}},
			check: func(t *testing.T, o *recordedOutcome) {
				i := slices.IndexFunc(o.records[0][0].entries, func(e entry) bool { return e.cmd == wire.CmdBody })
				var shown int
				if _, err := fmt.Sscanf(o.records[0][0].entries[i].args[1], "%d bytes", &shown); err != nil || shown > 6*wire.MaxBody {
					t.Errorf("the milter was shown %d bytes of a body of more than %d, %v", shown, 12*wire.MaxBody, err)
				}
			},
		},
	}
}

// pairTalks are about what the second of two milters is told.
func pairTalks() []recordedTalk {
	return []recordedTalk{{
		name: "second-milter",
		talk: func(c *smtpclient.Client, helo string) {
			c.Ehlo(helo)
			c.Mail(alice, "SIZE=1000")
			c.Rcpt("refused-one@example.test")
			c.Rcpt("declined-one@example.test", "NOTIFY=NEVER")
			c.Rcpt(bob, "NOTIFY=NEVER", "ORCPT=rfc822;robert@example.com")
			c.Data(letter("hello", "", "Hello."))
		},
		replies: map[string]string{"RCPT TO:<refused-": "550 5.1.1 we do not know them", "RCPT TO:<declined-": rejected},
		told:    []string{"rcpt <refused-one@example.test>", "rcpt <declined-one@example.test> NOTIFY=NEVER", "rcpt <bob@example.test> NOTIFY=NEVER ORCPT=rfc822;robert@example.com"},
		mails:   [][]string{{bob}},
		check: func(t *testing.T, o *recordedOutcome) {
			second := o.records[1][0]
			wantEntries(t, second, "mail <alice@example.org> SIZE=1000 | {mail_addr}=alice@example.org", "rcpt <declined-one@example.test> NOTIFY=NEVER",
				"rcpt <bob@example.test> NOTIFY=NEVER ORCPT=rfc822;robert@example.com", "data",
				`header X-In " inserted"`, `header From " Alice <alice@example.org>"`, `header Subject " changed"`, `header X-Plain " added"`, "eom", "abort", "quit")
			if text := second.String(); strings.Contains(text, "refused-one") {
				t.Errorf("the second milter was told of a recipient whom the first had refused:\n%s", text)
			}
		},
	}}
}

// envelopeTalks are about what a client says of a message.
func envelopeTalks() []recordedTalk {
	hello := letter("hello", trickyFields, "Hello.")
	return []recordedTalk{
		{
			name: "parameters",
			talk: func(c *smtpclient.Client, helo string) {
				c.Ehlo(helo)
				c.Mail(alice, "SIZE=1000", "BODY=8BITMIME", "RET=HDRS", "ENVID=QQ+2B314")
				c.Rcpt(bob, "NOTIFY=DELAY,FAILURE", "ORCPT=rfc822;robert+2Bx@example.com")
				c.Rcpt("refused-one@example.test", "NOTIFY=NEVER")
				c.Rcpt("later-one@example.test")
				c.Rcpt("unknown@example.test", "NOTIFY=NEVER")
				c.Rcpt(carol, "ORCPT=rfc822;caroline@example.com", "NOTIFY=NEVER")
				c.Data(hello)
			},
			replies: map[string]string{"RCPT TO:<refused-": "550 5.1.1 we do not know them", "RCPT TO:<later-": "451-4.7.1 not now\n451 4.7.1 but later"},
			told: []string{
				"connect localhost 4 127.0.0.1 PORT | j=mx.example.test",
				"mail <alice@example.org> SIZE=1000 BODY=8BITMIME RET=HDRS ENVID=QQ+2B314 | {mail_addr}=alice@example.org",
				"rcpt <bob@example.test> NOTIFY=DELAY,FAILURE ORCPT=rfc822;robert+2Bx@example.com | {rcpt_addr}=bob@example.test {rcpt_mailer}=virtual",
				"rcpt <refused-one@example.test> NOTIFY=NEVER",
				"rcpt <later-one@example.test>",
				"rcpt <carol@example.test> ORCPT=rfc822;caroline@example.com NOTIFY=NEVER | i=QUEUE-ID",
				"eoh | i=QUEUE-ID",
				`body "Hello.\r\n" | i=QUEUE-ID`,
				"eom | i=QUEUE-ID", "abort", "quit",
			},
			mails: [][]string{{bob, carol}},
		},
		{
			name: "null-sender-and-odd-spelling",
			talk: func(c *smtpclient.Client, helo string) {
				c.Helo(helo)
				c.Cmd("mail from: <>")
				c.Cmd("RCPT to:<BoB@EXAMPLE.test>")
				c.Cmd("rcpt To: carol@example.test")
				c.Rcpt("@relay.example.org:dave@example.test")
				c.Data(hello)
			},
			told: []string{"mail <>", "rcpt <BoB@EXAMPLE.test> | {rcpt_host}=EXAMPLE.test", "rcpt carol@example.test | i=QUEUE-ID",
				"rcpt <@relay.example.org:dave@example.test> | {rcpt_addr}=dave@example.test"},
			mails: [][]string{{"BoB@EXAMPLE.test", carol, "dave@example.test"}},
		},
		{
			name: "smtputf8",
			talk: func(c *smtpclient.Client, helo string) {
				c.Ehlo(helo)
				c.Mail("δοκιμή@example.org", "SMTPUTF8", "BODY=8BITMIME")
				c.Rcpt("δοκιμή@example.test")
				c.Rcpt("refused-δύο@example.test", "NOTIFY=NEVER")
				c.Data(letter("δοκιμή", "X-Δοκιμή: δύο\r\n", "Καλημέρα."))
			},
			told: []string{
				"mail <δοκιμή@example.org> SMTPUTF8 BODY=8BITMIME | {mail_addr}=δοκιμή@example.org",
				"rcpt <δοκιμή@example.test> | {rcpt_addr}=δοκιμή@example.test",
				"rcpt <refused-δύο@example.test> NOTIFY=NEVER | {rcpt_addr}=refused-δύο@example.test", "eom",
			},
			mails: [][]string{{"δοκιμή@example.test"}},
		},
		{
			name: "pipelining",
			talk: func(c *smtpclient.Client, helo string) {
				c.Ehlo(helo)
				c.Pipeline("MAIL FROM:<"+alice+"> SIZE=500", "RCPT TO:<"+bob+">", "RCPT TO:<refused-one@example.test>", "RCPT TO:<"+carol+">", "DATA")
				c.Content(hello)
				c.Pipeline("MAIL FROM:<"+carol+">", "RCPT TO:<refused-one@example.test>", "DATA", "RSET", "MAIL FROM:<second@example.org>", "RCPT TO:<"+bob+">", "DATA")
				c.Content(hello)
			},
			told: []string{
				"mail <alice@example.org> SIZE=500", "rcpt <bob@example.test>", "rcpt <refused-one@example.test>", "rcpt <carol@example.test>", "eom | i=QUEUE-ID", "abort",
				"mail <carol@example.test>", "rcpt <refused-one@example.test>", "abort",
				"mail <second@example.org>", "rcpt <bob@example.test>", "eom", "abort", "quit",
			},
			mails: [][]string{{bob, carol}, {bob}},
		},
		{
			name: "helo-between",
			talk: func(c *smtpclient.Client, helo string) {
				c.Ehlo("first." + helo)
				c.Mail("lost@example.org")
				c.Ehlo(helo)
				c.Rcpt(bob)
				c.Mail("lost@example.org")
				c.Rcpt(bob)
				c.Rcpt("refused-one@example.test")
				c.Helo("third." + helo)
				c.Mail(alice)
				c.Rcpt(carol)
				c.Data(hello)
			},
			told: []string{
				"helo first.HELO", "mail <lost@example.org>", "abort",
				"mail <lost@example.org>", "rcpt <bob@example.test>", "rcpt <refused-one@example.test>", "abort",
				"helo third.HELO", "mail <alice@example.org>", "rcpt <carol@example.test>", "eom",
			},
			mails: [][]string{{carol}},
		},
	}
}

// clientTalks are about who the client is.
func clientTalks(own tls.Certificate) []recordedTalk {
	transact := func(c *smtpclient.Client) {
		c.Mail(alice)
		c.Rcpt(bob)
		c.Rcpt("refused-one@example.test")
		c.Data(letter("hello", "", "Hello."))
	}
	// xclient talks as another client.
	xclient := func(attributes string) func(*smtpclient.Client, string) {
		return func(c *smtpclient.Client, helo string) {
			c.Ehlo(helo)
			c.Cmd("XCLIENT %s", attributes)
			c.Ehlo(helo)
			transact(c)
		}
	}
	return []recordedTalk{
		{
			name: "xclient-ipv4", sessions: 2, talk: xclient("NAME=vip.example.net ADDR=192.0.2.10 PORT=4711"),
			told: []string{
				"connect localhost 4 127.0.0.1 PORT", "quit",
				"connect vip.example.net 4 192.0.2.10 4711", "mail <alice@example.org>", "rcpt <refused-one@example.test>", "eom", "abort", "quit",
			},
			mails: [][]string{{bob}},
		},
		{
			name: "xclient-ipv6", sessions: 2, talk: xclient("NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1"),
			told:  []string{"quit", "connect [2001:db8::1] 6 2001:db8::1 PORT", "mail <alice@example.org>"},
			mails: [][]string{{bob}},
		},
		{
			name: "xclient-login", sessions: 2, talk: xclient("LOGIN=alice+40example.org NAME=[TEMPUNAVAIL]"),
			told:  []string{"quit", "mail <alice@example.org> | {auth_authen}=alice@example.org {auth_type}=XCLIENT"},
			mails: [][]string{{bob}},
		},
		{
			name: "xclient-within-a-message", sessions: 3,
			talk: func(c *smtpclient.Client, helo string) {
				c.Ehlo(helo)
				c.Cmd("XCLIENT ADDR=192.0.2.1 NAME=one.example.net LOGIN=alice")
				c.Ehlo(helo)
				c.Mail(carol)
				c.Cmd("XCLIENT ADDR=192.0.2.2 NAME=two.example.net")
				c.Rset()
				c.Cmd("XCLIENT ADDR=192.0.2.3 NAME=three.example.net")
				c.Ehlo(helo)
				transact(c)
			},
			told:  []string{"connect one.example.net 4 192.0.2.1 PORT", "mail <carol@example.test> | {auth_authen}=alice", "abort", "quit", "connect three.example.net 4 192.0.2.3 PORT", "eom"},
			mails: [][]string{{bob}},
		},
		{
			name: "starttls",
			talk: func(c *smtpclient.Client, helo string) {
				c.Ehlo(helo)
				c.StartTLS(own)
				c.Ehlo(helo)
				transact(c)
			},
			told: []string{
				"helo HELO", "helo HELO | {tls_version}=TLSv1.3 {cert_subject}=mx.example.test {cert_issuer}=mx.example.test",
				"mail <alice@example.org>", "eom",
			},
			mails: [][]string{{bob}},
		},
	}
}

// messageTalks are about messages one after another, and what is between them.
func messageTalks() []recordedTalk {
	hello := letter("hello", "", "Hello.")
	long := letter("long", "X-Long: "+strings.Repeat("0123456789", 4000)+"\r\n", strings.Repeat("A line of a long body.\r\n", 10_000))
	return []recordedTalk{
		{
			name: "several-messages",
			talk: func(c *smtpclient.Client, helo string) {
				c.Ehlo(helo)
				transaction(c, bob, hello)
				c.Cmd("NOOP")
				c.Mail(alice)
				c.Rcpt("refused-one@example.test")
				c.Cmd("DATA")
				c.Rcpt(carol)
				c.Data(lines("Subject: no body"))
				c.Mail(alice)
				c.Rset()
				c.Cmd("FROB it")
				c.Cmd("VRFY %s", bob)
				transaction(c, bob, nil)
			},
			told: []string{
				"mail <alice@example.org>", "eom", "abort",
				"mail <alice@example.org>", "rcpt <refused-one@example.test>", "rcpt <carol@example.test>", "eoh", "eom", "abort",
				"mail <alice@example.org>", "abort",
				"mail <alice@example.org>", "rcpt <bob@example.test>", "eoh", "eom", "abort",
			},
			mails: [][]string{{bob}, {carol}, {bob}},
		},
		{
			name: "chunks",
			talk: func(c *smtpclient.Client, helo string) {
				c.Ehlo(helo)
				c.Mail(alice)
				c.Rcpt(bob)
				c.Cmd("BDAT 28\r\nSubject: in chunks\r\n\r\nHej!")
				c.Cmd("BDAT 7 LAST\r\nHopp!")
			},
			told:  []string{"mail <alice@example.org>", "rcpt <bob@example.test>", "eoh", `body "Hej!\r\nHopp!\r\n"`, "eom", "abort"},
			mails: [][]string{{bob}},
		},
		{
			name: "long-message",
			talk: func(c *smtpclient.Client, helo string) {
				c.Ehlo(helo)
				transaction(c, bob, long)
			},
			told:  []string{"eoh", "eom"},
			mails: [][]string{{bob}},
		},
	}
}

// goneTalks are those of clients that vanish.
func goneTalks() []recordedTalk {
	// at has the client say all that, and vanish.
	at := func(last func(*smtpclient.Client), vanish func(*smtpclient.Client) error) func(*smtpclient.Client, string) {
		return func(c *smtpclient.Client, helo string) {
			c.Ehlo(helo)
			c.Mail(alice)
			c.Rcpt(bob)
			last(c)
			vanish(c)
		}
	}
	inData := func(c *smtpclient.Client) {
		c.Cmd("DATA")
		c.Write("Subject: half\r\n\r\nHalf a mess")
	}
	inRcpt := func(c *smtpclient.Client) {
		c.Rcpt("refused-one@example.test")
		c.Write("RCPT TO:<carol@exam")
	}
	unread := func(c *smtpclient.Client) {
		c.Cmd("DATA")
		c.Write("Subject: whole\r\n\r\nA message.\r\n.\r\n")
	}
	close, reset := (*smtpclient.Client).Close, (*smtpclient.Client).Reset
	before := []string{"mail <alice@example.org>", "rcpt <bob@example.test>", "abort", "quit"}
	whole := []string{"mail <alice@example.org>", "rcpt <bob@example.test>", "eom", "abort", "quit"}
	const aborted = "outcome=aborted"
	return []recordedTalk{
		{name: "gone-in-data", talk: at(inData, close), told: before, logged: aborted},
		{name: "crashed-in-data", talk: at(inData, reset), told: before, logged: aborted},
		{name: "gone-in-rcpt", talk: at(inRcpt, close), told: before, logged: aborted},
		{name: "crashed-in-rcpt", talk: at(inRcpt, reset), told: before, logged: aborted},
		{name: "gone-before-the-reply", talk: at(unread, close), told: whole, mails: [][]string{{bob}}, logged: "outcome=accept"},
		{name: "crashed-before-the-reply", talk: at(unread, reset), told: whole, mails: [][]string{{bob}}, logged: "outcome=accept"},
	}
}
