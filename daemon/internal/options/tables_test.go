package options

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/internal/tomlfile"
)

// ruled has lists of tables, also one within another.
type ruled struct {
	Max   int
	Rule  []rule
	Inner struct {
		Part []struct{ X int }
	}
}

type rule struct {
	Match *regexp.Regexp `toml:",required"`
	Limit int64          `toml:",size"`
	Wait  time.Duration
	To    []string
	Times struct{ From, To int }
	Sub   []struct{ Name string }
}

const rules = `
max = 1
[[rule]]
match = "a"
limit = "10MiB"
times.from = 2
[[rule.sub]]
name = "first"
[[rule.sub]]
[[rule]]
match = "b"
to = []
wait = "0s"
[rule.times]
to = 3
[inner]
part = [{x = 4}, {}]
`

// Tables of a list are read in their order, whether each is a section or they
// stand in one line, and take the place of the default.
func TestTablesAreRead(t *testing.T) {
	want := ruled{Max: 1, Rule: []rule{
		{Match: regexp.MustCompile("a"), Limit: 10 << 20, Sub: []struct{ Name string }{{"first"}, {""}}},
		{Match: regexp.MustCompile("b"), To: []string{}},
	}}
	want.Rule[0].Times.From, want.Rule[1].Times.To = 2, 3
	want.Inner.Part = []struct{ X int }{{4}, {}}
	defaults := ruled{Rule: []rule{{Limit: 5, To: []string{"gone"}}}}
	o, told := read(t, must(t, defaults), rules)
	if got := o.Value(); len(told) > 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v\n%s", got, want, told)
	}
	if defaults.Rule[0].Limit != 5 || defaults.Rule[0].Match != nil {
		t.Error("the defaults were written to")
	}
}

// written is the settings as a file.
func written(b *strings.Builder, name string, settings []Setting) {
	for _, set := range settings {
		if list, ok := set.Value.([][]Setting); !ok {
			fmt.Fprintf(b, "%s = %s\n", set.Option, tomlfile.Literal(set.Value))
		} else if len(list) == 0 {
			fmt.Fprintf(b, "%s = []\n", set.Option)
		}
	}
	for _, set := range settings {
		list, _ := set.Value.([][]Setting)
		for _, table := range list {
			fmt.Fprintf(b, "[[%s%s]]\n", name, set.Option)
			written(b, name+set.Option+".", table)
		}
	}
}

// What is shown of tables can be read, and is the same, also that there are none
// where there are some by default.
func TestShownTablesCanBeRead(t *testing.T) {
	s := must(t, ruled{Rule: []rule{{Match: regexp.MustCompile("x"), Wait: time.Hour}}})
	for _, text := range []string{rules, "", "rule = []"} {
		o, _ := read(t, s, text)
		var file strings.Builder
		written(&file, "", o.Settings())
		again, told := read(t, s, file.String())
		var twice strings.Builder
		written(&twice, "", again.Settings())
		if was, is := fmt.Sprintf("%+v", o.Value()), fmt.Sprintf("%+v", again.Value()); len(told) > 0 || was != is || twice.String() != file.String() {
			t.Errorf("was %s\nis  %s\n%s\n%s", was, is, told, file.String())
		}
	}
}

