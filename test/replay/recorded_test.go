package replay

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A session is one recorded SMTP session: the connections of one MTA to all its
// filters, in their order.
type session []*recorded

// recorded is one connection of a filter.
type recorded struct {
	name    string
	packets []record
	answer  wire.Negotiation // of the filter
}

// sessions returns the recorded sessions. Connections on which nothing was said
// are left out: that was somebody who looked whether the port is open.
func (t *trace) sessions() []session {
	var list []session
	for _, r := range t.records {
		if r.closed {
			continue
		}
		for len(list) < r.conn {
			list = append(list, nil)
		}
		s := &list[r.conn-1]
		i := slices.IndexFunc(*s, func(c *recorded) bool { return c.name == r.filter })
		if i < 0 {
			i = len(*s)
			*s = append(*s, &recorded{name: r.filter})
		}
		c := (*s)[i]
		c.packets = append(c.packets, r)
		if r.from == filter && r.packet.Code == wire.CmdNegotiate {
			c.answer, _ = wire.ParseNegotiation(r.packet.Payload) // check has parsed it
		}
	}
	return slices.DeleteFunc(list, func(s session) bool { return len(s) == 0 })
}

// leading reports whether the filter's values have their leading space.
func (c *recorded) leading() bool { return c.answer.Steps&wire.LeadingSpace != 0 }

// raw returns a value as it stands after the colon of a field.
func (c *recorded) raw(value []byte) string {
	if c.leading() {
		return string(value)
	}
	return " " + string(value)
}

// script is what the filter did: the same negotiation, and the same answers to
// the same commands.
func (c *recorded) script() miltertest.Script {
	s := miltertest.Script{Version: c.answer.Version, Actions: c.answer.Actions, Steps: c.answer.Steps, Stubborn: true,
		On: map[byte][]miltertest.Answer{}}
	message, nth := 0, map[byte]int{}
	for i, p := range c.packets {
		cmd := p.packet.Code
		if p.from == filter || cmd == wire.CmdMacros || cmd == wire.CmdNegotiate {
			continue
		}
		if cmd == wire.CmdMail {
			message, nth = message+1, map[byte]int{wire.CmdMail: message}
		}
		nth[cmd]++
		if a, is := c.reply(i + 1); is {
			a.Nth, a.Message = nth[cmd], message
			s.On[cmd] = append(s.On[cmd], a)
		}
	}
	return s
}

// reply returns the answer that begins at that packet, and whether it is any but
// a mere continue.
func (c *recorded) reply(at int) (a miltertest.Answer, is bool) {
	for _, p := range c.packets[at:] {
		if p.from == mta {
			break
		}
		switch code, payload := p.packet.Code, p.packet.Payload; code {
		case wire.RepAddHeader:
			h, _ := wire.ParseAddHeader(payload)
			a.Edits = append(a.Edits, miltertest.Edit{Code: code, Name: string(h.Name), Value: c.raw(h.Value)})
		case wire.RepInsHeader:
			h, _ := wire.ParseInsHeader(payload)
			a.Edits = append(a.Edits, miltertest.Edit{Code: code, Index: int(h.Index), Name: string(h.Name), Value: c.raw(h.Value)})
		case wire.RepReplyCode:
			text, _ := wire.ParseReplyCode(payload)
			a.Text = strings.ReplaceAll(string(text), "%%", "%")
		default:
			a.Verdict = miltertest.Kind(code)
		}
	}
	return a, len(a.Edits) > 0 || a.Text != "" || a.Verdict != 0 && a.Verdict != miltertest.Continue
}

// A content is the content of one message, as a filter was shown it, and what
// the filter made of it.
type content struct {
	shown  miltertest.Message
	ended  bool // it was shown all of it
	answer miltertest.Answer
}

// contents returns the content of each message.
func (c *recorded) contents() []*content {
	var list []*content
	for i, p := range c.packets {
		if p.from == filter {
			continue
		}
		switch p.packet.Code {
		case wire.CmdMail:
			list = append(list, &content{})
		case wire.CmdHeader:
			name, value, _ := wire.ParseHeader(p.packet.Payload)
			m := &list[len(list)-1].shown
			m.Fields = append(m.Fields, miltertest.Field{Name: string(name), Value: c.raw(value)})
		case wire.CmdBody:
			m := &list[len(list)-1].shown
			m.Body = append(m.Body, p.packet.Payload...)
		case wire.CmdEOM:
			last := list[len(list)-1]
			last.ended = true
			last.answer, _ = c.reply(i + 1)
		}
	}
	return list
}

