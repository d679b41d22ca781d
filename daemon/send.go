package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// What send ends with, besides exitOK and exitUsage.
const (
	exitNotAccepted = 1 // a message was refused, put off or thrown away
	exitTrouble     = 3 // the milter could not be reached, or spoke wrongly
)

// A statusError is an error for which the program has an exit status of its
// own.
type statusError struct {
	status int
	error
}

func (e *statusError) ExitStatus() int { return e.status }
func (e *statusError) Unwrap() error   { return e.error }

// usage is a fault in how a command was called.
func usage(format string, args ...any) error {
	return &statusError{exitUsage, fmt.Errorf(format, args...)}
}

// trouble is a fault on the way to the milter.
func trouble(err error) error { return &statusError{exitTrouble, err} }

const sendLong = `Play the mail server to a milter: take a session with one message, or several,
past the milter that listens on SOCKET, and print what it answers at each stage,
what it asks to be changed, the message that comes of it as a diff, and the time
that each stage took. The milter can be any, milterkit itself or a single one.

SOCKET is written as in main.cf: unix:PATH, inet:PORT@HOST or inet:HOST:PORT.
FILE is the message; - is standard input. Without a FILE one is made up.

Stages are connect, helo, mail, rcpt, data, header, eoh, body, eom and unknown.

Exit status: 0 when every message was accepted, 1 when one was refused, put off
or discarded, 2 for a wrong command line, 3 when the milter could not be reached
or did not keep to the protocol.`

const sendExample = `  milterkit send unix:/run/milterkit/milterkit.sock message.eml
  milterkit send inet:8891@127.0.0.1 --subject test --header "X-Spam: yes" --size 1M
  milterkit send unix:/run/opendkim/opendkim.sock - --auth alice --mail-from "<alice@example.org>" < message.eml
  milterkit send inet:8890@127.0.0.1 --rcpt "<a@example.net>" --rcpt "<b@example.net> NOTIFY=NEVER" --json`

func newSendCommand() *cobra.Command {
	o := &sendOptions{}
	c := &cobra.Command{
		Use:     "send SOCKET [FILE|-]",
		Short:   "Play the mail server to a milter",
		Long:    sendLong,
		Example: sendExample,
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return o.run(c.Context(), args, c.InOrStdin(), c.OutOrStdout())
		},
	}
	o.declare(c.Flags())
	return c
}

// run plays the session that the options describe.
func (o *sendOptions) run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	socket, err := config.ParseSocket(args[0])
	if err != nil || socket.Network == "systemd" {
		return usage("cannot send to %s: %w", args[0], errors.Join(err, errSystemd(socket)))
	}
	file := ""
	if len(args) > 1 {
		file = args[1]
	}
	client, err := o.client()
	if err != nil {
		return err
	}
	offer, err := o.offer()
	if err != nil {
		return err
	}
	mail, err := o.mail(file, stdin, client)
	if err != nil {
		return err
	}
	began := time.Now()
	mta, err := miltertest.Dial(ctx, socket.Network, socket.Addr, offer)
	if err != nil {
		return trouble(fmt.Errorf("%s: %w", socket, err))
	}
	defer mta.Close()
	defer context.AfterFunc(ctx, func() { mta.Close() })()

	out := newSendReport(stdout, o)
	out.negotiated(mta, time.Since(began))
	s := sendSession{options: o, player: &miltertest.Player{MTA: mta, Client: client}, out: out}
	return s.play(mail, began)
}

// errSystemd says that a socket which systemd opens is nothing to dial.
func errSystemd(s config.Socket) error {
	if s.Network == "systemd" {
		return errors.New("only a service that systemd starts has its sockets")
	}
	return nil
}

// A sendSession is one session as send plays it.
type sendSession struct {
	options *sendOptions
	player  *miltertest.Player
	out     *sendReport
}

// play plays the mail as often as it is to be sent, and returns what is wrong
// with the outcome.
func (s *sendSession) play(mail miltertest.Mail, began time.Time) error {
	s.player.OnStep = s.out.step
	if _, err := s.player.Open(); err != nil {
		s.out.broken(err)
		return trouble(err)
	}
	var failed error
	for n := range s.options.repeat {
		if n > 0 {
			mail.QueueID = s.options.nextQueueID(n)
		}
		s.out.begin(n + 1)
		outcome, err := s.player.Mail(mail)
		if err != nil {
			s.out.broken(err)
			return trouble(err)
		}
		s.out.outcome(mail, outcome)
		if failed == nil {
			failed = notAccepted(outcome)
		}
	}
	if err := s.player.Close(); err != nil {
		s.out.broken(err)
		return trouble(err)
	}
	if err := s.out.end(time.Since(began)); err != nil {
		return err
	}
	return failed
}

// notAccepted is the error for a message that was not taken.
func notAccepted(o *miltertest.Outcome) error {
	switch o.Result {
	case miltertest.Accepted, miltertest.Aborted: // the abort was asked for
		return nil
	}
	text := "the message was " + o.Result.String()
	if o.Reply != "" {
		text += ": " + miltertest.Escape(o.Reply)
	}
	return &statusError{exitNotAccepted, errors.New(text)}
}

// readInput reads a file; "-" is standard input.
func readInput(file string, stdin io.Reader) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}

// isStage reports whether cmd is a stage that a client can break off at.
func isStage(cmd byte) bool {
	switch cmd {
	case wire.CmdMail, wire.CmdRcpt, wire.CmdData, wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM:
		return true
	}
	return false
}
