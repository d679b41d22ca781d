package test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// The addresses of clients, as the records below have them.
const (
	ofAlice = "192.0.2.10" // sends for example.org
	ofCarol = "192.0.2.20" // sends for example.net
)

// records are what the domains of the senders have said about their mail.
func records(key *stack.DKIMKey) []string {
	return []string{
		key.Record(),
		stack.TXT("example.org", "v=spf1 ip4:"+ofAlice+" -all"),
		stack.TXT("_dmarc.example.org", "v=DMARC1; p=reject"),
		stack.TXT("example.net", "v=spf1 ip4:"+ofCarol+" -all"),
		stack.TXT("_dmarc.example.net", "v=DMARC1; p=none"),
	}
}

// The names in the Authentication-Results of the milters that have not
// [stack.AuthservID].
const (
	spfID  = "spf.example.test"
	dkimID = "dkim.example.test"
)

// addDMARC adds a chain that ends with OpenDMARC, which goes by what the milters
// before it have added to the header.
func (b *bench) addDMARC(dns *stack.Unbound, verifier stack.Child) (all []stack.Component, pyspf, dkimpy, opendmarc stack.Child) {
	spf := &stack.PySPF{Root: b.root, Name: "pyspf", DNS: dns, AuthservID: spfID}
	dkim := &stack.DKIMPy{Root: b.root, DNS: dns, AuthservID: dkimID}
	dmarc := &stack.OpenDMARC{Root: b.root, DNS: dns, Trusted: []string{spfID, dkimID, stack.AuthservID}, Suffixes: []string{"org", "net", "test", "example"}}
	pyspf, dkimpy = stack.Child{Name: "pyspf", Socket: spf.Socket()}, stack.Child{Name: "dkimpy", Socket: dkim.Socket()}
	opendmarc = stack.Child{Name: "opendmarc", Socket: dmarc.Socket()}
	b.addChain(chain{"dmarc", []stack.Child{pyspf, dkimpy, verifier, opendmarc}}, routes[:2]...)
	return []stack.Component{spf, dkim, dmarc}, pyspf, dkimpy, opendmarc
}

// sendFrom is the dialogue for one message from a client of that address.
func sendFrom(addr, sender string, message []byte) func(*smtpclient.Client) {
	return func(c *smtpclient.Client) {
		clientFrom(c, addr)
		c.Mail(sender)
		if c.Rcpt(bob).OK() {
			c.Data(message)
		}
	}
}

// clientFrom has the client come from an address.
func clientFrom(c *smtpclient.Client, addr string) {
	c.Ehlo(client)
	c.Cmd("XCLIENT NAME=%s ADDR=%s", client, addr)
	c.Ehlo(client)
}

// What refuses mail of example.org that is not from there.
const (
	dmarcFail = "550 5.7.1 rejected by DMARC policy for example.org"
	spfFail   = "550 5.7.23 Message rejected due to: SPF fail - not authorized." +
		" Please see http://www.openspf.net/Why?s=mfrom;id=alice@example.org;ip=" + ofCarol + ";r=<UNKNOWN>"
)

// What the milters of the chain add to the header, each above that of the one
// before.
const (
	dmarcPass    = "\nAuthentication-Results: " + stack.AuthservID + "; dmarc=pass (p=reject dis=none) header.from=example.org\n"
	dkimPass     = "\nAuthentication-Results: " + stack.AuthservID + ";\n\tdkim=pass (2048-bit key) header.d=example.org "
	dkimNone     = "\nAuthentication-Results: " + stack.AuthservID + "; dkim=none; dkim-atps=neutral\n"
	dkimpyPass   = "\nAuthentication-Results: " + dkimID + "; dkim=pass (Good 2048 bit \n   rsa-sha256 signature) header.d=example.org header.a=rsa-sha256"
	spfPass      = "\nAuthentication-Results: " + spfID + "; spf=pass (sender SPF \n   authorized) smtp.mailfrom=example."
	receivedFrom = "\nReceived: from client.example.org (client.example.org [192.0.2."
)

// TestDMARC has pyspf-milter, dkimpy-milter, OpenDKIM and OpenDMARC in a row. Mail
// in the name of a domain whose policy is to refuse what is not its own passes by a
// signature, or from one of its clients, and is refused otherwise.
func TestDMARC(t *testing.T) {
	run(t, "dmarc", routes[:2], dmarcMails(t))
	run(t, "dmarc", routes[:2], dmarcSessions(t))
}

// carolsClient sends a message with an envelope that says nothing of example.org.
func carolsClient(message []byte) func(*smtpclient.Client) {
	return sendFrom(ofCarol, "carol@example.net", message)
}

// inOrder checks that a message was delivered to bob, and that its header has
// these texts, in this order.
func inOrder(texts ...string) func(*testing.T, *outcome) {
	return func(t *testing.T, o *outcome) {
		t.Helper()
		wantReply(t, o, ".", accepted)
		wantInOrder(t, delivered(t, o), texts...)
	}
}

func wantInOrder(t *testing.T, message string, texts ...string) {
	t.Helper()
	header, _, _ := strings.Cut(message, "\n\n")
	rest := header + "\n"
	for _, text := range texts {
		at := strings.Index(rest, text)
		if at < 0 {
			t.Errorf("no %q, or not where it should be:\n%s", text, header)
			return
		}
		rest = rest[at+len(text)-1:] // the line's end may also begin the next text
	}
}

