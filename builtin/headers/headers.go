// Package headers is a child that looks at the header of each message by rules,
// as Postfix's header_checks(5) does, and sees it as the children before have left
// it.
package headers

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/milterkit/sdk/builtin/internal/action"
	"github.com/milterkit/sdk/milterkit"
)

// Options are what the child does.
type Options struct {
	// Rules are tried in their order on each field of the header, from the top
	// down. The first that fits a field counts for it, and no more.
	Rules []Rule `toml:"rule,required"`

	// Logger is told what rules have to say. Nil: slog.Default().
	Logger *slog.Logger `toml:"-"`
}

// A Rule says what is done about which fields.
type Rule struct {
	// Header is the name of the fields, without the colon. A * stands for any text,
	// also for none. Case does not matter.
	Header string `toml:",required"`

	// Match is a regular expression (RE2) that the value must hold, without regard
	// to case unless it begins with (?-i). The value is unfolded, without the space
	// around it, and not decoded. Empty: any value will do.
	Match string

	// From says where the field must come from. Empty: from anywhere.
	From From

	// Action is what is done.
	Action Action `toml:",required"`

	// Text goes with the action: see each. In it $1 or ${1} stands for what the
	// first group of Match has matched, ${name} for that of a group (?P<name>…), $0
	// for all that was matched, and $$ for a dollar sign. It is at most 2000 bytes
	// long.
	Text string
}

// From is where a field comes from.
type From string

// Where fields come from.
const (
	Anywhere From = ""
	Message  From = "message"  // it came with the mail
	Children From = "children" // a child before this one has added it, or changed it
)

// An Action is what is done about a field, or about its message. An action that
// refuses ends the work on the message.
type Action string

// The actions there are.
const (
	Remove     Action = "remove"     // the field is taken away; a Text is logged
	Replace    Action = "replace"    // it gets Text as its value; if that is blank, it is taken away
	Prepend    Action = "prepend"    // a field goes before it; Text is all of that, "Name: value"
	Warn       Action = "warn"       // Text is logged
	Quarantine Action = "quarantine" // the MTA holds the message; Text is the reason
	Discard    Action = "discard"    // it is taken and thrown away; a Text is logged
	Reject     Action = "reject"     // it is refused for good; Text is the reply
	TempFail   Action = "tempfail"   // it is refused for now; Text is the reply
	Dunno      Action = "dunno"      // nothing: no more rules for this field
)

// What refusals say where there is no Text.
const (
	rejected = "5.7.1 Message content rejected"
	deferred = "4.7.1 Message content not accepted for now, try again later"
)

// Defaults have no rules: there are none that serve everybody.
var Defaults = Options{}

// Validate tells all that is wrong with the rules. Rules count from 1.
func (o Options) Validate() error {
	_, err := compileAll(o)
	return err
}

// New returns the child.
func New(o Options) (milterkit.Child, error) {
	rules, err := compileAll(o)
	if err != nil {
		return nil, err
	}
	log := o.Logger
	if log == nil {
		log = slog.Default()
	}
	c := &checker{rules, log}
	return milterkit.OnMessage("headers", c.message), nil
}

func compileAll(o Options) ([]rule, error) {
	if len(o.Rules) == 0 {
		return nil, action.Errorf("rule", "there is none; write one at least, with header and action")
	}
	rules := make([]rule, len(o.Rules))
	var errs []error
	for i, r := range o.Rules {
		made, option, err := compile(r)
		if err != nil {
			errs = append(errs, action.Errorf(fmt.Sprintf("rule[%d].%s", i+1, option), "%w", err))
		}
		made.number = i + 1
		rules[i] = made
	}
	return rules, errors.Join(errs...)
}
