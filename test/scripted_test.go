package test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-milter"
	"github.com/milterkit/sdk/test/smtpclient"
)

// script says what a scripted milter does with a session and a message; nil
// is continue.
type script struct {
	connect, helo, mail, header, endOfHeader, body, endOfMessage milter.Response

	// rcpt is by the local part of the recipient.
	rcpt map[string]milter.Response

	// edit makes its edits, at the end of the message.
	edit func(*milter.Modifier) error

	// saw adds a field X-Saw-MILTER with all that the milter was shown of
	// the message, sawSession with what it was shown of the session besides.
	// That is not there any more when the milter has refused or accepted
	// something before: go-milter forgets it.
	saw, sawSession bool

	// breaks closes the connection instead of the verdict on the message.
	breaks bool

	// pause keeps the message waiting at its end.
	pause *pause

	// slowRcpt and slowEnd are how long it takes for a recipient and for the
	// end of the message.
	slowRcpt, slowEnd time.Duration
}

// pause is a rendezvous between a test and a milter.
type pause struct{ entered, release chan struct{} }

func newPause() *pause { return &pause{make(chan struct{}, 1), make(chan struct{}, 1)} }

// scene is a message and what the scripted milters do with it.
type scene struct {
	// name is also the name in the address of the sender, by which the
	// milters know their scripts.
	name string

	// first is the script of the only or first milter, second that of the
	// second.
	first, second script

	to      []string // the recipients; none is bob
	message []byte   // nil is a letter with fields of many kinds
	check   func(*outcomeOf)
	departs string

	// sendmail is the check behind Sendmail, where that makes something else
	// of a milter's wishes than Postfix: see overlay.SendmailHeader.
	sendmail func(*outcomeOf)
}

// talk is the dialogue of a scene.
func (s scene) talk(c *smtpclient.Client) {
	c.Ehlo(client)
	c.Mail(s.name + "@example.org")
	to := s.to
	if to == nil {
		to = []string{bob}
	}
	taken := false
	for _, rcpt := range to {
		taken = c.Rcpt(rcpt).OK() || taken
	}
	message := s.message
	if message == nil {
		message = letter("actions", trickyFields+"X-One: 1\r\nX-Other: o\r\nX-One: 2\r\nx-one: 3\r\n", "The body.")
	}
	if taken {
		c.Data(message)
	}
}

// findScript is the script of a role for a name "NAME@..." or "NAME.domain".
func findScript(role, name string) script {
	name, _, _ = strings.Cut(name, "@")
	name, _, _ = strings.Cut(name, ".")
	return scripts[role][name]
}

// scripts are the scripts of all scenes, by milter and name.
var scripts = func() map[string]map[string]script {
	all := map[string]map[string]script{firstName: {}, secondName: {}, leadspaceName: {}}
	add := func(milter string, s scene, script script) {
		if _, ok := all[milter][s.name]; ok {
			panic("two scenes are called " + s.name)
		}
		all[milter][s.name] = script
	}
	for _, s := range slices.Concat(edits(), stages(), pairs(), shy(), together(), interrupted(), slow(), everyIndex(), apart()) {
		add(firstName, s, s.first)
		add(secondName, s, s.second)
	}
	for _, s := range leadspace() {
		add(leadspaceName, s, s.first)
	}
	return all
}()

// scripted is a milter that does what a script says. It finds the script by
// names that the client gives: at connect by the client's host name, at helo
// by the HELO name, from MAIL on by the sender.
type scripted struct {
	milter string // its name, in X-Saw
	role   string // the milter whose scripts it plays
	silent bool   // says nothing before the end of a message

	sendmail bool // the MTA is Sendmail

	session   []string // what it was shown of the session
	shown     []string // ... and of the message, but for the body
	bodyBytes []byte   // which may come in any pieces
	script    script
}

// say is the answer to anything but the end of a message.
func (s *scripted) say(r milter.Response) (milter.Response, error) {
	if s.silent {
		return nil, nil
	}
	return verdict(r)
}

func verdict(r milter.Response) (milter.Response, error) {
	if r == nil {
		return milter.RespContinue, nil
	}
	return r, nil
}

// unasked are the macros that matter of those that an MTA sends at a stage
// without being asked.
var unasked = map[bool]map[string][]string{
	false: { // Postfix
		"connect": {"j", "v", "_", "{daemon_name}", "{daemon_addr}"},
		"mail":    {"{mail_addr}", "{mail_host}", "{mail_mailer}"},
		"rcpt":    {"{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"},
		"end":     {"i"},
	},
	true: { // Sendmail
		"connect": {"j", "_", "{daemon_name}", "{if_name}"},
		"mail":    {"i", "{mail_addr}", "{mail_host}", "{mail_mailer}"},
		"rcpt":    {"{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"},
		"end":     {"{msg_id}"},
	},
}

