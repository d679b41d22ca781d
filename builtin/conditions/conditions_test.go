package conditions

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/milterkit/sdk/builtin/s25r"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

var ctx = context.Background()

// from is the envelope of a message from a client.
func from(addr, host, sender string) *milterkit.Envelope {
	family := milterkit.FamilyInet
	switch {
	case addr == "":
		family = milterkit.FamilyUnknown
	case len(addr) > 15:
		family = milterkit.FamilyInet6
	}
	return &milterkit.Envelope{Session: &milterkit.Session{Addr: addr, Family: family, Host: host, Helo: host}, Sender: milterkit.NewAddress(sender)}
}

func constant(name string, at milterkit.Stage, is bool, asked *int, macros ...string) milterkit.Condition {
	return milterkit.Condition{Name: name, At: at, Macros: map[milterkit.Stage][]string{at: macros},
		Holds: func(context.Context, *milterkit.Envelope, milterkit.Address) bool { *asked++; return is }}
}

// Conditions are put together as && and || and ! do, and no more are asked than need
// be; the whole is settled with the last of them, and has the macros of all.
func TestTogether(t *testing.T) {
	var asked int
	yes := constant("yes", milterkit.StageHelo, true, &asked, "a", "b")
	no := constant("no", milterkit.StageMail, false, &asked, "b", "c")
	for _, c := range []struct {
		condition milterkit.Condition
		name      string
		want      bool
		asked     int
		at        milterkit.Stage
	}{
		{All(yes, no, yes), "(yes && no && yes)", false, 2, milterkit.StageMail},
		{All(yes, yes), "(yes && yes)", true, 2, milterkit.StageHelo},
		{Any(no, yes, no), "(no || yes || no)", true, 2, milterkit.StageMail},
		{Any(no, no), "(no || no)", false, 2, milterkit.StageMail},
		{Not(Any(no, Not(yes))), "!(no || !yes)", true, 2, milterkit.StageMail},
		{All(), "()", true, 0, milterkit.StageConnect},
		{Any(), "()", false, 0, milterkit.StageConnect},
		{All(milterkit.Condition{}, yes), "(true && yes)", true, 1, milterkit.StageHelo},
		{Not(milterkit.Condition{}), "!true", false, 0, milterkit.StageConnect},
	} {
		asked = 0
		got := c.condition.Holds(ctx, from("192.0.2.7", "", ""), milterkit.Address{})
		if got != c.want || asked != c.asked || c.condition.At != c.at || c.condition.Name != c.name {
			t.Errorf("%s: %v, asked %d, at %s, named %q", c.name, got, asked, c.condition.At, c.condition.Name)
		}
		if _, err := milterkit.NewDispatcher(milterkit.Slot{When: c.condition, Child: milterkit.OnMessage("x", nil)}); err != nil {
			t.Error(err)
		}
	}
	want := map[milterkit.Stage][]string{milterkit.StageHelo: {"a", "b"}, milterkit.StageMail: {"b", "c"}}
	if d := cmp.Diff(want, All(yes, no, yes).Macros); d != "" {
		t.Error(d)
	}
}

// The policy that milter-manager is known for, in Go.
func TestThePolicyOfGreylisting(t *testing.T) {
	dns := &miltertest.Resolver{Zone: map[string]miltertest.Records{"gmail.com": {TXT: []string{"v=spf1 ip4:203.0.113.8 -all"}}}}
	policy := All(s25r.Default.Condition(), Not(Any(Local(), Authenticated(), Trusted(dns))))
	for _, c := range []struct {
		e    *milterkit.Envelope
		want bool
	}{
		{from("203.0.113.7", "203-0-113-7.dyn.example.net", "a@example.org"), true},
		{from("203.0.113.7", "mail.example.com", "a@example.org"), false},
		{from("127.0.0.1", "unknown", "a@example.org"), false},
		{from("203.0.113.7", "203-0-113-7.dyn.example.net", "a@gmail.com"), true},
		{from("203.0.113.8", "203-0-113-8.dyn.example.net", "a@gmail.com"), false},
	} {
		if got := policy.Holds(ctx, c.e, milterkit.Address{}); got != c.want {
			t.Errorf("%s %s: %v", c.e.Host, c.e.Sender, got)
		}
	}
	if policy.At != milterkit.StageMail {
		t.Errorf("settled at %s", policy.At)
	}
}

func TestNetwork(t *testing.T) {
	c := Network(netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::ffff:198.51.100.0/120"), netip.MustParsePrefix("2001:db8::/32"))
	for addr, want := range map[string]bool{
		"192.0.2.7": true, "192.0.3.7": false, "198.51.100.1": true, "IPv6:2001:db8::1": true, "2001:db9::1": false, "::ffff:192.0.2.7": true, "": false,
	} {
		if got := c.Holds(ctx, from(addr, "", ""), milterkit.Address{}); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}

// Under stress there are as many sessions as the threshold says, or more.
func TestStress(t *testing.T) {
	n := 0
	for _, c := range []struct {
		sessions, threshold int
		want                bool
	}{{74, 75, false}, {75, 75, true}, {76, 75, true}, {1000, 0, false}} {
		n = c.sessions
		if got := Stress(func() int { return n }, c.threshold).Holds(ctx, nil, milterkit.Address{}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// The first time is in it, the second is not; a night goes on after midnight.
func TestTimeBetween(t *testing.T) {
	day, night := [2]time.Duration{8 * time.Hour, 17*time.Hour + 30*time.Minute}, [2]time.Duration{22 * time.Hour, 6 * time.Hour}
	for _, c := range []struct {
		span [2]time.Duration
		at   string
		want bool
	}{
		{day, "07:59:59", false}, {day, "08:00:00", true}, {day, "17:29:59", true}, {day, "17:30:00", false},
		{night, "21:59:59", false}, {night, "22:00:00", true}, {night, "00:00:00", true}, {night, "05:59:59", true}, {night, "06:00:00", false},
	} {
		now := func() time.Time {
			at, err := time.ParseInLocation(time.TimeOnly, c.at, time.FixedZone("here", 7200))
			if err != nil {
				t.Fatal(err)
			}
			return at
		}
		if got := TimeBetween(c.span[0], c.span[1], now).Holds(ctx, nil, milterkit.Address{}); got != c.want {
			t.Errorf("%s in %v: %v", c.at, c.span, got)
		}
	}
}

func ExampleAll() {
	c := All(s25r.Default.Condition(), Not(Authenticated()))
	fmt.Println(c.Name, "at", c.At)
	// Output: (s25r && !authenticated) at mail
}
