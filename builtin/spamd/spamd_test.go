package spamd

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// The child keeps to the rules of package milterkit.
func TestRules(t *testing.T) {
	f := startFake(t, spamAnswer)
	o := options(f)
	o.Subject, o.User, o.Logger = "[SPAM]", "recipient", quiet
	miltertest.TestChild(t, func() milterkit.Child {
		child, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		return child
	})
}

// The result stands in the fields of SpamAssassin, for all mail or for spam only.
func TestTag(t *testing.T) {
	ham := "X-Spam-Score: -1.0\r\nX-Spam-Status: No, score=-1.0 required=5.0 tests=ALL_TRUSTED,NO_SPAM\r\n\r\nHello"
	spam := "X-Spam-Flag: YES\r\nX-Spam-Score: 6.0\r\nX-Spam-Level: ******\r\nX-Spam-Status: Yes, score=6.0 required=5.0 tests=BAD_WORDS,FORGED\r\n\r\nHello"
	for _, x := range []struct{ tag, answer, want string }{
		{"all", hamAnswer, ham},
		{"all", spamAnswer, spam},
		{"all", noTests, "X-Spam-Score: 0.0\r\nX-Spam-Status: No, score=0.0 required=5.0 tests=none\r\n\r\nHello"},
		{"spam", hamAnswer, "Subject: figures\r\n\r\nHello"},
		{"spam", spamAnswer, spam},
		{"none", spamAnswer, "Subject: figures\r\n\r\nHello"},
	} {
		o := options(startFake(t, x.answer))
		o.Tag = x.tag
		if v, text := send(t, o, mail{}); v != milterkit.Continue || !strings.Contains(text, x.want) {
			t.Errorf("tag = %q: %v, want\n%s\nin\n%s", x.tag, v, x.want, text)
		}
	}
}

// A long list of tests is folded, and many stars are as many as SpamAssassin
// writes.
func TestLongResult(t *testing.T) {
	tests := strings.TrimSuffix(strings.Repeat("A_LONG_NAME_OF_A_TEST,", 20), ",")
	_, text := send(t, options(startFake(t, answerOf("True ; 1000.0 / 5.0", tests))), mail{})
	for line := range strings.Lines(text) {
		if len(strings.ReplaceAll(line, "\t", "        ")) > 78+2 {
			t.Errorf("the line %q is long", line)
		}
	}
	wantText(t, text, "\r\nX-Spam-Level: "+strings.Repeat("*", 50)+"\r\n", "X-Spam-Status: Yes, score=1000.0 required=5.0 tests=A_LONG_NAME_OF_A_TEST,\r\n\tA_LONG")
	if got := strings.ReplaceAll(text, "\r\n\t", ""); !strings.Contains(got, "tests="+tests+"\r\n") {
		t.Errorf("the tests are not all there:\n%s", text)
	}
}

// Fields of ours that came with the message go, whatever becomes of it; others stay.
func TestForgedFields(t *testing.T) {
	alike := "X-\u017fpam-Score: -9\r\n" // a name of its own, which does not hide the one behind it
	forged := alike + "x-spam-flag: NO\r\nX-Spam-Status: No, score=-100\r\nX-Spam-Flag: NO\r\nX-SPAM-LEVEL:\r\nX-Spam-Report: fine\r\n" +
		"X-Spam-Checker-Version: SpamAssassin 9.9\r\nX-Spam-Known-Sender: yes\r\nX-Spam-Score: -5\r\nX-Spam-Status: No, second\r\n"
	keeps := alike + "X-Spam-Known-Sender: yes\r\n"
	for _, x := range []struct {
		name, answer string
		change       func(*Options)
		want         string
	}{
		{"spam", spamAnswer, func(*Options) {}, keeps + "X-Spam-Flag: YES\r\nX-Spam-Score: 6.0\r\nX-Spam-Level: ******\r\nX-Spam-Status: Yes,"},
		{"ham", hamAnswer, func(*Options) {}, keeps + "X-Spam-Score: -1.0\r\nX-Spam-Status: No, score=-1.0 "},
		{"no tags", spamAnswer, func(o *Options) { o.Tag = "none" }, keeps + "\r\nHello"},
		{"too big", spamAnswer, func(o *Options) { o.MaxSize = 10; o.Logger = quiet }, keeps + "\r\nHello"},
	} {
		f := startFake(t, x.answer)
		o := options(f)
		x.change(&o)
		_, text := send(t, o, mail{text: letterOf(forged)})
		if !strings.Contains(text, "Subject: figures\r\n"+x.want) {
			t.Errorf("%s: want %q in\n%s", x.name, x.want, text)
		}
		if f.count() > 0 {
			wantNoText(t, f.last(t).message, "forged", "X-Spam-Status", "x-spam-flag", "-100")
		}
	}
}

