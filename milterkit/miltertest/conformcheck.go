package miltertest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// negotiates returns the check of what is answered to an offer of a version.
func negotiates(version uint32) func(*trial) error {
	return func(t *trial) error {
		err := t.session(t.strict(version), func(p *Player) error {
			n := p.MTA.Negotiated
			t.say("version %d", n.Version)
			if version < wire.MaxVersion {
				_, err := t.mail(p, plainMail())
				return err
			}
			for _, w := range words {
				if w.cmd != wire.CmdNegotiate && answered(w.cmd) && p.MTA.Wants(w.cmd) {
					t.wants = append(t.wants, w.word)
				}
			}
			t.say("is shown %s", strings.Join(t.wants, " "))
			if edits := actionWords(n.Actions); edits != "" {
				t.say("may %s", edits)
			}
			return nil
		})
		if version < wire.MaxVersion && closes(err) {
			t.texts = nil
			t.note("closes the connection to an MTA of version %d: it does not serve one", version)
			return nil
		}
		return err
	}
}

// actionWords names actions.
func actionWords(a wire.Actions) string {
	var list []string
	for _, x := range []struct {
		bit  wire.Actions
		word string
	}{
		{wire.ActAddHeader, "add header"}, {wire.ActChangeHeader, "change header"}, {wire.ActChangeBody, "replace body"},
		{wire.ActAddRcpt | wire.ActAddRcptArgs, "add recipient"}, {wire.ActDelRcpt, "delete recipient"},
		{wire.ActChangeFrom, "change sender"}, {wire.ActQuarantine, "quarantine"},
	} {
		if a&x.bit != 0 {
			list = append(list, x.word)
		}
	}
	return strings.Join(list, ", ")
}

// answersEach plays a plain session, and listens after each command whether the
// milter says more than it was asked.
func answersEach(t *trial) error {
	const listen = 20 * time.Millisecond
	var slowest Step
	err := t.session(t.strict(wire.MaxVersion), func(p *Player) error {
		var unasked error
		p.OnStep = func(s Step) {
			if s.Reply.Elapsed >= slowest.Reply.Elapsed {
				slowest = s
			}
			if err := p.MTA.Quiet(listen); err != nil && unasked == nil {
				unasked = fmt.Errorf("after %s: %w", Word(s.Cmd), err)
			}
		}
		mail := plainMail()
		mail.Unknown = []string{"FROB now"}
		o, err := t.mail(p, mail)
		if unasked != nil {
			return unasked
		}
		if err != nil {
			return err
		}
		t.usual = o
		t.keep(o)
		return p.MTA.Quiet(listen)
	})
	if err != nil {
		return err
	}
	t.say("the slowest, to %s, took %v", Word(slowest.Cmd), slowest.Reply.Elapsed.Round(100*time.Microsecond))
	if o := t.usual; o.Result != Accepted {
		t.note("the plain message of all checks is %s: what comes after that is not seen", ending(o))
	}
	return nil
}

// keep notes the edits that were asked for.
func (s *study) keep(o *Outcome) {
	s.edits = append(s.edits, o.Edits...)
	if o.At == wire.CmdEOM && o.Result != Accepted {
		s.refuse = append(s.refuse, o.Edits...)
	}
}

// offeredNothing plays a session as an MTA that offers no actions and no steps.
func offeredNothing(t *trial) error {
	offer := Offer{Version: wire.MaxVersion, Strict: true, Timeout: t.timeout()}
	err := t.session(offer, func(p *Player) error {
		_, err := t.mail(p, plainMail())
		return err
	})
	if closes(err) {
		t.note("closes the connection: it does not serve an MTA that offers neither actions nor steps")
		return nil
	}
	return err
}

func threeMessages(t *trial) error {
	return t.session(t.strict(wire.MaxVersion), func(p *Player) error {
		o, err := t.mail(p, plainMail(), plainMail(), plainMail())
		if err == nil {
			t.compare("as the third of a session", o)
		}
		return err
	})
}

