package miltertest

import (
	"net"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// A session is one connection to a Filter.
type session struct {
	filter *Filter
	number int
	script Script
	conn   net.Conn
	frames *wire.Reader
	began  time.Time
	down   <-chan struct{} // closed when the filter is

	chosen    wire.Negotiation // what was answered to the offer
	counts    [256]int         // commands of each kind; within the message from RCPT on
	message   int              // messages so far
	inMessage bool             // is one under way?
	hung      bool             // does it say nothing any more?
}

// serve answers commands until the connection ends.
func (s *session) serve() {
	if s.filter.ScriptFor != nil {
		s.script = s.filter.ScriptFor(s.number)
	}
	for {
		f, err := s.frames.Next()
		if err != nil {
			s.note(Event{Cmd: Closed, Text: "closed"})
			return
		}
		text, err := describe(f)
		if err != nil {
			s.note(Event{Cmd: Closed, Text: "closed: " + Escape(err.Error())})
			return
		}
		if !s.command(f, text) {
			return
		}
	}
}

// note records an event.
func (s *session) note(e Event) {
	e.Session, e.At = s.number, time.Since(s.began)
	s.filter.record(e)
}

// command takes one command, and reports whether the session goes on.
func (s *session) command(f wire.Frame, text string) bool {
	cmd := f.Code
	s.count(cmd)
	switch cmd {
	case wire.CmdMacros, wire.CmdAbort, wire.CmdQuitNew:
		s.note(Event{Cmd: cmd, Text: text})
		return true
	case wire.CmdQuit:
		s.note(Event{Cmd: cmd, Text: text})
		return false
	}
	if s.hung {
		s.note(Event{Cmd: cmd, Text: text, Reply: "nothing"})
		return true
	}
	if cmd == wire.CmdNegotiate {
		offer, _ := wire.ParseNegotiation(f.Payload) // describe has parsed it
		s.chosen = s.script.negotiation(offer)
		a := s.script.Negotiate
		if a.Raw == nil && !a.Close && !a.Hang {
			a.Raw = s.chosen.Append(nil)
		}
		return s.give(cmd, text, a)
	}
	return s.give(cmd, text, s.script.answer(cmd, text, s.counts[cmd], s.message))
}

// count counts a command. A message begins with MAIL, or, for a filter that is
// not shown MAIL, with the first of its commands; it ends with its end or an
// ABORT. QUIT_NC begins a session.
func (s *session) count(cmd byte) {
	switch cmd {
	case wire.CmdMail:
		s.beginMessage()
	case wire.CmdRcpt, wire.CmdData, wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM:
		if !s.inMessage {
			s.beginMessage()
		}
		s.inMessage = cmd != wire.CmdEOM
	case wire.CmdAbort:
		s.inMessage = false
	case wire.CmdQuitNew:
		s.counts, s.message, s.inMessage = [256]int{}, 0, false
	}
	s.counts[cmd]++
}

func (s *session) beginMessage() {
	s.message++
	s.inMessage = true
	for _, c := range []byte{wire.CmdRcpt, wire.CmdData, wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM} {
		s.counts[c] = 0
	}
}

// give gives an answer, and reports whether the session goes on.
func (s *session) give(cmd byte, text string, a Answer) bool {
	frame, name := a.verdict()
	if cmd == wire.CmdNegotiate && a.Raw != nil {
		name = ""
	}
	promised := s.chosen.Steps&wire.NoReply(cmd) != 0
	if promised && !a.Always && a.Raw == nil {
		frame, name = nil, ""
	}
	// What is recorded is there before the MTA can know of the answer, so a test
	// that has the answer finds the record.
	s.hung = a.Hang
	if !s.pause(a.Delay) {
		return false
	}
	for range a.Progress {
		if !s.pause(a.Every) || !s.send(Frame(wire.RepProgress, "")) {
			return false
		}
	}
	s.note(Event{Cmd: cmd, Text: text, Reply: name, Edits: a.Edits})
	var out []byte
	for _, e := range a.Edits {
		out = e.append(out, s.chosen.Steps&wire.LeadingSpace != 0)
	}
	out = append(append(out, frame...), a.After...)
	return s.send(out) && !a.Close
}

// send writes frames, and reports whether that worked.
func (s *session) send(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	_, err := s.conn.Write(b)
	return err == nil
}

// pause waits, unless the filter is closed meanwhile.
func (s *session) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.down:
		return false
	}
}
