package miltertest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/milterkit/sdk/milterkit/miltertest"
)

func TestMessagesAreTakenApartAsPostfixDoes(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		fields []Field
		body   string
	}{
		"usual":            {"A: 1\nB:2\n\nbody\n", []Field{{Name: "A", Value: " 1"}, {Name: "B", Value: "2"}}, "body\r\n"},
		"CRLF":             {"A: 1\r\n\r\nbody\r\n", []Field{{Name: "A", Value: " 1"}}, "body\r\n"},
		"folded":           {"A: 1\r\n 2\r\n\t3\r\n\r\n", []Field{{Name: "A", Value: " 1\n 2\n\t3"}}, ""},
		"empty value":      {"A:\n\nx\n", []Field{{Name: "A", Value: ""}}, "x\r\n"},
		"space before it":  {"A : 1\n\nx\n", []Field{{Name: "A", Value: " 1"}}, "x\r\n"},
		"mbox line":        {"From a@b Mon\nA: 1\n\nx\n", []Field{{Name: "A", Value: " 1"}}, "x\r\n"},
		"no empty line":    {"A: 1\nbody: no field, as\n", []Field{{Name: "A", Value: " 1"}, {Name: "body", Value: " no field, as"}}, ""},
		"body at once":     {"A: 1\nthis is text\n", []Field{{Name: "A", Value: " 1"}}, "this is text\r\n"},
		"no header":        {"\nbody\n", nil, "body\r\n"},
		"no last line end": {"A: 1\n\nbody", []Field{{Name: "A", Value: " 1"}}, "body\r\n"},
		"nothing":          {"", nil, ""},
		"lone CR, NUL":     {"A: 1\n\na\rb\x00\n", []Field{{Name: "A", Value: " 1"}}, "a\rb\x00\r\n"},
		"8 bit":            {"A: \xff\n\n\xfe\n", []Field{{Name: "A", Value: " \xff"}}, "\xfe\r\n"},
		"fold first":       {" x\nA: 1\n", nil, " x\r\nA: 1\r\n"},
	} {
		m := ParseMessage([]byte(c.text))
		if diff := cmp.Diff(c.fields, m.Fields); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if string(m.Body) != c.body {
			t.Errorf("%s: body %q, want %q", name, m.Body, c.body)
		}
	}
}

func TestMessagesArePutTogetherAgain(t *testing.T) {
	text := "Received: by us\r\nA: 1\r\n 2\r\nB:\r\n\r\nbody\r\n"
	if got := string(ParseMessage([]byte(text)).Bytes()); got != text {
		t.Errorf("%q", got)
	}
}

func TestEditsAreAppliedAsPostfixDoes(t *testing.T) {
	const own = "Received: own\nReceived: first\nA: 1\nB: 2\na: 3\n"
	for name, c := range map[string]struct {
		edits []Edit
		want  string
	}{
		"none":   {nil, own},
		"append": {[]Edit{AddHeader("X", "1")}, own + "X: 1\n"},
		"insert at 0 is above the MTA's own": {[]Edit{InsertHeader(0, "X", "1")},
			"X: 1\n" + own},
		"insert at 1 is below the MTA's own": {[]Edit{InsertHeader(1, "X", "1")},
			"Received: own\nX: 1\nReceived: first\nA: 1\nB: 2\na: 3\n"},
		"inserts count those before": {[]Edit{InsertHeader(0, "X", "1"), InsertHeader(1, "Y", "2")},
			"X: 1\nY: 2\n" + own},
		"insert beyond the end appends": {[]Edit{InsertHeader(99, "X", "1")}, own + "X: 1\n"},
		"change counts without the MTA's own": {[]Edit{ChangeHeader(1, "received", "new")},
			"Received: own\nreceived: new\nA: 1\nB: 2\na: 3\n"},
		"names in either case": {[]Edit{ChangeHeader(2, "A", "new")},
			"Received: own\nReceived: first\nA: 1\nB: 2\nA: new\n"},
		"index 0 is 1": {[]Edit{ChangeHeader(0, "A", "new")},
			"Received: own\nReceived: first\nA: new\nB: 2\na: 3\n"},
		"change of a missing field appends": {[]Edit{ChangeHeader(3, "A", "new")}, own + "A: new\n"},
		"delete of a missing field":         {[]Edit{DeleteHeader(3, "A"), DeleteHeader(1, "C")}, own},
		"a delete renumbers": {[]Edit{DeleteHeader(1, "A"), DeleteHeader(1, "A")},
			"Received: own\nReceived: first\nB: 2\n"},
		"an added field can be changed": {[]Edit{AddHeader("X", "1"), ChangeHeader(1, "X", "2")}, own + "X: 2\n"},
		"after an insert above it the MTA's own is hidden still": {
			[]Edit{InsertHeader(0, "X", "1"), ChangeHeader(1, "Received", "new")},
			"X: 1\nReceived: own\nReceived: new\nA: 1\nB: 2\na: 3\n"},
		"what is inserted above it counts": {
			[]Edit{InsertHeader(0, "A", "top"), ChangeHeader(1, "A", "new"), DeleteHeader(2, "A")},
			"A: new\nReceived: own\nReceived: first\nB: 2\na: 3\n"},
		"a delete above it moves the positions": {
			[]Edit{InsertHeader(0, "X", "1"), DeleteHeader(1, "X"), InsertHeader(1, "Y", "2")},
			"Received: own\nY: 2\nReceived: first\nA: 1\nB: 2\na: 3\n"},
	} {
		m := ParseMessage([]byte(own + "\nbody\n"))
		m.Fields[0].Own = true
		if diff := cmp.Diff(c.want+"\nbody\n", m.Apply(c.edits).String()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if m.String() != own+"\nbody\n" {
			t.Errorf("%s: the message itself has changed", name)
		}
	}
}

func TestAMessageWithoutOwnReceivedCountsAsIfItHadOne(t *testing.T) {
	m := ParseMessage([]byte("A: 1\n\n"))
	got := m.Apply([]Edit{InsertHeader(1, "X", "1"), ChangeHeader(1, "A", "2")}).String()
	if want := "X: 1\nA: 2\n\n"; got != want {
		t.Errorf("%q", got)
	}
}

func TestAReplacedBodyIsLines(t *testing.T) {
	m := ParseMessage([]byte("A: 1\n\nold\n"))
	if got := string(m.Apply([]Edit{ReplaceBody("a\nb\r\nc")}).Body); got != "a\r\nb\r\nc\r\n" {
		t.Errorf("%q", got)
	}
	if got := m.Apply([]Edit{ReplaceBody("")}).Body; len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestTheEnvelopeIsEdited(t *testing.T) {
	e := Envelope{From: "<a@x>", To: []string{"<b@x>", "<c@x>"}}
	got := e.Apply([]Edit{ChangeSender("<n@x>", "RET=HDRS", "ENVID=1"), DeleteRecipient("b@x"), AddRecipient("<d@x>")})
	want := Envelope{From: "<n@x>", FromArgs: []string{"RET=HDRS", "ENVID=1"}, To: []string{"<c@x>", "<d@x>"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEscapeLeavesNothingThatATerminalHeeds(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "gr\u00fc\u00df": "gr\u00fc\u00df", "a\x1b[31mb": `a\x1b[31mb`, "a\nb\tc": `a\nb\tc`,
		"\xff": `\xff`, "\u202e": `\u202e`, "\u009b1m": `\u009b1m`, "a\u00a0b": `a\u00a0b`,
	} {
		if got := Escape(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}
