package test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// TestSameOutcome sends mail to OpenDKIM, clamav-milter and spamass-milter,
// asked by Postfix one after another, and by milterkit behind one socket. The
// client and the recipients must not be able to tell the difference.
func TestSameOutcome(t *testing.T) {
	run(t, "real", routes, verdicts(t))
	run(t, "real", routes, oddMessages())
	run(t, "real", routes, sessions())
	run(t, "real", routes, oddSessions())
}

// results is the field that OpenDKIM adds. It leaves out the space after the
// colon when there is no From.
var results = regexp.MustCompile(`\nAuthentication-Results: ?` + regexp.QuoteMeta(stack.AuthservID) + `;\s+dkim=([a-z]+)`)

// scanned checks that all three milters have let a message through, and have
// said so in its header, in the order in which they are listed.
func scanned(t *testing.T, message, dkim string) {
	t.Helper()
	header, _, _ := strings.Cut(message, "\n\n")
	if r := results.FindStringSubmatch(header); r == nil || r[1] != dkim {
		t.Errorf("Authentication-Results has %q, want dkim=%s:\n%s", r, dkim, header)
	}
	wantText(t, header, "\nX-Virus-Scanned: clamav-milter ", "\nX-Virus-Status: Clean\n", "\nX-Spam-Status: ", "\nX-Spam-Checker-Version: ")
	at := -1
	for _, field := range []string{"\nAuthentication-Results:", "\nReceived:", "\nX-Virus-Status:", "\nX-Spam-Status:"} {
		i := strings.Index(header, field)
		if i < at {
			t.Errorf("%q does not stand where it should:\n%s", field, header)
		}
		at = i
	}
}

// scannedAs checks a message that is delivered to bob as it was sent.
func scannedAs(dkim string, texts ...string) func(*testing.T, *outcome) {
	return func(t *testing.T, o *outcome) {
		t.Helper()
		wantReply(t, o, ".", accepted)
		message := delivered(t, o)
		scanned(t, message, dkim)
		wantText(t, message, texts...)
	}
}

// refused checks a message that is refused at its end.
func refused(reply string) func(*testing.T, *outcome) {
	return func(t *testing.T, o *outcome) {
		t.Helper()
		wantReply(t, o, "RCPT", rcptTaken)
		wantReply(t, o, ".", reply)
		wantNoMail(t, o)
	}
}

func verdicts(t *testing.T) []testcase {
	relaxed, simple := signedRelaxed.get(t), signedSimple.get(t)
	return []testcase{
		{
			name:  "clean mail",
			talk:  send(letter("quarterly figures", "", "Hello Bob,", "", "the figures are in the folder.")),
			check: scannedAs("none", "\nSubject: quarterly figures\n", "\n\nHello Bob,\n\nthe figures are in the folder.\n"),
		},
		{
			name:  "spam",
			talk:  send(letter("spam", "", stack.GTUBE)),
			check: refused("550 5.7.1 Blocked by SpamAssassin"),
		},
		{
			name:  "virus",
			talk:  send(attachment("invoice", virus)),
			check: refused("550 5.7.1 Infected with " + stack.EICARName),
		},
		{
			// Refused by the second milter: the third does not see it.
			name:  "virus and spam",
			talk:  send(letter("both", "", stack.Marker, stack.GTUBE)),
			check: refused("550 5.7.1 Infected with " + stack.MarkerName),
		},
		{name: "signature relaxed", talk: send(relaxed), check: scannedAs("pass", "header.d=example.org")},
		{name: "signature simple", talk: send(simple), check: scannedAs("pass", "header.d=example.org")},
		{
			name:  "signature broken in the body",
			talk:  send(bytes.Replace(relaxed, []byte("the figures are"), []byte("the numbers are"), 1)),
			check: scannedAs("fail", "the numbers are"),
		},
		{
			// One space more: only the simple kind minds it.
			name:  "signature broken by white space",
			talk:  send(bytes.Replace(simple, []byte("\r\nSubject: "), []byte("\r\nSubject:  "), 1)),
			check: scannedAs("fail"),
		},
		{
			name: "20 MB attachment",
			talk: send(bigLetter()),
			check: func(t *testing.T, o *outcome) {
				wantReply(t, o, ".", accepted)
				message := delivered(t, o)
				// Too big for spamc, which gives it back unread.
				wantText(t, message, "\nX-Virus-Status: Clean\n", "dkim=none")
				wantNoText(t, message[:min(len(message), 4000)], "X-Spam-Status")
				if len(message) < 20_000_000 {
					t.Errorf("the message has %d bytes, not 20 MB", len(message))
				}
			},
		},
	}
}

