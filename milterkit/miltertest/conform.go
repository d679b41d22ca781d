package miltertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// A Conformance looks whether a milter keeps to the protocol. It plays sessions at
// it, good ones and odd ones, and sends it no mail that is spam or a virus; what the
// milter makes of a message is its own affair. Only Dial is needed.
type Conformance struct {
	// Dial connects to the milter. It is called some fifty times.
	Dial func(context.Context) (net.Conn, error)

	// Timeout bounds each wait for an answer. 0: 10 s.
	Timeout time.Duration

	// Sessions is how many are held at the same time. 0: 20.
	Sessions int

	// OnFinding is told of each finding when it is there. Nil: nobody is.
	OnFinding func(Finding)
}

// A Finding is what came of one check.
type Finding struct {
	Check   string // what was looked at: "abort at each stage"
	Result  FindingResult
	Text    string // what the milter did, fit to be printed; may be empty where all is well
	Rule    string // of a departure: what the protocol says
	Elapsed time.Duration
}

// A FindingResult says how a check ended.
type FindingResult uint8

// How a check can end.
const (
	Kept   FindingResult = iota // the milter keeps to the protocol
	Noted                       // it does, and there is something to know
	Broken                      // it does not
)

var findingNames = [...]string{"ok", "note", "failed"}

// String returns the result's name: "ok", "note", "failed".
func (r FindingResult) String() string { return findingNames[r] }

// String returns the finding on one line, or two where there is a rule.
func (f Finding) String() string {
	text := strings.TrimRight(fmt.Sprintf("%-7s %-28s %s", f.Result, f.Check, f.Text), " ")
	if f.Rule != "" {
		text += fmt.Sprintf("\n%-7s the protocol: %s", "", f.Rule)
	}
	return text
}

// A check is one thing that is looked at.
type check struct {
	name string
	rule string // what the protocol says
	run  func(*trial) error

	base bool // where it fails, the checks after it are of no use
}

// checks returns all checks, in their order.
func checks() []check {
	const once = "every command is answered once, in time, unless the milter has promised that it gives no answer; it says nothing unasked"
	const fresh = "a message, and a session, stands for itself: whatever ended the one before, the next is answered"
	list := []check{
		{"negotiation, version 6", "the answer to an offer is a negotiation whose version, actions and steps were offered", negotiates(6), true},
		{"an answer to each command", once + "; an edit is asked for at the end of a message only, and only where it was negotiated", answersEach, true},
		{"negotiation, version 4", "the version answered is not above the one offered, and so with actions and steps", negotiates(4), false},
		{"negotiation, version 2", "the version answered is not above the one offered, and so with actions and steps", negotiates(2), false},
		{"an MTA that offers nothing", "a milter asks for what was offered and for nothing else; if it needs more, it closes the connection. Sendmail gives up a milter that asks for other steps, Postfix one that asks for other actions", offeredNothing, false},
		{"three messages", fresh, threeMessages, false},
		{"abort at each stage", fresh, abortAtEach, false},
		{"another HELO", "a client may say HELO again, which ends a message under way", heloAgain, false},
		{"QUIT_NC", fresh, quitNew, false},
		{"no macros", "macros are the MTA's choice: each may be missing", withoutMacros, false},
		{"connect and close", fresh, connectAndClose, false},
		{"what is not the protocol", "a connection that does not speak the protocol ends, and no other with it", garbage, false},
		{"many sessions at once", fresh, manyAtOnce, false},
	}
	for _, o := range oddities {
		list = append(list, check{"odd: " + o.name, once, o.run, false})
	}
	return append(list,
		check{"edits", "a field has a name of printable characters, and a value without NUL; a recipient has an address of one line", legalEdits, false},
		check{"header and body sent ahead", "an MTA waits for each answer; milterkit with pipeline = true does not", sentAhead, false})
}

// Check looks at everything, and returns the findings in their order. Where the
// milter cannot be reached, or does not get through a plain session, that is the
// last one. ctx ends it early.
func (c *Conformance) Check(ctx context.Context) []Finding {
	s := &study{Conformance: c}
	var found []Finding
	tell := func(f Finding) {
		found = append(found, f)
		if c.OnFinding != nil {
			c.OnFinding(f)
		}
	}
	for _, k := range checks() {
		t := &trial{study: s, ctx: ctx}
		began := time.Now()
		err := k.run(t)
		if ctx.Err() != nil {
			tell(Finding{Check: k.name, Result: Broken, Text: "was not looked at: " + ctx.Err().Error()})
			break
		}
		f := Finding{Check: k.name, Text: strings.Join(t.texts, "; "), Elapsed: time.Since(began)}
		switch {
		case err != nil:
			f.Result, f.Text, f.Rule = Broken, faultText(err), k.rule
		case t.noted:
			f.Result = Noted
		}
		tell(f)
		if err != nil && k.base {
			tell(Finding{Check: "the rest", Result: Noted, Text: "was not looked at, as it builds on this"})
			break
		}
	}
	return found
}

