package miltertest

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// A Client is the SMTP client of a session, as the MTA sees it.
type Client struct {
	Host   string // its name; "unknown" where it has none
	Family wire.Family
	Addr   string // an IP address, or a path
	Port   uint16
	Helo   string // the argument of HELO; empty: it says none

	// MTA is the name of the MTA, the macro "j".
	MTA string

	// Known are further macros that have a value, by their name without braces:
	// "tls_version", "auth_authen". They are sent with the commands whose lists
	// have them.
	Known map[string]string

	// Macros are sent with a command whatever the lists say. They win over
	// Known.
	Macros map[byte][]Macro
}

// A Mail is one message on its way, with what the client does around it.
type Mail struct {
	From     string // as it goes over the wire: "<alice@example.org>"
	FromArgs []string
	To       []Recipient
	Message  *Message
	QueueID  string // the macro "i"; Postfix has it from the first recipient taken

	// Unknown are commands that the MTA does not know, given before MAIL.
	Unknown []string

	// AbortAt is the command instead of which the client breaks off: wire.CmdRcpt
	// for the first of the recipients. 0: it does not.
	AbortAt byte
}

// A Recipient is one RCPT command.
type Recipient struct {
	Addr string // as it goes over the wire: "<bob@example.org>"
	Args []string

	// Refused is the reply by which the MTA itself has refused the recipient.
	// Only filters that asked for such are shown it.
	Refused string
}

// A Step is one command and what came of it.
type Step struct {
	Cmd   byte
	What  string // its argument, fit to be printed
	Reply Reply
}

// A Result is how a message ended.
type Result uint8

// How a message can end.
const (
	Accepted     Result = iota // delivered, or held; see Outcome.Held
	Rejected                   // refused for good
	TempFailed                 // refused for now
	Discarded                  // taken and thrown away
	Aborted                    // the client broke it off
	Disconnected               // the client was hung up on
)

var resultNames = [...]string{"accepted", "rejected", "tempfailed", "discarded", "aborted", "disconnected"}

// String returns the result's name: "accepted".
func (r Result) String() string { return resultNames[r] }

// An Outcome is what became of a Mail.
type Outcome struct {
	Result  Result
	Reply   string // what the client was told of a refusal
	At      byte   // the command that settled it; 0: it was settled before MAIL
	Steps   []Step // all commands, in order
	Refused []string
	Edits   []Edit // what the filter asked for; they count where the result is Accepted

	// Message and Envelope are what is delivered.
	Message  *Message
	Envelope Envelope

	Held    bool   // is the message quarantined?
	Reason  string // for which it is
	Elapsed time.Duration
}

// A Player plays SMTP sessions on the MTA's side of a milter connection, as
// Postfix does, or Sendmail where the MTA's offer says so: macros go before the
// commands, a refusal ends what it ends, an accept has the rest pass by the
// filter, and each message ends with an ABORT.
type Player struct {
	MTA    *MTA
	Client Client

	// OnStep is told of each step when it is over. Nil: nobody is.
	OnStep func(Step)

	known   values
	steps   []Step
	dropped bool   // has the filter settled the whole session? The MTA does not speak with it any more.
	refused *Reply // how the session was refused, by the filter or by a reply that hangs up
	inMail  bool   // has the filter been told of a message that is not over?
}

// errSettled ends the play of a message when the filter has settled it.
var errSettled = errors.New("settled")

// Open plays CONNECT and HELO. The steps are those two. That the filter refuses
// the session is no error.
func (p *Player) Open() ([]Step, error) {
	p.begin()
	r, err := p.connect()
	if err == nil && p.atSession(r) && p.Client.Helo != "" {
		r, err = p.helo()
		if err == nil {
			p.atSession(r)
		}
	}
	return p.steps, err
}

// begin notes what the MTA knows of a session at its begin.
func (p *Player) begin() {
	c := &p.Client
	p.known = values{
		"j": c.MTA, "daemon_name": c.MTA, "daemon_addr": "127.0.0.1", "v": "Postfix 3.11.0",
		"_":           c.Host + " [" + c.Addr + "]",
		"client_name": c.Host, "client_addr": c.Addr, "client_ptr": c.Host,
		"client_port": strconv.Itoa(int(c.Port)),
	}
	if p.MTA.offer.Sendmail {
		p.known["v"] = "8.18.1"
		p.known["if_name"], p.known["if_addr"] = c.MTA, "127.0.0.1"
	}
	for name, value := range c.Known {
		p.known[name] = value
	}
	p.steps = nil
}

