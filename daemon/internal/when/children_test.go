package when

import (
	"context"
	"errors"
	"testing"

	"github.com/milterkit/sdk/milterkit"
)

// What a milter before has said decides, for the message or for the recipient at hand.
func TestWhatOthersHaveSaid(t *testing.T) {
	accepts := milterkit.OnRcpt("first", func(context.Context, *milterkit.Envelope, milterkit.Address) milterkit.Verdict {
		return milterkit.Accept
	})
	fails := milterkit.OnRcpt("first", func(context.Context, *milterkit.Envelope, milterkit.Address) milterkit.Verdict {
		return milterkit.Fail(errors.New("down"))
	})
	refusesBob := milterkit.OnRcpt("first", func(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
		if to.Addr == "bob@example.test" {
			return milterkit.Reject("no")
		}
		return milterkit.Continue
	})
	silent := milterkit.OnMessage("first", func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
		return milterkit.Reject("")
	})
	for _, c := range []struct {
		name          string
		first         milterkit.Slot
		verdict, want string
	}{
		{"accept", milterkit.Slot{Child: accepts}, "accept", "bob@example.test carol@example.test"},
		{"not accept", milterkit.Slot{Child: silent, Shadow: true}, "accept", "none"},
		{"nothing yet", milterkit.Slot{Child: silent, Shadow: true}, "continue", "bob@example.test carol@example.test"},
		{"failed", milterkit.Slot{Child: fails, DefaultAction: milterkit.DefaultAccept}, "fail", "bob@example.test carol@example.test"},
		{"refused by a shadow, the one and not the other", milterkit.Slot{Child: refusesBob, Shadow: true}, "reject", "bob@example.test"},
		{"and the rest", milterkit.Slot{Child: refusesBob, Shadow: true}, "continue", "carol@example.test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := []Milter{{Name: "first", Shadow: c.first.Shadow}}
			condition, errs := new(Env).Compile(`children("first").verdict == "`+c.verdict+`"`, before)
			if len(errs) > 0 || condition.At != rcpt {
				t.Fatalf("settled at %s: %+v", condition.At, errs)
			}
			shown := "none"
			s := outside().sent("<alice@example.org>", "<bob@example.test>", "<carol@example.test>")
			s.playTo(t, c.first, milterkit.Slot{When: condition, DefaultAction: milterkit.DefaultAccept, Child: showing(&shown)})
			if shown != c.want {
				t.Errorf("shown %s, want %s", shown, c.want)
			}
		})
	}
}

func TestWhatOthersHaveSaidIsChecked(t *testing.T) {
	before := []Milter{{Name: "spf"}, {Name: "trial", Shadow: true}}
	for text, want := range map[string]struct {
		before  []Milter
		message string
	}{
		`children("spff").verdict == "accept"`:  {before, `children: no milter before this one is called "spff"`},
		`children("spf").verdict == "acept"`:    {before, `a verdict is never "acept"`},
		`children("spf").verdict in ["reject"]`: {before, `a verdict is "reject" here for a shadow only: where another milter refuses, this one is not asked`},
		`children("spf").verdict == "tempfail"`: {before, `a verdict is "tempfail" here for a shadow only: where another milter refuses, this one is not asked`},
		`children("spf").state == "x"`:          {before, `of a milter there is its verdict: children("spf").verdict == "accept"`},
		`children("spf")["verdict"] == "fail"`:  {before, `of a milter there is its verdict: children("spf").verdict == "accept"`},
		`children("spf") == "accept"`:           {before, `of a milter before this one there is what it has said: children("spf").verdict == "accept"`},
		`children().verdict == "accept"`:        {before, `children wants one name of a milter in quotes, such as children("spf").verdict == "accept"`},
		`children("spf").verdict == "accept" `:  {[]Milter{}, `children: no milter stands before this one`},
		` children("spf").verdict == "accept"`:  {nil, `children: only when of a milter knows what others have said`},
		`children("trial").verdict`:             {before, `this is text, and a condition is true or false, such as helo == "mail.example.org"`},
	} {
		_, errs := new(Env).Compile(text, want.before)
		if len(errs) != 1 || errs[0].Message != want.message {
			t.Errorf("%s: %+v, want %s", text, errs, want.message)
		}
	}
	for _, text := range []string{`children("trial").verdict == "reject"`, `children("spf").verdict != "continue"`, `children("spf").verdict == helo`} {
		if _, errs := new(Env).Compile(text, before); len(errs) > 0 {
			t.Errorf("%s: %+v", text, errs)
		}
	}
}
