package options

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/internal/tomlfile"
)

// all has an option of each type.
type all struct {
	Text    string
	Flag    bool
	Int     int
	Tiny    int8
	Byte    uint8
	Big     uint64
	Float   float64
	Small   float32
	Wait    time.Duration
	Limit   int64 `toml:"max_size,size"`
	Few     uint8 `toml:",size"`
	Net     netip.Prefix
	Match   *regexp.Regexp
	Domains []string
	Waits   []time.Duration
	Nets    []netip.Prefix
	Sizes   []int `toml:",size"`
	Quota   map[string]int
	Groups  map[string][]string
	Inner   struct {
		UseTLSFor []string
		Deep      struct{ X int }
	}
	Skipped chan int `toml:"-"`
	hidden  int
}

// read reads a section, and returns the messages, each with its place.
func read(t *testing.T, s *Schema, text string) (*Options, []string) {
	t.Helper()
	var told []string
	report := func(at tomlfile.Place, message string) {
		told = append(told, fmt.Sprintf("%d:%d: %s", at.Line, at.Column, message))
	}
	root := tomlfile.Parse([]byte(text), report)
	if root == nil {
		t.Fatal(told)
	}
	home := func(key string) string { return map[string]string{"shadow": "[[milter]]"}[key] }
	return s.Read(root, home, report), told
}

func must(t *testing.T, defaults any) *Schema {
	t.Helper()
	s, err := New(defaults)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const everything = `
text = "a\tb"
flag = true
int = -1_000
tiny = 0x7f
byte = 255
big = 9223372036854775807
float = 2
small = 0.1
wait = "4m50s"
max_size = "10MiB"
few = 200
net = "192.0.2.0/24"
match = "(?i)x"
domains = ["a", "b"]
waits = ["1s", "-1s"]
nets = ["::/0"]
sizes = ["1kB", 2]
quota = {"example.org" = 5, b = 0}
[groups]
a = ["x"]
b = []
[inner]
use_tls_for = ["mx"]
deep.x = 3
`

func TestEveryTypeIsRead(t *testing.T) {
	want := all{Text: "a\tb", Flag: true, Int: -1000, Tiny: 127, Byte: 255, Big: 1<<63 - 1, Float: 2, Small: 0.1,
		Wait: 4*time.Minute + 50*time.Second, Limit: 10 << 20, Few: 200, Net: netip.MustParsePrefix("192.0.2.0/24"),
		Match: regexp.MustCompile("(?i)x"), Domains: []string{"a", "b"}, Waits: []time.Duration{time.Second, -time.Second},
		Nets: []netip.Prefix{netip.MustParsePrefix("::/0")}, Sizes: []int{1000, 2}, Quota: map[string]int{"example.org": 5, "b": 0},
		Groups: map[string][]string{"a": {"x"}, "b": {}}, hidden: 4}
	want.Inner.UseTLSFor = []string{"mx"}
	want.Inner.Deep.X = 3
	defaults := all{hidden: 4, Quota: map[string]int{"gone": 1}, Domains: []string{"gone"}}
	o, told := read(t, must(t, defaults), everything)
	if got := o.Value(); len(told) > 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v\n%s", got, want, told)
	}
	if len(defaults.Quota) != 1 || defaults.Domains[0] != "gone" {
		t.Error("the defaults were written to")
	}
}

// What is shown of options can be read, and is the same.
func TestShownOptionsCanBeRead(t *testing.T) {
	for _, text := range []string{everything, ""} {
		s := must(t, all{Wait: time.Minute, Float: 1e21})
		o, _ := read(t, s, text)
		var file strings.Builder
		for _, set := range o.Settings() {
			fmt.Fprintf(&file, "%s = %s\n", set.Option, tomlfile.Literal(set.Value))
		}
		again, told := read(t, s, file.String())
		for i, set := range again.Settings() {
			if was := o.Settings()[i]; !reflect.DeepEqual(was.Value, set.Value) {
				t.Errorf("%s was %v, is %v", set.Option, was.Value, set.Value)
			}
		}
		if len(told) > 0 || len(again.Settings()) != len(o.Settings()) {
			t.Errorf("%s\n%s", told, file.String())
		}
	}
}

