package when

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A sample is an SMTP session with one message, as an MTA tells of it.
type sample struct {
	host   string
	family milterkit.Family
	addr   string
	helo   string
	from   string
	to     []string
	macros map[milterkit.Stage]map[string]string // at RCPT for all recipients
}

// outside is a session of another host.
func outside() sample {
	return sample{
		host: "mail.example.org", family: milterkit.FamilyInet, addr: "192.0.2.7", helo: "mx.example.org",
		from: "<alice@example.org>", to: []string{"<bob@example.test>"},
		macros: map[milterkit.Stage]map[string]string{},
	}
}

// from changes the client.
func (s sample) client(family milterkit.Family, addr string) sample {
	s.family, s.addr = family, addr
	return s
}

// named changes the client's name.
func (s sample) named(host string) sample {
	s.host = host
	return s
}

// sent changes the sender and the recipients.
func (s sample) sent(from string, to ...string) sample {
	s.from, s.to = from, to
	return s
}

// with adds a macro.
func (s sample) with(at milterkit.Stage, name, value string) sample {
	s.macros = map[milterkit.Stage]map[string]string{at: {name: value}}
	return s
}

// play takes the sample past milters with these conditions, and returns for each
// the recipients that it was shown, "none" where it was not told of the message.
func (s sample) play(t testing.TB, conditions ...milterkit.Condition) []string {
	t.Helper()
	shown := make([]string, len(conditions))
	slots := make([]milterkit.Slot, len(conditions))
	for i, c := range conditions {
		shown[i] = "none"
		slots[i] = milterkit.Slot{When: c, Child: showing(&shown[i])}
	}
	s.playTo(t, slots...)
	return shown
}

// showing is a child that tells which recipients it was shown.
func showing(shown *string) milterkit.Child {
	return milterkit.OnMessage(fmt.Sprintf("%p", shown), func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
		var to []string
		for _, r := range m.Recipients {
			to = append(to, r.Addr)
		}
		*shown = strings.Join(to, " ")
		return milterkit.Continue
	})
}

// playTo takes the sample past children.
func (s sample) playTo(t testing.TB, slots ...milterkit.Slot) {
	t.Helper()
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	w := d.Walk(0)
	defer w.Close()
	tell := func(at milterkit.Stage) {
		w.Macros(at, func(yield func(string, string) bool) {
			for name, value := range s.macros[at] {
				if !yield(name, value) {
					return
				}
			}
		})
	}
	continues := func(at milterkit.Stage, v milterkit.Verdict) {
		if v.Final() {
			t.Fatalf("%s: %s", at, v)
		}
	}
	ctx := context.Background()
	tell(milterkit.StageConnect)
	continues(milterkit.StageConnect, w.Connect(ctx, s.host, s.family, s.addr, 25))
	tell(milterkit.StageHelo)
	continues(milterkit.StageHelo, w.Helo(ctx, s.helo))
	tell(milterkit.StageMail)
	continues(milterkit.StageMail, w.Mail(ctx, milterkit.NewAddress(s.from)))
	for _, to := range s.to {
		tell(milterkit.StageRcpt)
		continues(milterkit.StageRcpt, w.Rcpt(ctx, milterkit.NewAddress(to)))
	}
	continues(milterkit.StageData, w.Data(ctx))
	w.EndOfMessage(ctx)
}

func mustCompile(t testing.TB, text string) milterkit.Condition {
	t.Helper()
	return mustCompileIn(t, new(Env), text)
}

func mustCompileIn(t testing.TB, env *Env, text string) milterkit.Condition {
	t.Helper()
	c, errs := env.Compile(text, nil)
	if len(errs) > 0 {
		t.Fatalf("%s: %+v", text, errs)
	}
	return c
}