// connect plays CONNECT.
func (p *Player) connect() (Reply, error) {
	c := &p.Client
	return p.step(wire.CmdConnect, c.Host+" "+c.Addr, func() (Reply, error) {
		return p.MTA.Connect(c.Host, c.Family, c.Port, c.Addr)
	})
}

// helo plays HELO.
func (p *Player) helo() (Reply, error) {
	return p.step(wire.CmdHelo, p.Client.Helo, func() (Reply, error) { return p.MTA.Helo(p.Client.Helo) })
}

// know notes what the MTA knows of a macro, unless the client's Known has it.
func (p *Player) know(name, value string) {
	if _, ok := p.Client.Known[name]; !ok {
		p.known[name] = value
	}
}

// knowMail notes what the MTA knows of a message at its begin.
func (p *Player) knowMail(from, queueID string) {
	p.forget("i")
	for name, value := range p.Client.Known { // what the content of a message before was without
		p.known[name] = value
	}
	if p.MTA.offer.Sendmail {
		p.know("i", queueID)
	}
	p.know("mail_addr", unbracket(from))
	p.know("mail_host", host(from))
	p.know("mail_mailer", "smtp")
}

// knowRcpt notes what the MTA knows of a recipient.
func (p *Player) knowRcpt(addr string) {
	p.know("rcpt_addr", unbracket(addr))
	p.know("rcpt_host", host(addr))
	p.know("rcpt_mailer", "local")
}

// forget has the MTA know nothing of some macros.
func (p *Player) forget(names ...string) {
	for _, name := range names {
		delete(p.known, name)
	}
}

// atSession takes a verdict on the session, and reports whether there is none.
func (p *Player) atSession(r Reply) bool {
	switch {
	case r.Refused():
		p.refused, p.dropped = &r, true
	case r.Kind == Accept:
		p.dropped = true
	}
	return !p.dropped
}

// Mail plays one message. A refusal is no error; that the connection to the
// filter broke is one, and the outcome holds what was before that.
func (p *Player) Mail(mail Mail) (*Outcome, error) {
	if mail.Message == nil {
		mail.Message = &Message{}
	}
	began := time.Now()
	o := &Outcome{}
	o.Envelope = Envelope{From: mail.From, FromArgs: mail.FromArgs}
	p.steps = nil
	err := p.settled(o)
	if err == nil {
		err = p.transaction(mail, o)
	}
	o.Steps = p.steps
	if errors.Is(err, errSettled) {
		err = nil
	}
	if o.At != wire.CmdEOM && o.Result == Accepted {
		o.Edits = p.MTA.early // a quarantine that Postfix took early stands
	}
	if (o.At == 0 || o.At == wire.CmdMail) && o.Result == Accepted {
		o.Envelope.To = rest(mail.To, 0, nil) // the filter was not asked about any
	}
	if err == nil {
		err = p.over(o)
	}
	o.Elapsed = time.Since(began)
	o.Message = mail.Message
	if o.Result == Accepted {
		o.Message = mail.Message.Apply(o.Edits)
		o.Envelope = o.Envelope.Apply(o.Edits)
		o.Reason, o.Held = Held(o.Edits)
	}
	return o, err
}

// settled settles a message where the session is settled already.
func (p *Player) settled(o *Outcome) error {
	switch {
	case p.refused != nil:
		p.settle(o, 0, *p.refused)
		return errSettled
	case p.dropped:
		return errSettled
	}
	return nil
}

// transaction plays the commands of a message.
func (p *Player) transaction(mail Mail, o *Outcome) error {
	for _, line := range mail.Unknown {
		// The MTA refuses the command itself, whatever the filter says.
		if _, err := p.step(wire.CmdUnknown, line, func() (Reply, error) { return p.MTA.Unknown(line) }); err != nil {
			return err
		}
	}
	p.knowMail(mail.From, mail.QueueID)
	if err := p.tell(o, mail, wire.CmdMail, join(mail.From, mail.FromArgs), func() (Reply, error) {
		p.inMail = true
		return p.MTA.Mail(mail.From, mail.FromArgs...)
	}); err != nil {
		return err
	}
	if err := p.recipients(mail, o); err != nil {
		return err
	}
	p.know("i", mail.QueueID)
	if len(o.Envelope.To) > 0 && !p.MTA.offer.Sendmail {
		p.knowRcpt(o.Envelope.To[0]) // as Postfix 3.7 was seen to do it
	}
	if err := p.tell(o, mail, wire.CmdData, "", p.MTA.Data); err != nil {
		return err
	}
	return p.content(mail, o)
}

