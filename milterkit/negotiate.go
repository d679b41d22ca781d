package milterkit

import (
	"fmt"
	"slices"

	"github.com/milterkit/sdk/milterkit/wire"
)

// What is asked of the MTA does not depend on what a remote child has answered
// to the multiplexer: the children's answers come later, with the client.

// stageOf says to which stage a command, and a list of macros for it, belongs.
var stageOf = map[byte]Stage{
	wire.CmdConnect: StageConnect,
	wire.CmdHelo:    StageHelo,
	wire.CmdMail:    StageMail,
	wire.CmdRcpt:    StageRcpt,
	wire.CmdData:    StageData,
	wire.CmdHeader:  StageHeader,
	wire.CmdEOH:     StageHeader,
	wire.CmdBody:    StageBody,
	wire.CmdEOM:     StageMessage,
	wire.CmdUnknown: StageUnknown,
}

// negotiate answers an MTA's offer on behalf of the children of a walk, and of
// the conditions of their slots.
func negotiate(offer wire.Negotiation, slots []Slot, hooks []Hooks) (wire.Negotiation, error) {
	if offer.Version < wire.MinVersion {
		return wire.Negotiation{}, fmt.Errorf("the MTA offers version %d of the milter protocol; 2 to 6 are spoken here", offer.Version)
	}
	answer := wire.Negotiation{
		Version: min(offer.Version, wire.MaxVersion),
		Actions: offer.Actions & wire.AllActions,
		Steps:   wantedSteps(hooks) & offer.Steps,
	}
	if offer.Actions&wire.ActSetMacros != 0 {
		answer.MacroLists = wantedMacros(slots, hooks)
	}
	return answer, nil
}

// wantedSteps returns the stages that no child wants, the replies that are not
// given, and the manners of speech that keep a message as it is.
//
// Connect, helo, mail and rcpt are always wanted: conditions and the log need
// them. The content is not answered piece by piece: both MTAs have all of it
// before they send any, so a verdict at its end is as good.
func wantedSteps(hooks []Hooks) wire.Steps {
	steps := wire.NoData | wire.NoUnknown | wire.NoHeader | wire.NoEOH | wire.NoBody |
		wire.NoReplyHeader | wire.NoReplyEOH | wire.NoReplyBody |
		wire.LeadingSpace | wire.CanSkip
	for i := range hooks {
		h := &hooks[i]
		if h.Data != nil {
			steps &^= wire.NoData
		}
		if h.Unknown != nil {
			steps &^= wire.NoUnknown
		}
		if h.RefusedRcpt != nil {
			steps |= wire.RefusedRcpts
		}
		if h.content() {
			steps &^= wire.NoHeader | wire.NoEOH
		}
		if h.Body != nil || h.Message != nil {
			steps &^= wire.NoBody
		}
	}
	return steps
}

// wantedMacros returns the defaults, what the conditions need, and what the
// children would like to have, in this order: the end of a list that is too long
// for Sendmail is lost.
func wantedMacros(slots []Slot, hooks []Hooks) []wire.MacroList {
	lists := make([]wire.MacroList, len(macroDefaults))
	for i, list := range macroDefaults {
		at := stageOfList[list.Stage]
		names := slices.Clip(list.Names) // an append makes a copy
		for j := range slots {
			names = withMacros(names, slots[j].When.Macros[at])
		}
		for j := range hooks {
			names = withMacros(names, hooks[j].Macros[at])
		}
		lists[i] = wire.MacroList{Stage: list.Stage, Names: names[:min(len(names), maxMacroNames)]}
	}
	return lists
}

// withMacros appends those of more that names does not have.
func withMacros(names, more []string) []string {
	for _, name := range more {
		if !slices.ContainsFunc(names, func(n string) bool { return bare(n) == bare(name) }) {
			names = append(names, name)
		}
	}
	return names
}

// stageOfList is the Stage of a macro list's stage.
var stageOfList = map[wire.Stage]Stage{
	wire.StageConnect: StageConnect,
	wire.StageHelo:    StageHelo,
	wire.StageMail:    StageMail,
	wire.StageRcpt:    StageRcpt,
	wire.StageData:    StageData,
	wire.StageEOH:     StageHeader,
	wire.StageEOM:     StageMessage,
}