// forged are results that a client has made up, and with them one from a server
// that none of the milters answers for.
const forged = "Authentication-Results: elsewhere.example; spf=pass smtp.mailfrom=example.org\r\n" +
	"Authentication-Results: " + dkimID + "; " + forgedPass + "\r\n" +
	"X-Between: them\r\n" +
	"Authentication-Results: " + stack.AuthservID + "; " + forgedPass + "\r\n"

const forgedPass = "dkim=pass header.d=example.org header.i=@forged.example.org"

// forgedTwice is one of them once more. Dkimpy-milter means to remove both, by
// numbers of which the second has become wrong by its removal of the first.
const forgedTwice = "Authentication-Results: " + dkimID + "; " + forgedPass + "\r\n" + forged

func dmarcMails(t *testing.T) []testcase {
	unsigned := letter("figures", "", "Hello.")
	relaxed, simple := signedRelaxed.get(t), signedSimple.get(t)
	return []testcase{
		{name: "unsigned", talk: carolsClient(unsigned), check: refused(dmarcFail)},
		{name: "unsigned with forged results", talk: carolsClient(letter("figures", forged, "Hello.")), check: refused(dmarcFail)},
		{name: "unsigned with results forged twice", talk: carolsClient(letter("figures", forgedTwice, "Hello.")),
			check: inOrder(dmarcPass, dkimNone, spfPass+"net ", receivedFrom, "\nX-Between: them\n")},
		{name: "signature relaxed", talk: carolsClient(relaxed), check: inOrder(dmarcPass, dkimPass, dkimpyPass, spfPass+"net ", receivedFrom)},
		{name: "signature simple", talk: carolsClient(simple), check: inOrder(dmarcPass, dkimPass, dkimpyPass, spfPass+"net ", receivedFrom)},
		{name: "signature broken", talk: carolsClient(bytes.Replace(relaxed, []byte("the figures are"), []byte("the numbers are"), 1)), check: refused(dmarcFail)},
		{name: "two signatures", talk: carolsClient(signedTwice(t)), check: func(t *testing.T, o *outcome) {
			text := delivered(t, o)
			wantInOrder(t, text, dmarcPass, dkimPass, "dkim=pass ", dkimpyPass, "dkim=pass ", spfPass+"net ", receivedFrom, "\nDKIM-Signature: ", "\nDKIM-Signature: ")
		}},
		{name: "signature with forged results", talk: carolsClient(append([]byte(forged), relaxed...)), check: func(t *testing.T, o *outcome) {
			text := delivered(t, o)
			wantInOrder(t, text, dmarcPass, dkimPass, dkimpyPass, spfPass+"net ", receivedFrom, "\nAuthentication-Results: elsewhere.example; ", "\nX-Between: them\n")
			wantNoText(t, text, forgedPass)
		}},
		{name: "unsigned, from a client of the domain", talk: sendFrom(ofAlice, alice, unsigned), check: inOrder(dmarcPass, dkimNone, spfPass+"org ", receivedFrom)},
		{name: "another's client in the envelope", talk: sendFrom(ofCarol, alice, simple), check: func(t *testing.T, o *outcome) {
			wantReply(t, o, "MAIL", spfFail)
			wantNoMail(t, o)
		}},
		{name: "null sender", talk: sendFrom(ofCarol, "", unsigned), check: refused(dmarcFail)},
	}
}

// signedTwice is a letter with a signature of each kind.
func signedTwice(t *testing.T) []byte {
	b := start(t)
	return unwrap(t, b.play(t, "sign-simple", routes[0], send(signedRelaxed.get(t))))
}

func dmarcSessions(t *testing.T) []testcase {
	unsigned, signed := letter("figures", "", "Hello."), signedRelaxed.get(t)
	message := func(c *smtpclient.Client, sender, to string, message []byte) {
		if c.Mail(sender).OK() && c.Rcpt(to).OK() {
			c.Data(message)
		}
	}
	// signedLast ends a session with a message to carol, which passes.
	signedLast := func(name string, n int, before func(*smtpclient.Client), check func(*testing.T, *outcome)) testcase {
		return testcase{name: name, talk: func(c *smtpclient.Client) {
			clientFrom(c, ofCarol)
			before(c)
			message(c, "carol@example.net", carol, signed)
		}, check: func(t *testing.T, o *outcome) {
			check(t, o)
			wantInOrder(t, string(copies(t, o, n, 1)[0].Content), dmarcPass, dkimPass, dkimpyPass, spfPass+"net ", receivedFrom)
		}}
	}
	return []testcase{
		signedLast("unsigned, then signed", 0, func(c *smtpclient.Client) { message(c, "carol@example.net", bob, unsigned) }, func(t *testing.T, o *outcome) {
			wantReply(t, o, ".", dmarcFail)
		}),
		signedLast("signed, then signed", 1, func(c *smtpclient.Client) { message(c, "carol@example.net", bob, signed) }, func(t *testing.T, o *outcome) {
			wantInOrder(t, string(copies(t, o, 0, 1)[0].Content), dmarcPass, dkimPass, dkimpyPass, spfPass+"net ", receivedFrom)
		}),
		signedLast("a sender that is refused, then signed", 0, func(c *smtpclient.Client) { message(c, alice, bob, unsigned) }, func(t *testing.T, o *outcome) {
			wantReply(t, o, "MAIL FROM:<"+alice, spfFail)
		}),
		signedLast("RSET in the middle, then signed", 0, func(c *smtpclient.Client) { c.Mail("carol@example.net"); c.Rcpt(bob); c.Rset() }, func(t *testing.T, o *outcome) {
			wantReply(t, o, "RCPT TO:<"+bob, rcptTaken)
		}),
	}
}