// Each wrong value is told with what would be right, and the default as an
// example where there is one.
func TestWrongOptions(t *testing.T) {
	zero := must(t, all{})
	full := must(t, all{Text: "mx", Int: 7, Float: 1.5, Wait: time.Minute, Limit: 1 << 10, Net: netip.MustParsePrefix("10.0.0.0/8"),
		Domains: []string{"a", "b"}, Quota: map[string]int{"a": 1}})
	for _, c := range []struct {
		s          *Schema
		file, want string
	}{
		{zero, `text = 1`, `1:8: text: this is a whole number; write text in quotes, such as "text"`},
		{full, `text = true`, `1:8: text: this is true or false; write text in quotes, such as "mx"`},
		{zero, `flag = "yes"`, `1:8: flag: this is a string; write true or false, without quotes`},
		{zero, `int = "7"`, `1:7: int: this is a string; write a whole number, without quotes, such as 10`},
		{full, `int = 7.5`, `1:7: int: this is a number; write a whole number, without quotes, such as 7`},
		{zero, `tiny = 128`, `1:8: tiny: 128 is not between -128 and 127`},
		{zero, `tiny = -129`, `1:8: tiny: -129 is not between -128 and 127`},
		{zero, `byte = 256`, `1:8: byte: 256 is not between 0 and 255`},
		{zero, `byte = -1`, `1:8: byte: -1 is less than 0; write a whole number such as 10`},
		{zero, `float = "x"`, `1:9: float: this is a string; write a number, without quotes, such as 0.5`},
		{full, `float = inf`, `1:9: float: inf is no number to work with; write one such as 1.5`},
		{zero, `small = 1e300`, `1:9: small: 1e300 is no number to work with; write one such as 0.5`},
		{zero, `wait = 5`, `1:8: wait: this is a whole number; write text in quotes, such as "10s"`},
		{full, `wait = 5`, `1:8: wait: this is a whole number; write text in quotes, such as "1m"`},
		{zero, `wait = "5"`, `1:8: wait: "5" has no unit; for seconds write "5s"`},
		{zero, `wait = "soon"`, `1:8: wait: "soon" is not a time; write numbers with the units h, m, s or ms, such as "25s" or "4m50s"`},
		{zero, `max_size = "10M"`, `1:12: max_size: "10M" is not a size; write "10MiB" or "10MB"`},
		{zero, `max_size = true`, `1:12: max_size: this is true or false; write text in quotes, such as "256MiB"`},
		{full, `max_size = -1`, `1:12: max_size: -1 is less than 0; write a size such as "1KiB"`},
		{zero, `few = "1KiB"`, `1:7: few: 1024 is not between 0 and 255`},
		{zero, `net = 10`, `1:7: net: this is a whole number; write text in quotes, such as "192.0.2.0/24"`},
		{full, `net = 10`, `1:7: net: this is a whole number; write text in quotes, such as "10.0.0.0/8"`},
		{full, `net = "10.0.0.0"`, `1:7: net: "10.0.0.0" is wrong: netip.ParsePrefix("10.0.0.0"): no '/'; write text such as "10.0.0.0/8"`},
		{zero, `match = "("`, "1:9: match: \"(\" is wrong: error parsing regexp: missing closing ): `(`"},
		{zero, `domains = "a"`, `1:11: domains: this is a string; write a list, such as ["text"]`},
		{full, `domains = "a"`, `1:11: domains: this is a string; write a list, such as ["a", "b"]`},
		{zero, "domains = [\"a\",\n  1, true]", "2:3: domains: this is a whole number; write text in quotes, such as \"text\"\n" +
			`2:6: domains: this is true or false; write text in quotes, such as "text"`},
		{zero, `domains = [{a=1}]`, `1:12: domains: this is a table; write text in quotes, such as "text"`},
		{zero, `nets = true`, `1:8: nets: this is true or false; write a list, such as ["192.0.2.0/24"]`},
		{zero, `nets = ["192.0.2.1"]`, `1:9: nets: "192.0.2.1" is wrong: netip.ParsePrefix("192.0.2.1"): no '/'; write text such as "192.0.2.0/24"`},
		{zero, `sizes = 1`, `1:9: sizes: this is a whole number; write a list, such as ["10MiB"]`},
		{zero, `quota = 5`, `1:9: quota: this is a whole number; write a table, such as {"key" = 10}`},
		{full, `quota = 5`, `1:9: quota: this is a whole number; write a table, such as {"a" = 1}`},
		{zero, `groups = []`, `1:1: groups: this is a list; write a table, such as {"key" = ["text"]}`},
		{zero, "[quota]\na = \"b\"", `2:5: quota: this is a string; write a whole number, without quotes, such as 10`},
		{zero, `inner = 1`, `1:9: inner: this is a whole number; write a section of its own, [milter.options.inner]`},
		{zero, `inner.deep = 1`, `1:14: inner.deep: this is a whole number; write a section of its own, [milter.options.inner.deep]`},
		{zero, `flg = true`, `1:1: unknown key "flg" in [milter.options]; did you mean "flag"?`},
		{zero, "[inner]\nuse_tsl_for = []", `2:1: unknown key "use_tsl_for" in [milter.options.inner]; did you mean "use_tls_for"?`},
		{zero, "[inner]\nzzzzzz = []", `2:1: unknown key "zzzzzz" in [milter.options.inner]; there are use_tls_for, deep`},
		{zero, "[inner.deep]\nzzzzzz = []", `2:1: unknown key "zzzzzz" in [milter.options.inner.deep]; there is x`},
		{zero, `skipped = 1`, "1:1: unknown key \"skipped\" in [milter.options]; there are " + strings.Join(names(zero.fields), ", ")},
		{must(t, struct{}{}), `a = 1`, `1:1: unknown key "a" in [milter.options], which has none`},
		{zero, `shadow = true`, `1:1: "shadow" does not belong in [milter.options], it belongs under [[milter]]`},
	} {
		_, told := read(t, c.s, c.file)
		if got := strings.Join(told, "\n"); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.file, got, c.want)
		}
	}
}

