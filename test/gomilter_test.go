package test

import (
	"errors"
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
	leadspaceName = "leadspace"
)

// allActions are the actions that the scripted milters ask for. Without the
// bits, no edit is theirs to make.
const allActions = milter.OptAddHeader | milter.OptChangeHeader | milter.OptChangeBody |
	milter.OptAddRcpt | milter.OptRemoveRcpt | milter.OptQuarantine | milter.OptChangeFrom

// optLeadSpace: the value of a header field starts with what stands after
// the colon, in both directions.
const optLeadSpace milter.OptProtocol = 0x100000 // SMFIP_HDR_LEADSPC

// goMilter is a milter in this process, served by emersion/go-milter, an
// implementation of the protocol that is not ours. It speaks version 2.
type goMilter struct {
	name   string
	socket string
	server milter.Server

	listener net.Listener
	served   sync.WaitGroup
}

// startMilters starts the milters of the test itself.
func (b *bench) startMilters() error {
	add := func(name string, actions milter.OptAction, protocol milter.OptProtocol, newMilter func() milter.Milter) error {
		m := &goMilter{
			name:   name,
			socket: b.root.Path(name + ".sock"),
			server: milter.Server{NewMilter: newMilter, Actions: actions, Protocol: protocol},
		}
		l, err := net.Listen("unix", m.socket)
		if err != nil {
			return err
		}
		if err := os.Chmod(m.socket, 0o666); err != nil {
			return errors.Join(err, l.Close())
		}
		m.listener = l
		m.served.Go(func() { m.server.Serve(l) })
		b.milters = append(b.milters, m)
		return nil
	}
	return errors.Join(
		add(refuserName, 0, 0, func() milter.Milter { return refuser{} }),
		add(firstName, allActions, 0, func() milter.Milter { return &scripted{milter: firstName} }),
		add(secondName, allActions, 0, func() milter.Milter { return &scripted{milter: secondName} }),
		add(leadspaceName, allActions, optLeadSpace, func() milter.Milter { return &scripted{milter: leadspaceName} }),
	)
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
