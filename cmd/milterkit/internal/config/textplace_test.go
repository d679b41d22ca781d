package config

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
)

// What is wrong within a text is told at its place in the file, however the text
// is written there.
func TestThePlaceWithinAText(t *testing.T) {
	const file = "[[milter]]\nname = \"a\"\nsocket = \"/a\"\n"
	for _, c := range []struct{ rule, written, want string }{
		{"in quotes", `when = "local && heloo"`, "4:18"},
		{"with spaces before it", `  when   =   "local && heloo"`, "4:24"},
		{"in single quotes", `when = 'local && heloo'`, "4:18"},
		{"behind escaped quotes", `when = "helo == \"a\" || heloo"`, "4:26"},
		{"behind other escapes", `when = "helo == '\u00e9\U0001F600\x41\t\\\\' || heloo"`, "4:49"},
		{"written as an escape itself", `when = "local && \u0068eloo"`, "4:18"},
		{"behind letters of more than one byte", `when = "helo == 'é😀' || heloo"`, "4:29"},
		{"in the first of many lines", "when = \"\"\"local && heloo\n  || local\"\"\"", "4:20"},
		{"in the line behind the quotes", "when = \"\"\"\nlocal && heloo\"\"\"", "5:10"},
		{"in a further line", "when = \"\"\"\nlocal &&\n  heloo\"\"\"", "6:3"},
		{"in a further line of a file of Windows", "when = \"\"\"\r\nlocal &&\r\n  heloo\"\"\"", "6:3"},
		{"in many lines without escapes", "when = '''\nlocal &&\n\\heloo'''", "6:1"},
		{"in a line that goes on", "when = \"\"\"\\\n   local && \\\n\n   heloo\"\"\"", "7:4"},
		{"behind quotes in many lines", "when = \"\"\"\n\"a\\\" == helo && heloo\"\"\"", "5:17"},
		{"at the end of the text", "when = \"local &&\"", "4:17"},
		{"at the end of many lines", "when = '''\nlocal &&\n'''", "6:1"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			_, err := Parse("f", []byte(file+c.written+"\n"), nil)
			if err == nil || !strings.HasPrefix(err.Error(), "f:"+c.want+": when: ") {
				t.Errorf("got %v, want it at %s", err, c.want)
			}
		})
	}
}

// Each character of a value, read on its own from its place to that of the next,
// is that character.
func FuzzPlaces(f *testing.F) {
	for _, s := range []string{`"a\tb"`, `''`, `""`, `'a"\'`, `"\u00e9\U0001F600\x41\e\\\""`, "\"\"\"\n\"\"\"", "\"\"\"a\\\n  b\\  \r\n \t\n\"\"\"",
		"'''\r\na\r\nb''''", "\"\"\"\"\"a\"\"\\\"\"\"\"", `"é😀"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, written []byte) {
		root := parse(append([]byte("a = "), written...), func(place, string) {})
		if root == nil || len(root.fields) != 1 || root.fields[0].val.kind != isString {
			return
		}
		v := root.fields[0].val
		quotes := v.raw[:1]
		if bytes.HasPrefix(v.raw, []byte(`"""`)) || bytes.HasPrefix(v.raw, []byte(`'''`)) {
			quotes = v.raw[:3]
		}
		if end := rawOffset(v.raw, len(v.text)); end != len(v.raw)-len(quotes) {
			t.Fatalf("%s: the text ends at %d of %d", v.raw, end, len(v.raw))
		}
		for i, r := range v.text {
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
		last := place{}
		for i := range len(v.text) + 1 {
			at := v.placeOf(i)
			if at.line < last.line || at.line == last.line && at.column < last.column {
				t.Fatalf("%s: byte %d is at %v, the one before at %v", v.raw, i, at, last)
			}
			last = at
		}
	})
}
