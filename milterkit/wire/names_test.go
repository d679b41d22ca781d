package wire

import "testing"

// Each code has one name; a code without one is shown as it is.
func TestNames(t *testing.T) {
	for _, c := range []struct {
		code     byte
		cmd, rep string
	}{
		{CmdNegotiate, "NEGOTIATE", "NEGOTIATE"},
		{CmdConnect, "CONNECT", "'C'"},
		{CmdMail, "MAIL", "'M'"},
		{CmdHeader, "HEADER", "'L'"},
		{CmdEOH, "END OF HEADER", "'N'"},
		{CmdEOM, "END OF MESSAGE", "'E'"},
		{CmdQuitNew, "QUIT_NC", "'K'"},
		{RepContinue, "'c'", "CONTINUE"},
		{RepReplyCode, "'y'", "REPLYCODE"},
		{RepAddRcptArgs, "'2'", "ADDRCPT_PAR"},
		{RepChgFrom, "'e'", "CHGFROM"},
		{0, "0x00", "0x00"},
		{'\'', "'''", "'''"},
		{' ', "0x20", "0x20"},
		{0xff, "0xff", "0xff"},
	} {
		if got := CmdName(c.code); got != c.cmd {
			t.Errorf("CmdName(%#x) = %s, want %s", c.code, got, c.cmd)
		}
		if got := RepName(c.code); got != c.rep {
			t.Errorf("RepName(%#x) = %s, want %s", c.code, got, c.rep)
		}
	}
}

// No code but that of the negotiation is used by both ends, so that an error can
// name a frame without knowing where it came from.
func TestNoCodeHasTwoMeanings(t *testing.T) {
	for c := range 256 {
		code := byte(c)
		if lookup(code).name != "" && RepName(code)[0] != '\'' && code != CmdNegotiate {
			t.Errorf("%q is %s and %s", code, CmdName(code), RepName(code))
		}
		if frameName(code) == "" {
			t.Errorf("%q has an empty name", code)
		}
	}
}

// The flags of a command are those of Postfix's and libmilter's tables; a
// command that cannot be left out, or is never answered, has none.
func TestFlagsOfACommand(t *testing.T) {
	for _, c := range []struct {
		code            byte
		noStep, noReply Steps
	}{
		{CmdConnect, 0x1, 0x1000}, {CmdHelo, 0x2, 0x2000}, {CmdMail, 0x4, 0x4000}, {CmdRcpt, 0x8, 0x8000},
		{CmdBody, 0x10, 0x80000}, {CmdHeader, 0x20, 0x80}, {CmdEOH, 0x40, 0x40000},
		{CmdUnknown, 0x100, 0x20000}, {CmdData, 0x200, 0x10000},
		{CmdEOM, 0, 0}, {CmdMacros, 0, 0}, {CmdAbort, 0, 0}, {CmdQuit, 0, 0}, {CmdQuitNew, 0, 0}, {CmdNegotiate, 0, 0},
		{RepContinue, 0, 0}, {0, 0, 0}, {0xff, 0, 0},
	} {
		if got := NoStep(c.code); got != c.noStep {
			t.Errorf("NoStep(%s) = %#x, want %#x", CmdName(c.code), got, c.noStep)
		}
		if got := NoReply(c.code); got != c.noReply {
			t.Errorf("NoReply(%s) = %#x, want %#x", CmdName(c.code), got, c.noReply)
		}
	}
}

// All flags together, with the manners of speech, are all that version 6 has.
func TestFlagsAreComplete(t *testing.T) {
	all := CanSkip | RefusedRcpts | LeadingSpace
	for c := range 256 {
		all |= NoStep(byte(c)) | NoReply(byte(c))
	}
	if all != AllSteps {
		t.Errorf("got %#x, want %#x", all, AllSteps)
	}
}

// Seven commands have a macro list, each its own.
func TestMacroStages(t *testing.T) {
	want := map[byte]Stage{'C': 0, 'H': 1, 'M': 2, 'R': 3, 'T': 4, 'E': 5, 'N': 6}
	for c := range 256 {
		stage, ok := MacroStage(byte(c))
		if w, has := want[byte(c)]; ok != has || stage != w {
			t.Errorf("MacroStage(%s) = %d, %v", CmdName(byte(c)), stage, ok)
		}
	}
}
