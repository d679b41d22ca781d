package miltertest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/milterkit/sdk/milterkit/wire"
)

// sentAhead sends header and body of a message at once, as milterkit does where
// pipeline = true, and notes whether the outcome is another. The protocol does not
// say that a milter must bear it.
func sentAhead(t *trial) error {
	many := plainMail()
	for i := range 200 {
		many.Message.Fields = append(many.Message.Fields, Field{Name: "X-Many", Value: fmt.Sprintf(" %d", i)})
	}
	early := false
	for _, mail := range []Mail{plainMail(), many} {
		var usual [2]sent
		for i := range usual {
			err := t.session(t.strict(wire.MaxVersion), func(p *Player) error {
				o, err := t.mail(p, mail)
				usual[i] = sent{o.Result, o.Reply, o.Edits}
				early = early || err == nil && o.At != wire.CmdEOM
				return err
			})
			if err != nil {
				return err
			}
		}
		var ahead sent
		var promised bool
		err := t.session(t.strict(wire.MaxVersion), func(p *Player) error {
			var err error
			ahead, promised, err = p.ahead(mail)
			return err
		})
		if err != nil {
			t.note("then %v: set pipeline = false for it", err)
			return nil
		}
		if promised {
			t.say("it promises no answers to them: pipeline makes no difference")
			return nil
		}
		if d := usual[0].differs(usual[1], ahead); d != "" {
			t.note("then the message is %s: set pipeline = false for it", d)
			return nil
		}
	}
	if early {
		t.note("the outcome is the same; this milter gives verdicts before the end of a message, and what it does with the rest that was sent ahead cannot be seen from here: see docs/pipelining.md")
		return nil
	}
	t.say("the outcome is the same: pipeline = true serves")
	return nil
}

// A sent is what became of a message.
type sent struct {
	result Result
	reply  string
	edits  []Edit
}

// differs tells what another sending came to, where that is not the same; "" where
// it is. Values that are not the same in two plain sendings are not compared.
func (s sent) differs(again, other sent) string {
	if s.result != other.result || s.reply != other.reply && s.reply == again.reply {
		return fmt.Sprintf("%s, not %s", strings.TrimSpace(other.result.String()+" "+other.reply), strings.TrimSpace(s.result.String()+" "+s.reply))
	}
	same := slices.Equal(s.edits, again.edits)
	if slices.EqualFunc(s.edits, other.edits, func(a, b Edit) bool { return a == b || !same && a.Code == b.Code && a.Name == b.Name }) {
		return ""
	}
	return fmt.Sprintf("edited otherwise: %v, not %v", other.edits, s.edits)
}

// ahead opens a session and sends a message, header and body in one write. It
// reports whether the filter answers none of it anyway.
func (p *Player) ahead(mail Mail) (s sent, promised bool, err error) {
	o := &Outcome{}
	if _, err = p.Open(); err == nil {
		if err = p.settled(o); err == nil {
			err = p.transaction(untilContent(mail), o)
		}
	}
	if o.Result != Aborted { // it broke, or a verdict came before the content
		if err == errSettled {
			err = nil
		}
		return sent{o.Result, o.Reply, nil}, false, err
	}
	m := p.MTA
	frames, asked := m.contentFrames(mail.Message)
	if len(asked) == 0 {
		return sent{}, true, nil
	}
	if err := m.Raw(frames); err != nil {
		return sent{}, false, err
	}
	for _, cmd := range asked {
		r, err := m.answer(cmd, nil)
		if err != nil {
			return sent{}, false, m.fail(fmt.Errorf("answer to %s: %w", wire.CmdName(cmd), err))
		}
		if r.Final() {
			p.dropped = true // the answers to the rest are of no use: the connection is
			p.settle(o, cmd, r)
			return sent{o.Result, o.Reply, nil}, false, nil
		}
	}
	o.Result = Accepted
	err = p.tell(o, Mail{}, wire.CmdEOM, "", func() (Reply, error) {
		edits, r, err := m.EOM()
		o.Edits = edits
		return r, err
	})
	if err == errSettled {
		err = nil
	}
	return sent{o.Result, o.Reply, o.Edits}, false, err
}

// untilContent is a message that breaks off where its content begins.
func untilContent(mail Mail) Mail {
	mail.AbortAt = wire.CmdHeader
	if len(mail.Message.Fields) == 0 {
		mail.AbortAt = wire.CmdEOH
	}
	return mail
}

// contentFrames returns header and body as the filter wants to see them, and the
// commands of them that it answers. The body is one piece.
func (m *MTA) contentFrames(message *Message) (frames []byte, asked []byte) {
	add := func(cmd byte, frame func(dst []byte) []byte) {
		if !m.Wants(cmd) {
			return
		}
		frames = frame(frames)
		if m.Negotiated.Steps&wire.NoReply(cmd) == 0 {
			asked = append(asked, cmd)
		}
	}
	for _, f := range message.Shown() {
		value := f.Value
		if !m.leading() {
			value = strings.TrimPrefix(value, " ")
		}
		add(wire.CmdHeader, func(dst []byte) []byte { return wire.AppendHeader(dst, []byte(f.Name), []byte(value)) })
	}
	add(wire.CmdEOH, bare(wire.CmdEOH))
	if len(message.Body) > 0 {
		add(wire.CmdBody, func(dst []byte) []byte { return wire.AppendFrame(dst, wire.CmdBody, message.Body) })
	}
	return frames, asked
}