// What is wrong within a table is told in its place, and names the table.
func TestWrongTables(t *testing.T) {
	s := must(t, ruled{})
	for _, c := range []struct{ file, want string }{
		{"rule = 5", "1:8: rule: this is a whole number; write a table for each, which begins with [[milter.options.rule]]"},
		{"[rule]\nmatch = \"a\"", "1:2: rule: there can be several; begin each with [[milter.options.rule]], in double brackets"},
		{`rule = ["a", {match = "a"}]`, "1:9: rule[1]: this is a string; write a table for each, which begins with [[milter.options.rule]]"},
		{"[[rule]]\nmatch = \"a\"\n[[rule]]\nmatch = \"(\"", "4:9: rule[2].match: \"(\" is wrong: error parsing regexp: missing closing ): `(`"},
		{`rule = [{match = "a"}, {match = "a", limit = "1M"}]`, `1:46: rule[2].limit: "1M" is not a size; write "1MiB" or "1MB"`},
		{"[[rule]]\nmatsh = \"a\"", `2:1: unknown key "matsh" in [[milter.options.rule]]; did you mean "match"?`},
		{"[[rule]]\nmatch = \"a\"\nshadow = true", `3:1: "shadow" does not belong in [[milter.options.rule]], it belongs under [[milter]]`},
		{"[[rule]]\nmatch = \"a\"\ntimes = 5", "3:9: rule[1].times: this is a whole number; write a section of its own, [milter.options.rule.times]"},
		{"[[rule]]\nmatch = \"a\"\ntimes.form = 5", `3:7: unknown key "form" in [milter.options.rule.times]; did you mean "from"?`},
		{"[[rule]]\nmatch = \"a\"\n[[rule.sub]]\nnam = 5", `4:1: unknown key "nam" in [[milter.options.rule.sub]]; did you mean "name"?`},
		{"[[inner.part]]\nx = true", "2:5: inner.part[1].x: this is true or false; write a whole number, without quotes, such as 10"},
	} {
		_, told := read(t, s, c.file)
		if got := strings.Join(told, "\n"); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.file, got, c.want)
		}
	}
}

// A required option is missed in each table, and a list of tables can be required
// itself.
func TestMissingInTables(t *testing.T) {
	s := must(t, struct {
		Rule []rule `toml:",required"`
	}{})
	const match = `[[milter.options.rule]] needs "match", for example match = "…"`
	for _, c := range []struct {
		file string
		want []string
	}{
		{"", []string{`1:1: [milter.options] needs "rule"; write a table for each, which begins with [[milter.options.rule]]`}},
		{"rule = []", nil},
		{"rule = [\n{},\n{match = \"a\"},\n{limit = 1}]", []string{"2:1: " + match, "4:1: " + match}},
		{"[[rule]]\n[[rule]]\nmatch = \"a\"\n[[rule]]\n[rule.times]", []string{"1:3: " + match, "4:3: " + match}},
	} {
		o, told := read(t, s, c.file)
		for _, f := range o.Missing() {
			told = append(told, fmt.Sprintf("%d:%d: %s", f.At.Line, f.At.Column, f.Message))
		}
		if !slices.Equal(told, c.want) {
			t.Errorf("%s\ngot  %q\nwant %q", c.file, told, c.want)
		}
	}
}

// What a child has against an option in a table is told where that stands, and
// where the table does that should have it.
func TestFaultsHaveThePlaceWithinTheTable(t *testing.T) {
	o, _ := read(t, must(t, ruled{}), rules)
	byDefault, _ := read(t, must(t, ruled{Rule: make([]rule, 2)}), "")
	for _, c := range []struct {
		o            *Options
		option, want string
	}{
		{o, "rule", "{rule {3 3} rule: no}"},
		{o, "rule[1].limit", "{rule[1].limit {5 1} rule[1].limit: no}"},
		{o, "rule[2].match", "{rule[2].match {11 1} rule[2].match: no}"},
		{o, "rule[2].limit", "{rule[2].limit {10 3} rule[2].limit: no}"},
		{o, "rule[1].times.to", "{rule[1].times.to {3 3} rule[1].times.to: no}"},
		{o, "rule[1].sub[2].name", "{rule[1].sub[2].name {9 8} rule[1].sub[2].name: no}"},
		{o, "rule[1].sub[2]", "{rule[1].sub[2] {9 8} rule[1].sub[2]: no}"},
		{o, "inner.part[1].x", "{inner.part[1].x {17 10} inner.part[1].x: no}"},
		{o, "rule[0].limit", "{ {0 0} rule[0].limit: no}"},
		{o, "rule[3].limit", "{ {0 0} rule[3].limit: no}"},
		{o, "rule[3]", "{ {0 0} rule[3]: no}"},
		{byDefault, "rule[2].limit", "{rule[2].limit {0 0} rule[2].limit: no (this is the default)}"},
	} {
		if got := strings.Trim(fmt.Sprint(c.o.Faults(about{c.option, "no"})), "[]"); got != strings.Trim(c.want, "[]") {
			t.Errorf("%s\ngot  %s\nwant %s", c.option, got, c.want)
		}
	}
}
