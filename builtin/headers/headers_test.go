package headers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

func mustNew(t testing.TB, o Options) milterkit.Child {
	t.Helper()
	child, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return child
}

func rules(t testing.TB, rules ...Rule) milterkit.Child {
	t.Helper()
	return mustNew(t, Options{Rules: rules, Logger: slog.New(slog.DiscardHandler)})
}

// editor is a child that stands before ours.
func editor(edit func(*milterkit.Edits)) milterkit.Child {
	return milterkit.OnMessage("editor", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		edit(e)
		return milterkit.Continue
	})
}

// A field is one of a header that a recorder has seen.
type field struct {
	name, value string
	added       bool
}

// recorder notes the header as the children before it have left it.
func recorder(name string, into *[]field) milterkit.Child {
	return milterkit.OnMessage(name, func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
		*into = nil
		for _, f := range m.Header() {
			*into = append(*into, field{string(f.Name), string(f.Value), f.Added})
		}
		return milterkit.Continue
	})
}

// deliver takes a message past children, behind the MTA whose version that is.
func deliver(t interface {
	Helper()
	Fatal(...any)
}, version, message string, children ...milterkit.Child) milterkit.Outcome {
	t.Helper()
	slots := make([]milterkit.Slot, len(children))
	for i, child := range children {
		slots[i].Child = child
	}
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	w := d.Walk(milterkit.AllActions)
	defer w.Close()
	ctx := context.Background()
	w.Macros(milterkit.StageConnect, maps.All(map[string]string{"v": version}))
	w.Connect(ctx, "mail.example.org", milterkit.FamilyInet, "192.0.2.7", 25)
	w.Macros(milterkit.StageMail, maps.All(map[string]string{"i": "4B2"}))
	w.Mail(ctx, milterkit.NewAddress("<alice@example.org>"))
	w.Rcpt(ctx, milterkit.NewAddress("<bob@example.net>"))
	o := w.Message(ctx, []byte(message))
	o.Edits = slices.Clone(o.Edits)
	return o
}

const postfix, sendmail = "Postfix 3.7.11", "8.17.1.9"

// header returns what children make of a header, one field a line.
func header(t testing.TB, text string, children ...milterkit.Child) string {
	t.Helper()
	var seen []field
	deliver(t, postfix, text+"\n\nbody\n", append(children, recorder("recorder", &seen))...)
	var lines []string
	for _, f := range seen {
		lines = append(lines, f.name+":"+f.value)
	}
	return strings.Join(lines, "\n")
}

func TestRules(t *testing.T) {
	miltertest.Run(t, "testdata/actions.txt", milterkit.Slot{Child: rules(t,
		Rule{Header: "X-Spam-*", Action: Remove},
		Rule{Header: "Subject", Match: "^keep", Action: Dunno},
		Rule{Header: "subject", Match: `^\*+SPAM\*+ (?P<rest>.*)`, Action: Replace, Text: "[$${rest}] ${rest}"},
		Rule{Header: "Subject", Match: "viagra", Action: Reject},
		Rule{Header: "Subject", Match: "(buy) now", Action: Reject, Text: "5.7.7 do not say $1"},
		Rule{Header: "Subject", Match: "later", Action: TempFail},
		Rule{Header: "Subject", Match: "soon", Action: TempFail, Text: "not before $0"},
		Rule{Header: "Subject", Match: "drop", Action: Discard},
		Rule{Header: "Subject", Match: "hold (.*)", Action: Quarantine, Text: "because of $1"},
		Rule{Header: "Subject", Match: "look", Action: Quarantine},
		Rule{Header: "X-Mailer", Match: "(?-i)Evil ([0-9.]+)", Action: Prepend, Text: "X-Note: evil $1"},
	)})
}

func TestChildKeepsTheRules(t *testing.T) {
	miltertest.TestChild(t, func() milterkit.Child {
		return rules(t,
			Rule{Header: "Subject", Match: "(.*)", Action: Replace, Text: "[seen] $1"},
			Rule{Header: "X-*", Action: Remove},
			Rule{Header: "*", Match: "example", Action: Prepend, Text: "X-Note: $0"})
	})
}

