package when

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// fromManager returns the conditions of milter-manager that the documentation has a
// counterpart for.
func fromManager(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/from-milter-manager.md")
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "accounts")
	if err := os.WriteFile(list, []byte("bob@example.test\ncarol@example.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conditions := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| ([A-Z][A-Za-z0-9 ]+) \\| `([^`]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		conditions[row[1]] = strings.ReplaceAll(row[2], "/etc/milterkit/accounts", list)
	}
	return conditions
}

// What the documentation has in place of each condition of milter-manager does what
// that does: asked is what milter-manager asks the milter about.
func TestConditionsOfMilterManager(t *testing.T) {
	inet, inet6 := milterkit.FamilyInet, milterkit.FamilyInet6
	loggedIn := outside().with(mail, "{auth_authen}", "alice")
	of := func(from string) sample { s := outside(); s.from = from; return s }
	to := func(to ...string) sample { s := outside(); s.to = to; return s }
	const bob = "bob@example.test"
	conditions := fromManager(t)
	for _, c := range []struct {
		name  string
		s     sample
		asked string
	}{
		{"S25R", outside().named("203-0-113-7.dyn.example.net"), bob},
		{"S25R", outside().named("unknown"), bob},
		{"S25R", outside().named("mail.example.com"), "none"},
		{"S25R", outside().named("mail-ed1-f49.google.com"), "none"},
		{"S25R", outside().named("unknown").client(inet6, "2001:db8::1"), "none"},

		{"Remote Network", outside(), bob},
		{"Remote Network", outside().client(inet6, "2001:db8::1"), bob},
		{"Remote Network", outside().client(inet, "172.32.0.1"), bob},
		{"Remote Network", outside().client(inet, "127.0.0.1"), "none"},
		{"Remote Network", outside().client(inet, "10.1.2.3"), "none"},
		{"Remote Network", outside().client(inet, "172.31.255.255"), "none"},
		{"Remote Network", outside().client(inet, "192.168.0.1"), "none"},
		{"Remote Network", outside().client(inet6, "::1"), "none"},
		{"Remote Network", outside().client(inet6, "fe80::1"), "none"},
		{"Remote Network", outside().client(milterkit.FamilyUnix, "/run/s"), "none"},
		{"Remote Network", outside().client(milterkit.FamilyUnknown, ""), "none"},

		{"Authenticated", loggedIn, bob},
		{"Authenticated", outside(), "none"},
		{"Unauthenticated", loggedIn, "none"},
		{"Unauthenticated", outside(), bob},

		{"Trust", of("<alice@gmail.com>"), bob},
		{"Trust", of("<alice@GMAIL.com>"), bob},
		{"Trust", of("<alice@sub.gmail.com>"), "none"},
		{"Trust", of("<alice@example.org>"), "none"},
		{"Trust", of("<>"), "none"},
		{"Trust", of("<alice@gmail.com>").client(inet, "198.51.100.7"), "none"}, // SPF does not pass

		{"DNSBL Listed", outside().client(inet, "192.0.2.10"), bob},
		{"DNSBL Listed", outside().client(inet, "192.0.2.11"), "none"}, // listed, by another answer
		{"DNSBL Listed", outside().client(inet, "192.0.2.12"), bob},    // of another list
		{"DNSBL Listed", outside().client(inet, "192.0.2.13"), "none"}, // the list does not answer
		{"DNSBL Listed", outside(), "none"},
		{"Not DNSBL Listed", outside().client(inet, "192.0.2.10"), "none"},
		{"Not DNSBL Listed", outside().client(inet, "192.0.2.13"), bob},
		{"Not DNSBL Listed", outside(), bob},

		{"Restrict Accounts", to("<bob@example.test>"), bob},
		{"Restrict Accounts", to("<Carol@Example.test>", "<dave@example.test>"), "Carol@Example.test"},
		{"Restrict Accounts", to("<dave@example.test>"), "none"},
	} {
		env, r := known()
		r.Zone["sub.gmail.com"] = r.Zone["gmail.com"]
		for name, records := range map[string]miltertest.Records{
			"10.2.0.192.zen.spamhaus.org": {IP: []string{"127.0.0.11"}}, "11.2.0.192.zen.spamhaus.org": {IP: []string{"127.0.0.2"}},
			"12.2.0.192.bl.spamcop.net": {IP: []string{"127.0.0.2"}}, "13.2.0.192.zen.spamhaus.org": {Temporary: true},
		} {
			r.Zone[name] = records
		}
		text := conditions[c.name]
		if got := c.s.play(t, mustCompileIn(t, env, text))[0]; got != c.asked {
			t.Errorf("%s, %s: asked about %s, want %s, for %+v", c.name, text, got, c.asked, c.s)
		}
	}
	for sessions, want := range map[int][]string{74: {"none", bob}, 75: {bob, "none"}, 100: {bob, "none"}} {
		env := &Env{Sessions: func() int { return sessions }, Stress: func() int { return 75 }}
		got := outside().play(t, mustCompileIn(t, env, conditions["Stress Notify"]), mustCompileIn(t, env, conditions["No Stress"]))
		if !slices.Equal(got, want) {
			t.Errorf("%d sessions: asked about %q, want %q", sessions, got, want)
		}
	}
	if len(conditions) != 10 {
		t.Errorf("the documentation has %d conditions of milter-manager", len(conditions))
	}
}
