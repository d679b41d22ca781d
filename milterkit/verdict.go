package milterkit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A Verdict is a child's answer. The zero Verdict is Continue: no news is
// good news. Verdicts can be compared with ==, as far as the errors of a [Fail]
// can.
type Verdict struct {
	kind  Kind
	reply string // SMTP reply lines joined by CRLF; "": the MTA's own words
	err   error
}

// Kind says what a verdict does.
type Kind uint8

const (
	KindContinue Kind = iota // the message goes on
	KindAccept               // the child's part is over
	KindFail                 // the child could not answer
	KindDiscard              // the message is taken and thrown away
	KindTempFail             // refused for now
	KindReject               // refused for good
)

var kindNames = [...]string{"continue", "accept", "fail", "discard", "tempfail", "reject"}

// String returns the kind's name as it stands in logs and in configuration.
func (k Kind) String() string { return nameOf(kindNames[:], k) }

// nameOf returns the name of a value, also of one that has none.
func nameOf[T ~uint8](names []string, v T) string {
	if int(v) < len(names) && names[v] != "" {
		return names[v]
	}
	return fmt.Sprintf("unknown (%d)", v)
}

var (
	// Continue lets the message go on to the next child and the next stage.
	Continue = Verdict{}

	// Accept ends this child's part in the message, or in the session if
	// said at Connect or Helo. The other children are still asked.
	Accept = Verdict{kind: KindAccept}

	// Discard has the MTA take the message and throw it away.
	Discard = Verdict{kind: KindDiscard}
)

// cutShort is the answer where the caller's ctx is done: no child is to blame,
// and no default action decides.
var cutShort = TempFail("4.3.2 Service not available, try again later")

// Reject refuses for good, with code 550. text is what the client is told,
// with or without an enhanced status code: "5.7.1 no relaying" or "no
// relaying"; it may have several lines. An empty text leaves the words to the
// MTA.
func Reject(text string) Verdict { return refusal(550, text) }

// TempFail refuses for now, with code 451; the client may try again. text is
// as for [Reject].
func TempFail(text string) Verdict { return refusal(451, text) }

// Reply refuses with an SMTP code of 400 to 599 and the given lines of text.
// Code 421 has the MTA close the connection too. Anything else is a Fail.
func Reply(code int, lines ...string) Verdict {
	if code < 400 || code > 599 {
		return Fail(fmt.Errorf("reply code %d is not within 400 to 599", code))
	}
	kind := KindReject
	if code < 500 {
		kind = KindTempFail
	}
	return Verdict{kind: kind, reply: formatReply(code, lines)}
}

// Fail says that the child could not answer. What becomes of the message is
// up to its slot's DefaultAction.
func Fail(err error) Verdict {
	if err == nil {
		err = errors.New("no reason given")
	}
	return Verdict{kind: KindFail, err: err}
}

func refusal(code int, text string) Verdict {
	if text != "" {
		return Reply(code, splitLines(text)...)
	}
	if code < 500 {
		return Verdict{kind: KindTempFail}
	}
	return Verdict{kind: KindReject}
}

// Kind returns what the verdict does.
func (v Verdict) Kind() Kind { return v.kind }

// Text returns the SMTP reply, its lines joined by CRLF, or "" where the words
// are left to the MTA.
func (v Verdict) Text() string { return v.reply }

// SMTP returns the reply that refuses, with an enhanced status code before the
// text where there is one; lines are joined by LF. Where the words are left to the
// MTA they are Postfix's. code is 0 where nothing is refused.
func (v Verdict) SMTP() (code int, text string) {
	reply := v.reply
	switch {
	case v.kind != KindReject && v.kind != KindTempFail:
		return 0, ""
	case reply == "" && v.kind == KindReject:
		reply = "550 5.7.1 Command rejected"
	case reply == "":
		reply = "451 4.7.1 Service unavailable - try again later"
	}
	var lines []string
	for line := range strings.SplitSeq(reply, "\r\n") {
		lines = append(lines, line[min(4, len(line)):])
	}
	code, _ = strconv.Atoi(reply[:3]) // it was checked when the verdict was made
	return code, strings.Join(lines, "\n")
}

// Err returns the reason of a [Fail], else nil.
func (v Verdict) Err() error { return v.err }

// Final reports whether v ends the walk over the children: it discards or
// refuses. (A Fail does what its slot says.)
func (v Verdict) Final() bool { return v.kind >= KindDiscard }

// String returns the verdict as it stands in logs.
func (v Verdict) String() string {
	switch {
	case v.err != nil:
		return "fail: " + v.err.Error()
	case v.reply != "":
		return v.kind.String() + " " + v.reply
	}
	return v.kind.String()
}