// mute reads itself, and cannot say what it is.
type mute struct{}

func (*mute) UnmarshalText([]byte) error { return nil }

// deaf does not understand what it says.
type deaf struct{}

func (deaf) UnmarshalText(b []byte) error { return errors.New("what?") }
func (deaf) MarshalText() ([]byte, error) { return []byte("this"), nil }

type Embedded struct{ X int }

// endless has itself within it.
type endless struct{ C []endless }

// A struct that cannot be options is refused with its field and the reason.
func TestWrongStructs(t *testing.T) {
	const types = "; an option is a string, bool, number, time.Duration, a type with UnmarshalText, a list of these, a map from string to these, a struct, or a list of structs"
	for _, c := range []struct {
		defaults any
		want     string
	}{
		{nil, "options are a struct; <nil> is none"},
		{5, "options are a struct; int is none"},
		{&all{}, "options are a struct; *options.all is none"},
		{struct{ C chan int }{}, "struct { C chan int }.C: chan int cannot be read from the file" + types},
		{struct{ C func() }{}, "struct { C func() }.C: func() cannot be read from the file" + types},
		{struct{ C any }{}, "struct { C interface {} }.C: interface {} cannot be read from the file" + types},
		{struct{ C *int }{}, "struct { C *int }.C: *int cannot be read from the file" + types},
		{struct{ C complex64 }{}, "struct { C complex64 }.C: complex64 cannot be read from the file" + types},
		{struct{ C [2]int }{}, "struct { C [2]int }.C: [2]int cannot be read from the file" + types},
		{struct{ C []*Embedded }{}, "struct { C []*options.Embedded }.C: *options.Embedded cannot be read from the file" + types},
		{struct{ C []struct{ D chan int } }{}, "struct { C []struct { D chan int } }.C: struct { D chan int }.D: chan int cannot be read from the file" + types},
		{struct{ C []endless }{}, "struct { C []options.endless }.C: options.endless.C: options.endless has tables of its own kind within it, which would never end"},
		{struct {
			C []Embedded `toml:",size"`
		}{}, "struct { C []options.Embedded \"toml:\\\",size\\\"\" }.C: a size is an integer, or several"},
		{struct{ C []struct{ D uint64 } }{[]struct{ D uint64 }{{1}, {1 << 63}}}, "the default of the option c[2].d could not be written into the file: this is not TOML: decimal number is too large to fit in a 64-bit signed integer"},
		{struct{ C map[string]Embedded }{}, "struct { C map[string]options.Embedded }.C: options.Embedded cannot be read from the file" + types},
		{struct{ C struct{ D chan int } }{}, "struct { C struct { D chan int } }.C: struct { D chan int }.D: chan int cannot be read from the file" + types},
		{struct{ C map[int]int }{}, "struct { C map[int]int }.C: the keys of a table are strings, not int"},
		{struct{ C mute }{}, "struct { C options.mute }.C: options.mute has UnmarshalText; give it MarshalText too, for show-config"},
		{struct{ C *mute }{}, "struct { C *options.mute }.C: *options.mute has UnmarshalText; give it MarshalText too, for show-config"},
		{struct{ Embedded }{}, "struct { options.Embedded }.Embedded: an embedded field is no option; give it a name"},
		{struct {
			c int `toml:"c"`
		}{}, "struct { c int \"toml:\\\"c\\\"\" }.c: a field that is not exported cannot be set; begin its name with a capital letter"},
		{struct {
			C int `toml:"a b"`
		}{}, "struct { C int \"toml:\\\"a b\\\"\" }.C: \"a b\" is not the name of an option; it has letters, digits, _ and -"},
		{struct {
			C int `toml:"c,omitempty"`
		}{}, "struct { C int \"toml:\\\"c,omitempty\\\"\" }.C: the tag \"c,omitempty\" has \"omitempty\", which means nothing here; there are \"size\", \"required\" and \"secret\""},
		{struct {
			C struct{ D int } `toml:",required"`
		}{}, "struct { C struct { D int } \"toml:\\\",required\\\"\" }.C: a section is not required, but each of its options can be"},
		{struct {
			C string `toml:",size"`
		}{}, "struct { C string \"toml:\\\",size\\\"\" }.C: a size is an integer, or several"},
		{struct {
			C int
			D int `toml:"c"`
		}{}, "struct { C int; D int \"toml:\\\"c\\\"\" }.D: another field is the option \"c\" already"},
		{struct{ C uint64 }{1 << 63}, "the default of the option c could not be written into the file: this is not TOML: decimal number is too large to fit in a 64-bit signed integer"},
		{struct{ C float64 }{math.Inf(1)}, "the default of the option c could not be written into the file: this is not TOML: expected digit but got U+0049 'I'"},
		{struct{ C deaf }{}, "the default of the option c could not be written into the file: \"this\" is wrong: what?; write text such as \"this\""},
		{struct{ C string }{"\xff"}, `the default of the option c could not be written into the file: "\uFFFD" would be read as "\uFFFD"`},
	} {
		if _, err := New(c.defaults); err == nil || err.Error() != c.want {
			t.Errorf("%#v\ngot  %v\nwant %s", c.defaults, err, c.want)
		}
	}
}

