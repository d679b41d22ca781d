package milterkit_test

import (
	"context"
	"slices"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// The MTA is asked for the macros that a condition names, along with its own and
// the children's, so that the test can have them.
func TestMacrosOfAConditionAreAskedFor(t *testing.T) {
	rate, shown := "", 0
	_, socket := serve(t, milterkit.Slot{
		When: milterkit.Condition{
			Name:   "often",
			At:     milterkit.StageConnect,
			Macros: map[milterkit.Stage][]string{milterkit.StageConnect: {"{client_rate}", "{j}"}},
			Holds: func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) bool {
				rate = e.Macro("client_rate")
				return rate == "7"
			},
		},
		Child: childOf("c", milterkit.Hooks{
			Connect: func(context.Context, *milterkit.Session) milterkit.Verdict {
				shown++
				return milterkit.Continue
			},
			Macros: map[milterkit.Stage][]string{milterkit.StageConnect: {"{mine}"}},
		}),
	})
	m := call(t, socket, miltertest.Offer{})
	for _, l := range m.Negotiated.MacroLists {
		if l.Stage != wire.StageConnect {
			continue
		}
		for _, name := range []string{"j", "{daemon_name}", "{client_rate}", "{mine}"} {
			if !slices.Contains(l.Names, name) {
				t.Errorf("%s is not asked for: %v", name, l.Names)
			}
		}
		if slices.Contains(l.Names, "{j}") {
			t.Errorf("one macro is asked for twice: %v", l.Names)
		}
	}
	p := miltertest.Player{MTA: m, Client: miltertest.Client{
		Host: "mx", Family: wire.FamilyInet, Addr: "192.0.2.1", Known: map[string]string{"client_rate": "7"},
	}}
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
	if rate != "7" || shown != 1 {
		t.Errorf("the condition was given %q, and the child asked %d times", rate, shown)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}
