package milterkit

import (
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit/wire"
)

// postfixTakes is what Postfix (2.4 to 3.11, milter8.c) asks of the first line
// of a reply; one that it does not take ends the milter's part in the whole SMTP
// session. It is asked of every line here.
func postfixTakes(line string) bool {
	digit := func(i int) bool { return line[i] >= '0' && line[i] <= '9' }
	return len(line) >= 4 && (line[0] == '4' || line[0] == '5') && digit(1) && digit(2) && (line[3] == ' ' || line[3] == '-') &&
		(len(line) == 4 || !digit(4) || line[4] == line[0])
}

// checkReply holds for every reply, whatever it was made of.
func checkReply(t *testing.T, v Verdict) {
	t.Helper()
	lines := strings.Split(v.Text(), "\r\n")
	if len(lines) > maxReplyLines {
		t.Errorf("%d lines", len(lines))
	}
	for i, line := range lines {
		if !postfixTakes(line) {
			t.Errorf("Postfix does not take %q", line)
		}
		if (line[3] == '-') != (i < len(lines)-1) || line[:3] != lines[0][:3] {
			t.Errorf("line %d of %q", i, lines)
		}
		if len(line) > 4+maxReplyLine {
			t.Errorf("a line of %d bytes", len(line))
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			t.Errorf("control characters in %q", line)
		}
	}
	frame := appendVerdict(nil, v)
	if _, err := wire.ParseReplyCode(frame[5:]); err != nil {
		t.Errorf("%q: %v", frame, err)
	}
	again, err := ParseReply(v.Text())
	if err != nil || again != v {
		t.Errorf("%q is read again as %q, %v", v.Text(), again.Text(), err)
	}
}

func TestReplyTexts(t *testing.T) {
	long, many := strings.Repeat("x", 2000), strings.Repeat("line\n", 100)
	for _, test := range []struct {
		name string
		v    Verdict
		want string
	}{
		{"an enhanced code", Reject("5.7.1 no relaying"), "550 5.7.1 no relaying"},
		{"none", Reject("no relaying"), "550 no relaying"},
		{"several lines", TempFail("4.7.1 one\n4.7.1 two"), "451-4.7.1 one\r\n451 4.7.1 two"},
		{"lines that end in CRLF", TempFail("one\r\ntwo\r\n"), "451-one\r\n451 two"},
		{"a code of the wrong class", Reply(451, "5.7.1 later"), "451 4.7.1 later"},
		{"a wrong class and a tab", Reply(451, "5.7.1\tlater"), "451 4.7.1\tlater"},
		{"a code that says success", Reply(550, "2.0.0 no"), "550 5.0.0 no"},
		{"only a code", Reply(550, "4.7.1"), "550 5.7.1"},
		{"no text", Reply(550), "550 "},
		{"an empty line", Reply(550, "one", "", "two"), "550-one\r\n550-\r\n550 two"},
		{"control characters", Reject("a\x00b\x1b[31mc\x7f\rd"), "550 ab[31mcd"},
		{"a line break within a line", Reply(550, "a\r\n250 ok"), "550 a250 ok"},
		{"8-bit", Reject("grüße \xff"), "550 grüße ?"},
		{"percent", Reject("full to 100% %s"), "550 full to 100% %s"},
		{"an address", Reject("192.0.2.1 is blocked"), "550 5.0.0 192.0.2.1 is blocked"},
		{"a number", TempFail("20 messages are too many"), "451 4.0.0 20 messages are too many"},
		{"a number of the right class", Reject("50 messages are too many"), "550 50 messages are too many"},
		{"a long line", Reply(550, long), "550 " + long[:maxReplyLine]},
		{"a long line of 8-bit", Reply(550, "x"+strings.Repeat("é", 600)), "550 x" + strings.Repeat("é", 489)},
		{"many lines", Reject(many), strings.Repeat("550-line\r\n", maxReplyLines-1) + "550 line"},
	} {
		if test.v.Text() != test.want {
			t.Errorf("%s: %q, want %q", test.name, test.v.Text(), test.want)
		}
		checkReply(t, test.v)
	}
	frame := string(appendVerdict(nil, Reject("full to 100% %s")))
	if !strings.HasSuffix(frame, "y550 full to 100%% %%s\x00") {
		t.Errorf("percent signs are not doubled: %q", frame)
	}
}

func TestRepliesWithoutWords(t *testing.T) {
	for v, want := range map[Verdict]string{Reject(""): "r", TempFail(""): "t", Discard: "d", Continue: "c", Accept: "c"} {
		if got := string(appendVerdict(nil, v)[4:]); got != want || v.Text() != "" {
			t.Errorf("%v is sent as %q", v, got)
		}
	}
	for _, code := range []int{0, 250, 399, 600, -1} {
		if v := Reply(code, "x"); v.Kind() != KindFail {
			t.Errorf("code %d: %v", code, v)
		}
	}
	if v := Reply(421, "4.7.0 bye"); v.Kind() != KindTempFail {
		t.Error(v)
	}
}

func TestRepliesThatAreNone(t *testing.T) {
	for _, text := range []string{"", "5", "ok", "250 ok", "550_no", "550-a\r\n551 b", "55x no", "600 no", "550 a\n\n550 b"} {
		if v, err := ParseReply(text); err == nil {
			t.Errorf("%q is read as %v", text, v)
		}
	}
	v, err := ParseReply("550-a\n550 b\n")
	if err != nil || v != Reply(550, "a", "b") {
		t.Error(v, err)
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"5.7.1 no", "a\nb", "100%", "4.7.1\tx", "1.2.3.4 x", "\xff\x00", strings.Repeat("é\n", 40), strings.Repeat("x", 1000)} {
		f.Add(550, s)
		f.Add(451, s)
	}
	f.Fuzz(func(t *testing.T, code int, text string) {
		v := Reply(code, splitLines(text)...)
		if v.Kind() == KindFail {
			return
		}
		checkReply(t, v)
		if other, err := ParseReply(text); err == nil {
			checkReply(t, other)
		}
	})
}
