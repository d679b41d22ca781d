package miltertest

import (
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// Macros sends macros for a command, which is to follow: names and values in
// turn. None at all are sent too. After a SKIP of that command nothing is.
func (m *MTA) Macros(cmd byte, pairs ...string) error {
	if m.err != nil {
		return m.err
	}
	if m.skip == cmd && m.skip != 0 {
		return nil
	}
	m.out = wire.AppendMacros(m.out, cmd, pairSeq(pairs))
	return nil
}

// pairSeq yields strings two by two; a last name without a value has "".
func pairSeq(list []string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for i := 0; i < len(list); i += 2 {
			value := ""
			if i+1 < len(list) {
				value = list[i+1]
			}
			if !yield(list[i], value) {
				return
			}
		}
	}
}

// Connect says who the client is. addr is an IP address or a path. A host
// "unknown" is written as "[addr]", which is what Postfix does.
func (m *MTA) Connect(host string, family wire.Family, port uint16, addr string) (Reply, error) {
	if host == "unknown" && addr != "" && addr != "unknown" && !m.offer.Sendmail {
		host = "[" + addr + "]"
	}
	c := wire.Connect{Host: []byte(host), Family: family, Port: port, Addr: []byte(addr)}
	return m.ask(wire.CmdConnect, c.Append)
}

// Helo gives the argument of HELO or EHLO.
func (m *MTA) Helo(name string) (Reply, error) {
	return m.ask(wire.CmdHelo, func(dst []byte) []byte { return wire.AppendHelo(dst, []byte(name)) })
}

// Mail gives the sender, with the <> that it is to have, and its parameters.
func (m *MTA) Mail(addr string, args ...string) (Reply, error) {
	m.early = nil
	return m.ask(wire.CmdMail, func(dst []byte) []byte { return wire.AppendAddress(dst, wire.CmdMail, addr, args) })
}

// Rcpt gives a recipient, with the <> that it is to have, and its parameters.
func (m *MTA) Rcpt(addr string, args ...string) (Reply, error) {
	return m.ask(wire.CmdRcpt, func(dst []byte) []byte { return wire.AppendAddress(dst, wire.CmdRcpt, addr, args) })
}

// Data says that the recipients are complete.
func (m *MTA) Data() (Reply, error) { return m.ask(wire.CmdData, bare(wire.CmdData)) }

// Header gives one field. value is what stands after the colon, folds as bare
// LFs; one leading space is left out where the filter did not ask for it.
func (m *MTA) Header(name, value string) (Reply, error) {
	if !m.leading() {
		value = strings.TrimPrefix(value, " ") // a space, not a tab. Source: milter8_header in Postfix's milter8.c.
	}
	return m.ask(wire.CmdHeader, func(dst []byte) []byte { return wire.AppendHeader(dst, []byte(name), []byte(value)) })
}

// EOH says that the header is complete.
func (m *MTA) EOH() (Reply, error) { return m.ask(wire.CmdEOH, bare(wire.CmdEOH)) }

// Body gives a piece of the body, of at most wire.MaxBody bytes.
func (m *MTA) Body(piece []byte) (Reply, error) {
	return m.ask(wire.CmdBody, func(dst []byte) []byte { return wire.AppendFrame(dst, wire.CmdBody, piece) })
}

// EOM says that the message is complete, and returns what the filter asks for.
// Quarantines that it asked for earlier in the message are among them.
func (m *MTA) EOM() ([]Edit, Reply, error) { return m.EOMWith(nil) }

// EOMWith is EOM with a last piece of the body in the same frame, as the
// protocol has it; Postfix since 2.5 and Sendmail do not send one.
func (m *MTA) EOMWith(piece []byte) ([]Edit, Reply, error) {
	edits := m.early
	m.early = nil
	m.body.Reset()
	r, err := m.exchange(wire.CmdEOM, func(dst []byte) []byte {
		return wire.AppendFrame(dst, wire.CmdEOM, piece)
	}, &edits)
	for i := range edits {
		if edits[i].Code == wire.RepReplaceBody {
			edits[i].Body = m.body.String()
		}
	}
	return edits, r, err
}

// Unknown gives a command line that the MTA does not know.
func (m *MTA) Unknown(line string) (Reply, error) {
	return m.ask(wire.CmdUnknown, func(dst []byte) []byte { return wire.AppendUnknown(dst, []byte(line)) })
}

// Abort ends the message; nobody answers it.
func (m *MTA) Abort() error {
	m.early = nil
	return m.tell(wire.CmdAbort)
}

// Quit says goodbye and closes the connection.
func (m *MTA) Quit() error {
	if err := m.tell(wire.CmdQuit); err != nil {
		return err
	}
	return m.Close()
}

// QuitNew ends the SMTP session and keeps the connection for another one, which
// begins with Connect. No MTA is known to send it.
func (m *MTA) QuitNew() error {
	m.early = nil
	return m.tell(wire.CmdQuitNew)
}

// tell sends a command that has no payload and no answer, at once.
func (m *MTA) tell(cmd byte) error {
	if m.err != nil {
		return m.err
	}
	m.skip = 0
	m.out = wire.AppendFrame(m.out, cmd, nil)
	return m.Flush()
}

// bare writes a command that has no payload.
func bare(cmd byte) func(dst []byte) []byte {
	return func(dst []byte) []byte { return wire.AppendFrame(dst, cmd, nil) }
}

