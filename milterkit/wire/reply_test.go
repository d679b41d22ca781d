package wire

import (
	"strings"
	"testing"
)

// A reply that an MTA takes is taken, and comes without its NUL.
func TestGoodReplyCodes(t *testing.T) {
	for _, text := range []string{
		"550", "550 ", "451 4.7.1 Try again later", "550 5.7.1 100%% bad", "599 no status code",
		"550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three",
		"550-one\n550 two", "550-\r\n550", "550-5.7.1\r\n550 5.7.1",
		"421 caf\xe9", "450 2.0.0.1 is listed", "550 10.0.0 is no status", "550 4.5 neither is this", "550 5.1234.1 nor this", "550 4..1",
	} {
		got, err := ParseReplyCode([]byte(text + "\x00"))
		if err != nil || string(got) != text {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}

// A reply on which an MTA would end the session, or worse, is an error that says
// which line is wrong.
func TestBadReplyCodes(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "line 1: no reply code",
		"55":                       "line 1: no reply code",
		"5x0 no":                   "line 1: no reply code",
		"250 ok":                   "not 4xx or 5xx",
		"354 go on":                "not 4xx or 5xx",
		"5500 no":                  "no space or hyphen",
		"550\tno":                  "no space or hyphen",
		"550-no":                   "a line is missing",
		"550-one\r\n":              "line 2: no reply code",
		"550 one\r\n":              "line 1: no hyphen",
		"550 one\r\n550 two":       "line 1: no hyphen",
		"550\r\n550 two":           "line 1: no hyphen",
		"550-one\r\n551 two":       "line 2: the reply code is not that of the line before",
		"550-one\r\n450 two":       "line 2: the reply code is not that of the line before",
		"550-one\r\ntwo":           "line 2: no reply code",
		"550 one\rtwo":             "a CR within",
		"550-one\r\r\n550 two":     "a CR within",
		"550 4.7.1 no":             "another class",
		"450 5.7.1":                "another class",
		"450 2.0.0 ok":             "another class",
		"550-5.1.1 a\r\n550 4.1.1": "line 2: the enhanced status code",
		"550 a\x00b":               "something follows",
	} {
		_, err := ParseReplyCode([]byte(text + "\x00"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := ParseReplyCode([]byte("550 no")); err == nil || !strings.Contains(err.Error(), "REPLYCODE: no NUL") {
		t.Errorf("no NUL: %v", err)
	}
}

// A header edit has a name, one value, and where it goes.
func TestHeaderEdits(t *testing.T) {
	field := "X-A\x00 a\n b\x00"
	add, err1 := ParseAddHeader([]byte(field))
	ins, err2 := ParseInsHeader([]byte("\x00\x00\x00\x00" + field))
	chg, err3 := ParseChgHeader([]byte("\xff\xff\xff\xff" + field))
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	for _, e := range []HeaderEdit{add, ins, chg} {
		if string(e.Name) != "X-A" || string(e.Value) != " a\n b" {
			t.Errorf("got %q: %q", e.Name, e.Value)
		}
	}
	if add.Index != 0 || ins.Index != 0 || chg.Index != 1<<32-1 {
		t.Errorf("indexes %d, %d, %d", add.Index, ins.Index, chg.Index)
	}
}

// An edit without a name, without an index or with a second value is an error,
// and nothing of it is returned.
func TestBadHeaderEdits(t *testing.T) {
	for _, field := range []string{"", "X", "X\x00", "X\x00y", "\x00y\x00", "X\x00y\x00z\x00", "X\x00y\x00\x00"} {
		e, err := ParseAddHeader([]byte(field))
		if err == nil || e.Name != nil {
			t.Errorf("add %q is taken", field)
		}
		if _, err := ParseInsHeader([]byte("\x00\x00\x00\x01" + field)); err == nil {
			t.Errorf("insert %q is taken", field)
		}
		if e, err := ParseChgHeader([]byte("\x00\x00\x00\x01" + field)); err == nil || e.Index != 0 {
			t.Errorf("change %q is taken", field)
		}
	}
	if _, err := ParseChgHeader([]byte("\x00\x00\x01")); err == nil || !strings.Contains(err.Error(), "CHGHEADER: no index") {
		t.Errorf("no index: %v", err)
	}
}

// Parameters that were not sent are nil; empty ones are empty.
func TestParametersOfEnvelopeEdits(t *testing.T) {
	for p, want := range map[string]string{"a@b\x00": "none", "a@b\x00\x00": "", "a@b\x00NOTIFY=NEVER ORCPT=x\x00": "NOTIFY=NEVER ORCPT=x"} {
		for _, parse := range []func([]byte) (RcptEdit, error){ParseAddRcptArgs, ParseChgFrom} {
			e, err := parse([]byte(p))
			got := string(e.Args)
			if e.Args == nil {
				got = "none"
			}
			if err != nil || string(e.Addr) != "a@b" || got != want {
				t.Errorf("%q: got %q with %q, %v", p, e.Addr, e.Args, err)
			}
		}
	}
}

// More strings than an envelope edit or a quarantine has are an error.
func TestBadEnvelopeEdits(t *testing.T) {
	for _, p := range []string{"", "a@b", "a@b\x00X", "a@b\x00X\x00Y\x00"} {
		for name, parse := range map[string]func([]byte) (RcptEdit, error){
			"add": ParseAddRcpt, "add with parameters": ParseAddRcptArgs, "delete": ParseDelRcpt, "sender": ParseChgFrom,
		} {
			if _, err := parse([]byte(p)); err == nil {
				t.Errorf("%s: %q is taken", name, p)
			}
		}
		if _, err := ParseQuarantine([]byte(p)); err == nil {
			t.Errorf("quarantine: %q is taken", p)
		}
	}
	for name, parse := range map[string]func([]byte) (RcptEdit, error){"add": ParseAddRcpt, "delete": ParseDelRcpt} {
		if _, err := parse([]byte("a@b\x00X\x00")); err == nil {
			t.Errorf("%s takes parameters", name)
		}
	}
}