// bigLetter has an attachment that makes it 20 MB long.
func bigLetter() []byte {
	file := make([]byte, 15_000_000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range file {
		file[i] = byte(r.Uint32())
	}
	return attachment("big", file)
}

func oddMessages() []testcase {
	long := strings.Repeat("0123456789", 4096)
	return []testcase{
		{
			name: "odd header fields",
			talk: send(letter("odd fields", trickyFields+"X-Latin: gr\xfc\xdfe\r\n\taus K\xf6ln\r\nX-UTF8: gr\u00fc\u00dfe\r\nX-Twice: 1\r\nx-twice: 2\r\n", "Hello.")),
			check: scannedAs("none", "\nX-Empty:\n", "\nX-Tight:no space after the colon\n", "\nX-Wide:   three spaces\n",
				"\nX-Tab:\ta tab\n", "\nX-Folded: one\n\ttwo\n   three\n", "\nX-Latin: gr\xfc\xdfe\n\taus K\xf6ln\nX-UTF8: gr\u00fc\u00dfe\nX-Twice: 1\nx-twice: 2\n"),
		},
		{
			name:  "header field of 40 KB",
			talk:  send(letter("long", "X-Long: "+long+"\r\nX-After: here\r\n", "Hello.")),
			check: scannedAs("none", "\nX-Long: "+long[:1000], "\nX-After: here\n"),
			// Its MaxHeadersLength is 32 KB unless set.
			sendmail: refused("552 5.6.0 Headers too large (32768 max)"),
		},
		{
			name:  "no header",
			talk:  send(lines("", "Only a body.")),
			check: scannedAs("permerror", "\n\nOnly a body.\n"),
		},
		{
			name:  "no header and no empty line",
			talk:  send(lines("Only a body, from the first line on.")),
			check: scannedAs("permerror", "\n\nOnly a body, from the first line on.\n"),
		},
		{
			name:  "no body",
			talk:  send(lines("From: "+alice, "To: "+bob, "Subject: no body", "Date: "+date)),
			check: scannedAs("none", "\nSubject: no body\n"),
		},
		{
			// SpamAssassin takes it for spam, so that its milter also
			// changes fields and replaces the body, by nothing.
			// clamav-milter scans it for the field that OpenDKIM has added.
			name:  "nothing at all",
			apart: true,
			talk:  send(nil),
			check: scannedAs("permerror", "\nX-Spam-Flag: YES\n"),
		},
		{
			name:  "dots at the start of lines",
			talk:  send(letter("dots", "", ".", "..", ".hidden", "")),
			check: scannedAs("none", "\n\n.\n..\n.hidden\n"),
		},
		{
			name:  "NUL bytes and 8-bit text",
			talk:  send(letter("bytes", "", "a\x00b\x00\x00c", "\xff\xfe\x80 gr\xfc\xdfe", "\x1b[0m")),
			check: scannedAs("none", "\n\na\x00b\x00\x00c\n\xff\xfe\x80 gr\xfc\xdfe\n\x1b[0m\n"),
		},
	}
}

// transaction sends one message from alice.
func transaction(c *smtpclient.Client, to string, message []byte) {
	c.Mail(alice)
	c.Rcpt(to)
	c.Data(message)
}

// sessions have several messages, or several attempts at one.
func sessions() []testcase {
	hello := letter("hello", "", "Hello.")
	return []testcase{
		{
			name: "two messages, refused and clean",
			talk: func(c *smtpclient.Client) {
				c.Ehlo(client)
				transaction(c, bob, attachment("invoice", virus))
				transaction(c, carol, hello)
			},
			check: func(t *testing.T, o *outcome) {
				wantReply(t, o, ".", "550 5.7.1 Infected with "+stack.EICARName)
				scanned(t, string(copies(t, o, 0, 1)[0].Content), "none")
			},
		},
		{
			name: "two messages with RSET between",
			talk: func(c *smtpclient.Client) {
				c.Ehlo(client)
				transaction(c, bob, hello)
				c.Rset()
				transaction(c, carol, letter("second", "", "Again."))
			},
			check: func(t *testing.T, o *outcome) {
				scanned(t, string(copies(t, o, 0, 1)[0].Content), "none")
				scanned(t, string(copies(t, o, 1, 1)[0].Content), "none")
			},
		},
		{
			name: "RSET in the middle",
			talk: func(c *smtpclient.Client) {
				c.Ehlo(client)
				c.Mail("mallory@example.org")
				c.Rcpt(bob)
				c.Rset()
				c.Cmd("NOOP")
				transaction(c, carol, hello)
			},
			check: func(t *testing.T, o *outcome) {
				c := copies(t, o, 0, 1)[0]
				scanned(t, string(c.Content), "none")
				wantText(t, string(c.Content), "Return-Path: <"+alice+">")
				if c.To != carol {
					t.Errorf("delivered to %s, want only %s", c.To, carol)
				}
			},
		},
	}
}

// oddSessions are those of clients with manners of their own.
func oddSessions() []testcase {
	hello := letter("hello", "", "Hello.")
	return []testcase{
		{
			name: "HELO, twice",
			talk: func(c *smtpclient.Client) {
				c.Helo("first.example.org")
				c.Mail(alice)
				c.Helo(client)
				transaction(c, bob, hello)
			},
			check: scannedAs("none", "Received: from "+client+" "),
		},
		{
			name: "ESMTP parameters and the null sender",
			talk: func(c *smtpclient.Client) {
				c.Ehlo(client)
				c.Mail("", "SIZE=2000", "BODY=8BITMIME", "RET=HDRS", "ENVID=QQ314159")
				c.Rcpt(bob, "NOTIFY=NEVER", "ORCPT=rfc822;robert@example.com")
				c.Rcpt(carol)
				c.Data(hello)
			},
			check: func(t *testing.T, o *outcome) {
				for _, c := range copies(t, o, 0, 2) {
					scanned(t, string(c.Content), "none")
				}
			},
		},
		{
			name: "commands out of order",
			talk: func(c *smtpclient.Client) {
				c.Mail(alice)
				c.Ehlo(client)
				c.Rcpt(bob)
				c.Cmd("DATA")
				c.Cmd("FROB it")
				c.Mail("not an address at all")
				c.Cmd("VRFY %s", bob)
			},
			check: func(t *testing.T, o *outcome) { wantNoMail(t, o) },
		},
		{
			name: "client goes away in mid-message",
			talk: func(c *smtpclient.Client) {
				c.Ehlo(client)
				c.Mail(alice)
				c.Rcpt(bob)
				c.Cmd("DATA")
				c.Close()
			},
			check: func(t *testing.T, o *outcome) { wantNoMail(t, o) },
		},
	}
}

// TestSigner sends mail through a signing milter, and then through one that
// verifies: the signature must hold, also that of the kind which minds every
// space.
func TestSigner(t *testing.T) { signer(t, routes[:2]) }

func signer(t *testing.T, ways []route) {
	b := start(t)
	for _, canon := range []string{"relaxed", "simple"} {
		for _, r := range ways {
			t.Run(canon+"/"+r.name, func(t *testing.T) {
				t.Parallel()
				message := letter("to be signed", trickyFields, "Hello Bob,", "", " indented  text", "")
				o := b.play(t, "sign-"+canon, r, send(message))
				text := unwrap(t, o)
				if !bytes.HasSuffix(text, message) {
					t.Errorf("the message itself was changed: %q", text)
				}
				verified := b.play(t, "verify", routes[0], send(text))
				wantText(t, delivered(t, verified), "dkim=pass")
			})
		}
	}
}

// TestManyRecipients sends to 200 recipients, of whom Postfix refuses some
// and the last of four milters others. The rest get the message.
func TestManyRecipients(t *testing.T) { manyRecipients(t, routes) }

func manyRecipients(t *testing.T, routes []route) {
	const n = 200
	talk := func(c *smtpclient.Client) {
		c.Ehlo(client)
		c.Mail(alice)
		for i := range n {
			c.Rcpt(recipient(i))
		}
		c.Data(letter("to all", "", "Hello all."))
	}
	check := func(t *testing.T, o *outcome) {
		taken := 0
		for i := range n {
			to := recipient(i)
			want := rcptTaken
			switch {
			case strings.HasPrefix(to, "nobody"), strings.HasPrefix(to, "unknown"):
				want = fmt.Sprintf("550 5.1.1 <%s>: %s", to, userUnknown)
			case strings.HasPrefix(to, "no"):
				want = "550 5.1.1 we do not want " + to
			default:
				taken++
			}
			wantReply(t, o, "RCPT TO:<"+to+">", want)
		}
		for _, c := range copies(t, o, 0, taken) {
			scanned(t, string(c.Content), "none")
		}
	}
	run(t, "refuser", routes, []testcase{{name: "200 recipients", talk: talk, check: check}})
}

// recipient is the i-th of many: every fifth is refused by the milter, every
// seventh is unknown to Postfix, every eleventh would be refused by both.
func recipient(i int) string {
	switch {
	case i%11 == 0:
		return fmt.Sprintf("nobody%03d@example.test", i)
	case i%7 == 0:
		return fmt.Sprintf("unknown%03d@example.test", i)
	case i%5 == 0:
		return fmt.Sprintf("no%03d@example.test", i)
	}
	return fmt.Sprintf("user%03d@example.test", i)
}