// macros are those of a stage: what the MTA sends unasked, and for a milter that
// has asked, all that it has asked for.
func (s *scripted) macros(stage string, m *milter.Modifier) string {
	names := unasked[s.sendmail][stage]
	if s.milter == listerName {
		names = append(slices.Clip(names), "{client_addr}", "{client_name}", "i")
	}
	var known []string
	for _, name := range names {
		if value, ok := m.Macros[name]; ok {
			known = append(known, name+"="+value)
		}
	}
	return "(" + strings.Join(known, " ") + ")"
}

// Connect implements [milter.Milter].
func (s *scripted) Connect(host, family string, _ uint16, addr net.IP, m *milter.Modifier) (milter.Response, error) {
	s.sendmail = strings.HasPrefix(m.Macros["j"], "sm.")
	s.session = []string{fmt.Sprint(host, " ", family, " ", addr, s.macros("connect", m))}
	return s.say(findScript(s.role, host).connect)
}

// Helo implements [milter.Milter].
func (s *scripted) Helo(name string, _ *milter.Modifier) (milter.Response, error) {
	// Without its macros: Postfix sends an empty list of them, which to
	// libmilter is nothing, and to go-milter takes away those of before.
	s.session = append(s.session, "helo "+name)
	return s.say(findScript(s.role, name).helo)
}

// MailFrom implements [milter.Milter].
func (s *scripted) MailFrom(from string, m *milter.Modifier) (milter.Response, error) {
	s.script = findScript(s.role, from)
	s.bodyBytes = nil
	// Asked anew: go-milter may have forgotten it.
	s.sendmail = m.Macros["{mail_mailer}"] == "relay"
	s.shown = []string{"from " + from + s.macros("mail", m)}
	if s.script.sawSession {
		s.shown = append(slices.Clone(s.session), s.shown...)
	}
	return s.say(s.script.mail)
}

// RcptTo implements [milter.Milter].
func (s *scripted) RcptTo(rcpt string, m *milter.Modifier) (milter.Response, error) {
	s.shown = append(s.shown, "to "+rcpt+s.macros("rcpt", m))
	time.Sleep(s.script.slowRcpt)
	name, _, _ := strings.Cut(rcpt, "@")
	return s.say(s.script.rcpt[name])
}

// Header implements [milter.Milter].
func (s *scripted) Header(name, value string, _ *milter.Modifier) (milter.Response, error) {
	s.shown = append(s.shown, fmt.Sprintf("%s:%q", name, value))
	return s.say(s.script.header)
}

// Headers implements [milter.Milter].
func (s *scripted) Headers(textproto.MIMEHeader, *milter.Modifier) (milter.Response, error) {
	return s.say(s.script.endOfHeader)
}

// BodyChunk implements [milter.Milter].
func (s *scripted) BodyChunk(chunk []byte, _ *milter.Modifier) (milter.Response, error) {
	s.bodyBytes = append(s.bodyBytes, chunk...)
	return s.say(s.script.body)
}

// Body implements [milter.Milter].
func (s *scripted) Body(m *milter.Modifier) (milter.Response, error) {
	if s.script.breaks {
		return nil, errors.New("broken, as the script says")
	}
	time.Sleep(s.script.slowEnd)
	if p := s.script.pause; p != nil {
		p.entered <- struct{}{}
		<-p.release
	}
	if s.script.saw || s.script.sawSession {
		s.shown = append(s.shown, fmt.Sprintf("%d bytes %.40q %x", len(s.bodyBytes), s.bodyBytes, sha256.Sum256(s.bodyBytes)), "end"+s.macros("end", m))
		if err := m.AddHeader("X-Saw-"+s.milter, strings.Join(s.shown, "; ")); err != nil {
			return nil, err
		}
	}
	if s.script.edit != nil {
		if err := s.script.edit(m); err != nil {
			return nil, err
		}
	}
	return verdict(s.script.endOfMessage)
}

// Abort implements [milter.Milter].
func (s *scripted) Abort(*milter.Modifier) error {
	s.script, s.shown, s.bodyBytes = script{}, nil, nil
	return nil
}

// all makes edits one after another.
func all(edits ...error) error { return errors.Join(edits...) }
