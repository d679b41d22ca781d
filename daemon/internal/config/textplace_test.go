package config

import (
	"strings"
	"testing"
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