// ask is exchange for a command that is not answered with edits.
func (m *MTA) ask(cmd byte, frame func(dst []byte) []byte) (Reply, error) {
	return m.exchange(cmd, frame, nil)
}

// exchange sends a command, unless the filter does not want it, and waits for
// the answer, unless the filter has promised that there is none.
func (m *MTA) exchange(cmd byte, frame func(dst []byte) []byte, edits *[]Edit) (Reply, error) {
	if m.err != nil {
		return Reply{}, m.err
	}
	if !m.Wants(cmd) {
		return Reply{Kind: NotSent}, nil
	}
	m.skip = 0
	if m.offer.Strict && m.frames.Buffered() > 0 {
		return Reply{}, m.fail(fmt.Errorf("before %s: %w", wire.CmdName(cmd),
			&wire.ProtocolError{Reason: "the filter has sent more than one answer"}))
	}
	m.out = frame(m.out)
	if m.Negotiated.Steps&wire.NoReply(cmd) != 0 {
		if len(m.out) <= maxBuffered {
			return Reply{Kind: NoReply}, nil
		}
		if err := m.flush(cmd); err != nil {
			return Reply{}, m.fail(err)
		}
		return Reply{Kind: NoReply}, nil
	}
	began := time.Now()
	if err := m.flush(cmd); err != nil {
		return Reply{}, m.fail(fmt.Errorf("%s: %w", wire.CmdName(cmd), err))
	}
	r, err := m.answer(cmd, edits)
	r.Elapsed = time.Since(began)
	if err != nil {
		return r, m.fail(fmt.Errorf("answer to %s: %w", wire.CmdName(cmd), err))
	}
	if r.Kind == Skip {
		m.skip = cmd
	}
	return r, nil
}

// answer reads frames up to the one that settles the command.
func (m *MTA) answer(cmd byte, edits *[]Edit) (Reply, error) {
	var r Reply
	var before byte // the code of the frame before
	for {
		f, err := m.next(cmd)
		if err != nil {
			return r, err
		}
		fault := func(reason string) (Reply, error) {
			return r, &wire.ProtocolError{Code: f.Code, Reason: reason}
		}
		kind := Kind(f.Code)
		switch kind {
		case Continue, Accept, Reject, TempFail, Discard, Skip, Shutdown, Kind(wire.RepProgress):
			if len(f.Payload) > 0 {
				return fault(fmt.Sprintf("%d bytes follow it", len(f.Payload)))
			}
		}
		switch {
		case f.Code == wire.RepProgress:
			if m.offer.Sendmail && cmd != wire.CmdEOM {
				return fault("Sendmail takes it only at the end of a message")
			}
			r.Progress++
		case kind == ReplyCode:
			text, err := wire.ParseReplyCode(f.Payload)
			r.Kind, r.Text = kind, string(text)
			return r, err
		case kindNames[kind] != "" && kind > NoReply:
			r.Kind = kind
			return r, m.checkVerdict(cmd, f.Code)
		case isEdit(f.Code):
			if err := m.edit(f, before, edits); err != nil {
				return r, err
			}
		default:
			return fault("is not an answer that a filter may give")
		}
		before = f.Code
	}
}

// checkVerdict says what is wrong with a verdict that MTAs let pass, where the
// offer is strict.
func (m *MTA) checkVerdict(cmd, code byte) error {
	switch {
	case code == wire.RepShutdown && m.offer.Sendmail:
		return &wire.ProtocolError{Code: code, Reason: "Sendmail does not know it"}
	case !m.offer.Strict:
		return nil
	case code == wire.RepShutdown:
		return &wire.ProtocolError{Code: code, Reason: "only Postfix knows it"}
	case code == wire.RepSkip && m.offer.Steps&wire.CanSkip == 0:
		return &wire.ProtocolError{Code: code, Reason: "was not offered"}
	case code == wire.RepSkip && cmd != wire.CmdBody:
		return &wire.ProtocolError{Code: code, Reason: "every MTA takes it only in answer to BODY"}
	case code == wire.RepDiscard && (cmd == wire.CmdConnect || cmd == wire.CmdHelo):
		return &wire.ProtocolError{Code: code, Reason: "there is no message yet"}
	}
	return nil
}

// edit takes a request for an edit.
func (m *MTA) edit(f wire.Frame, before byte, edits *[]Edit) error {
	fault := func(reason string) error { return &wire.ProtocolError{Code: f.Code, Reason: reason} }
	if edits == nil {
		if f.Code != wire.RepQuarantine || m.offer.Sendmail {
			return fault("a filter may ask for it only at the end of a message")
		}
		edits = &m.early
	}
	e, err := parseEdit(f, m.leading())
	if err != nil {
		return err
	}
	if (m.offer.Strict) && m.Negotiated.Actions&e.Action() == 0 {
		return fault("the action was not negotiated")
	}
	if e.Code == wire.RepReplaceBody {
		for i := range *edits {
			if (*edits)[i].Code != wire.RepReplaceBody {
				continue
			}
			// Source: body_edit_lockout in Postfix's milter8.c.
			if before != wire.RepReplaceBody && !m.offer.Sendmail {
				return fault("another request stands between the pieces of the body")
			}
			m.body.WriteString(e.Body)
			return nil
		}
	}
	m.body.WriteString(e.Body)
	*edits = append(*edits, e)
	return nil
}