func TestConditions(t *testing.T) {
	null := outside()
	null.from = "<>"
	bare := outside() // as Postfix's cleanup has them for mail that came by sendmail(1)
	bare.from, bare.to = "alice@example.org", []string{"bob@example.test"}
	authenticated := outside().with(mail, "{auth_authen}", "alice")
	inet, inet6 := milterkit.FamilyInet, milterkit.FamilyInet6
	for _, c := range []struct {
		text string
		at   milterkit.Stage
		s    sample
		want bool
	}{
		{`true`, connect, outside(), true},
		{`false`, connect, outside(), false},

		{`authenticated`, mail, outside(), false},
		{`authenticated`, mail, authenticated, true},
		{`!authenticated`, mail, authenticated, false},
		{`authenticated == false`, mail, outside(), true},

		{`local`, connect, outside(), false},
		{`local`, connect, outside().client(inet, "127.0.0.1"), true},
		{`local`, connect, outside().client(inet, "127.99.0.1"), true},
		{`local`, connect, outside().client(inet6, "::1"), true},
		{`local`, connect, outside().client(inet6, "IPv6:::1"), true},
		{`local`, connect, outside().client(inet6, "IPv6:2001:db8::1"), false},
		{`local`, connect, outside().client(inet6, "::ffff:127.0.0.1"), true},
		{`local`, connect, outside().client(inet6, "::ffff:192.0.2.7"), false},
		{`local`, connect, outside().client(inet, "what"), false},
		{`local`, connect, outside().client(milterkit.FamilyUnix, "/run/s"), true},
		{`local`, connect, outside().client(milterkit.FamilyUnknown, ""), true},
		{`local`, connect, outside().client(0, ""), true},

		{`s25r`, connect, outside(), false},
		{`s25r`, connect, outside().named("203-0-113-7.dyn.example.net"), true},
		{`s25r`, connect, outside().named("[192.0.2.7]"), true},
		{`s25r`, connect, outside().named("unknown"), true},
		{`s25r`, connect, outside().named("mail-ed1-f49.google.com"), false},
		{`s25r`, connect, outside().named("[IPv6:2001:db8::1]").client(inet6, "IPv6:2001:db8::1"), false},
		{`s25r`, connect, outside().named("localhost").client(milterkit.FamilyUnix, "/run/s"), false},
		{`s25r && !authenticated`, mail, outside().named("unknown"), true},
		{`s25r && !authenticated`, mail, authenticated.named("unknown"), false},
		{`s25r && !(client.name endsWith ".dyn.example.net") || client.name startsWith "cable"`, connect, outside().named("203-0-113-7.dyn.example.net"), false},
		{`s25r && !(client.name endsWith ".dyn.example.net") || client.name startsWith "cable"`, connect, outside().named("cable.example.net"), true},

		{`client.addr == "192.0.2.7"`, connect, outside(), true},
		{`client.addr == "2001:db8::1"`, connect, outside().client(inet6, "IPv6:2001:db8::1"), true},
		{`client.addr == "2001:db8::1"`, connect, outside().client(inet6, "2001:db8:0::1"), true},
		{`client.addr == "192.0.2.7"`, connect, outside().client(inet6, "::ffff:192.0.2.7"), true},
		{`client.addr == "/run/s"`, connect, outside().client(milterkit.FamilyUnix, "/run/s"), true},
		{`client.addr == ""`, connect, outside().client(milterkit.FamilyUnknown, ""), true},
		{`client.name endsWith ".example.org"`, connect, outside(), true},
		{`client.name == "MAIL.example.org"`, connect, outside(), false},
		{`client.name endsWith ".example.org"`, connect, outside().with(connect, "{client_resolve}", "OK"), true},
		{`client.name endsWith ".example.org"`, connect, outside().with(connect, "{client_resolve}", "FORGED"), false},
		{`client.name == "unknown"`, connect, outside().with(connect, "{client_resolve}", "FORGED"), true},
		{`client.name == "[192.0.2.7]"`, connect, outside().named("[192.0.2.7]").with(connect, "{client_resolve}", "FAIL"), true},

		{`cidr(client.addr, "192.0.2.0/24")`, connect, outside(), true},
		{`cidr(client.addr, "192.0.2.0/29")`, connect, outside(), true},
		{`cidr(client.addr, "192.0.2.8/29")`, connect, outside(), false},
		{`cidr(client.addr, "192.0.2.7")`, connect, outside(), true},
		{`cidr(client.addr, "2001:db8::/32", "192.0.2.0/24")`, connect, outside(), true},
		{`cidr(client.addr, "2001:db8::/32", "192.0.2.0/24",)`, connect, outside().client(inet6, "IPv6:2001:db8::1"), true},
		{`cidr(client.addr, "2001:db8::/32")`, connect, outside().client(inet6, "2001:db9::1"), false},
		{`cidr(client.addr, "fe80::/10")`, connect, outside().client(inet6, "fe80::1%eth0"), true},
		{`cidr(client.addr, "192.0.2.0/24")`, connect, outside().client(inet6, "::ffff:192.0.2.7"), true},
		{`cidr(client.addr, "::ffff:192.0.2.0/120")`, connect, outside(), true},
		{`cidr(client.addr, "0.0.0.0/0")`, connect, outside(), true},
		{`cidr(client.addr, "::/0")`, connect, outside(), false},
		{`cidr(client.addr, "0.0.0.0/0", "::/0")`, connect, outside().client(milterkit.FamilyUnix, "/run/s"), false},
		{`cidr(client.addr, "0.0.0.0/0", "::/0")`, connect, outside().client(milterkit.FamilyUnknown, ""), false},
		{`cidr(macro("if_addr"), "198.51.100.0/24")`, connect, outside().with(connect, "{if_addr}", "198.51.100.1"), true},
		{`cidr(macro("client_addr"), "2001:db8::/32")`, connect, outside().with(connect, "{client_addr}", "IPv6:2001:db8::1"), true},

		{`helo == "mx.example.org"`, helo, outside(), true},
		{`helo == "MX.example.org"`, helo, outside(), false},
		{`helo matches "(?i)^MX[.]"`, helo, outside(), true},
		{"helo matches `^mx\\.`", helo, outside(), true},
		{`helo matches "^mx\\."`, helo, outside(), true},
		{`helo not matches "^\\["`, helo, outside(), true},
		{`helo contains ".example."`, helo, outside(), true},
		{`helo startsWith "mx"`, helo, outside(), true},
		{`helo == client.name`, helo, outside(), false},
		{`helo in [client.name, "mx.example.org"]`, helo, outside(), true},

		{`mail_from == "alice@example.org"`, mail, outside(), true},
		{`mail_from == "alice@example.org"`, mail, bare, true},
		{`mail_from == ""`, mail, null, true},
		{`mail_from != ""`, mail, outside(), true},

		{`mail_from.domain == "example.org"`, mail, outside().sent("<alice@EXAMPLE.org.>", "<bob@example.test>"), true},
		{`mail_from.domain == "example.org"`, mail, outside().sent("<alice@mail.example.org>", "<bob@example.test>"), false},

		{`rcpt_to.domain == "example.test"`, rcpt, outside().sent("<>", "<bob@Example.test.>"), true},
		{`rcpt_to == "bob@example.test"`, rcpt, outside(), true},
		{`rcpt_to == "bob@example.test"`, rcpt, bare, true},
		{`rcpt_to in ["carol@example.test", "bob@example.test"]`, rcpt, outside(), true},
		{`rcpt_to not in ["bob@example.test"]`, rcpt, outside(), false},
		{`!(rcpt_to in ["bob@example.test"])`, rcpt, outside(), false},

		{`macro("daemon_name") == "smtps"`, connect, outside().with(connect, "{daemon_name}", "smtps"), true},
		{`macro("{daemon_name}") == "smtps"`, connect, outside().with(connect, "daemon_name", "smtps"), true},
		{`macro("j") == "mx"`, connect, outside().with(connect, "j", "mx"), true},
		{`macro("{j}") == ""`, connect, outside(), true},
		{`macro("tls_version") == "TLSv1.3"`, helo, outside().with(helo, "{tls_version}", "TLSv1.3"), true},
		{`macro("auth_type") in ["PLAIN", "LOGIN"]`, mail, outside().with(mail, "{auth_type}", "PLAIN"), true},
		{`macro("rcpt_mailer") == "local"`, rcpt, outside().with(rcpt, "{rcpt_mailer}", "local"), true},
		{`macro("client_rate") == "7"`, rcpt, outside().with(connect, "{client_rate}", "7"), true},

		{`local || cidr(client.addr, "192.0.2.0/24")`, connect, outside(), true},
		{`local && helo == ""`, helo, outside(), false},
		{`helo != "" and not (local or authenticated)`, mail, outside(), true},
		{`local || true || rcpt_to == ""`, rcpt, outside(), true}, // as if all were asked
		{"local ||\n\t/* the office */ cidr(client.addr, \"192.0.2.0/24\") // and no more", connect, outside(), true},
		{`local && authenticated || helo contains "mx"`, mail, outside(), true},
	} {
		condition := mustCompile(t, c.text)
		if condition.At != c.at {
			t.Errorf("%s is settled at %s, want %s", c.text, condition.At, c.at)
		}
		if got := c.s.play(t, condition)[0] != "none"; got != c.want {
			t.Errorf("%s is %v for %+v", c.text, got, c.s)
		}
	}
}