// An option that is required is missed where its section stands, unless it is
// there under a wrong name. The default is the example.
func TestMissingOptions(t *testing.T) {
	type needy struct {
		List  string         `toml:",required"`
		Most  int64          `toml:"max_size,size,required"`
		Match *regexp.Regexp `toml:",required"`
		Nets  []netip.Prefix `toml:",required"`
		Quota map[string]int `toml:"per_domain,required"`
		Free  string
		Inner struct {
			Deep struct {
				X int `toml:",required"`
			}
		}
	}
	const list, most, match, nets, quota = `[milter.options] needs "list", for example list = "/etc/list"`,
		`[milter.options] needs "max_size", for example max_size = "1MiB"`, `[milter.options] needs "match", for example match = "…"`,
		`[milter.options] needs "nets", for example nets = ["192.0.2.0/24"]`, `[milter.options] needs "per_domain", for example per_domain = {"key" = 10}`
	const x = `[milter.options.inner.deep] needs "x", for example x = 10`
	const rest = "match = \"x\"\nnets = []\nper_domain = {}\n"
	s := must(t, needy{List: "/etc/list", Most: 1 << 20})
	for _, c := range []struct {
		file string
		want []string
	}{
		{"", []string{"1:1: " + list, "1:1: " + most, "1:1: " + match, "1:1: " + nets, "1:1: " + quota, "1:1: " + x}},
		{"list = 5\nmax_size = 1\n" + rest + "inner = 1", nil},                                    // wrong, but there
		{"lst = 5\nmax_sise = 1\n" + rest + "[inner.dep]\nx = 1", nil},                            // misspelt
		{"list = \"\"\nmax_size = 0\n" + rest + "[inner]\n[inner.deep]\n", []string{"7:8: " + x}}, // empty is something
		{"list = \"\"\nzzzzzzzz = 0\n" + rest + "[inner]\n", []string{"6:2: " + x, "1:1: " + most}},
		{"list = \"\"\nmax_size = 0\n" + rest + "inner.deep.x = 0\n", nil},
	} {
		o, _ := read(t, s, c.file)
		var got []string
		for _, f := range o.Missing() {
			got = append(got, fmt.Sprintf("%d:%d: %s", f.At.Line, f.At.Column, f.Message))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s\ngot  %q\nwant %q", c.file, got, c.want)
		}
	}
}