// abortAtEach breaks a message off instead of each of its commands, and sends
// another one.
func abortAtEach(t *trial) error {
	for _, cmd := range []byte{wire.CmdMail, wire.CmdRcpt, wire.CmdData, wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM} {
		broken := plainMail()
		broken.AbortAt = cmd
		err := t.session(t.strict(wire.MaxVersion), func(p *Player) error {
			o, err := t.mail(p, broken, plainMail())
			if err == nil {
				t.compare("after an abort instead of "+Word(cmd), o)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("abort instead of %s: %w", Word(cmd), err)
		}
	}
	return nil
}

// heloAgain has the client greet anew in mid-message.
func heloAgain(t *trial) error {
	return t.session(t.strict(wire.MaxVersion), func(p *Player) error {
		broken := plainMail()
		broken.AbortAt = wire.CmdData
		if _, err := t.mail(p, broken); err != nil || p.dropped {
			return err
		}
		if r, err := p.helo(); err != nil || r.Final() {
			return err
		}
		o, err := p.Mail(plainMail())
		if err == nil {
			t.compare("after another HELO", o)
		}
		return err
	})
}

// quitNew has another session follow on the same connection. No MTA is known to do
// that, and libmilter does not answer then.
func quitNew(t *trial) error {
	const patience = time.Second
	asked := false
	err := t.session(t.strict(wire.MaxVersion), func(p *Player) error {
		if p.MTA.Negotiated.Version < 6 {
			t.note("the milter's version has none")
			return nil
		}
		if _, err := t.mail(p, plainMail()); err != nil {
			return err
		}
		if err := p.MTA.QuitNew(); err != nil {
			return err
		}
		asked = true
		p.MTA.offer.Timeout = min(p.MTA.offer.Timeout, patience)
		next := &Player{MTA: p.MTA, Client: p.Client}
		o, err := t.mail(next, plainMail())
		if err == nil {
			t.compare("after QUIT_NC", o)
		}
		return err
	})
	if asked && err != nil {
		t.note("no other session can follow on the connection (%s); no MTA is known to want that", faultText(err))
		return nil
	}
	return err
}

// withoutMacros plays a session without any.
func withoutMacros(t *trial) error {
	return t.session(t.strict(wire.MaxVersion), func(p *Player) error {
		m, mail := p.MTA, plainMail()
		asks := []func() (Reply, error){
			func() (Reply, error) { return m.Connect("mail.example.org", wire.FamilyInet, 25025, "192.0.2.7") },
			func() (Reply, error) { return m.Helo("mail.example.org") },
			func() (Reply, error) { return m.Mail(mail.From) },
			func() (Reply, error) { return m.Rcpt(mail.To[0].Addr) },
			m.Data,
		}
		for _, f := range mail.Message.Fields {
			asks = append(asks, func() (Reply, error) { return m.Header(f.Name, f.Value) })
		}
		asks = append(asks, m.EOH, func() (Reply, error) { return m.Body(mail.Message.Body) },
			func() (Reply, error) { _, r, err := m.EOM(); return r, err })
		for _, ask := range asks {
			if r, err := ask(); err != nil || r.Final() {
				return err
			}
		}
		return nil
	})
}

// connectAndClose goes away without a word, at several places.
func connectAndClose(t *trial) error {
	conn, err := t.connect()
	if err != nil {
		return err
	}
	conn.Close()
	gone := errors.New("gone") // in place of a goodbye
	for _, at := range []byte{wire.CmdConnect, wire.CmdRcpt, wire.CmdEOM} {
		err := t.session(t.strict(wire.MaxVersion), func(p *Player) error {
			broken := plainMail()
			broken.AbortAt = at
			if at != wire.CmdConnect {
				if _, err := p.Open(); err != nil {
					return err
				}
				p.settledBy(broken)
			}
			return gone
		})
		if err != gone {
			return err
		}
	}
	return t.good("connections that ended without a word")
}

// settledBy plays a message up to where it breaks off, and sends no ABORT.
func (p *Player) settledBy(mail Mail) { _ = p.transaction(mail, &Outcome{}) }

// garbage sends what is not the protocol. The milter may answer or not.
func garbage(t *trial) error {
	offer := wire.Negotiation{Version: 6, Actions: wire.AllActions, Steps: wire.AllSteps}.Append(nil)
	after := func(frame []byte) []byte { return append(append([]byte{}, offer...), frame...) }
	for _, raw := range [][]byte{
		[]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		make([]byte, 64),
		binary.BigEndian.AppendUint32(nil, 1<<31),
		after(Frame('!', "no command")),
		after(Frame(wire.CmdMail, "<no NUL at the end>")),
		after(Frame(wire.CmdEOM, "")),
		after(Truncated(wire.CmdHelo, "mail.example.org")),
	} {
		conn, err := t.connect()
		if err != nil {
			return fmt.Errorf("after %.20q: %w", raw, err)
		}
		conn.Write(raw)
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		var some [4096]byte
		for err == nil {
			_, err = conn.Read(some[:])
		}
		conn.Close()
	}
	return t.good("connections that did not speak the protocol")
}

// manyAtOnce holds many sessions open, and then sends a message in each.
func manyAtOnce(t *trial) error {
	n := t.Sessions
	if n <= 0 {
		n = 20
	}
	ctx, cancel := context.WithTimeout(t.ctx, 4*t.timeout())
	defer cancel()
	errs, outcomes := make([]error, n), make([]*Outcome, n)
	var open, done sync.WaitGroup
	open.Add(n)
	for i := range n {
		done.Go(func() {
			arrived := sync.OnceFunc(open.Done)
			defer arrived()
			one := &trial{study: t.study, ctx: ctx}
			errs[i] = one.session(one.strict(wire.MaxVersion), func(p *Player) error {
				_, err := p.Open()
				arrived()
				open.Wait()
				if err == nil {
					outcomes[i], err = p.Mail(plainMail())
				}
				return err
			})
		})
	}
	done.Wait()
	failed, first := 0, error(nil)
	for _, err := range errs {
		if err != nil {
			failed, first = failed+1, err
		}
	}
	if first != nil {
		return fmt.Errorf("%d of %d sessions failed, one with: %w", failed, n, first)
	}
	t.say("%d", n)
	for _, o := range outcomes {
		if t.compare("at the same time as others", o); t.noted {
			break
		}
	}
	return nil
}

// legalEdits looks at all the edits that were asked for.
func legalEdits(t *trial) error {
	for _, e := range t.edits {
		if fault := e.fault(); fault != "" {
			return fmt.Errorf("%s: %s", e, fault)
		}
	}
	t.say("%d were asked for", len(t.edits))
	if len(t.refuse) > 0 {
		t.note("%s, and the message is refused: it does not count", t.refuse[0])
	}
	return nil
}

// fault says what is wrong with an edit, or "".
func (e *Edit) fault() string {
	switch {
	case strings.ContainsRune(e.Name+e.Value, 0):
		return "there is a NUL in it"
	case e.Code == wire.RepAddHeader || e.Code == wire.RepInsHeader || e.Code == wire.RepChgHeader:
		if !isName(e.Name) {
			return "that is not the name of a field"
		}
		if strings.Contains(e.Value, "\r") {
			return "there is a CR in the value, which Postfix sends on as it is, so that the line ends in CR CR LF; folds are bare LFs"
		}
	case e.Code == wire.RepAddRcpt || e.Code == wire.RepAddRcptArgs || e.Code == wire.RepDelRcpt:
		if unbracket(e.Name) == "" {
			return "there is no address"
		}
		fallthrough
	case e.Code == wire.RepChgFrom:
		if strings.ContainsAny(e.Name+e.Value, "\r\n") {
			return "there is more than one line"
		}
	}
	return ""
}