// A condition on the recipient is about each of them.
func TestAConditionOnTheRecipientIsAskedForEach(t *testing.T) {
	s := outside()
	s.to = []string{"<a@example.test>", "<b@example.org>", "<c@example.test>"}
	got := s.play(t, mustCompile(t, `rcpt_to matches "@example\\.test$"`), mustCompile(t, `rcpt_to == ""`), mustCompile(t, `mail_from != ""`))
	if want := "a@example.test c@example.test|none|a@example.test b@example.org c@example.test"; strings.Join(got, "|") != want {
		t.Errorf("shown %q, want %q", got, want)
	}
}

// The macros that a condition names are asked for at the stage at which MTAs tell
// them; what they do not tell by themselves may come at any.
func TestMacrosThatAreNamedAreAskedFor(t *testing.T) {
	c := mustCompile(t, `macro("j") == macro("{client_rate}") || macro("auth_type") != macro("client_rate") || macro("tls_version") == ""`)
	want := map[milterkit.Stage]string{
		connect: "[j {client_rate}]", helo: "[{client_rate} {tls_version}]", mail: "[{client_rate} {auth_type}]", rcpt: "[{client_rate}]",
	}
	for at := connect; at <= milterkit.StageUnknown; at++ {
		got := ""
		if c.Macros[at] != nil {
			got = fmt.Sprint(c.Macros[at])
		}
		if got != want[at] {
			t.Errorf("asked for at %s: %v, want %v", at, got, want[at])
		}
	}
	if got := fmt.Sprint(Strange(c)); got != "[client_rate]" {
		t.Errorf("strange are %v", got)
	}
	if got := Strange(mustCompile(t, `authenticated && macro("rcpt_host") == ""`)); got != nil {
		t.Errorf("strange are %v", got)
	}
}

