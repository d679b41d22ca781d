package miltertest

import (
	"strings"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// A Script is what a [Filter] does in one session. The zero Script wants to see
// everything and says continue to all of it.
type Script struct {
	// Version is the version answered. 0: the one offered, 6 at most.
	Version uint32

	// Actions are those asked for. 0: those that the script's edits need.
	Actions wire.Actions

	// Steps are the commands that the filter is not to be shown, those it does
	// not answer, and whether values have their leading space.
	Steps wire.Steps

	// Macros are the lists of macros that it would like to have.
	Macros []wire.MacroList

	// Does it answer with its masks whatever was offered, as rspamd does? Else
	// it leaves out what was not, as libmilter does.
	Stubborn bool

	// Negotiate has how the negotiation is answered, faults mostly. Its verdict
	// is of no use.
	Negotiate Answer

	// On has the answers to each command (wire.CmdConnect and so on). The first
	// whose If, Nth and Message hold is given; where none does, continue.
	On map[byte][]Answer
}

// An Answer is what a filter does about one command. The zero Answer is
// continue. What is set is done in the order of the fields.
type Answer struct {
	// If is what the command must contain, as it is recorded: "nobody@",
	// "Subject: buy". Empty: anything.
	If string

	// Nth is which command of its kind it must be, counted from 1, within the
	// message for RCPT and the commands after it, else within the session. 0: any.
	Nth int

	// Message is which message of the session it must be, counted from 1. 0: any.
	Message int

	Delay    time.Duration // before anything is sent
	Progress int           // how many requests for patience are sent
	Every    time.Duration // before each of them
	Edits    []Edit        // in their order; before the end of a message they are a fault

	// Raw is sent instead of the verdict.
	Raw []byte

	// Verdict is the answer. Text, where it is set, is the SMTP reply of a
	// ReplyCode. Neither is continue; NoReply is none.
	Verdict Kind
	Text    string

	// Is the verdict sent though the filter has promised that there is none?
	Always bool

	// After is sent right behind the verdict.
	After []byte

	// Is the connection closed then?
	Close bool

	// Does the filter say nothing any more, in this session?
	Hang bool
}

// holds reports whether the answer is one to the nth command of its kind, with
// that argument.
func (a *Answer) holds(text string, nth, message int) bool {
	return strings.Contains(text, a.If) && (a.Nth == 0 || a.Nth == nth) && (a.Message == 0 || a.Message == message)
}

// verdict returns the frame of the verdict, nil for none, and what it is called.
func (a *Answer) verdict() (frame []byte, name string) {
	switch {
	case a.Raw != nil:
		return a.Raw, "raw bytes"
	case a.Verdict == NoReply || a.Hang && a.Verdict == 0 && a.Text == "" || a.Close && a.Verdict == 0 && a.Text == "":
		return nil, "nothing"
	case a.Text != "":
		text := strings.ReplaceAll(a.Text, "%", "%%")
		return wire.AppendReplyCode(nil, []byte(text)), Escape(strings.ReplaceAll(a.Text, "\r\n", " / "))
	case a.Verdict == 0:
		return Frame(wire.RepContinue, ""), Continue.String()
	}
	return Frame(byte(a.Verdict), ""), a.Verdict.String()
}

// answer returns the answer to the nth command of its kind.
func (s *Script) answer(cmd byte, text string, nth, message int) Answer {
	for _, a := range s.On[cmd] {
		if a.holds(text, nth, message) {
			return a
		}
	}
	return Answer{}
}

// negotiation returns the answer to an offer.
func (s *Script) negotiation(offer wire.Negotiation) wire.Negotiation {
	n := wire.Negotiation{Version: s.Version, Actions: s.Actions, Steps: s.Steps, MacroLists: s.Macros}
	if n.Version == 0 {
		n.Version = min(offer.Version, wire.MaxVersion)
	}
	if n.Actions == 0 {
		n.Actions = s.needs()
	}
	if len(s.Macros) > 0 {
		n.Actions |= wire.ActSetMacros
	}
	if !s.Stubborn {
		n.Actions &= offer.Actions
		n.Steps &= offer.Steps
	}
	if n.Actions&wire.ActSetMacros == 0 {
		n.MacroLists = nil
	}
	return n
}

// needs returns the actions of all the script's edits.
func (s *Script) needs() wire.Actions {
	var need wire.Actions
	for _, list := range s.On {
		for _, a := range list {
			for _, e := range a.Edits {
				need |= e.Action()
			}
		}
	}
	return need
}

// Frame returns a frame with that code and payload, for [Answer.Raw] and After.
func Frame(code byte, payload string) []byte { return wire.AppendFrame(nil, code, []byte(payload)) }
