package replay

import (
	"path/filepath"
	"testing"

	"github.com/milterkit/sdk/milterkit/wire"
)

func TestRecordedTrafficParses(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) != 10 {
		t.Fatalf("%d recordings, %v, want 10", len(files), err)
	}
	for _, f := range files {
		tr := readTrace(t, filepath.Base(f))
		count := map[byte]int{}
		for _, r := range tr.records {
			count[r.packet.Code]++
		}
		for _, cmd := range []byte{wire.CmdNegotiate, wire.CmdConnect, wire.CmdMail, wire.CmdHeader, wire.CmdEOM, wire.CmdQuit} {
			if count[cmd] == 0 {
				t.Errorf("%s has no %s", f, wire.CmdName(cmd))
			}
		}
	}
}

func TestLinesThatAreNotUnderstoodAreErrors(t *testing.T) {
	for _, text := range []string{
		"", "\n\n", "2 MTA", "2 MTA->", "MTA-> HELO b'x\\x00'", "Vrfy 2 MTA closed", "0 MTA closed", "2 client closed",
		"2 MTA-> HELO b'x\\x00' more",
		"2 MTA-> HELO b'x'",           // no NUL
		"2 MTA-> HELO b'x\\x00",       // no end
		"2 MTA-> HELO b'x\\z\\x00'",   // no such escape
		"2 MTA-> HELO b'\u2014\\x00'", // no byte
		"2 MTA-> GREETING b'x\\x00'",  // no such packet
		"2 MTA-> CONTINUE b''",        // of the other end
		"2   <-M CONTINUE b'x'",       // more than its code
		"2   <-M REPLYCODE b'250 ok\\x00'",
		"2   <-M INSHEADER b'A\\x00b\\x00'",
		"2 MTA-> BODY 94 bytes b'short'",
		"2 MTA-> BODY 3 bytes b'long'",
		"2 MTA-> MACRO for HELO:", // its space is missing
		"2 MTA-> MACRO for HELP: ",
		"2 MTA-> MACRO for HELO: i='1' x",
		"2 MTA-> MACRO for HELO: i='1'j='2'",
		"2 MTA-> OPTNEG v6 actions=0x1(CHGBODY) proto=0x0(0)",
		"2 MTA-> OPTNEG v6 actions=0x1(ADDHDRS) proto=0x200000()",
		"2 MTA closed\n\n2 milter closed", // an end of a line too many
		"2 MTA closed2 milter closed",     // one too few
		"2 MTA closed2 milter closed\n3 MTA closed\n",
		"S:250",
	} {
		if tr, err := parseTrace(text); err == nil {
			t.Errorf("%q is %+v", text, tr)
		}
	}
}

func TestTwoLinesWrittenAtOnceAreTwo(t *testing.T) {
	tr, err := parseTrace("a 2 MTA-> MACRO for HELO: b 1 milter closed\n\na 2 MTA-> EOH b''\n")
	if err != nil || len(tr.records) != 3 || tr.records[1].filter != "b" || !tr.records[1].closed {
		t.Errorf("%+v, %v", tr, err)
	}
}

func TestDialogueLinesThatAreNotUnderstoodAreErrors(t *testing.T) {
	const begun = "=== --to a@b\nC: RCPT TO:<a@b>\n"
	for _, text := range []string{
		"", "S: 250 Ok", "=== --cc a@b", "===--to a@b", begun + "\n", begun + "C: NOOP", begun + "S: Ok", begun + "250 Ok",
		begun + "S: 250 Ok\nS: 250 Ok", begun + "S: 550-no\nS: 551 no", begun + "S: <lost>", "=== --to a@b\nS: 250 Ok",
		begun + "Traceback (most recent call last):", begun + "Traceback (most recent call last):\n  x\nS: 250 Ok",
	} {
		if list, err := parseDialogue(text); err == nil {
			t.Errorf("%q is %+v", text, list)
		}
	}
}