// A rule can be about fields that came with the mail, or about those of the
// children before.
func TestWhereAFieldComesFrom(t *testing.T) {
	const forged = "Subject: a\nX-Spam-Flag: NO\nX-Spam-Score: -5\nX-Other: o"
	scanner := editor(func(e *milterkit.Edits) {
		e.AddHeader("X-Spam-Flag", "YES")
		e.AddHeader("X-Spam-Level", "*****")
	})
	changer := editor(func(e *milterkit.Edits) { e.ChangeHeader("X-Spam-Flag", 1, "YES") })
	message := rules(t, Rule{Header: "X-Spam-*", From: Message, Action: Remove})
	children := rules(t, Rule{Header: "X-Spam-*", From: Children, Action: Remove})
	for _, c := range []struct {
		name     string
		children []milterkit.Child
		want     string
	}{
		{"of the mail, at the end", []milterkit.Child{scanner, message}, "Subject: a\nX-Other: o\nX-Spam-Flag: YES\nX-Spam-Level: *****"},
		{"of the mail, at the start", []milterkit.Child{message, scanner}, "Subject: a\nX-Other: o\nX-Spam-Flag: YES\nX-Spam-Level: *****"},
		{"of children", []milterkit.Child{scanner, children}, forged},
		{"changed by a child", []milterkit.Child{changer, message}, "Subject: a\nX-Spam-Flag: YES\nX-Other: o"},
		{"of all", []milterkit.Child{scanner, rules(t, Rule{Header: "x-spam-*", Action: Remove})}, "Subject: a\nX-Other: o"},
	} {
		if got := header(t, forged, c.children...); got != c.want {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// The value that is matched is on one line, without the space around it, and as it
// came: neither case nor folds keep a rule from it, and words are not decoded.
func TestWhatIsMatched(t *testing.T) {
	for _, c := range []struct {
		value, match string
		want         bool
	}{
		{" Hello Bob", "^hello bob$", true},
		{" Hello Bob", "(?-i)^hello", false},
		{" one\n two\n\tthree  ", "^one two\tthree$", true},
		{"", "^$", true},
		{" \n ", "^$", true},
		{" =?utf-8?q?=62uy?=", "buy", false},
		{" =?utf-8?q?=62uy?=", `=\?utf-8\?`, true},
		{" a|b", "x|B", true},
		{" gr\xfc\xdfe", "^gr..e$", true},
		{" gr\u00fc\u00dfe", "^gr\u00dc", true},
	} {
		r := rules(t, Rule{Header: "Subject", Match: c.match, Action: Remove})
		if got := header(t, "A: a\nSubject:"+c.value, r) == "A: a"; got != c.want {
			t.Errorf("%q matches %q: %v", c.match, c.value, got)
		}
	}
}

// Names fit as a whole and without regard to case, of ASCII letters alone, as for
// MTAs.
func TestWhichNamesFit(t *testing.T) {
	for _, c := range []struct {
		header, name string
		want         bool
	}{
		{"X-Spam", "x-sPAM", true}, {"X-Spam", "X-Spam-Flag", false}, {"X-Spam*", "X-Spam-Flag", true}, {"X-Spam*", "X-Spam", true},
		{"X-*-Flag", "X-Spam-Flag", true}, {"X-*-Flag", "X-Spam-Flags", false}, {"*", "a", true}, {"X.y", "X-y", false}, {"X.y*", "X-y", false},
		{"X-K", "X-\u212a", false}, {"X-K*", "X-\u212a", false}, {"*-*-*", "a-b-c", true}, {"*", "\xff", true},
	} {
		r, _, err := compile(Rule{Header: c.header, Action: Remove})
		if got := r.fits(lower([]byte(c.name)), false); err != nil || got != c.want {
			t.Errorf("%s fits %s: %v, %v", c.header, c.name, got, err)
		}
	}
}

// A new value is what it was made of when it is unfolded, has lines of 78 columns
// where it has blanks, and no control characters.
func TestNewValues(t *testing.T) {
	words := strings.TrimSpace(strings.Repeat("word  ", 40))
	for _, c := range []struct{ value, text, want string }{
		{" a\x01b\x7f\tc", "$0", " a b \tc"},
		{" " + words, "$0", " word" + strings.Repeat("  word", 10) + "\n" + strings.Repeat("  word", 13) + "\n" + strings.Repeat("  word", 13) +
			"\n  word  word  word"},
		{" " + strings.Repeat("x", 200), "$0 y", " " + strings.Repeat("x", 200) + "\n y"},
		{" gr\xfc\xdfe", "<$0>", " <gr\xfc\xdfe>"},
		{" a", " b ", " b"},
	} {
		got := header(t, "Subject:"+c.value, rules(t, Rule{Header: "Subject", Action: Replace, Text: c.text}))
		if want := "Subject:" + c.want; got != want {
			t.Errorf("%q as %q\ngot  %q\nwant %q", c.value, c.text, got, want)
		}
	}
	if got := header(t, "A: a\nSubject: x\nB: b", rules(t, Rule{Header: "Subject", Match: "x(.*)", Action: Replace, Text: " $1 "})); got != "A: a\nB: b" {
		t.Errorf("a field without a value stays: %q", got)
	}
}

// Rules that have something to say say it in the log, with the field, but no more
// than twenty times about one message.
func TestWarningsStandInTheLog(t *testing.T) {
	var log bytes.Buffer
	child := mustNew(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Rules: []Rule{
		{Header: "Subject", Match: "(b.*)", Action: Warn, Text: "a subject with $1"},
		{Header: "X-Gone", Action: Remove, Text: "gone"},
		{Header: "X-Silent", Action: Remove},
	}})
	got := header(t, "Subject: a\n\tbuy\u00fc\nX-Gone: g\nX-Silent: s", child)
	const want = `level=WARN msg="header rule" session=N queue_id=4B2 rule=1 action=warn text="a subject with buy??" header=Subject value="a buy??"
level=INFO msg="header rule" session=N queue_id=4B2 rule=2 action=remove text=gone header=X-Gone value=g
`
	var told strings.Builder
	for line := range strings.Lines(log.String()) {
		_, rest, _ := strings.Cut(line, " ")
		told.WriteString(regexp.MustCompile(`session=\d+`).ReplaceAllString(rest, "session=N"))
	}
	if told.String() != want || got != "Subject: a\n\tbuy\u00fc" {
		t.Errorf("got\n%s%s\nwant\n%s", told.String(), got, want)
	}
	log.Reset()
	header(t, strings.TrimSpace(strings.Repeat("X-Gone: "+strings.Repeat("x", 5000)+"\n", 100)), child)
	if n := strings.Count(log.String(), "\n"); n != 21 || log.Len() > 30_000 || !strings.Contains(log.String(), "unlogged=80") {
		t.Errorf("%d lines, %d bytes:\n%.3000s", n, log.Len(), log.String())
	}
}

// A message that rules would change too much is refused, and soon: each of these
// takes less than half a second. The test leaves time for the race detector on a busy
// machine; what goes wrong here takes minutes.
func TestRulesDoNotWorkTooHard(t *testing.T) {
	var many strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&many, "X-%05x:\n", i)
	}
	long := "Subject: " + strings.Repeat("x", 1<<20) + "\n"
	for _, c := range []struct {
		name, message string
		rule          Rule
		kind          milterkit.Kind
	}{
		{"fields that are removed", many.String(), Rule{Header: "X-*", Action: Remove}, milterkit.KindReject},
		{"fields that come before", many.String(), Rule{Header: "*", Action: Prepend, Text: "X: y"}, milterkit.KindReject},
		{"as many as may be, at the end", many.String(), Rule{Header: "X-184*", Action: Remove}, milterkit.KindContinue},
		{"a value too often", long, Rule{Header: "Subject", Action: Replace, Text: strings.Repeat("$0", 1000)}, milterkit.KindReject},
		{"a value once", long, Rule{Header: "Subject", Match: "x{1,5}", Action: Replace, Text: "$0"}, milterkit.KindContinue},
		{"backtracking", long, Rule{Header: "Subject", Match: "^(x+x+)+y", Action: Reject}, milterkit.KindContinue},
		{"words everywhere", long, Rule{Header: "Subject", Match: `\b(cheap|free|buy)\b.*\b(pills|watches)\b`, Action: Reject}, milterkit.KindContinue},
		{"a reply", long, Rule{Header: "Subject", Action: Reject, Text: "no $0"}, milterkit.KindReject},
	} {
		began := time.Now()
		o := deliver(t, postfix, c.message+"\n", rules(t, c.rule))
		if took := time.Since(began); o.Verdict.Kind() != c.kind || took > 30*time.Second {
			t.Errorf("%s: %.200v after %v", c.name, o.Verdict, took)
		} else {
			t.Logf("%s: %v", c.name, took)
		}
	}
}

