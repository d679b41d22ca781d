package miltertest

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// What the MTA of a transcript calls itself and a message.
const (
	transcriptMTA   = "mail.example.net"
	transcriptQueue = "4C0FFEE001"
)

// A talk plays a transcript at a filter. It behaves as Postfix does: what the
// filter does not want to be shown is not sent, after an accept it is not asked any
// more, and after a refusal all the rest of what was refused has the same answer.
type talk struct {
	dial   func(context.Context) (net.Conn, error)
	dir    string // of the transcript
	offer  Offer
	player *Player // of the session under way
	mta    *MTA    // kept by a QUIT_NC
	macros map[byte][]Macro

	mailed  bool   // has there been a message that no ABORT has followed?
	told    byte   // the last of DATA and EOH that the filter was told of in this message
	settled *Reply // what all the rest of the message, or session, is answered
	whole   bool   // is the whole session settled?
}

// close ends a session that the transcript has left open.
func (k *talk) close() {
	if k.player != nil {
		k.quit()
	}
	if k.mta != nil {
		k.mta.Close()
	}
}

// do plays one command, and returns what the filter answered.
func (k *talk) do(ctx context.Context, c *command) ([]given, error) {
	switch c.cmd {
	case cmdWait:
		return nil, pause(ctx, c.wait)
	case wire.CmdMacros:
		k.setMacros(c)
		return nil, nil
	case wire.CmdConnect:
		return one(k.connect(ctx, c))
	case wire.CmdQuit:
		return nil, k.quit()
	case wire.CmdQuitNew:
		return nil, k.quitNew()
	case wire.CmdAbort:
		return nil, k.over()
	case wire.CmdHelo, wire.CmdMail:
		if err := k.over(); err != nil {
			return nil, err
		}
	}
	if k.settled != nil && (k.whole || c.cmd != wire.CmdUnknown) {
		return one(*k.settled, nil)
	}
	if err := k.implied(c.cmd); err != nil {
		return nil, err
	}
	if k.settled != nil {
		return one(*k.settled, nil)
	}
	return k.command(c)
}

// one returns the line of one reply.
func one(r Reply, err error) ([]given, error) {
	if err != nil {
		return nil, err
	}
	return []given{givenReply(r)}, nil
}

// pause waits. In a bubble of testing/synctest that takes no time.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// setMacros notes macros, which hold until the end of the session.
func (k *talk) setMacros(c *command) {
	if k.macros == nil {
		k.macros = map[byte][]Macro{}
	}
	k.macros[c.of] = c.macros
	if k.player != nil {
		k.player.Client.Macros = k.macros
		k.player.learn(c.macros)
	}
}

// learn notes macros of the client's, which go with other commands too.
func (p *Player) learn(macros []Macro) {
	for _, m := range macros {
		p.Client.Known[bareName(m.Name)] = m.Value
		p.known[bareName(m.Name)] = m.Value
	}
}

// connect begins a session.
func (k *talk) connect(ctx context.Context, c *command) (Reply, error) {
	m := k.mta
	if k.mta = nil; m == nil {
		conn, err := k.dial(ctx)
		if err != nil {
			return Reply{}, fmt.Errorf("cannot connect to the filter: %w", err)
		}
		if m, err = New(conn, k.offer); err != nil {
			return Reply{}, err
		}
	}
	k.player = &Player{MTA: m, Client: Client{Host: c.name, Family: c.family, Addr: c.value, Port: c.port,
		MTA: transcriptMTA, Known: map[string]string{}, Macros: k.macros}}
	k.player.begin()
	for _, macros := range k.macros {
		k.player.learn(macros)
	}
	r, err := k.player.connect()
	k.settle(wire.CmdConnect, r)
	return r, err
}

// quit ends the session.
func (k *talk) quit() error {
	p := k.player
	k.player, k.macros = nil, nil
	k.forget()
	return p.Close()
}

// quitNew ends the session and keeps the connection.
func (k *talk) quitNew() error {
	m := k.player.MTA
	k.player, k.macros, k.mta = nil, nil, m
	k.forget()
	return m.QuitNew()
}

func (k *talk) forget() { k.mailed, k.told, k.settled, k.whole = false, 0, nil, false }

// over ends the message under way, or the last one.
func (k *talk) over() error {
	mailed := k.mailed
	k.mailed, k.told = false, 0
	if k.whole {
		return nil
	}
	k.settled = nil
	if !mailed {
		return nil
	}
	return k.player.MTA.Abort()
}