// What a child before has written stays, but no field stands there twice.
func TestFieldsOfChildrenBefore(t *testing.T) {
	before := milterkit.Slot{Child: milterkit.OnMessage("before", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.AddHeader("X-Spam-Report", "of another filter")
		e.AddHeader("X-Spam-Status", "Yes, of another filter")
		return milterkit.Continue
	})}
	_, text := send(t, options(startFake(t, hamAnswer)), mail{before: []milterkit.Slot{before}})
	wantText(t, text, "X-Spam-Report: of another filter", "X-Spam-Status: No,")
	wantNoText(t, text, "Yes, of another filter")
}

// From a score on, and no sooner, a message is refused.
func TestReject(t *testing.T) {
	for _, x := range []struct {
		score float64
		text  string
		want  string
	}{
		{0, "", ""},
		{6.1, "", ""},
		{6, "", "550 5.7.1 Blocked by SpamAssassin"},
		{0.5, "5.7.0 no, thank you", "550 5.7.0 no, thank you"},
	} {
		o := options(startFake(t, spamAnswer))
		o.RejectScore = x.score
		if x.text != "" {
			o.RejectText = x.text
		}
		v, _ := send(t, o, mail{})
		if got := v.Text(); got != x.want {
			t.Errorf("reject_score = %v: %q, want %q", x.score, got, x.want)
		}
	}
}

