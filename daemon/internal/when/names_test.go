package when

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/builtin/conditions"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// known is an environment with a name server, a clock at Saturday, 23:30, and 80
// sessions of which 75 are many.
func known() (*Env, *miltertest.Resolver) {
	r := &miltertest.Resolver{Zone: map[string]miltertest.Records{
		"gmail.com":            {TXT: []string{"v=spf1 ip4:192.0.2.0/24 -all"}},
		"example.org":          {TXT: []string{"v=spf1 ip4:192.0.2.0/24 ~all"}},
		"mx.example.org":       {TXT: []string{"v=spf1 ip4:192.0.2.0/24 -all"}},
		"down.example":         {Temporary: true},
		"7.2.0.192.bl.example": {IP: []string{"127.0.0.2"}},
	}}
	return &Env{
		Resolver: r, Sessions: func() int { return 80 }, Stress: func() int { return 75 },
		Now: func() time.Time { return time.Date(2026, 8, 1, 23, 30, 0, 0, time.UTC) },
	}, r
}

// What conditions know besides the message.
func TestWhatConditionsKnowBesides(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("example.org\n.example.test\ncarol@example.com\n192.0.2.0/24\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	of := func(from string) sample { s := outside(); s.from = from; return s }
	far := outside().client(milterkit.FamilyInet, "198.51.100.7")
	for _, c := range []struct {
		text string
		at   milterkit.Stage
		s    sample
		want bool
	}{
		{`stress`, connect, outside(), true},
		{`sessions >= 81`, connect, outside(), false},
		{`sessions >= 80 && sessions > 79 && sessions <= 80 && sessions < 81 && sessions == 80 && sessions != 7`, connect, outside(), true},

		{`weekday == "saturday"`, connect, outside(), true},
		{`weekday in ["monday", "sunday"]`, connect, outside(), false},
		{`time_between("22:00", "06:00")`, connect, outside(), true},
		{`time_between("06:00", "23:30")`, connect, outside(), false},
		{`time_between("23:30", "24:00")`, connect, outside(), true},

		{`trusted`, mail, of("<a@gmail.com>"), true},
		{`trusted`, mail, of("<a@example.org>"), false},
		{`spf == "pass"`, mail, outside(), true},
		{`spf == "softfail"`, mail, far, true},
		{`spf` + " in [\"fail\", \"temperror\"]", mail, of("<a@down.example>"), true},
		{`spf == "none"`, mail, of("<a@none.example>"), true},
		{`spf == "pass"`, mail, of("<>"), true}, // of helo
		{`mail_from.domain in list("LIST") && spf == "pass"`, mail, outside(), true},
		{`mail_from.domain in list("LIST") && spf == "pass"`, mail, far, false},

		{`dnsbl("bl.example")`, connect, outside(), true},
		{`dnsbl("bl.example=127.0.0.3")`, connect, outside(), false},
		{`dnsbl("bl.example")`, connect, far, false},
		{`!dnsbl("none.example", "bl.example")`, connect, outside(), false},
		{`dnsbl("none.example") || dnsbl("bl.example") || dnsbl("more.example")`, connect, outside(), true},
		{`dnsbl("none.example") && dnsbl("bl.example")`, connect, outside(), false},

		{`mail_from.domain == "example.org"`, mail, of("<a@Example.ORG>"), true},
		{`mail_from.domain == ""`, mail, of("<>"), true},
		{`rcpt_to.domain == "example.test"`, rcpt, outside(), true},

		{`client.addr in list("LIST")`, connect, outside(), true},
		{`client.addr not in list("LIST")`, connect, far, true},
		{`client.addr in list("LIST")`, connect, outside().client(milterkit.FamilyUnix, "/run/s"), false},
		{`client.name in list("LIST")`, connect, outside(), false},
		{`client.name in list("LIST")`, connect, outside().named("mx.example.test"), true},
		{`helo in list("LIST")`, helo, outside(), false},
		{`mail_from in list("LIST")`, mail, outside(), true},
		{`mail_from in list("LIST")`, mail, of("<Carol@example.com>"), true},
		{`mail_from in list("LIST")`, mail, of("<dave@example.com>"), false},
		{`mail_from in list("LIST")`, mail, of("<>"), false},
		{`rcpt_to in list("LIST")`, rcpt, outside(), true},
		{`macro("if_addr") in list("LIST")`, connect, outside().with(connect, "{if_addr}", "192.0.2.1"), true},
	} {
		env, _ := known()
		condition := mustCompileIn(t, env, strings.ReplaceAll(c.text, "LIST", list))
		if condition.At != c.at {
			t.Errorf("%s is settled at %s, want %s", c.text, condition.At, c.at)
		}
		if got := c.s.play(t, condition)[0] != "none"; got != c.want {
			t.Errorf("%s is %v for %+v", c.text, got, c.s)
		}
	}
}

// Where nothing is known of sessions, stress never holds.
func TestStressThatIsNotKnown(t *testing.T) {
	if got := outside().play(t, mustCompile(t, `stress || sessions > 0`))[0]; got != "none" {
		t.Errorf("it holds for %s", got)
	}
}

// A name server is asked only where its answer counts.
func TestTheNameServerIsAskedWhenItMatters(t *testing.T) {
	for _, text := range []string{`local && dnsbl("bl.example")`, `mail_from.domain == "gmail.com" && spf == "pass"`, `trusted`} {
		env, r := known()
		outside().play(t, mustCompileIn(t, env, text))
		if len(r.Queries()) > 0 {
			t.Errorf("%s: asked %q", text, r.Queries())
		}
	}
}

// DNS lists that are joined by || are asked at the same time: those that hang cost
// their time once.
func TestListsJoinedByOrAreAskedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env, r := known()
		for _, zone := range []string{"a", "b", "c", "d"} {
			r.Zone["7.2.0.192."+zone+".example"] = miltertest.Records{Silent: true}
		}
		c := mustCompileIn(t, env, `dnsbl("a.example") || (dnsbl("b.example", "c.example") or dnsbl("d.example"))`)
		e := &milterkit.Envelope{Session: &milterkit.Session{Addr: "192.0.2.7", Family: milterkit.FamilyInet}}
		start := time.Now()
		if c.Holds(t.Context(), e, milterkit.Address{}) || time.Since(start) != conditions.LookupTimeout {
			t.Errorf("it took %v", time.Since(start))
		}
		time.Sleep(time.Minute) // until the look-ups have ended
	})
}

// A list that changes is read anew by the conditions that name it, and conditions
// that name the same share it.
func TestAConditionGoesByTheListAsItIs(t *testing.T) {
	clock := new(miltertest.Clock)
	env := &Env{Now: clock.Now}
	list := filepath.Join(t.TempDir(), "list")
	write := func(text string) {
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Second)
	}
	write("example.net\n")
	one, two := mustCompileIn(t, env, `mail_from in list("`+list+`")`), mustCompileIn(t, env, `rcpt_to in list("`+list+`")`)
	for _, c := range []struct{ text, want string }{
		{"example.net\n", "none|none"}, {"example.org\n", "bob@example.test|none"}, {"no line\n", "bob@example.test|none"}, {"example.test # now\n", "none|bob@example.test"},
	} {
		write(c.text)
		if got := strings.Join(outside().play(t, one, two), "|"); got != c.want {
			t.Errorf("with %q: %s, want %s", c.text, got, c.want)
		}
	}
	if len(env.lists) != 1 {
		t.Errorf("%d lists", len(env.lists))
	}
}
