package wire

import "strconv"

// A command is what is known of one command's code.
type command struct {
	name    string
	noStep  Steps // the filter is not shown it; 0: it always is
	noReply Steps // the filter does not answer it; 0: there is no such flag
	stage   Stage // whose macro list goes with it, where hasList
	hasList bool
}

// commands has an entry for every code from the MTA. It is only read.
// Source: the tables of libmilter's engine.c and of Postfix's milter8.c.
var commands = [...]command{
	CmdNegotiate: {name: "NEGOTIATE"},
	CmdMacros:    {name: "MACRO"},
	CmdConnect:   {"CONNECT", NoConnect, NoReplyConnect, StageConnect, true},
	CmdHelo:      {"HELO", NoHelo, NoReplyHelo, StageHelo, true},
	CmdMail:      {"MAIL", NoMail, NoReplyMail, StageMail, true},
	CmdRcpt:      {"RCPT", NoRcpt, NoReplyRcpt, StageRcpt, true},
	CmdData:      {"DATA", NoData, NoReplyData, StageData, true},
	CmdHeader:    {name: "HEADER", noStep: NoHeader, noReply: NoReplyHeader},
	CmdEOH:       {"END OF HEADER", NoEOH, NoReplyEOH, StageEOH, true},
	CmdBody:      {name: "BODY", noStep: NoBody, noReply: NoReplyBody},
	CmdEOM:       {name: "END OF MESSAGE", stage: StageEOM, hasList: true},
	CmdUnknown:   {name: "UNKNOWN", noStep: NoUnknown, noReply: NoReplyUnknown},
	CmdAbort:     {name: "ABORT"},
	CmdQuit:      {name: "QUIT"},
	CmdQuitNew:   {name: "QUIT_NC"},
}

// replies has the name of every code from the filter. It is only read.
var replies = [...]string{
	CmdNegotiate:   "NEGOTIATE",
	RepContinue:    "CONTINUE",
	RepAccept:      "ACCEPT",
	RepReject:      "REJECT",
	RepTempFail:    "TEMPFAIL",
	RepDiscard:     "DISCARD",
	RepReplyCode:   "REPLYCODE",
	RepSkip:        "SKIP",
	RepProgress:    "PROGRESS",
	RepConnFail:    "CONN_FAIL",
	RepShutdown:    "SHUTDOWN",
	RepAddHeader:   "ADDHEADER",
	RepInsHeader:   "INSHEADER",
	RepChgHeader:   "CHGHEADER",
	RepReplaceBody: "REPLBODY",
	RepQuarantine:  "QUARANTINE",
	RepChgFrom:     "CHGFROM",
	RepAddRcpt:     "ADDRCPT",
	RepAddRcptArgs: "ADDRCPT_PAR",
	RepDelRcpt:     "DELRCPT",
}

// lookup is the entry of a command, the zero entry for a code that is none.
func lookup(c byte) command {
	if int(c) < len(commands) {
		return commands[c]
	}
	return command{}
}

// CmdName is the name of a command: "CONNECT", "END OF MESSAGE". A code that is
// no command is quoted, `'x'`, or a number, `0x00`, where it does not print.
func CmdName(c byte) string {
	if name := lookup(c).name; name != "" {
		return name
	}
	return quote(c)
}

// RepName is the name of a reply: "CONTINUE", "REPLYCODE". A code that is no
// reply is shown as CmdName shows one that is no command.
func RepName(c byte) string {
	if int(c) < len(replies) && replies[c] != "" {
		return replies[c]
	}
	return quote(c)
}

// frameName is the name of a code of either end. No code has two meanings:
// those of the MTA are capital letters, those of the filter are none (but for
// the negotiation, which is the same frame both ways).
func frameName(c byte) string {
	if name := lookup(c).name; name != "" {
		return name
	}
	return RepName(c)
}

// quote shows a code that has no name.
func quote(c byte) string {
	if c > ' ' && c < 0x7f {
		return "'" + string(rune(c)) + "'"
	}
	return "0x" + strconv.FormatUint(uint64(c)|0x100, 16)[1:]
}

// NoStep is the flag by which a filter says that it does not want to be shown a
// command: NoConnect for CmdConnect. It is 0 for a command that has none.
// Source: SMFIP_NO*.
func NoStep(cmd byte) Steps { return lookup(cmd).noStep }

// NoReply is the flag by which a filter says that it does not answer a command:
// NoReplyConnect for CmdConnect. It is 0 for a command that has none: the end
// of a message is always answered, MACRO, ABORT and QUIT never are.
// Source: SMFIP_NR_*.
func NoReply(cmd byte) Steps { return lookup(cmd).noReply }

// MacroStage is the stage whose macro list goes with a command, and whether it
// has one. HEADER, BODY and UNKNOWN have none of their own: Postfix sends them
// the lists of the end of header and of the message, Sendmail none at all.
func MacroStage(cmd byte) (Stage, bool) {
	c := lookup(cmd)
	return c.stage, c.hasList
}
