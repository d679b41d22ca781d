package test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// Who writes to whom, unless a test has it otherwise.
const (
	alice  = "alice@example.org"
	bob    = "bob@example.test"
	carol  = "carol@example.test"
	client = "client.example.org"
)

// crowd is how many mailboxes there are besides those of single names.
const crowd = 200

// date is the date of all messages: SpamAssassin has an opinion on old ones.
var date = time.Now().UTC().Format(time.RFC1123Z)

// mailboxes are the users of example.test. For half of the recipients that
// the refuser refuses there is a mailbox.
func mailboxes() []string {
	users := []string{"bob", "carol", "dave"}
	for i := range crowd {
		users = append(users, fmt.Sprintf("user%03d", i), fmt.Sprintf("no%03d", i))
	}
	// The scripted milters answer these.
	return append(users, "reject", "tempfail", "reply", "reply2", "plain", "percent", "greylist", "closing", "discard", "accept")
}

// lines is a message, or a part of one, of these lines.
func lines(l ...string) []byte {
	return []byte(strings.Join(l, "\r\n") + "\r\n")
}

// letter is a message with a full header: Subject and what the test adds to
// the header, and a body.
func letter(subject, fields string, body ...string) []byte {
	head := lines(
		"From: Alice <"+alice+">",
		"To: Bob <"+bob+">",
		"Subject: "+subject,
		"Date: "+date,
		"Message-ID: <"+strings.ReplaceAll(subject, " ", "-")+"@example.org>",
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=us-ascii")
	return bytes.Join([][]byte{head, []byte(fields), lines(append([]string{""}, body...)...)}, nil)
}

// attachment is a message with a text and a file.
func attachment(subject string, file []byte) []byte {
	var b bytes.Buffer
	b.Write(lines(
		"From: Mallory <mallory@example.org>",
		"To: Bob <"+bob+">",
		"Subject: "+subject,
		"Date: "+date,
		"Message-ID: <attachment-1@example.org>",
		"MIME-Version: 1.0",
		`Content-Type: multipart/mixed; boundary="b1"`,
		"",
		"--b1",
		"Content-Type: text/plain; charset=us-ascii",
		"",
		"Please see the attached file.",
		"",
		"--b1",
		`Content-Type: application/octet-stream; name="invoice.com"`,
		"Content-Transfer-Encoding: base64",
		`Content-Disposition: attachment; filename="invoice.com"`,
		""))
	text := base64.StdEncoding.EncodeToString(file)
	for len(text) > 0 {
		n := min(76, len(text))
		b.WriteString(text[:n])
		b.WriteString("\r\n")
		text = text[n:]
	}
	b.Write(lines("", "--b1--"))
	return b.Bytes()
}

// send is the dialogue for one message from alice to bob.
func send(message []byte) func(*smtpclient.Client) {
	return func(c *smtpclient.Client) {
		c.Ehlo(client)
		c.Mail(alice)
		c.Rcpt(bob)
		c.Data(message)
	}
}

// signed is a letter with OpenDKIM's signature, made once for all tests.
type signed struct {
	canon string // "relaxed" or "simple"
	once  sync.Once
	bytes []byte
}

var (
	signedRelaxed = signed{canon: "relaxed"}
	signedSimple  = signed{canon: "simple"}
)

// trickyFields are header fields that a careless hand on their white space
// changes, and with it what a signature of the simple kind is made over.
const trickyFields = "X-Tight:no space after the colon\r\n" +
	"X-Wide:   three spaces\r\n" +
	"X-Tab:\ta tab\r\n" +
	"X-Folded: one\r\n\ttwo\r\n   three\r\n" +
	"X-Empty:\r\n"

// get sends the letter through the signer.
func (s *signed) get(t *testing.T) []byte {
	t.Helper()
	b := start(t)
	s.once.Do(func() {
		o := b.play(t, "sign-"+s.canon, routes[0], send(letter("figures signed "+s.canon, trickyFields, "Hello Bob,", "", "the figures are  in the folder.", "", "")))
		s.bytes = unwrap(t, o)
	})
	if s.bytes == nil {
		t.Fatal("the letter could not be signed")
	}
	return s.bytes
}

// unwrap is the message that a delivered copy was made from: without the
// fields of the delivery, without the MTA's Received, with lines ended as in
// SMTP.
func unwrap(t *testing.T, o *outcome) []byte {
	t.Helper()
	message := delivered(t, o)
	at := o.words.received.FindStringIndex(message)
	if at == nil {
		t.Fatalf("no Received in\n%s", message)
	}
	_, before, ok := strings.Cut(message[:at[0]], "Delivered-To: "+bob+"\n")
	if !ok {
		t.Fatalf("no Delivered-To in\n%s", message)
	}
	return []byte(strings.ReplaceAll(before+strings.TrimPrefix(message[at[1]:], "\n"), "\n", "\r\n"))
}

// virus is the file that clamd takes for a virus.
var virus = []byte(stack.EICAR)