// faultText returns the text of an error without the addresses of a connection.
func faultText(err error) string {
	text := err.Error()
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op != "dial" {
		text = strings.ReplaceAll(text, op.Error(), op.Err.Error())
	}
	return Escape(text)
}

// A study is what one Check knows.
type study struct {
	*Conformance
	wants  []string // the commands that the milter is shown
	usual  *Outcome // of a plain message
	edits  []Edit   // all that were asked for
	refuse []Edit   // those with which the message was refused
}

// A trial is one check under way.
type trial struct {
	*study
	ctx   context.Context
	texts []string
	noted bool
}

// say adds to what is told of a check that ends well.
func (t *trial) say(format string, args ...any) {
	t.texts = append(t.texts, Escape(fmt.Sprintf(format, args...)))
}

// note is say for what one should know.
func (t *trial) note(format string, args ...any) {
	t.noted = true
	t.say(format, args...)
}

// strict returns what Postfix offers of a version, where all departures are errors.
func (t *trial) strict(version uint32) Offer {
	o := VersionOffer(version)
	o.Strict, o.Timeout = true, t.timeout()
	return o
}

func (t *trial) timeout() time.Duration {
	if t.Timeout > 0 {
		return t.Timeout
	}
	return 10 * time.Second
}

// connect returns a connection that ends with the check.
func (t *trial) connect() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, t.timeout())
	defer cancel()
	conn, err := t.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the milter: %w", err)
	}
	return conn, nil
}

// session plays a session: it negotiates, and says goodbye where play has not
// failed. ctx ends it.
func (t *trial) session(offer Offer, play func(*Player) error) error {
	conn, err := t.connect()
	if err != nil {
		return err
	}
	defer context.AfterFunc(t.ctx, func() { conn.Close() })()
	m, err := New(conn, offer)
	if err != nil {
		return err
	}
	defer m.Close()
	p := &Player{MTA: m, Client: plainClient()}
	if err := play(p); err != nil {
		return err
	}
	return p.Close()
}

// mail opens a session and sends mails, and returns how the last one ended.
func (t *trial) mail(p *Player, mails ...Mail) (*Outcome, error) {
	if _, err := p.Open(); err != nil {
		return nil, err
	}
	var o *Outcome
	var err error
	for i, mail := range mails {
		if o, err = p.Mail(mail); err != nil {
			if len(mails) > 1 {
				err = fmt.Errorf("message %d: %w", i+1, err)
			}
			return o, err
		}
	}
	return o, nil
}

// good plays a plain session, after something that should not have mattered.
func (t *trial) good(after string) error {
	err := t.session(t.strict(wire.MaxVersion), func(p *Player) error {
		o, err := t.mail(p, plainMail())
		if err == nil {
			t.compare(after, o)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("in the session after %s: %w", after, err)
	}
	return nil
}

// compare notes where a plain message ended in another way than the first one did.
func (t *trial) compare(when string, o *Outcome) {
	if u := t.usual; u.Result != o.Result || u.At != o.At {
		t.note("%s a plain message is %s, and was %s", when, ending(o), ending(u))
	}
}

// ending tells how a message ended.
func ending(o *Outcome) string {
	text := o.Result.String()
	if o.At != 0 && o.At != wire.CmdEOM {
		text += " at " + Word(o.At)
	}
	if o.Reply != "" {
		text += ": " + o.Reply
	}
	return text
}

// closes reports whether an error is that the milter has closed the connection.
func closes(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// plainClient is the client of all sessions.
func plainClient() Client {
	return Client{Host: "mail.example.org", Family: wire.FamilyInet, Addr: "192.0.2.7", Port: 25025, Helo: "mail.example.org", MTA: transcriptMTA}
}

// plainMail is a message that nobody minds.
func plainMail() Mail {
	return Mail{
		From: "<alice@example.org>", FromArgs: []string{"SIZE=400"}, QueueID: transcriptQueue,
		To: []Recipient{{Addr: "<bob@example.net>"}, {Addr: "<carol@example.net>"}},
		Message: ParseMessage([]byte("From: Alice <alice@example.org>\nTo: Bob <bob@example.net>\nSubject: the figures\n" +
			"Date: Mon, 23 Nov 2026 10:00:00 +0000\nMessage-ID: <1@example.org>\nMIME-Version: 1.0\nContent-Type: text/plain\n\n" +
			"Hello Bob,\n\nthe figures are in the folder.\n")),
	}
}
