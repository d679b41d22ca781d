package headers

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// A text that is taken is written as regexp.Expand would write it, and no longer
// than it may be by more than one piece.
func FuzzText(f *testing.F) {
	for _, text := range []string{"", "a", "$0", "${0}x", "$1-$2", "${n}", "$$", "$$$1", "$", "${", "${}", "$1x", "$9", "$-"} {
		f.Add(text, "a b")
	}
	match := regexp.MustCompile(`(?s)^(\S*)(?: (?P<n>.*))?`)
	f.Fuzz(func(t *testing.T, text, value string) {
		made, err := parseTemplate(text, match)
		if err != nil {
			return
		}
		loc := match.FindSubmatchIndex([]byte(value))
		want := string(match.ExpandString(nil, text, value, loc))
		if got := made.expand([]byte(value), loc, len(want)); got != want {
			t.Errorf("%q of %q\ngot  %q\nwant %q", text, value, got, want)
		}
		if got := made.expand([]byte(value), loc, 5); len(got) > 6+len(text) || !strings.HasPrefix(want, got) {
			t.Errorf("%q of %q, cut off: %q", text, value, got)
		}
	})
}

// A value that was folded is the same when it is unfolded, and each line but the
// first begins with a blank and holds something else. Unfolding leaves no line ends.
func FuzzFolding(f *testing.F) {
	for _, value := range []string{"", "a", "a  b\tc", strings.Repeat("word  ", 50), strings.Repeat("x", 100) + " y", "\n a\n\n b", "a\r\n b", "a\nb"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if v := unfold([]byte(text)); bytes.IndexByte(v, '\n') >= 0 || !bytes.Equal(v, bytes.Trim(v, blanks)) {
			t.Errorf("%q is unfolded as %q", text, v)
		}
		value := cleanValue(text)
		folded := fold("Subject", value)
		if got := string(unfold([]byte(folded))); got != value {
			t.Errorf("%q became %q", value, got)
		}
		for i, line := range strings.Split(folded, "\n") {
			bare := strings.Trim(line, blanks)
			if i > 0 && (bare == "" || line == strings.TrimLeft(line, blanks)) || len(line) > width && strings.ContainsAny(bare, blanks) && i > 0 {
				t.Errorf("%q has the line %q", folded, line)
			}
		}
	})
}
