package test

import (
	"net"
	"os"
	"strings"
	"sync"

	"github.com/emersion/go-milter"
	"github.com/milterkit/sdk/test/stack"
)

// The milters that are part of the test itself.
const (
	refuserName   = "refuser"
	firstName     = "first"
	secondName    = "second"
	leadspaceName = "leadspace" // sees the white space after the colon
	silentName    = "silent"    // answers nothing before the end of a message
	listerName    = "lister"    // asks for macros of its own
)

// allActions are the actions that the scripted milters ask for. Without the
// bits, no edit is theirs to make.
const allActions = milter.OptAddHeader | milter.OptChangeHeader | milter.OptChangeBody |
	milter.OptAddRcpt | milter.OptRemoveRcpt | milter.OptQuarantine | milter.OptChangeFrom

// noReplies promises no answer to anything before the end of the message.
const noReplies = milter.OptNoConnReply | milter.OptNoHeloReply | milter.OptNoMailReply | milter.OptNoRcptReply |
	milter.OptNoHeaderReply | milter.OptNoEOHReply | milter.OptNoBodyReply

// goMilter is a milter in this process, served by emersion/go-milter, an
// implementation of the protocol that is not ours. It speaks version 2.
type goMilter struct {
	name   string
	socket string
	server milter.Server

	listener net.Listener
	served   sync.WaitGroup
}

// goMilters are the milters of the test itself.
func goMilters() []*goMilter {
	server := func(actions milter.OptAction, protocol milter.OptProtocol, m scripted) milter.Server {
		return milter.Server{Actions: actions, Protocol: protocol, NewMilter: func() milter.Milter { m := m; return &m }}
	}
	lister := server(allActions|milter.OptSetSymList, 0, scripted{milter: listerName, role: firstName})
	lister.SymList = map[milter.Stage][]string{
		milter.StageConnect:  {"{client_addr}", "{client_name}"},
		milter.StageMailFrom: {"{mail_addr}", "{client_addr}"},
		milter.StageRcptTo:   {"{rcpt_addr}"},
		milter.StageEOH:      {"i", "{client_addr}"},
		milter.StageEOM:      {"i", "{client_addr}"},
	}
	return []*goMilter{
		{name: refuserName, server: milter.Server{NewMilter: func() milter.Milter { return refuser{} }}},
		{name: firstName, server: server(allActions, 0, scripted{milter: firstName, role: firstName})},
		{name: secondName, server: server(allActions, 0, scripted{milter: secondName, role: secondName})},
		{name: leadspaceName, server: server(allActions, milter.OptHeaderLeadingSpace, scripted{milter: leadspaceName, role: leadspaceName})},
		{name: silentName, server: server(allActions, noReplies, scripted{milter: silentName, role: firstName, silent: true})},
		{name: listerName, server: lister},
	}
}

// startMilters starts the milters of the test itself.
func (b *bench) startMilters() error {
	for _, m := range goMilters() {
		m.socket = b.root.Path(m.name + ".sock")
		l, err := net.Listen("unix", m.socket)
		if err != nil {
			return err
		}
		m.listener = l
		m.served.Go(func() { m.server.Serve(l) })
		b.milters = append(b.milters, m)
		if err := os.Chmod(m.socket, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// child is the milter of a name as a child of milterkit.
func (b *bench) child(name string) stack.Child {
	for _, m := range b.milters {
		if m.name == name {
			return stack.Child{Name: name, Socket: "unix:" + m.socket}
		}
	}
	panic("no milter " + name)
}

// close ends the listener. The server's own Close races with its Serve.
func (m *goMilter) close() error {
	err := m.listener.Close()
	m.served.Wait()
	return err
}

// refuser refuses recipients whose name starts with "no".
type refuser struct{ milter.NoOpMilter }

// RcptTo implements [milter.Milter].
func (refuser) RcptTo(rcpt string, _ *milter.Modifier) (milter.Response, error) {
	if strings.HasPrefix(rcpt, "no") {
		return reply("550 5.1.1 we do not want " + rcpt), nil
	}
	return milter.RespContinue, nil
}

// Body implements [milter.Milter]. The rest of a session is not accepted
// beforehand: recipients of the next message are to be seen as well.
func (refuser) Body(*milter.Modifier) (milter.Response, error) { return milter.RespContinue, nil }

// reply is a verdict with an SMTP reply, of one or more lines.
func reply(lines ...string) milter.Response {
	return milter.NewResponseStr(byte(milter.ActReplyCode), strings.Join(lines, "\r\n"))
}
