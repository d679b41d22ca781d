package miltertest

import (
	"fmt"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// An Offer is what an MTA offers a filter, and how it behaves. The zero Offer
// is Postfix's: version 6, all actions, all steps.
type Offer struct {
	// Version is the highest version spoken. Where it is 0 it is 6 and Actions
	// and Steps are all there are; else those are taken as they stand.
	Version uint32
	Actions wire.Actions
	Steps   wire.Steps

	// Timeout bounds dialling and each wait for a frame; a filter that asks for
	// patience is waited for anew. 0: as Postfix, 30 s, and 300 s for content;
	// as Sendmail, 10 s.
	Timeout time.Duration

	// Does it behave as Sendmail does? Macros are sent less often, aborts too,
	// and a filter may ask for patience, or for a quarantine, only at the end of
	// a message.
	Sendmail bool

	// Are all departures from the protocol errors, also those that MTAs let
	// pass: an edit, a SKIP or a step that was not agreed on?
	Strict bool
}

// VersionOffer returns what Postfix offers where milter_protocol is set to that
// version. Source: milter8_event_masks in Postfix's milter8.c.
func VersionOffer(version uint32) Offer {
	o := Offer{Version: version, Actions: wire.AllActions, Steps: wire.AllSteps}
	switch {
	case version < 3:
		o.Steps = 0x7f // the steps of version 2
	case version < 4:
		o.Steps = 0x7f | wire.NoUnknown
	case version < 6:
		o.Steps = 0x7f | wire.NoUnknown | wire.NoData
	}
	return o
}

// full returns the offer with the zero Version spelled out.
func (o Offer) full() Offer {
	if o.Version == 0 {
		o.Version, o.Actions, o.Steps = wire.MaxVersion, wire.AllActions, wire.AllSteps
	}
	return o
}

// wait is how long an answer to cmd is waited for.
func (o *Offer) wait(cmd byte) time.Duration {
	switch {
	case o.Timeout > 0:
		return o.Timeout
	case o.Sendmail:
		return 10 * time.Second
	}
	switch cmd {
	case wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM:
		return 300 * time.Second
	}
	return 30 * time.Second
}

// check says what is wrong with a filter's answer to the offer.
func (o *Offer) check(n wire.Negotiation) error {
	fault := func(format string, args ...any) error {
		return &wire.ProtocolError{Code: wire.CmdNegotiate, Reason: fmt.Sprintf(format, args...)}
	}
	if n.Version > o.Version || n.Version < wire.MinVersion {
		return fault("the filter answers with version %d to an offer of %d", n.Version, o.Version)
	}
	if more := n.Actions &^ o.Actions; more != 0 {
		return fault("the filter asks for actions 0x%x, which were not offered", uint32(more))
	}
	// Postfix lets these pass, and heeds them. Sendmail does not.
	if more := n.Steps &^ o.Steps; more != 0 && (o.Strict || o.Sendmail) {
		return fault("the filter asks for steps 0x%x, which were not offered", uint32(more))
	}
	if len(n.MacroLists) > 0 && o.Strict && n.Actions&wire.ActSetMacros == 0 {
		return fault("the filter gives macro lists and did not ask for the action")
	}
	return nil
}
