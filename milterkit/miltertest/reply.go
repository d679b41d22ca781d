package miltertest

import (
	"strings"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// A Kind is what a filter answers to one command.
type Kind byte

// The answers there are, and the two ways of not having one.
const (
	NotSent   Kind = 0 // the filter does not want to be shown the command
	NoReply   Kind = 1 // it was shown, and has promised not to answer
	Continue       = Kind(wire.RepContinue)
	Accept         = Kind(wire.RepAccept)
	Reject         = Kind(wire.RepReject)
	TempFail       = Kind(wire.RepTempFail)
	Discard        = Kind(wire.RepDiscard)
	ReplyCode      = Kind(wire.RepReplyCode) // refused in the filter's own words
	Skip           = Kind(wire.RepSkip)
	Shutdown       = Kind(wire.RepShutdown) // Postfix hangs up on the client
)

var kindNames = map[Kind]string{
	NotSent: "not sent", NoReply: "no reply", Continue: "continue", Accept: "accept", Reject: "reject",
	TempFail: "tempfail", Discard: "discard", ReplyCode: "reply code", Skip: "skip", Shutdown: "shutdown",
}

// String returns the kind's name: "continue", "not sent".
func (k Kind) String() string {
	if name := kindNames[k]; name != "" {
		return name
	}
	return wire.RepName(byte(k))
}

// A Reply is what a filter answered to one command.
type Reply struct {
	Kind     Kind
	Text     string        // of a ReplyCode, as it came: lines joined by CRLF, every "%" doubled
	Progress int           // how often the filter asked for patience first
	Elapsed  time.Duration // from sending the command to the answer
}

// String returns the kind, or the text of a ReplyCode, its lines joined by
// " / ", fit to be printed.
func (r Reply) String() string {
	if r.Kind == ReplyCode {
		return Escape(strings.ReplaceAll(r.Text, "\r\n", " / "))
	}
	return r.Kind.String()
}

// Refused reports whether the filter refused, for good or for now.
func (r Reply) Refused() bool {
	switch r.Kind {
	case Reject, TempFail, ReplyCode, Shutdown:
		return true
	}
	return false
}

// Final reports whether the filter said anything else than to go on.
func (r Reply) Final() bool { return r.Refused() || r.Kind == Accept || r.Kind == Discard }

// SMTP returns what the client is told of a refusal, by Postfix: the filter's
// words with "%%" as "%" and a single "%" left out, or Postfix's own. It is ""
// where the filter did not refuse.
// Source: milter8_event in Postfix's milter8.c.
func (r Reply) SMTP() string {
	switch r.Kind {
	case Reject:
		return "550 5.7.1 Command rejected"
	case TempFail:
		return "451 4.7.1 Service unavailable - try again later"
	case Shutdown:
		return "421 4.7.0 Server closing connection"
	case ReplyCode:
		parts := strings.Split(r.Text, "%%")
		for i := range parts {
			parts[i] = strings.ReplaceAll(parts[i], "%", "")
		}
		return strings.Join(parts, "%")
	}
	return ""
}
