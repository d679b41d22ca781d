package config

import (
	"fmt"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/when"
	"github.com/milterkit/sdk/internal/nearest"
	"github.com/milterkit/sdk/internal/tomlfile"
)

// Before returns the milters that are asked before the nth, which its condition may
// ask about.
func (c *Config) Before(n int) []when.Milter {
	before := []when.Milter{} // not nil: there is a milter
	for _, m := range c.Milters[:n] {
		before = append(before, when.Milter{Name: m.Name.V, Shadow: m.Shadow.V})
	}
	return before
}

// readWhen takes a condition. All that is wrong with it is told, at its place
// within the text. The empty text is none.
func (l *loader) readWhen(v *tomlfile.Value, before []when.Milter) (string, error) {
	condition, err := tomlfile.Text("!authenticated", func(s string) (string, error) { return s, nil })(v)
	if err != nil || condition == "" {
		return "", err
	}
	_, errs := l.conditions.Compile(condition, before)
	for _, e := range errs {
		l.report(v.PlaceOf(e.Offset), "when: "+whenMessage(e))
	}
	return condition, nil
}

// whenMessage is what is wrong with a condition, and what was meant.
func whenMessage(e when.Error) string {
	switch near := nearest.DidYouMean(e.Unknown, e.Known); {
	case e.Unknown == "":
		return e.Message
	case near != "":
		return e.Message + near
	}
	return fmt.Sprintf("%s; there are %s", e.Message, strings.Join(e.Known, ", "))
}