// A macro that MTAs tell has its value when a condition that names it is settled.
func TestAMacroIsKnownAtItsStage(t *testing.T) {
	for name, at := range told {
		c := mustCompile(t, fmt.Sprintf(`macro(%q) == "1"`, name))
		if got := outside().with(at, name, "1").play(t, c)[0]; got == "none" || c.At != at {
			t.Errorf("%s at %s: %s, settled at %s", name, at, got, c.At)
		}
	}
}

// The documentation lists the macros that have a stage.
func TestKnownMacrosAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]milterkit.Stage{}
	for at := connect; at <= rcpt; at++ {
		for _, row := range regexp.MustCompile("(?m)^\\| "+at.String()+" \\|(.*)\\|$").FindAllSubmatch(text, -1) {
			for _, name := range regexp.MustCompile("`([^`]+)`").FindAllSubmatch(row[1], -1) {
				documented[string(name[1])] = at
			}
		}
	}
	if !maps.Equal(documented, told) {
		t.Errorf("documented %v\nknown %v", documented, told)
	}
}

// What milterkit asks every MTA for is what conditions know, and at that stage.
func TestKnownMacrosAreThoseOfTheNegotiation(t *testing.T) {
	d, err := milterkit.NewDispatcher()
	if err != nil {
		t.Fatal(err)
	}
	srv := &milterkit.Server{Dispatcher: d}
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { srv.Serve(ln) })
	defer served.Wait()
	defer srv.Close()
	m, err := miltertest.Dial(t.Context(), "unix", ln.Addr().String(), miltertest.Offer{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	asked := map[string]milterkit.Stage{}
	for _, l := range m.Negotiated.MacroLists {
		at, envelope := map[wire.Stage]milterkit.Stage{wire.StageConnect: connect, wire.StageHelo: helo, wire.StageMail: mail, wire.StageRcpt: rcpt}[l.Stage]
		for _, name := range l.Names {
			if bare := strings.Trim(name, "{}"); envelope && tooLate[bare] == "" {
				asked[bare] = at
			}
		}
	}
	if !maps.Equal(asked, told) {
		t.Errorf("asked for %v\nknown %v", asked, told)
	}
}
