package miltertest

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// A Fault is one way in which a filter can go wrong.
type Fault struct {
	Name   string
	At     byte // the only command where it is one; 0: every command that is answered
	Answer Answer
}

// Faults returns the ways in which a filter can go wrong, in its answer to one
// command. late is how long the late one takes: more than the MTA waits for.
//
// Wrong negotiations are a matter of the [Script]: other steps than last time,
// actions that were not offered with Stubborn, or any of these as its Negotiate.
func Faults(late time.Duration) []Fault {
	cont := Frame(wire.RepContinue, "")
	half := Edit{Code: wire.RepReplaceBody, Body: "half of a body\r\n"}
	return []Fault{
		{Name: "late", Answer: Answer{Delay: late}},
		{Name: "hang", Answer: Answer{Hang: true}},
		{Name: "close", Answer: Answer{Close: true}},
		{Name: "garbage", Answer: Answer{Raw: []byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")}},
		{Name: "oversized frame", Answer: Answer{Raw: Oversized()}},
		{Name: "empty frame", Answer: Answer{Raw: make([]byte, 4)}},
		{Name: "truncated frame", Answer: Answer{Raw: Truncated(wire.RepReplyCode, "550 5.7.1 no"), Close: true}},
		{Name: "half of a length", Answer: Answer{Raw: []byte{0, 0}, Close: true}},
		{Name: "unknown reply", Answer: Answer{Raw: Frame('!', "")}},
		{Name: "command as a reply", Answer: Answer{Raw: Frame(wire.CmdMail, "<a@b>\x00")}},
		{Name: "negotiation out of turn", Answer: Answer{Raw: wire.Negotiation{Version: 6}.Append(nil)}},
		{Name: "verdict with a payload", Answer: Answer{Raw: Frame(wire.RepContinue, "x")}},
		{Name: "reply without NUL", Answer: Answer{Raw: Frame(wire.RepReplyCode, "550 no")}},
		{Name: "reply of class 2", Answer: Answer{Raw: Frame(wire.RepReplyCode, "250 fine\x00")}},
		{Name: "reply without a last line", Answer: Answer{Raw: Frame(wire.RepReplyCode, "550-no\x00")}},
		{Name: "two answers", Answer: Answer{After: cont}},
		{Name: "edit before the end", Answer: Answer{Edits: []Edit{AddHeader("X-Early", "1")}}},
		{Name: "endless progress", Answer: Answer{Raw: bytes.Repeat(Frame(wire.RepProgress, ""), 100), Hang: true}},

		{Name: "edits, then closes", At: wire.CmdEOM, Answer: Answer{Edits: []Edit{AddHeader("X-Half", "1")}, Close: true}},
		{Name: "half a replaced body", At: wire.CmdEOM, Answer: Answer{Edits: []Edit{half}, Close: true}},
		{Name: "body in two places", At: wire.CmdEOM, Answer: Answer{Edits: []Edit{half, AddHeader("X-Between", "1"), half}}},
		{Name: "refusal after edits", At: wire.CmdEOM, Answer: Answer{
			Edits: []Edit{AddHeader("X-Refused", "1"), half}, Text: "550 5.7.1 after all not"}},
		{Name: "edit without a name", At: wire.CmdEOM, Answer: Answer{Raw: Frame(wire.RepAddHeader, "\x00value\x00")}},
		{Name: "edit cut short", At: wire.CmdEOM, Answer: Answer{Raw: Frame(wire.RepChgHeader, "\x00\x00")}},
	}
}

// Is reports whether the fault is one in the answer to that command.
func (f *Fault) Is(cmd byte) bool {
	if f.At != 0 {
		return f.At == cmd
	}
	early := slices.ContainsFunc(f.Answer.Edits, func(e Edit) bool { return e.Action() != 0 })
	return !early || cmd != wire.CmdEOM
}

// Oversized returns the beginning of a frame that is longer than any may be.
func Oversized() []byte {
	return append(binary.BigEndian.AppendUint32(nil, 1<<30), wire.RepReplaceBody)
}

// Truncated returns a frame without its last bytes.
func Truncated(code byte, payload string) []byte {
	f := Frame(code, payload+strings.Repeat("\x00", 8))
	return f[:len(f)-8]
}