// The subject of spam is marked, once, and stays as it is behind the mark.
func TestSubject(t *testing.T) {
	long := "a subject that fills the line up to its end, or nearly so as it were"
	for _, x := range []struct{ mark, header, want string }{
		{"[SPAM] ", "Subject: figures\r\n", "Subject: [SPAM] figures\r\n"},
		{"[SPAM]", "subject:figures\r\n", "Subject: [SPAM] figures\r\n"},
		{"[SPAM]", "Subject: [SPAM] figures\r\n", "Subject: [SPAM] figures\r\n"},
		{"[SPAM]", "Subject: [SPAM]\r\n", "Subject: [SPAM]\r\n"},
		{"[SPAM]", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?q?_an_dich?=\r\n", "Subject: [SPAM] =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?q?_an_dich?=\r\n"},
		{"[SPAM]", "Subject: =?utf-8?q?=5BSPAM=5D_Gr=C3=BC=C3=9Fe?=\r\n", "Subject: =?utf-8?q?=5BSPAM=5D_Gr=C3=BC=C3=9Fe?=\r\n"},
		{"[SPAM]", "From: a@example.com\r\n", "Subject: [SPAM]\r\n"},
		{"[SPAM]", "Subject:\r\n", "Subject: [SPAM]"},
		{"[SPAM]", "Subject: one\r\nSubject: two\r\n", "Subject: [SPAM] one\r\nSubject: [SPAM] two\r\n"},
		{"[SPAM]", "Subject: " + long + "\r\n", "Subject: [SPAM]\r\n " + long + "\r\n"},
		{"", "Subject: figures\r\n", "Subject: figures\r\n"},
	} {
		o := options(startFake(t, spamAnswer))
		o.Subject = x.mark
		if _, text := send(t, o, mail{text: x.header + "\r\nHello"}); !strings.Contains(text, x.want) {
			t.Errorf("%q with %q: want %q in\n%s", x.mark, x.header, x.want, text)
		}
	}
	o := options(startFake(t, hamAnswer))
	o.Subject = "[SPAM]"
	_, text := send(t, o, mail{})
	wantText(t, text, "Subject: figures\r\n")
}

// A message above the limit is not shown to spamd, and goes on.
func TestMaxSize(t *testing.T) {
	f := startFake(t, spamAnswer)
	o := options(f)
	o.Logger = quiet
	o.MaxSize = int64(len(letterOf(""))) // not with what spamd is told besides
	if v, text := send(t, o, mail{}); v != milterkit.Continue || strings.Contains(text, "X-Spam") || f.count() > 0 {
		t.Errorf("%v, asked %d times:\n%s", v, f.count(), text)
	}
	o.MaxSize = 0
	_, text := send(t, o, mail{text: letterOf("") + strings.Repeat("x", 1<<20)})
	wantText(t, text, "X-Spam-Flag: YES")
}

// Spamd is told whose preferences count.
func TestUser(t *testing.T) {
	f := startFake(t, hamAnswer)
	one, two := []string{"<Bob+Lists@Example.org>"}, []string{"<bob@example.org>", "<carol@example.org>"}
	for _, x := range []struct {
		user, other string
		to          []string
		want        string
	}{
		{"", "", one, ""},
		{"recipient", "", one, "bob+lists@example.org"},
		{"local-part", "", one, "bob"},
		{"recipient", "", two, ""},
		{"recipient", "nobody", two, "nobody"},
		{"local-part", "nobody", two, "nobody"},
		{"filter", "", two, "filter"},
		{"recipient", "nobody", []string{`<"../../etc/x y"@example.org>`}, "nobody"},
		{"local-part", "nobody", []string{"<..@example.org>"}, "nobody"},
		{"local-part", "", []string{"<@example.org>"}, ""},
	} {
		o := options(f)
		o.User, o.DefaultUser = x.user, x.other
		if v, _ := send(t, o, mail{to: x.to}); v != milterkit.Continue {
			t.Fatal(v, v.Err())
		}
		q := f.last(t)
		if got, there := q.header.Get("User"), q.header["User"] != nil; got != x.want || there != (x.want != "") {
			t.Errorf("user = %q, default_user = %q, to %v: spamd was told %q, want %q", x.user, x.other, x.to, got, x.want)
		}
	}
}

// An option that cannot be is named, and what would be right.
func TestValidate(t *testing.T) {
	for _, x := range []struct {
		change         func(*Options)
		option, reason string
	}{
		{func(o *Options) { o.Addresses = nil }, "addresses", "write unix:/PATH"},
		{func(o *Options) { o.Addresses = []string{"783"} }, "addresses", "783"},
		{func(o *Options) { o.Timeout = -1 }, "timeout", `"100s"`},
		{func(o *Options) { o.MaxSize = -1 }, "max_size", `"512KiB"`},
		{func(o *Options) { o.RejectScore = -5 }, "reject_score", "such as 15"},
		{func(o *Options) { o.RejectText = "two\nlines" }, "reject_text", "one line"},
		{func(o *Options) { o.RejectText = "" }, "reject_text", "one line"},
		{func(o *Options) { o.Tag = "ham" }, "tag", `"all"`},
		{func(o *Options) { o.Subject = "[SPÄM]" }, "subject", "ASCII"},
		{func(o *Options) { o.User = "a b" }, "user", `"recipient"`},
		{func(o *Options) { o.User, o.DefaultUser = "recipient", "../x" }, "default_user", "letters"},
		{func(o *Options) { o.DefaultUser = "nobody" }, "default_user", "only where user is"},
	} {
		o := Defaults
		x.change(&o)
		_, err := New(o)
		named, ok := err.(interface{ Option() string })
		if !ok || named.Option() != x.option || !strings.Contains(err.Error(), x.reason) {
			t.Errorf("%s: the error is %v, want %q in it", x.option, err, x.reason)
		}
	}
	if _, err := New(Defaults); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

// Fold keeps the words and their order, whatever they are.
func FuzzFold(f *testing.F) {
	f.Add("Yes, score=6.0 required=5.0 tests=A,B,C", 15)
	f.Fuzz(func(t *testing.T, text string, at int) {
		var words []string
		for _, w := range strings.SplitAfter(text, ",") {
			words = append(words, strings.ReplaceAll(w, "\n", ""))
		}
		got := fold(at%80, words)
		if joined := strings.Join(words, ""); squeeze(got) != squeeze(joined) {
			t.Errorf("%q became %q", joined, got)
		}
	})
}

// squeeze takes out what folding may change.
func squeeze(s string) string {
	return fmt.Sprint(strings.Map(func(r rune) rune {
		if r == ' ' || r == '\n' || r == '\t' {
			return -1
		}
		return r
	}, s))
}

// A message with more forged fields than a mail server deletes in no time is refused.
func TestTooManyForgedFields(t *testing.T) {
	v, _ := send(t, options(startFake(t, hamAnswer)), mail{text: letterOf(strings.Repeat("X-Spam-Flag: NO\r\n", 600))})
	if code, _ := v.SMTP(); code != 552 {
		t.Errorf("got %v", v)
	}
}
