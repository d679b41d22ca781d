package daemon

import (
	"fmt"
	"strings"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A demoSession is an SMTP session with one message or several.
type demoSession struct {
	user  string // whom the client has authenticated as; empty: it is from outside
	mails []demoMail
}

// A demoMail is a message, and how it should end.
type demoMail struct {
	title    string
	from, to string // to may be several, by spaces
	text     string
	want     string // as demoOutcome puts it
}

var demoSessions = []demoSession{
	{user: "alice", mails: []demoMail{{
		title: "A message passes; two children take 60 ms each, and it waits 60 ms, not 120",
		from:  "alice@example.org", to: "bob@example.org",
		text: "From: alice@example.org\nTo: bob@example.org\nSubject: lunch\n\nAt noon?\n",
		want: "accepted\nadd header X-Scanned: clean",
	}}},
	{mails: []demoMail{{
		title: "A subject is refused: the children after that one never see the content",
		from:  "sales@example.net", to: "bob@example.org",
		text: "From: sales@example.net\nTo: bob@example.org\nSubject: Cheap watches\n\nBuy now.\n",
		want: "rejected 550 5.7.1 we have a watch",
	}}},
	{mails: []demoMail{{
		title: "Several children change one message, its header and its body",
		from:  "news@example.net", to: "bob@example.org",
		text: "From: news@example.net\nTo: bob@example.org\nSubject: newsletter 7\nX-Outside: no, trust me\n\nNothing new.\n",
		want: "accepted\ndelete header 1 X-Outside\nchange header 1 Subject: [list] newsletter 7\n" +
			"insert header 1 X-Outside: yes, by mx.example.net\nadd header X-Scanned: clean\nreplace body, 49 bytes",
	}}},
	{mails: []demoMail{{
		title: "One of two recipients is refused, the other gets the message",
		from:  "carol@example.net", to: "bob@example.org nobody@example.org",
		text: "From: carol@example.net\nTo: bob@example.org, nobody@example.org\nSubject: hello\n\nHi.\n",
		want: "accepted\nrefused <nobody@example.org>\n" +
			"insert header 1 X-Outside: yes, by mx.example.net\nadd header X-Scanned: clean\nreplace body, 40 bytes",
	}}},
	{mails: []demoMail{{
		title: "A remote child puts the sender off",
		from:  "busy@example.net", to: "bob@example.org",
		text: "From: busy@example.net\nTo: bob@example.org\nSubject: number 1000 today\n\nMore.\n",
		want: "tempfailed 451 4.7.1 you have sent enough for now",
	}}},
	{mails: []demoMail{
		{
			title: "A message is held for somebody to look at",
			from:  "books@example.net", to: "bob@example.org",
			text: "From: books@example.net\nTo: bob@example.org\nSubject: your invoice\n\nPay here.\n",
			want: "accepted\ninsert header 1 X-Outside: yes, by mx.example.net\nadd header X-Scanned: clean\n" +
				"quarantine: an invoice, to be looked at\nreplace body, 46 bytes",
		}, {
			title: "A second message, which is refused",
			from:  "books@example.net", to: "bob@example.org",
			text: "From: books@example.net\nTo: bob@example.org\nSubject: and cheap watches\n\nToo.\n",
			want: "rejected 550 5.7.1 we have a watch",
		}, {
			title: "A third, which is not: what is said of one message is not said of the next",
			from:  "books@example.net", to: "bob@example.org",
			text: "From: books@example.net\nTo: bob@example.org\nSubject: sorry\n\nWrong address.\n",
			want: "accepted\ninsert header 1 X-Outside: yes, by mx.example.net\nadd header X-Scanned: clean\nreplace body, 51 bytes",
		},
	}},
}

// client is who connects.
func (s demoSession) client() miltertest.Client {
	c := miltertest.Client{
		Host: "mx.example.net", Family: wire.FamilyInet, Addr: "192.0.2.1", Port: 50443,
		Helo: "mx.example.net", MTA: "mail.example.org",
	}
	if s.user != "" {
		c.Host, c.Addr, c.Helo = "laptop.example.org", "198.51.100.7", "laptop"
		c.Known = map[string]string{"auth_type": "PLAIN", "auth_authen": s.user}
	}
	return c
}

// mail is the message as the mail server has it.
func (m demoMail) mail(number int) miltertest.Mail {
	mail := miltertest.Mail{From: "<" + m.from + ">", QueueID: fmt.Sprintf("DEMO%d", number)}
	for _, to := range strings.Fields(m.to) {
		mail.To = append(mail.To, miltertest.Recipient{Addr: "<" + to + ">"})
	}
	mail.Message = miltertest.ParseMessage([]byte(m.text))
	mail.Message.AddReceived(" by mail.example.org with ESMTP id " + mail.QueueID)
	return mail
}