// As much of a value is matched as Postfix has of it, and no more.
func TestMatchSeesTheBeginning(t *testing.T) {
	for _, c := range []struct {
		before int
		kind   milterkit.Kind
	}{{maxValue - 1, milterkit.KindReject}, {maxValue, milterkit.KindContinue}} {
		message := "Subject: " + strings.Repeat("x", c.before) + "z\n\n"
		o := deliver(t, postfix, message, rules(t, Rule{Header: "Subject", Match: "z", Action: Reject}))
		if o.Verdict.Kind() != c.kind {
			t.Errorf("behind %d bytes: %v", c.before, o.Verdict)
		}
	}
}

// A hook whose time is up ends with the next rule.
func TestRulesEndWithTheirTime(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("time is up"))
	made, err := compileAll(Options{Rules: []Rule{{Header: "*", Action: Remove}}})
	if err != nil {
		t.Fatal(err)
	}
	p := &pass{checker: &checker{rules: made}, ctx: ctx, nth: map[string]int{}}
	if v := p.field(0, milterkit.Field{Name: []byte("A")}); v.Err() == nil || v.Err().Error() != "time is up" {
		t.Errorf("got %v", v)
	}
}

// What is wrong with rules is told with the option's name and what would be right.
func TestWrongRules(t *testing.T) {
	const actions = "; there are remove, replace, prepend, warn, quarantine, discard, reject, tempfail and dunno"
	for _, c := range []struct {
		rule Rule
		want string
	}{
		{Rule{Action: Remove}, `rule[1].header: "" is not the name of a header field; write one such as "Subject" or "X-Spam-*"`},
		{Rule{Header: "Subject:", Action: Remove}, `rule[1].header: "Subject:" is not the name of a header field; write one such as "Subject" or "X-Spam-*"`},
		{Rule{Header: "A", Match: "(", Action: Remove}, "rule[1].match: error parsing regexp: missing closing ): `(`"},
		{Rule{Header: "A", Match: "a)(b", Action: Remove}, "rule[1].match: error parsing regexp: unexpected ): `a)(b`"},
		{Rule{Header: "A", From: "mail", Action: Remove}, `rule[1].from: "mail" is unknown; there are "message" and "children", and without from any field will do`},
		{Rule{Header: "A"}, `rule[1].action: "" is unknown` + actions},
		{Rule{Header: "A", Action: "ignore"}, `rule[1].action: "ignore" is unknown` + actions},
		{Rule{Header: "A", Action: Replace}, `rule[1].text: it is missing: write the new value, such as text = "$1"`},
		{Rule{Header: "A", Action: Warn}, `rule[1].text: it is missing: write what is to stand in the log, such as text = "a long subject"`},
		{Rule{Header: "A", Action: Prepend}, `rule[1].text: "" is not a field; write name, colon and value, such as text = "X-Note: $0"`},
		{Rule{Header: "A", Action: Prepend, Text: "X $1: y"}, `rule[1].text: "X $1" is not the name of a header field; write a field such as text = "X-Note: $0"`},
		{Rule{Header: "A", Action: Dunno, Text: "x"}, "rule[1].text: dunno does nothing, and so has no text"},
		{Rule{Header: "A", Action: Reject, Text: "a\nb"}, "rule[1].text: it has a control character or more than one line; write one line of text"},
		{Rule{Header: "A", Action: Reject, Text: "5 $"}, "rule[1].text: a $ stands for nothing there; write $1 or ${1} for what a group has matched, $$ for a dollar sign"},
		{Rule{Header: "A", Action: Reject, Text: "$1"}, "rule[1].text: there is no $1: match has 0 groups, which stand in parentheses"},
		{Rule{Header: "A", Match: "(a)", Action: Reject, Text: "$1st"}, `rule[1].text: there is no group "1st" in match; write ${1}st for a group with text behind it`},
		{Rule{Header: "A", Match: "(a)", Action: Reject, Text: "${x}"}, `rule[1].text: there is no group "x" in match; it would be (?P<x>…)`},
		{Rule{Header: "A", Action: Reject, Text: strings.Repeat("x", 2001)}, "rule[1].text: it has 2001 bytes; write 2000 at most"},
	} {
		err := Options{Rules: []Rule{c.rule}}.Validate()
		if err == nil || err.Error() != c.want {
			t.Errorf("%+v\ngot  %v\nwant %s", c.rule, err, c.want)
		}
	}
	if _, err := New(Options{Rules: []Rule{{Header: "A", Action: Remove}, {Header: "A"}, {}}}); err == nil ||
		!strings.HasPrefix(err.Error(), "rule[2].action: ") || !strings.Contains(err.Error(), "\nrule[3].header: ") {
		t.Errorf("got %v", err)
	}
	if _, err := New(Defaults); err == nil || err.Error() != "rule: there is none; write one at least, with header and action" {
		t.Errorf("got %v", err)
	}
}