func TestNamesAreSnakes(t *testing.T) {
	for name, want := range map[string]string{
		"Max": "max", "MaxRcpt": "max_rcpt", "ID": "id", "UseTLSFor": "use_tls_for", "MaxHTTPSize": "max_http_size", "HTTP2Port": "http2_port", "X": "x",
	} {
		if got := snake(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// about is an error about one option.
type about struct{ option, text string }

func (a about) Error() string  { return a.option + ": " + a.text }
func (a about) Option() string { return a.option }

// What a child has against its options is told where the option stands that it is
// about.
func TestFaultsHaveThePlaceOfTheirOption(t *testing.T) {
	o, _ := read(t, must(t, all{}), everything)
	unset, _ := read(t, must(t, all{}), "")
	for _, c := range []struct {
		o    *Options
		err  error
		want string
	}{
		{o, errors.New("no"), "{ {0 0} no}"},
		{o, errors.New("no\n\x1b"), "{ {0 0} no; ?}"},
		{o, about{"int", "no"}, "{int {4 1} int: no}"},
		{o, fmt.Errorf("well: %w", about{"int", "no"}), "{int {4 1} well: int: no}"},
		{unset, about{"int", "no"}, "{int {0 0} int: no (this is the default)}"},
		{o, about{"inner.deep.x", "no"}, "{inner.deep.x {25 6} inner.deep.x: no}"},
		{o, about{"inner", "no"}, "{inner {23 2} inner: no}"},
		{o, about{"nonsense", "no"}, "{ {0 0} nonsense: no}"},
		{o, errors.Join(about{"int", "no"}, errors.Join(about{"tiny", "no"}, errors.New("a"))), "{int {4 1} int: no} {tiny {5 1} tiny: no} { {0 0} a}"},
		{o, fmt.Errorf("%w and %w", errors.New("a"), errors.New("b")), "{ {0 0} a and b}"},
	} {
		if got := strings.Trim(fmt.Sprint(c.o.Faults(c.err)), "[]"); got != c.want {
			t.Errorf("%v\ngot  %s\nwant %s", c.err, got, c.want)
		}
	}
}
