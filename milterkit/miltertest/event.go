package miltertest

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// Closed is the Cmd of an [Event] that no command caused: the connection ended
// without a QUIT, or what came was not the milter protocol.
const Closed byte = 0

// maxShown is how many bytes of a body's piece an event shows as they are.
const maxShown = 60

// An Event is one thing that a filter was told, and what it answered.
type Event struct {
	Session int           // counted from 1
	Cmd     byte          // the command; Closed: the end of the connection
	Text    string        // the event, fit to be printed: "rcpt <bob@example.org>"
	Reply   string        // "continue", "550 no", "nothing"; "" where none is due
	Edits   []Edit        // that went with the reply
	At      time.Duration // since the session began
}

// String returns the event and the answer to it.
func (e Event) String() string {
	if e.Reply == "" {
		return e.Text
	}
	return e.Text + " -> " + e.Reply
}

// describe returns a command as it is recorded, and an error where its payload
// is not as the protocol has it.
func describe(f wire.Frame) (string, error) {
	text, err := argument(f)
	word := Word(f.Code)
	if text != "" {
		word += " " + text
	}
	return word, err
}

// argument returns what a command says, fit to be printed.
func argument(f wire.Frame) (string, error) {
	switch f.Code {
	case wire.CmdNegotiate:
		n, err := wire.ParseNegotiation(f.Payload)
		return fmt.Sprintf("version=%d actions=0x%x steps=0x%x", n.Version, uint32(n.Actions), uint32(n.Steps)), err
	case wire.CmdMacros:
		return macroText(f.Payload)
	case wire.CmdConnect:
		c, err := wire.ParseConnect(f.Payload)
		text := Escape(string(c.Host)) + " " + string(rune(c.Family))
		if c.Family != wire.FamilyUnknown {
			text += fmt.Sprintf(" %s %d", Escape(string(c.Addr)), c.Port)
		}
		return text, err
	case wire.CmdHelo:
		name, err := wire.ParseHelo(f.Payload)
		return Escape(string(name)), err
	case wire.CmdMail, wire.CmdRcpt:
		a, err := wire.ParseAddress(f.Code, f.Payload)
		text := string(a.Addr)
		for arg := range a.Args() {
			text += " " + string(arg)
		}
		return Escape(text), err
	case wire.CmdHeader:
		name, value, err := wire.ParseHeader(f.Payload)
		return Escape(string(name) + ":" + string(value)), err
	case wire.CmdUnknown:
		line, err := wire.ParseUnknown(f.Payload)
		return Escape(string(line)), err
	case wire.CmdBody, wire.CmdEOM:
		return bodyText(f.Payload), nil
	case wire.CmdData, wire.CmdEOH, wire.CmdAbort, wire.CmdQuit, wire.CmdQuitNew:
		if len(f.Payload) > 0 {
			return "", &wire.ProtocolError{Code: f.Code, Reason: fmt.Sprintf("%d bytes follow it", len(f.Payload))}
		}
		return "", nil
	}
	return "", &wire.ProtocolError{Code: f.Code, Reason: "is no command"}
}

// bodyText shows a piece of a body: as it is, or by its length and sum.
func bodyText(piece []byte) string {
	switch {
	case len(piece) == 0:
		return ""
	case len(piece) <= maxShown:
		return fmt.Sprintf("%q", piece)
	}
	return fmt.Sprintf("%d bytes, sha256 %.8x", len(piece), sha256.Sum256(piece))
}

// macroText shows macros: "mail i=4B2 {auth_authen}=bob".
func macroText(payload []byte) (string, error) {
	m, err := wire.ParseMacros(payload)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(Word(m.For))
	for name, value := range m.All() {
		b.WriteString(" " + Escape(string(name)) + "=" + Escape(string(value)))
	}
	return b.String(), nil
}
