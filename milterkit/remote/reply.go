package remote

import (
	"bytes"
	"fmt"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

// verdict returns what a final reply means.
func (c *conn) verdict(f wire.Frame) (milterkit.Verdict, error) {
	if f.Code == wire.RepReplyCode {
		text, err := wire.ParseReplyCode(f.Payload)
		if err != nil {
			return milterkit.Continue, err
		}
		return milterkit.ParseReply(string(unescape(text)))
	}
	v := milterkit.Continue
	switch f.Code {
	case wire.RepContinue:
	case wire.RepSkip:
		c.skip = c.now
	case wire.RepAccept:
		v = milterkit.Accept
	case wire.RepReject:
		v = milterkit.Reject("")
	case wire.RepTempFail:
		v = milterkit.TempFail("")
	case wire.RepDiscard:
		v = milterkit.Discard
	case wire.RepShutdown:
		v = milterkit.Reply(421, "4.7.0 Service not available, closing transmission channel")
	default:
		return v, &wire.ProtocolError{Code: f.Code, Reason: "is no answer to " + wire.CmdName(c.now)}
	}
	return v, bare(f)
}

// bare reports an error if a reply that is nothing but its code has more.
// Source: Postfix, milter8_event.
func bare(f wire.Frame) error {
	if len(f.Payload) == 0 {
		return nil
	}
	return &wire.ProtocolError{Code: f.Code, Reason: fmt.Sprintf("%d bytes follow it", len(f.Payload))}
}

// unescape takes the text of a reply for what Postfix makes of it: a format
// string in which only "%%" has a meaning. Source: milter8_event.
func unescape(text []byte) []byte {
	if bytes.IndexByte(text, '%') < 0 {
		return text
	}
	parts := bytes.Split(text, []byte("%%"))
	for i := range parts {
		parts[i] = bytes.ReplaceAll(parts[i], []byte("%"), nil)
	}
	return bytes.Join(parts, []byte("%"))
}