// recipients plays the RCPT commands. A refusal is of the one recipient; where
// none is left the client cannot go on.
func (p *Player) recipients(mail Mail, o *Outcome) error {
	var last Reply
	for i, to := range mail.To {
		if mail.AbortAt == wire.CmdRcpt {
			return p.abort(o)
		}
		p.knowRcpt(to.Addr)
		if to.Refused != "" {
			if p.MTA.Negotiated.Steps&wire.RefusedRcpts == 0 {
				continue
			}
			// Source: Postfix, smtpd_milter.c.
			p.know("rcpt_addr", to.Refused)
			p.know("rcpt_mailer", "error")
		}
		r, err := p.step(wire.CmdRcpt, join(to.Addr, to.Args), func() (Reply, error) {
			return p.MTA.Rcpt(to.Addr, to.Args...)
		})
		switch {
		case err != nil:
			return err
		case to.Refused != "":
		case r.Refused() && r.Kind != Shutdown && !hangsUp(r):
			o.Refused = append(o.Refused, to.Addr)
			last = r
			continue
		case r.Final():
			p.settle(o, wire.CmdRcpt, r)
			o.Envelope.To = rest(mail.To, i, o.Envelope.To)
			return errSettled
		default:
			o.Envelope.To = append(o.Envelope.To, to.Addr)
			p.know("i", mail.QueueID)
		}
	}
	if len(o.Envelope.To) == 0 && last.Refused() {
		p.settle(o, wire.CmdRcpt, last)
		return errSettled
	}
	return nil
}

// rest returns the recipients taken so far, and all from number first on: the
// filter takes no more part.
func rest(all []Recipient, first int, taken []string) []string {
	for _, to := range all[first:] {
		if to.Refused == "" {
			taken = append(taken, to.Addr)
		}
	}
	return taken
}

// tell plays one command of a message, which its verdict may settle.
func (p *Player) tell(o *Outcome, mail Mail, cmd byte, what string, f func() (Reply, error)) error {
	if mail.AbortAt == cmd {
		return p.abort(o)
	}
	r, err := p.step(cmd, what, f)
	if err != nil {
		return err
	}
	if r.Final() {
		p.settle(o, cmd, r)
		return errSettled
	}
	return nil
}

// step plays one command: its macros, then itself.
func (p *Player) step(cmd byte, what string, f func() (Reply, error)) (Reply, error) {
	if err := p.MTA.announce(cmd, p.known, p.Client.Macros[cmd]); err != nil {
		return Reply{}, err
	}
	r, err := f()
	if err != nil {
		return r, err
	}
	s := Step{Cmd: cmd, What: Escape(what), Reply: r}
	p.steps = append(p.steps, s)
	if p.OnStep != nil {
		p.OnStep(s)
	}
	return r, nil
}

// abort ends the message because the client breaks it off.
func (p *Player) abort(o *Outcome) error {
	o.Result = Aborted
	return errSettled
}

// settle notes how a final verdict ends a message.
func (p *Player) settle(o *Outcome, cmd byte, r Reply) {
	o.At, o.Reply = cmd, r.SMTP()
	switch {
	case r.Kind == Accept:
		o.Result = Accepted
	case r.Kind == Discard:
		o.Result = Discarded
	case r.Kind == Shutdown || hangsUp(r):
		o.Result = Disconnected
		p.refused, p.dropped = &r, r.Kind == Shutdown
	case o.Reply != "" && o.Reply[0] == '4':
		o.Result = TempFailed
	default:
		o.Result = Rejected
	}
}

// hangsUp reports whether the MTA closes the connection to the client after the
// reply. Source: Postfix, smtpd_chat.c.
func hangsUp(r Reply) bool {
	return r.Kind == ReplyCode && len(r.Text) >= 3 && (r.Text[:3] == "421" || r.Text[:3] == "521")
}

// over ends the message towards the filter. Postfix sends ABORT after every
// message; Sendmail only where the filter is left in the middle of one.
func (p *Player) over(o *Outcome) error {
	inMail := p.inMail
	p.inMail = false
	if p.dropped || p.refused != nil && o.At == 0 {
		return nil
	}
	if p.MTA.offer.Sendmail && (!inMail || o.At == wire.CmdEOM || o.Result == Accepted) {
		return nil
	}
	return p.MTA.Abort()
}

// Close ends the session. Where the filter has settled the whole session there
// is no goodbye.
func (p *Player) Close() error {
	if p.dropped {
		return p.MTA.Close()
	}
	if !p.MTA.offer.Sendmail {
		if err := p.MTA.Abort(); err != nil {
			return fmt.Errorf("at the end of the session: %w", err)
		}
	}
	return p.MTA.Quit()
}

// join returns an address with its parameters, as one reads them.
func join(addr string, args []string) string {
	for _, a := range args {
		addr += " " + a
	}
	return addr
}
