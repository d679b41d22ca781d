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
`
	if shown != want {
		t.Errorf("got\n%s\nwant\n%s", shown, want)
	}
	b, err := c.JSON()
	var got struct {
		Milter []struct {
			Options map[string]struct {
				Value any
				From  string
			}
		}
	}
	if err = errors.Join(err, json.Unmarshal(b, &got)); err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprint(got.Milter[0].Options); s != "map[delay:{1m30s f:5} hours.from:{0 default} hours.to:{16 f:7} max:{100 default} name:{ default}]" {
		t.Errorf("got %s\n%s", s, b)
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
