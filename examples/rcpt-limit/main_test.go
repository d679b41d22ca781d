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

// Users take no more memory than maxUsers do, and what they sent is forgotten.
func TestMemory(t *testing.T) {
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
	clock.Advance(time.Hour + piece)
	for _, user := range []string{"user0", "one more"} {
		if v := ask(user); v != milterkit.Continue {
			t.Errorf("%s, later: %v", user, v)
		}
	}
}

// Who sends all the time has the limit in each hour, wherever it begins, and not much less.
func TestNoHourHasMore(t *testing.T) {
	const limit, hours = 60, 10
	var clock miltertest.Clock
	ask := asker(t, rcptLimit(limit, clock.Now))
	var taken []time.Time
	for range hours * 60 {
		for range 1 + clock.Now().Minute()/20 { // not evenly
			if ask("alice") == milterkit.Continue {
				taken = append(taken, clock.Now())
			}
		}
		clock.Advance(time.Minute)
	}
	for i := limit; i < len(taken); i++ {
		if took := taken[i].Sub(taken[i-limit]); took < time.Hour {
			t.Errorf("%d recipients within %v, from %v on", limit+1, took, taken[i-limit])
		}
	}
	if least := limit * hours * 6 / pieces; len(taken) < least {
		t.Errorf("%d recipients in %d hours, want at least %d", len(taken), hours, least)
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
