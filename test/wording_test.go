package test

import (
	"regexp"
	"strings"
)

// wording is how an MTA says things. The expectations of the tests are in
// Postfix's words.
type wording struct {
	// queuedAs finds the queue id in the reply to a message that it took.
	queuedAs *regexp.Regexp

	// received is the field that it adds, and no filter sees. The date has a
	// line of its own when there are several recipients.
	received *regexp.Regexp

	// dated finds the date in other fields that it adds where a message has
	// none, or in macros.
	dated *regexp.Regexp

	// reply is what it replies to a command where Postfix replies text.
	reply func(command, text string) string
}

// accepted is the reply to a message that was taken.
const accepted = "250 2.0.0 Ok: queued as QUEUE-ID"

// rcptTaken is the reply to a recipient that was taken.
const rcptTaken = "250 2.1.5 Ok"

// userUnknown is the end of the reply to a recipient that the MTA refuses.
const userUnknown = "Recipient address rejected: User unknown in virtual mailbox table"

var postfixWords = &wording{
	queuedAs: queuedAs,
	received: received,
	reply:    func(_, text string) string { return text },
}

var (
	queuedAs = regexp.MustCompile(`^250 2\.0\.0 Ok: queued as (\S+)$`)
	received = regexp.MustCompile(`(?m)^(Received: from .* \(.*\)\n\tby mx\.example\.test \(Postfix\) with E?SMTP id QUEUE-ID(?:\n\tfor <.*>)?;)\s[^\n]*$`)
)

var sendmailWords = &wording{
	queuedAs: regexp.MustCompile(`^250 2\.0\.0 (\S+) Message accepted for delivery$`),
	received: regexp.MustCompile(`(?m)^(Received: from .* \(.*\)\n\tby sm\.example\.test \(.*\) with E?SMTP id QUEUE-ID(?:\n\tfor <.*>)?;)\s[^\n]*$`),
	dated:    regexp.MustCompile(`(?m)(^Date: ).* GMT($)|(<)\d{12}(\.QUEUE-ID@sm\.example\.test>)`),
	reply:    sendmailReply,
}

// wordsOf are the words of a route's MTA.
func wordsOf(r route) *wording {
	if r.sendmail {
		return sendmailWords
	}
	return postfixWords
}

// sendmailReply is how Sendmail words a reply. What a milter says itself is the
// same, but that an enhanced status code is put in where there is none; and
// before a reply with 550 to MAIL or RCPT goes the address that it is about, as
// before one that nothing is wrong. A refusal of the whole session has no command
// that it is about. Sources: sendmail/err.c, fmtmsg; sendmail/srvrsmtp.c.
func sendmailReply(command, text string) string {
	if strings.HasSuffix(text, userUnknown) {
		text = "550 5.1.1 User unknown"
	}
	switch text {
	case accepted:
		return "250 2.0.0 QUEUE-ID Message accepted for delivery"
	case tryAgain:
		return "451 4.3.2 Please try again later"
	case rejected:
		switch command {
		case ".":
			return "554 5.7.1 Command rejected"
		case "":
			return "550 5.0.0 Command rejected"
		}
	case rcptTaken:
		text = "250 2.1.5 Recipient ok"
	}
	code, rest := text[:4], text[4:]
	if status := enhanced.FindString(rest); status != "" {
		code, rest = code+status, rest[len(status):]
	} else {
		code += code[:1] + ".0.0 "
	}
	_, about, _ := strings.Cut(command, ":")
	if addr := address.FindString(about); addr != "" && (code[:3] == "250" || code[:3] == "550") {
		return code + addr + "... " + rest
	}
	return code + rest
}

var (
	address  = regexp.MustCompile(`^<[^>]*>`)
	enhanced = regexp.MustCompile(`^\d\.\d\.\d `)
)

// normalise makes the copies of two messages comparable. It changes two
// things, the queue id wherever it stands, and the date in the fields that are
// the MTA's own, and nothing else.
func (w *wording) normalise(content []byte, id string) []byte {
	s := strings.ReplaceAll(string(content), id, "QUEUE-ID")
	if w.dated != nil {
		end := strings.Index(s, "\n\n")
		if end < 0 {
			end = len(s)
		}
		s = w.dated.ReplaceAllString(s[:end], "${1}${3}DATE${2}${4}") + s[end:]
	}
	if at := w.received.FindStringSubmatchIndex(s); at != nil {
		s = s[:at[3]] + " DATE" + s[at[1]:]
	}
	return []byte(s)
}
