package replay

import (
	"strings"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// manners are what a mail server tells SMTP clients when filters say this or that.
type manners struct {
	name                string
	sender, rcpt, taken func(addr string) string // of what is taken

	// refusal is what is told of a refusal by a filter, at MAIL, at RCPT, at HELO
	// (which is told later), or of the content.
	refusal func(cmd byte, addr string, r miltertest.Reply) string

	// needMail is what is told at RCPT where MAIL was refused, by that reply;
	// ofSession says whether the session was.
	needMail func(mail string, ofSession bool) string

	// apply makes the edits that one filter asks for.
	apply func(*miltertest.Message, []miltertest.Edit) *miltertest.Message
}

// Source: as recorded of Postfix 3.7.
var postfix = manners{
	name:     "Postfix",
	sender:   func(string) string { return "250 2.1.0 Ok" },
	rcpt:     func(string) string { return "250 2.1.5 Ok" },
	taken:    func(id string) string { return "250 2.0.0 Ok: queued as " + id },
	refusal:  func(_ byte, _ string, r miltertest.Reply) string { return r.SMTP() },
	needMail: func(string, bool) string { return "503 5.5.1 Error: need MAIL command" },
	apply:    (*miltertest.Message).Apply,
}

// Source: as recorded of Sendmail 8.17.
var sendmail = manners{
	name:    "Sendmail",
	sender:  func(addr string) string { return "250 2.1.0 " + addr + "... Sender ok" },
	rcpt:    func(addr string) string { return "250 2.1.5 " + addr + "... Recipient ok" },
	taken:   func(id string) string { return "250 2.0.0 " + id + " Message accepted for delivery" },
	refusal: sendmailRefusal,
	needMail: func(mail string, ofSession bool) string {
		if ofSession {
			return mail
		}
		return "503 5.0.0 Need MAIL before RCPT"
	},
	apply: asSendmail,
}

// sendmailRefusal puts the address into a refusal for good, after its status.
func sendmailRefusal(cmd byte, addr string, r miltertest.Reply) string {
	text := r.SMTP()
	switch {
	case r.Kind == miltertest.TempFail:
		return "451 4.3.2 Please try again later"
	case r.Kind == miltertest.Reject && cmd == wire.CmdEOM:
		return "554 5.7.1 Command rejected"
	case text[0] == '5' && (cmd == wire.CmdMail || cmd == wire.CmdRcpt):
		words := strings.SplitN(text[4:], " ", 2)
		return text[:4] + words[0] + " " + addr + "... " + words[1]
	}
	return text
}

// dialogue is what the client is told by a mail server that has been told what
// p holds. The client gives MAIL and all RCPTs whatever it is told, and the data
// where a recipient was taken, until the server hangs up.
func (m manners) dialogue(s scenario, p play) []exchange {
	sender := "<" + s.from + ">"
	at := func(cmd byte) (replies []miltertest.Reply) {
		for _, x := range p.outcome.Steps {
			if x.Cmd == cmd {
				replies = append(replies, x.Reply)
			}
		}
		return replies
	}
	var list []exchange
	tell := func(command, reply string) {
		list = append(list, exchange{command, strings.Split(reply, "\r\n")})
	}
	mail, refused := m.sender(sender), true
	settled := false // by an accept or a discard: the filter is not asked any more
	switch {
	case p.refused != nil:
		mail = m.refusal(wire.CmdHelo, "", *p.refused)
	case at(wire.CmdMail)[0].Refused():
		mail = m.refusal(wire.CmdMail, sender, at(wire.CmdMail)[0])
	default:
		refused, settled = false, at(wire.CmdMail)[0].Final()
	}
	tell("MAIL FROM:"+sender, mail)
	taken, asked := 0, at(wire.CmdRcpt)
	for _, to := range s.to {
		to = "<" + to + ">"
		reply := m.rcpt(to)
		switch {
		case refused:
			reply = m.needMail(mail, p.refused != nil)
		case !settled && asked[0].Refused():
			reply = m.refusal(wire.CmdRcpt, to, asked[0])
		default:
			settled = settled || asked[0].Final()
			taken++
		}
		if len(asked) > 0 {
			asked = asked[1:]
		}
		tell("RCPT TO:"+to, reply)
		if strings.HasPrefix(reply, "421") {
			return list
		}
	}
	if last := p.outcome.Steps; taken > 0 && !settled && last[len(last)-1].Reply.Refused() {
		tell(endOfData, m.refusal(wire.CmdEOM, "", last[len(last)-1].Reply))
	} else if taken > 0 {
		tell(endOfData, m.taken("4B2"))
	}
	return list
}
