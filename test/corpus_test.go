package test

import (
	"slices"
	"strings"

	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// specimen is a message of the corpus that native children and the daemons that
// they replace are compared by, with the client that sends it.
type specimen struct {
	// name says what is special about it.
	name string

	// addr, host and helo are the client's address, its name in DNS, and what it
	// calls itself. They are those of a client that sends for the sender's domain
	// where they are "".
	addr, host, helo string

	// sender is that of the envelope. It is alice where it is "", and nobody
	// where it is nullSender.
	sender string

	message []byte

	// pairs are those that it says something to, besides the whole chain.
	pairs []string
}

// nullSender is the sender of a bounce.
const nullSender = "<>"

// The clients of the corpus.
const (
	goodClient = "192.0.2.1"     // sends for all domains of the corpus
	otherOne   = "198.51.100.20" // for none of them
	goodIPv6   = "2001:db8::1"
)

// The names of the pairs.
const (
	virusPair = "clamd"
	spamPair  = "spamd"
	dkimPair  = "dkim-verify"
	spfPair   = "spf"
	dmarcPair = "dmarc"
)

// corpus is all messages. Each has another name.
func corpus(keys dkimKeys) []specimen {
	return slices.Concat(contents(), dkimMessages(keys), spfMessages(), dmarcPolicies(keys))
}

// corpusRecords are the records of the domains of the corpus, as lines of a zone
// file.
func corpusRecords(keys dkimKeys) []string {
	records := slices.Concat(spfRecords(), dmarcRecords())
	for name, text := range dkimRecords(keys) {
		records = append(records, stack.TXT(name, text))
	}
	return records
}

// refusedDomain is one about which the name server refuses to say anything.
const refusedDomain = "broken.example"

// goes reports whether a message is one of a pair's.
func (s *specimen) goes(pair string) bool { return slices.Contains(s.pairs, pair) }

// talk is the dialogue in which it is sent to bob.
func (s *specimen) talk(c *smtpclient.Client) {
	addr, host, helo, sender := s.addr, s.host, s.helo, s.sender
	if addr == "" && sender == "" {
		addr = ofAlice
	} else if addr == "" {
		addr = goodClient
	}
	if host == "" {
		host = client
	}
	if helo == "" {
		helo = client
	}
	switch sender {
	case "":
		sender = alice
	case nullSender:
		sender = ""
	}
	if strings.Contains(addr, ":") {
		addr = "IPV6:" + addr
	}
	c.Ehlo(client)
	c.Cmd("XCLIENT NAME=%s ADDR=%s", host, addr)
	c.Ehlo(helo)
	if c.Mail(sender, "BODY=8BITMIME").OK() && c.Rcpt(bob).OK() {
		c.Data(s.message)
	}
}

// about sets the pairs of messages.
func about(messages []specimen, pairs ...string) []specimen {
	for i := range messages {
		messages[i].pairs = append(messages[i].pairs, pairs...)
	}
	return messages
}

// from is a message of an author, with further lines of its header.
func from(author, subject string, fields ...string) []byte {
	head := lines(append([]string{
		"From: " + author,
		"To: Bob <" + bob + ">",
		"Subject: " + subject,
		"Date: " + date,
		"Message-ID: <" + strings.ReplaceAll(subject, " ", "-") + "@corpus.example>",
	}, fields...)...)
	return slices.Concat(head, lines("", "Hello Bob,", "", "the figures are in the folder."))
}
