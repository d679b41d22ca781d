package when

import (
	"context"
	"net/netip"
	"strings"

	"github.com/milterkit/sdk/builtin/conditions"
	"github.com/milterkit/sdk/builtin/s25r"
	"github.com/milterkit/sdk/builtin/spf"
	"github.com/milterkit/sdk/milterkit"
)

// A kind is what a part of a condition is, in the words of an error message.
type kind string

const (
	wrong  kind = "" // it has been reported
	truth  kind = "true or false"
	text   kind = "text"
	number kind = "a number"
)

// asking is what every part of a condition is asked about: the arguments of a
// milterkit.Condition's test.
type (
	truthOf  = func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool
	textOf   = func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) string
	numberOf = func() int
)

// A part is a part of a condition that was compiled: of which kind it is, and the
// function of that kind. Many sessions may call it at the same time.
type part struct {
	kind   kind
	truth  truthOf
	text   textOf
	number numberOf

	// zones is set where the part asks DNS lists, and nothing else.
	zones []conditions.Zone
}

// A word is something that a condition can name: the first stage at which it is
// known, and what it is.
type word struct {
	at   milterkit.Stage
	part func(*Env) part
}

const (
	connect = milterkit.StageConnect
	helo    = milterkit.StageHelo
	mail    = milterkit.StageMail
	rcpt    = milterkit.StageRcpt
)

var words = map[string]word{
	"authenticated":    is(conditions.Authenticated()),
	"client.addr":      {connect, says(func(e *milterkit.Envelope, _ milterkit.Address) string { return clientAddr(e.Session) })},
	"client.name":      {connect, says(func(e *milterkit.Envelope, _ milterkit.Address) string { return clientName(e.Session) })},
	"helo":             {helo, says(func(e *milterkit.Envelope, _ milterkit.Address) string { return e.Helo })},
	"local":            is(conditions.Local()),
	"mail_from":        {mail, says(func(e *milterkit.Envelope, _ milterkit.Address) string { return e.Sender.Addr })},
	"mail_from.domain": {mail, says(func(e *milterkit.Envelope, _ milterkit.Address) string { return domainOf(e.Sender) })},
	"rcpt_to":          {rcpt, says(func(_ *milterkit.Envelope, to milterkit.Address) string { return to.Addr })},
	"rcpt_to.domain":   {rcpt, says(func(_ *milterkit.Envelope, to milterkit.Address) string { return domainOf(to) })},
	"s25r":             is(s25r.Default.Condition()),
	"sessions":         {connect, func(env *Env) part { return part{kind: number, number: env.sessions} }},
	"spf":              {mail, func(env *Env) part { return part{kind: text, text: env.spf} }},
	"stress": {connect, func(env *Env) part {
		return part{kind: truth, truth: conditions.Stress(env.sessions, env.stress()).Holds}
	}},
	"trusted": {mail, func(env *Env) part { return part{kind: truth, truth: conditions.Trusted(env.resolver()).Holds} }},
	"weekday": {connect, func(env *Env) part {
		return part{kind: text, text: func(context.Context, *milterkit.Envelope, milterkit.Address) string {
			return weekdays[env.now().Weekday()]
		}}
	}},
}

// names are the words in the order in which messages have them.
var names = []string{
	"authenticated", "local", "s25r", "trusted", "stress", "sessions", "weekday", "client.addr", "client.name", "helo",
	"mail_from", "mail_from.domain", "spf", "rcpt_to", "rcpt_to.domain",
}

var weekdays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// results are what spf can be.
var results = []string{spf.Pass, spf.Fail, spf.SoftFail, spf.Neutral, spf.None, spf.TempError, spf.PermError}

// is makes a word of a condition.
func is(c milterkit.Condition) word {
	return word{c.At, func(*Env) part { return part{kind: truth, truth: c.Holds} }}
}

// says makes a part of a text.
func says(f func(e *milterkit.Envelope, to milterkit.Address) string) func(*Env) part {
	p := part{kind: text, text: func(_ context.Context, e *milterkit.Envelope, to milterkit.Address) string { return f(e, to) }}
	return func(*Env) part { return p }
}

// spf returns the result of SPF for the sender.
func (e *Env) spf(ctx context.Context, envelope *milterkit.Envelope, _ milterkit.Address) string {
	ctx, cancel := context.WithTimeout(ctx, conditions.LookupTimeout)
	defer cancel()
	return spf.Check(ctx, e.resolver(), envelope).Keyword
}

// domainOf returns the domain of an address without the dot that may end it: mail to
// bob@example.org. is delivered to bob@example.org.
func domainOf(a milterkit.Address) string { return strings.TrimSuffix(a.Domain(), ".") }

// clientName returns the client's name, "unknown" where Sendmail has one that does not
// lead back to the client's address: anybody can have any.
func clientName(s *milterkit.Session) string {
	if resolve := s.Macro("client_resolve"); resolve != "" && resolve != "OK" && !strings.HasPrefix(s.Host, "[") {
		return "unknown"
	}
	return s.Host
}

// clientAddr returns the client's address as Postfix writes it, whichever MTA
// asks, or what the MTA has said where that is none.
func clientAddr(s *milterkit.Session) string {
	addr := s.Client().Addr()
	if addr == (netip.Addr{}) {
		return s.Addr
	}
	var room [64]byte
	text := addr.AppendTo(room[:0])
	if at := len(s.Addr) - len(text); at >= 0 && s.Addr[at:] == string(text) {
		return s.Addr[at:] // nearly always, and nothing is allocated
	}
	return string(text)
}
