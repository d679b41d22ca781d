package main

import (
	"expvar"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// A filter in shadow refuses nothing, and what it would have refused is counted.
func TestShadow(t *testing.T) {
	chain, err := milterkit.NewDispatcher(milterkit.Slot{Child: requireID(), Shadow: true})
	if err != nil {
		t.Fatal(err)
	}
	var counts expvar.Map
	chain.OnReport = count(&counts)
	w := chain.Walk(milterkit.AllActions)
	for _, text := range []string{"Subject: one\n\n", "Subject: two\nMessage-ID: <2@example.com>\n\n", "Subject: three\n\n"} {
		w.Mail(t.Context(), milterkit.NewAddress("<a@example.com>"))
		w.Rcpt(t.Context(), milterkit.NewAddress("<bob@example.org>"))
		if o := w.Message(t.Context(), []byte(text)); o.Verdict != milterkit.Continue {
			t.Errorf("%q: %v", text, o.Verdict)
		}
		w.Reset()
	}
	w.Close()
	if got, want := counts.String(), `{"require-id: continue": 1, "require-id: reject": 2}`; got != want {
		t.Errorf("counted %s, want %s", got, want)
	}
}

// The child keeps to the rules of package milterkit.
func TestRules(t *testing.T) {
	t.Parallel()
	miltertest.TestChild(t, requireID)
}
