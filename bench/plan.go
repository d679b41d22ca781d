package bench

import (
	"fmt"

	"github.com/milterkit/sdk/milterkit/wire"
)

// An exchange is what an MTA writes at one time, and how many answers it waits
// for then.
type exchange struct {
	cmd     byte
	out     []byte
	replies int
}

// A plan is one message as an MTA tells a filter of it: the commands that the
// filter wants, each with its macros, those without an answer written together
// with the next one. That is how Postfix writes them.
type plan struct {
	envelope []exchange // MAIL, RCPT, DATA: asked filter by filter
	content  []exchange // the rest
}

// pieces appends commands to exchanges.
type pieces struct {
	steps wire.Steps
	list  []exchange
	open  []byte // written with the next answer that is waited for
}

// say adds a command, with the macros before it.
func (p *pieces) say(cmd byte, macros []string, frame []byte) {
	p.open = wire.AppendMacros(p.open, cmd, func(yield func(string, string) bool) {
		for i := 0; i < len(macros); i += 2 {
			if !yield(macros[i], macros[i+1]) {
				return
			}
		}
	})
	if p.steps&wire.NoStep(cmd) != 0 {
		return
	}
	p.open = append(p.open, frame...)
	if nr := wire.NoReply(cmd); nr != 0 && p.steps&nr != 0 {
		return
	}
	p.list = append(p.list, exchange{cmd, p.open, 1})
	p.open = nil
}

// done returns the exchanges so far, and begins anew with what is left open.
func (p *pieces) done() []exchange {
	list := p.list
	p.list = nil
	return list
}

// newPlan returns the plan of a mail for a filter that wants steps.
func newPlan(m Mail, steps wire.Steps) *plan {
	p := pieces{steps: steps}
	i := []string{"i", "4B2Xk01"}
	p.say(wire.CmdMail, []string{"{mail_addr}", "alice@example.org", "{mail_host}", "example.org", "{mail_mailer}", "smtp"},
		wire.AppendAddress(nil, wire.CmdMail, "<alice@example.org>", []string{fmt.Sprintf("SIZE=%d", m.Size())}))
	for n := range max(m.Recipients, 1) {
		to := fmt.Sprintf("bob%d@example.net", n)
		p.say(wire.CmdRcpt, []string{"{rcpt_addr}", to, "{rcpt_host}", "example.net", "{rcpt_mailer}", "smtp"},
			wire.AppendAddress(nil, wire.CmdRcpt, "<"+to+">", nil))
	}
	p.say(wire.CmdData, i, wire.AppendFrame(nil, wire.CmdData, nil))
	whole := &plan{envelope: p.done()}
	for _, f := range m.header() {
		value := f[1]
		if steps&wire.LeadingSpace == 0 {
			value = value[1:]
		}
		p.say(wire.CmdHeader, i, wire.AppendHeader(nil, []byte(f[0]), []byte(value)))
	}
	p.say(wire.CmdEOH, i, wire.AppendFrame(nil, wire.CmdEOH, nil))
	for body := m.body(); len(body) > 0; {
		n := min(len(body), wire.MaxBody)
		p.say(wire.CmdBody, i, wire.AppendFrame(nil, wire.CmdBody, body[:n]))
		body = body[n:]
	}
	p.say(wire.CmdEOM, i, wire.AppendFrame(nil, wire.CmdEOM, nil))
	whole.content = p.done()
	return whole
}

// greeting returns what is said before the first message.
func greeting(steps wire.Steps) (connect, helo []exchange) {
	p := pieces{steps: steps}
	p.say(wire.CmdConnect, []string{"j", "mx.example.net", "{daemon_name}", "smtpd", "{daemon_addr}", "192.0.2.25", "v", "Postfix 3.7.11", "_", "client.example.org [192.0.2.10]"},
		wire.Connect{Host: []byte("client.example.org"), Family: wire.FamilyInet, Port: 40000, Addr: []byte("192.0.2.10")}.Append(nil))
	connect = p.done()
	p.say(wire.CmdHelo, nil, wire.AppendHelo(nil, []byte("client.example.org")))
	helo = p.done()
	if len(p.open) > 0 { // what comes next is of a plan of its own
		helo = append(helo, exchange{wire.CmdHelo, p.open, 0})
	}
	return connect, helo
}
