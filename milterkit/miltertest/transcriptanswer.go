package miltertest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/milterkit/sdk/milterkit/wire"
)

// anything stands in a transcript for any text, and alone on a line for any
// number of answers.
const anything = "..."

// maxShownBody is how many bytes of a new body are shown as they are.
const maxShownBody = 200

// verdictWords are the verdicts that a transcript can expect, besides a reply.
var verdictWords = []string{"continue", "accept", "reject", "tempfail", "discard", "skip", "shutdown"}

// editWords are how the lines of edits begin. See [Edit.String].
var editWords = []string{"add header ", "insert header ", "change header ", "delete header ", "change sender ",
	"add recipient ", "delete recipient ", "quarantine:", "replace body"}

// smtpReply is how a refusal in the filter's own words begins.
var smtpReply = regexp.MustCompile(`^[45][0-9][0-9]([ -]|$)`)

// checkAnswer reports why a line can be no answer to a command.
func checkAnswer(cmd byte, text string) error {
	if strings.Contains(text, anything) || smtpReply.MatchString(text) {
		return nil
	}
	if slices.Contains(verdictWords, text) {
		return nil
	}
	if w := editWord(text); w != "" {
		if cmd != wire.CmdEOM && w != "quarantine:" {
			return fmt.Errorf("a filter may ask for %q only at the end of a message: move the line under > eom", strings.TrimSpace(w))
		}
		return nil
	}
	return fmt.Errorf("%.60q is no answer: write %s, a reply such as 550 5.7.1 no, an edit such as add header X-Seen: yes, or ... for any", text,
		strings.Join(verdictWords, ", "))
}

// editWord returns how the line of an edit begins; "": it is none.
func editWord(text string) string {
	for _, w := range editWords {
		if strings.HasPrefix(text, w) {
			return w
		}
	}
	return ""
}

// A given is one line of what a filter answered, and other ways to write it.
type given struct {
	text string
	also []string
}

// givenEdits returns the lines of edits. A new body stands last, where milterkit
// sends it: it is the same wherever it stands.
func givenEdits(edits []Edit) []given {
	var lines, body []given
	for _, e := range edits {
		g := given{text: e.String()}
		if e.Code != wire.RepReplaceBody {
			lines = append(lines, g)
			continue
		}
		whole := "replace body " + strconv.Quote(e.Body)
		if len(e.Body) <= maxShownBody {
			g.text, whole = whole, g.text
		}
		g.also = []string{whole}
		body = append(body, g)
	}
	return append(lines, body...)
}

// givenReply returns the line of a reply. To a command that is not sent, or not
// answered, the MTA goes on.
func givenReply(r Reply) given {
	switch r.Kind {
	case NotSent, NoReply:
		return given{text: "continue"}
	case Accept, Skip:
		return given{text: r.String(), also: []string{"continue"}} // the client notices no difference
	}
	return given{text: r.String()}
}

// is reports whether a line of a transcript stands for the answer.
func (g given) is(want string) bool {
	if like(want, g.text) {
		return true
	}
	for _, text := range g.also {
		if like(want, text) {
			return true
		}
	}
	return false
}

// like reports whether a text is as a pattern has it, in which "..." is any text.
func like(pattern, text string) bool {
	parts := strings.Split(pattern, anything)
	last := len(parts) - 1
	if last == 0 {
		return strings.TrimRight(text, " \t") == pattern
	}
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1:last] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return strings.HasSuffix(text, parts[last])
}

// wanted returns the answers that an exchange expects: to go on, if it has none
// besides edits.
func (x *exchange) wanted() []string {
	n := len(x.want)
	if n == 0 || editWord(x.want[n-1]) != "" {
		return append(x.want[:n:n], "continue")
	}
	return x.want
}

// right reports whether all answers are as they are wanted.
func right(want []string, got []given) bool {
	switch {
	case len(want) == 0:
		return len(got) == 0
	case want[0] == anything && right(want[1:], got):
		return true
	case len(got) == 0:
		return false
	case want[0] == anything:
		return right(want, got[1:])
	}
	return got[0].is(want[0]) && right(want[1:], got[1:])
}

// A comparedLine is one that was wanted, given, or both.
type comparedLine struct {
	sign rune // ' ' for both, '-' for wanted, '+' for given
	text string
}

// compare sets answers beside those that were wanted. A line that was wanted and
// given stands as the transcript has it.
func compare(want []string, got []given) []comparedLine {
	var lines, more []comparedLine
	for _, g := range got {
		at := slices.IndexFunc(want, func(w string) bool { return w != anything && g.is(w) })
		if at < 0 {
			more = append(more, comparedLine{'+', g.text})
			continue
		}
		for _, w := range want[:at] {
			lines = append(lines, comparedLine{'-', w})
		}
		lines = append(append(lines, more...), comparedLine{' ', want[at]})
		want, more = want[at+1:], nil
	}
	for _, w := range want {
		lines = append(lines, comparedLine{'-', w})
	}
	return append(lines, more...)
}

// difference tells of answers that are not as they are wanted.
func (x *exchange) difference(got []given) string {
	var b strings.Builder
	fmt.Fprintf(&b, "      > %s\n", x.text)
	for _, l := range compare(x.wanted(), got) {
		if l.text == anything {
			continue // it is never what is wrong
		}
		fmt.Fprintf(&b, "    %c < %s\n", l.sign, l.text)
	}
	return b.String()
}

// take has the answers stand in the transcript, where others did.
func (x *exchange) take(got []given) {
	if right(x.wanted(), got) {
		if len(x.want) == 0 && x.cmd == wire.CmdEOM {
			x.want = []string{got[0].text}
		}
		return
	}
	lines := compare(x.want, got)
	x.want = nil
	for _, l := range lines {
		if l.sign != '-' {
			x.want = append(x.want, l.text)
		}
	}
}
