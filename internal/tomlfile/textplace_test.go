package tomlfile

import (
	"bytes"
	"testing"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
)

// Each character of a value, read on its own from its place to that of the next,
// is that character.
func FuzzPlaces(f *testing.F) {
	for _, s := range []string{`"a\tb"`, `''`, `""`, `'a"\'`, `"\u00e9\U0001F600\x41\e\\\""`, "\"\"\"\n\"\"\"", "\"\"\"a\\\n  b\\  \r\n \t\n\"\"\"",
		"'''\r\na\r\nb''''", "\"\"\"\"\"a\"\"\\\"\"\"\"", `"é😀"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, written []byte) {
		root := Parse(append([]byte("a = "), written...), func(Place, string) {})
		if root == nil || len(root.Fields) != 1 || root.Fields[0].Val.Kind != IsString {
			return
		}
		v := root.Fields[0].Val
		quotes := v.raw[:1]
		if bytes.HasPrefix(v.raw, []byte(`"""`)) || bytes.HasPrefix(v.raw, []byte(`'''`)) {
			quotes = v.raw[:3]
		}
		if end := rawOffset(v.raw, len(v.Text)); end != len(v.raw)-len(quotes) {
			t.Fatalf("%s: the text ends at %d of %d", v.raw, end, len(v.raw))
		}
		for i, r := range v.Text {
			from, to := rawOffset(v.raw, i), rawOffset(v.raw, i+utf8.RuneLen(r))
			if r == '\r' && v.raw[from] == '\r' {
				continue // it cannot be without its line feed
			}
			var alone struct{ A string }
			text := "a = " + string(quotes) + "x" + string(v.raw[from:to]) + string(quotes)
			if err := toml.Unmarshal([]byte(text), &alone); err != nil || alone.A != "x"+string(r) {
				t.Fatalf("%s: %q at %d is %q, %v", v.raw, r, i, v.raw[from:to], err)
			}
		}
		last := Place{}
		for i := range len(v.Text) + 1 {
			at := v.PlaceOf(i)
			if at.Line < last.Line || at.Line == last.Line && at.Column < last.Column {
				t.Fatalf("%s: byte %d is at %v, the one before at %v", v.raw, i, at, last)
			}
			last = at
		}
	})
}