// implied plays what an MTA sends before a command and the transcript leaves out.
func (k *talk) implied(cmd byte) error {
	switch cmd {
	case wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM:
		if k.told == 0 {
			if _, err := k.command(&command{cmd: wire.CmdData}); err != nil {
				return err
			}
		}
	}
	switch cmd {
	case wire.CmdBody, wire.CmdEOM:
		if k.told == wire.CmdData && k.settled == nil {
			_, err := k.command(&command{cmd: wire.CmdEOH})
			return err
		}
	}
	return nil
}

// command sends a command and takes the answer to it.
func (k *talk) command(c *command) ([]given, error) {
	var edits []Edit
	r, err := k.ask(c, &edits)
	if err != nil {
		return nil, err
	}
	k.settle(c.cmd, r)
	if r.Refused() || r.Kind == Discard {
		edits = nil // they do not count, and milterkit does not hand them on
	}
	return append(givenEdits(edits), givenReply(r)), nil
}

// settle notes what an answer settles.
func (k *talk) settle(cmd byte, r Reply) {
	goesOn := Reply{Kind: Continue}
	switch {
	case r.Kind == Shutdown || hangsUp(r):
		k.settled, k.whole = &r, true
	case cmd == wire.CmdUnknown || !r.Final():
	case cmd == wire.CmdConnect || cmd == wire.CmdHelo:
		k.settled, k.whole = &r, true
		if !r.Refused() {
			k.settled = &goesOn
			k.player.dropped = true
		}
	case cmd == wire.CmdRcpt && r.Refused():
	case r.Kind == Accept:
		k.settled = &goesOn
	default:
		k.settled = &r
	}
}

// ask sends one command, with its macros.
func (k *talk) ask(c *command, edits *[]Edit) (Reply, error) {
	p, m := k.player, k.player.MTA
	switch c.cmd {
	case wire.CmdHelo:
		p.Client.Helo = c.name
		return p.helo()
	case wire.CmdUnknown:
		return p.step(c.cmd, "", func() (Reply, error) { return m.Unknown(c.name) })
	case wire.CmdMail:
		k.mailed = true
		p.knowMail(c.name, transcriptQueue)
		return p.step(c.cmd, "", func() (Reply, error) { return m.Mail(c.name, c.args...) })
	case wire.CmdRcpt:
		p.knowRcpt(c.name)
		r, err := p.step(c.cmd, "", func() (Reply, error) { return m.Rcpt(c.name, c.args...) })
		if err == nil && !r.Refused() {
			p.know("i", transcriptQueue)
		}
		return r, err
	case wire.CmdData:
		k.told = c.cmd
		p.know("i", transcriptQueue)
		return p.step(c.cmd, "", m.Data)
	case wire.CmdHeader:
		p.forgetEnvelope()
		return p.step(c.cmd, "", func() (Reply, error) { return m.Header(c.name, c.value) })
	case wire.CmdEOH:
		k.told = c.cmd
		p.forgetEnvelope()
		return p.step(c.cmd, "", m.EOH)
	case wire.CmdBody:
		return k.body(c)
	}
	return p.step(c.cmd, "", func() (Reply, error) {
		e, r, err := m.EOM()
		*edits = e
		return r, err
	})
}

// body sends a body in pieces as large as may be, until one settles the message.
func (k *talk) body(c *command) (Reply, error) {
	body, err := c.content(k.dir)
	if err != nil {
		return Reply{}, fmt.Errorf("the body: %w", err)
	}
	r := Reply{Kind: Continue}
	for first := true; (first || len(body) > 0) && !r.Final() && err == nil; first = false {
		piece := body[:min(len(body), wire.MaxBody)]
		body = body[len(piece):]
		r, err = k.player.step(c.cmd, "", func() (Reply, error) { return k.player.MTA.Body(piece) })
	}
	return r, err
}

// play plays the whole transcript. each is told of each exchange, and of what the
// filter answered.
func (t *transcript) play(ctx context.Context, dial func(context.Context) (net.Conn, error), each func(*exchange, []given)) error {
	k := &talk{dial: dial, dir: filepath.Dir(t.file)}
	defer k.close()
	for i := range t.exchanges {
		x := &t.exchanges[i]
		got, err := k.do(ctx, &x.command)
		if err != nil {
			return fmt.Errorf("%s:%d: > %s: %w", t.file, x.line, x.text, err)
		}
		each(x, got)
	}
	return nil
}
