package remote_test

import (
	"context"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

// always is a macro of a milter's own with one value.
func always(name, value string, at milterkit.Stage) remote.Macro {
	return remote.Macro{Name: name, At: at, Value: func(context.Context, *milterkit.Envelope, milterkit.Address) (string, bool) { return value, true }}
}

// A milter's own macros go with their stage, in place of the MTA's of that name there,
// whatever it has asked for.
func TestOwnMacrosTakeThePlaceOfTheMTAs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		asked wire.MacroList
		want  []string
	}{
		{wire.MacroList{}, []string{"macros connect j=mx {if_addr}=192.0.2.9", "macros helo {stress}=yes",
			"macros mail {mail_addr}=a@example.org {auth_type}=MINE", "macros rcpt i=Q1 {to}=b@example.net"}},
		{wire.MacroList{Stage: wire.StageMail, Names: []string{"{auth_type}", "{mail_addr}"}},
			[]string{"macros connect j=mx {if_addr}=192.0.2.9", "macros helo {stress}=yes",
				"macros mail {mail_addr}=a@example.org {auth_type}=MINE", "macros rcpt i=Q1 {to}=b@example.net"}},
		{wire.MacroList{Stage: wire.StageMail, Names: []string{"i"}},
			[]string{"macros connect j=mx {if_addr}=192.0.2.9", "macros helo {stress}=yes",
				"macros mail {auth_type}=MINE", "macros rcpt i=Q1 {to}=b@example.net"}},
	} {
		s := Script{}
		if c.asked.Names != nil {
			s.Macros = []wire.MacroList{c.asked}
		}
		r := newRig(t, s)
		r.child.Macros = []remote.Macro{
			always("{if_addr}", "192.0.2.9", milterkit.StageConnect),
			always("{stress}", "yes", milterkit.StageHelo),
			always("{auth_type}", "MINE", milterkit.StageMail),
			{Name: "{to}", At: milterkit.StageRcpt, Value: func(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) (string, bool) {
				return to.Addr, true
			}},
		}
		r.open()
		r.macro(milterkit.StageConnect, "j", "mx")
		r.connect()
		r.helo()
		r.macro(milterkit.StageMail, "auth_type", "PLAIN", "{mail_addr}", "a@example.org")
		r.mail()
		r.macro(milterkit.StageRcpt, "i", "Q1")
		r.rcpt("<b@example.net>")
		r.close()
		r.idle(1)
		wantLines(t, r.filter.SawMacros(), c.want...)
	}
}

// Where a milter's own macro is not made the MTA's stands; and where that leaves
// nothing to be sent, the value of the message before is taken back.
func TestOwnMacroThatIsNotMadeLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{})
	made := true
	r.child.Macros = []remote.Macro{{Name: "{trusted_domain}", At: milterkit.StageMail,
		Value: func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) (string, bool) {
			return "yes", made && e.Sender.Addr == "a@example.org"
		}}}
	r.greet()
	for _, mta := range [][]string{nil, nil, nil, {"{trusted_domain}", "no"}} {
		r.macro(milterkit.StageMail, mta...)
		r.mail()
		r.walk.Reset()
		made = false
	}
	r.close()
	r.idle(1)
	wantLines(t, r.filter.SawMacros(), "macros mail {trusted_domain}=yes", "macros mail {trusted_domain}=",
		"macros mail {trusted_domain}=", "macros mail {trusted_domain}=no")
}

// No other child sees them, neither a milter nor one in this process.
func TestOwnMacrosAreNobodyElses(t *testing.T) {
	t.Parallel()
	a, b := newRig(t, Script{}), newRig(t, Script{})
	a.child.Label = "a"
	a.child.Macros = []remote.Macro{always("{own}", "1", milterkit.StageConnect)}
	native := ""
	d, err := milterkit.NewDispatcher(a.slot, b.slot, milterkit.Slot{Child: milterkit.OnRcpt("native",
		func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) milterkit.Verdict {
			native = e.Macro("own")
			return milterkit.Continue
		})})
	if err != nil {
		t.Fatal(err)
	}
	a.walk = d.Walk(a.acts)
	a.macro(milterkit.StageConnect, "j", "mx")
	a.connect()
	a.message()
	a.close()
	a.idle(1)
	b.idle(1)
	wantLines(t, a.filter.SawMacros(), "macros connect j=mx {own}=1")
	wantLines(t, b.filter.SawMacros(), "macros connect j=mx")
	if native != "" {
		t.Errorf("a native child has %q", native)
	}
}

// What a milter's own macros need is asked of the MTA, before and after it is known
// what the milter itself would like to have.
func TestWhatOwnMacrosNeedIsAskedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{Macros: []wire.MacroList{{Stage: wire.StageMail, Names: []string{"{auth_type}"}}}})
	m := always("{x}", "1", milterkit.StageConnect)
	m.Needs = map[milterkit.Stage][]string{milterkit.StageConnect: {"{daemon_addr}"}, milterkit.StageMail: {"{y}"}}
	r.child.Macros = []remote.Macro{m}
	wantLines(t, r.child.Hooks().Macros[milterkit.StageConnect], "{daemon_addr}")
	if err := r.child.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLines(t, r.child.Hooks().Macros[milterkit.StageConnect], "{daemon_addr}")
	wantLines(t, r.child.Hooks().Macros[milterkit.StageMail], "{auth_type}", "{y}")
}

// A connection that is opened anew is told them anew.
func TestOwnMacrosAreToldAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, on(wire.CmdMail, Answer{Close: true}))
	r.child.Macros = []remote.Macro{always("{own}", "1", milterkit.StageConnect)}
	r.greet()
	r.want("a message whose connection is lost", r.message(), tryAgain)
	r.message()
	r.close()
	r.idle(2)
	wantLines(t, r.filter.SawMacros(), "macros connect {own}=1", "macros connect {own}=1")
}
