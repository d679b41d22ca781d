package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/daemon/internal/options"
)

// knownOptions are those of the native child of these tests.
type knownOptions struct {
	Max   int
	Delay time.Duration
	Name  string
	Hours struct{ From, To uint8 }
	Rule  []knownRule
}

type knownRule struct {
	Match, Text string
	Part        []struct{ X int }
}

func (o knownOptions) Validate() error {
	var errs []error
	if o.Max == 0 {
		errs = append(errs, wrong{"max", "0 lets nobody in; write one such as 100"})
	}
	if o.Name == "x" && o.Delay == 0 {
		errs = append(errs, wrong{"delay", "with the name x there is one"})
	}
	if o.Delay >= time.Hour {
		errs = append(errs, errors.New("all in all\nit is too much"))
	}
	return errors.Join(errs...)
}

// wrong is an error about one option.
type wrong struct{ option, text string }

func (w wrong) Error() string  { return w.option + ": " + w.text }
func (w wrong) Option() string { return w.option }

// needyOptions has one that the file must set.
type needyOptions struct {
	List     string `toml:",required"`
	Max      int
	Pipeline bool
}

// neverOptions has something against whatever the file says.
type neverOptions struct{ List string }

func (neverOptions) Validate() error { return errors.New("never") }

var known = func() Natives {
	all := make(Natives)
	for name, defaults := range map[string]any{"known": knownOptions{Max: 100}, "needy": needyOptions{List: "/etc/list"}, "never": neverOptions{}} {
		schema, err := options.New(defaults)
		if err != nil {
			panic(err)
		}
		all[name] = schema
	}
	return all
}()

// native is a file to which options can be added, in line 5.
const native = "[[milter]]\nname=\"a\"\nuse=\"known\"\n[milter.options]\n"

// Options stand where other settings do when the configuration is shown, with
// where they are from.
func TestOptionsAreShown(t *testing.T) {
	c, err := Parse("f", []byte(native+"delay = \"90s\"\n[milter.options.hours]\nto = 0x10\n"), known)
	if err != nil {
		t.Fatal(err)
	}
	milter, shown, _ := strings.Cut(string(c.TOML()), "[milter.options]\n")
	if strings.Contains(milter, "connect_timeout") || strings.Contains(milter, "pipeline") {
		t.Errorf("what only a milter on a socket has is shown:\n%s", milter)
	}
	const want = `max              = 100      # default
delay            = "1m30s"  # f:5
name             = ""       # default
hours.from       = 0        # default
hours.to         = 16       # f:7
rule             = []       # default
`
	if shown != want {
		t.Errorf("got\n%s\nwant\n%s", shown, want)
	}
	b, err := c.JSON()
	var got struct {
		Milter []struct{ Options map[string]any }
	}
	if err = errors.Join(err, json.Unmarshal(b, &got)); err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprint(got.Milter[0].Options); s != "map[delay:map[from:f:5 value:1m30s] hours.from:map[from:default value:0] hours.to:map[from:f:7 value:16] "+
		"max:map[from:default value:100] name:map[from:default value:] rule:[]]" {
		t.Errorf("got %s\n%s", s, b)
	}
}

// A list of tables is shown behind the other options, each table with what is set in
// it, and what is shown can be read.
func TestTablesOfOptionsAreShown(t *testing.T) {
	const file = native + "[[milter.options.rule]]\nmatch = \"a\"\npart = [{x = 1}, {}]\n[[milter.options.rule]]\n[milter.options.hours]\nto = 1\n"
	c, err := Parse("f", []byte(file), known)
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(c.TOML()), "hours.to         = 1     # f:10\n")
	const want = `[[milter.options.rule]]
match            = "a"  # f:6
[[milter.options.rule.part]]
x                = 1  # f:7
[[milter.options.rule.part]]
[[milter.options.rule]]
`
	if shown != want {
		t.Errorf("got\n%s\nwant\n%s", shown, want)
	}
	again, err := Parse("f", c.TOML(), known)
	if err != nil {
		t.Fatal(err)
	}
	if was, is := fmt.Sprint(c.Milters[0].Options.Value()), fmt.Sprint(again.Milters[0].Options.Value()); was != is {
		t.Errorf("was %s, is %s", was, is)
	}
	b, err := c.JSON()
	var got struct {
		Milter []struct{ Options map[string]any }
	}
	if err = errors.Join(err, json.Unmarshal(b, &got)); err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprint(got.Milter[0].Options["rule"]); s != "[map[match:map[from:f:6 value:a] part:[map[x:map[from:f:7 value:1]] map[]]] map[]]" {
		t.Errorf("got %s", s)
	}
}

// A milter that has no section of options has the defaults, and two that use one
// child have options of their own.
func TestEachMilterHasItsOwnOptions(t *testing.T) {
	c, err := Parse("f", []byte(native+"max = 5\n[[milter]]\nname = \"b\"\nuse = \"known\"\n"), known)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{5, 100} {
		if got := c.Milters[i].Options.Value().(knownOptions).Max; got != want {
			t.Errorf("milter %d has %d, want %d", i+1, got, want)
		}
	}
}