// A fate is what the MTA did with a message after it had asked all filters.
type fate struct {
	refusal string              // what the client was told; "": it was taken
	came    *miltertest.Message // as it was before any filter
	taken   *miltertest.Message // as the filters left it
}

// fates returns the fate of each message of the session. It fails where a filter
// was not shown the message as those before it had left it: then we do not
// understand what was recorded.
func (s session) fates(t *testing.T) []fate {
	t.Helper()
	var list []fate
	for n, first := range s[0].contents() {
		now := fate{came: &first.shown, taken: &first.shown}
		for _, c := range s {
			x := c.contents()[n]
			if x.ended == (now.refusal != "") {
				t.Errorf("%s, message %d: all of it shown: %v, though it had been refused: %q", c.name, n+1, x.ended, now.refusal)
			}
			if !x.ended || now.refusal != "" {
				continue
			}
			if c.answer.Steps&wire.NoBody != 0 {
				x.shown.Body = now.taken.Body
			}
			if x.shown.String() != now.taken.String() {
				t.Errorf("%s was shown\n%s, not\n%s", c.name, &x.shown, now.taken)
			}
			if now.refusal = x.answer.Text; now.refusal == "" {
				now.taken = s.mta().apply(now.taken, x.answer.Edits)
			}
		}
		list = append(list, now)
	}
	return list
}

// A step is one command of the MTA, with the macros that it sent for it.
type step struct {
	cmd      byte
	payload  []byte
	macros   []string // names and values
	announce bool     // there was a packet of macros, if only an empty one
}

// steps returns what the MTA would have sent to one filter that wants everything:
// what it sent to the first of its filters, and where that had opted out of a
// command, what it sent to another, or what is known of it from the macros.
func (s session) steps() []step {
	var list []step
	var data, headed bool
	var pending *step
	add := func(x step) {
		switch {
		case x.cmd == wire.CmdMail:
			data, headed = false, false
		case x.cmd == wire.CmdData:
			data = true
		case x.cmd == wire.CmdEOH:
			headed = true
		}
		list = append(list, x)
	}
	flush := func() { // the macros of a command that was not shown
		if pending != nil {
			pending.payload = s.other(pending)
			add(*pending)
			pending = nil
		}
	}
	for _, p := range s[0].packets {
		cmd := p.packet.Code
		if p.from == filter || cmd == wire.CmdNegotiate {
			continue
		}
		if pending != nil && pending.cmd != cmd {
			flush()
		}
		if cmd == wire.CmdMacros {
			m, _ := wire.ParseMacros(p.packet.Payload)
			pending = &step{cmd: m.For, announce: true}
			for name, value := range m.All() {
				pending.macros = append(pending.macros, string(name), string(value))
			}
			continue
		}
		x := step{cmd: cmd}
		if pending != nil {
			x, pending = *pending, nil
		}
		x.payload = p.packet.Payload
		if cmd == wire.CmdHeader {
			name, value, _ := wire.ParseHeader(x.payload)
			x.payload = wire.AppendHeader(nil, name, []byte(s[0].raw(value)))[5:]
		}
		if strings.IndexByte("LNBE", cmd) >= 0 && !data {
			add(step{cmd: wire.CmdData})
		}
		if strings.IndexByte("BE", cmd) >= 0 && !headed {
			add(step{cmd: wire.CmdEOH})
		}
		add(x)
	}
	flush()
	return list
}

// other returns the payload of a command that the first filter was not shown.
func (s session) other(x *step) []byte {
	for _, c := range s[1:] {
		for _, p := range c.packets {
			if p.from == mta && p.packet.Code == x.cmd {
				return p.packet.Payload
			}
		}
	}
	switch x.cmd {
	case wire.CmdHelo:
		return []byte("unrecorded.example\x00")
	case wire.CmdRcpt:
		i := slices.Index(x.macros, "{rcpt_addr}")
		return []byte("<" + x.macros[i+1] + ">\x00")
	}
	return nil
}

// mta returns the mail server of the session. Sendmail does not say unasked what
// it is.
func (s session) mta() manners {
	if slices.ContainsFunc(s[0].packets, func(r record) bool { return bytes.Contains(r.packet.Payload, []byte("\x00Postfix ")) }) {
		return postfix
	}
	return sendmail
}
