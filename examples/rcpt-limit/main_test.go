package main

import (
	"context"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// A limit holds over sessions, for each user.
func TestAnswers(t *testing.T) {
	var clock miltertest.Clock
	miltertest.Run(t, "testdata/limit.txt", milterkit.Slot{Child: rcptLimit(3, clock.Now)})
}

// With each hour counting begins anew, and users take no more memory than maxUsers do.
func TestHourAndMemory(t *testing.T) {
	var clock miltertest.Clock
	ask := asker(t, rcptLimit(1, clock.Now))
	for i := range maxUsers {
		if v := ask("user" + strconv.Itoa(i)); v != milterkit.Continue {
			t.Fatalf("user %d: %v", i, v)
		}
	}
	for _, user := range []string{"user0", "one more"} {
		if v := ask(user); v.Kind() != milterkit.KindTempFail {
			t.Errorf("%s: %v, want to be told to try again", user, v)
		}
	}
	clock.Advance(time.Hour)
	for _, user := range []string{"user0", "one more"} {
		if v := ask(user); v != milterkit.Continue {
			t.Errorf("%s, an hour later: %v", user, v)
		}
	}
}

// asker returns a function that asks whether a user may have one more recipient.
func asker(t *testing.T, child milterkit.Child) func(user string) milterkit.Verdict {
	chain, err := milterkit.NewDispatcher(milterkit.Slot{Child: child})
	if err != nil {
		t.Fatal(err)
	}
	w := chain.Walk(milterkit.AllActions)
	t.Cleanup(w.Close)
	return func(user string) milterkit.Verdict {
		w.Macros(milterkit.StageMail, maps.All(map[string]string{"auth_authen": user}))
		w.Mail(context.Background(), milterkit.NewAddress("<a@example.org>"))
		return w.Rcpt(context.Background(), milterkit.NewAddress("<b@example.org>"))
	}
}

// The child keeps to the rules of package milterkit.
func TestRules(t *testing.T) {
	t.Parallel()
	miltertest.ChildTest{
		New:       func() milterkit.Child { return rcptLimit(100, time.Now) },
		Client:    miltertest.Client{Host: "laptop.example.org", Addr: "192.0.2.7", Known: map[string]string{"auth_authen": "alice"}},
		Remembers: true,
	}.Run(t)
}
