package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/emersion/go-smtp"
	"github.com/milterkit/sdk/milterkit"
)

// A session takes one of go-smtp's sessions past the filters.
type session struct {
	walk *milterkit.Walk
	dir  string // for mail
}

var ctx = context.Background() // go-smtp has no other; the times of the Dispatcher hold

func newSession(w *milterkit.Walk, c *smtp.Conn, dir string) (smtp.Session, error) {
	v := w.ConnectAddr(ctx, "", c.Conn().RemoteAddr())
	if !v.Final() {
		v = w.Helo(ctx, c.Hostname())
	}
	if err := refusal(v); err != nil {
		w.Close()
		return nil, err
	}
	return session{w, dir}, nil
}

func (s session) Mail(from string, _ *smtp.MailOptions) error {
	return refusal(s.walk.Mail(ctx, milterkit.NewAddress("<"+from+">")))
}

func (s session) Rcpt(to string, _ *smtp.RcptOptions) error {
	return refusal(s.walk.Rcpt(ctx, milterkit.NewAddress("<"+to+">")))
}

func (s session) Data(r io.Reader) error {
	text, err := io.ReadAll(r) // MaxMessageBytes at most
	if err != nil {
		return err
	}
	if err := refusal(s.walk.Data(ctx)); err != nil {
		return err
	}
	outcome := s.walk.Message(ctx, text)
	if outcome.Verdict.Final() {
		return refusal(outcome.Verdict) // nil if it is to be thrown away
	}
	if err := deliver(s.dir, outcome); err != nil {
		log.Print(err)
		return refusal(milterkit.TempFail("4.3.0 the message could not be kept, try again later"))
	}
	return nil
}

func (s session) Reset()        { s.walk.Reset() }
func (s session) Logout() error { s.walk.Close(); return nil }

// deliver writes a message, as the filters left it, into a file of its own.
func deliver(dir string, o milterkit.Outcome) error {
	name := "*.eml"
	if _, held := o.Held(); held {
		name = "*.held"
	}
	f, err := os.CreateTemp(dir, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(f, "X-Envelope: from %v to %v\r\n", o.Sender(), o.Recipients())
	err = errors.Join(o.WriteMessage(f, ""), f.Sync(), f.Close())
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// refusal returns what go-smtp is to tell the client; nil where nothing is refused.
func refusal(v milterkit.Verdict) error {
	code, text := v.SMTP()
	if code == 0 {
		return nil
	}
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.NoEnhancedCode, Message: text}
}
