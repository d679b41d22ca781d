//go:build !race

package when

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
)

// ten are conditions as they stand in configurations, but for those that ask a name
// server. None holds for the session at hand, so all of each is asked.
var ten = []string{
	`s25r && !authenticated && !local`,
	`local || cidr(client.addr, "10.0.0.0/8", "198.51.100.0/24", "2001:db8:1::/48")`,
	`authenticated || macro("daemon_name") == "submission"`,
	`rcpt_to matches "(?i)@(example[.]edu|example[.]net)$"`,
	`client.addr == "198.51.100.7" || client.name endsWith ".dyn.example.net"`,
	`helo in ["a.example", "b.example", client.addr]`,
	`mail_from.domain in ["example.edu", "example.net"] || rcpt_to.domain == "example.edu"`,
	`mail_from in list("LIST") || client.addr in list("LIST")`,
	`stress || sessions > 1000`,
	`weekday in ["saturday", "sunday"] && time_between("22:00", "06:00") && mail_from contains "news"`,
}

// tenOn compiles them, and returns a function that asks all of them about a session.
func tenOn(t testing.TB, s sample) (ask func() (holds int)) {
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("example.net\n.example.edu\n10.0.0.0/8\n2001:db8:1::/48\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := &Env{Sessions: func() int { return 7 }, Stress: func() int { return 75 }}
	var tests []truthOf
	for _, text := range ten {
		tests = append(tests, mustCompileIn(t, env, strings.ReplaceAll(text, "LIST", list)).Holds)
	}
	var e *milterkit.Envelope
	s.playTo(t, milterkit.Slot{Child: milterkit.OnRcpt("x", func(_ context.Context, env *milterkit.Envelope, _ milterkit.Address) milterkit.Verdict {
		session := *env.Session
		e = &milterkit.Envelope{Session: &session, Sender: env.Sender}
		return milterkit.Continue
	})})
	to := milterkit.NewAddress("<bob@example.test>")
	return func() (holds int) {
		for _, ask := range tests {
			if ask(context.Background(), e, to) {
				holds++
			}
		}
		return holds
	}
}

// To ask conditions allocates nothing, but for what the DNS is asked.
func TestConditionsAreAskedWithoutAllocations(t *testing.T) {
	for _, s := range []sample{outside(), outside().client(milterkit.FamilyInet6, "IPv6:2001:db8::7")} {
		ask := tenOn(t, s)
		ask()
		if n := testing.AllocsPerRun(100, func() { ask() }); n != 0 {
			t.Errorf("%v allocations for a client from %q", n, s.addr)
		}
	}
}

func BenchmarkTenConditions(b *testing.B) {
	ask := tenOn(b, outside())
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
}
