package s25r

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
)

// The examples of the paper on S25R are caught, each by its rule.
func TestPublishedEndUserLinesAreCaught(t *testing.T) {
	for _, c := range []struct {
		host string
		rule int
	}{
		{"unknown", 0},
		{"[192.0.2.1]", 0},
		{"[IPv6:2001:db8::1]", 0},
		{"", 0},
		{"220-139-165-188.dynamic.hinet.net", 1},
		{"evrtwa1-ar3-4-65-157-048.evrtwa1.dsl-verizon.net", 1},
		{"a12a190.neo.lrun.com", 1},
		{"YahooBB220030220074.bbtec.net", 2},
		{"pcp04083532pcs.levtwn01.pa.comcast.net", 2},
		{"398pkj.cm.chello.no", 3},
		{"host.101.169.23.62.rev.coltfrance.com", 3},
		{"wbar9.chi1-4-11-085-222.dsl-verizon.net", 4},
		{"d5.GtokyoFL27.vectant.ne.jp", 5},
		{"dhcp0339.vpm.resnet.group.upenn.edu", 6},
		{"dialupM107.ptld.uswest.net", 6},
		{"PPPbf708.tokyo-ip.dti.ne.jp", 6},
		{"adsl-1415.camtel.net", 6},
		{"xdsl-5790.lubin.dialog.net.pl", 6},

		{"203-0-113-7.dyn.example.net", 1},
		{"DSL-7.example.net", 6},
	} {
		if rule, yes := Default.Host(c.host); !yes || rule != Default.Deny[c.rule].Name {
			t.Errorf("%s: %q, %v; want %q", c.host, rule, yes, Default.Deny[c.rule].Name)
		}
	}
}

// Names as mail servers have them are not caught, and neither are the services
// whose names look like end users' lines.
func TestMailServersAreNotCaught(t *testing.T) {
	for _, host := range []string{
		"mail.example.com",
		"mx1.example.co.jp",
		"smtp-out-21.mx.example.com",
		"mail2048.example.com",
		"mx01.mail02.example.com", // only four labels
		"example.com",
		"localhost",
		"adsl.example.net",

		"mail-ed1-f49.google.com",
		"mail-lf1-f177.GOOGLE.com",
		"exprod7og104.obsmtp.com",
		"a8-32.smtp-out.amazonses.com",
		"a27-13.smtp-out.us-west-2.slack.com",
		"m69-169.mg.gitlab.com",
		"o1678974x12.outbound-mail.sendgrid.net",
	} {
		if rule, yes := Default.Host(host); yes {
			t.Errorf("%s is caught: %s", host, rule)
		}
	}
	for _, host := range []string{"mail-ed1-f49.google.com.example.net", "mail-ed1-f49google.com"} {
		if _, yes := Default.Host(host); !yes {
			t.Errorf("%s passes for one that it is not", host)
		}
	}
}

// Only IPv4 clients are looked at, unless told otherwise; local ones never.
func TestWhichClientsAreLookedAt(t *testing.T) {
	for _, c := range []struct {
		family     milterkit.Family
		addr       string
		ipv4, both bool
	}{
		{milterkit.FamilyInet, "203.0.113.7", true, true},
		{milterkit.FamilyInet6, "::ffff:203.0.113.7", true, true},
		{milterkit.FamilyInet6, "IPv6:2001:db8::1", false, true},
		{milterkit.FamilyUnix, "/run/s", false, false},
		{milterkit.FamilyUnknown, "", false, false},
	} {
		for _, ipv6 := range []bool{false, true} {
			rules := Default
			rules.IPv6 = ipv6
			want := c.ipv4
			if ipv6 {
				want = c.both
			}
			if got := asked(t, rules, "203-0-113-7.dyn.example.net", c.family, c.addr); got != want {
				t.Errorf("%q, IPv6 %v: asked %v, want %v", c.addr, ipv6, got, want)
			}
		}
	}
}

// A name that Sendmail does not vouch for is none.
func TestAForgedNameIsNone(t *testing.T) {
	for resolve, want := range map[string]bool{"": false, "OK": false, "FORGED": true, "FAIL": true, "TEMP": true} {
		d, err := milterkit.NewDispatcher()
		if err != nil {
			t.Fatal(err)
		}
		w := d.Walk(0)
		w.Macros(milterkit.StageConnect, func(yield func(string, string) bool) { yield("{client_resolve}", resolve) })
		w.Connect(t.Context(), "mail.example.com", milterkit.FamilyInet, "203.0.113.7", 25)
		if rule, yes := Default.EndUser(w.Session()); yes != want || yes && rule != Default.Deny[0].Name {
			t.Errorf("%s: %q, %v", resolve, rule, yes)
		}
		w.Close()
	}
}

// asked reports whether a child with that condition is asked about a client.
func asked(t *testing.T, rules Rules, host string, family milterkit.Family, addr string) (yes bool) {
	t.Helper()
	child := milterkit.NewChild("child", func() milterkit.Hooks {
		return milterkit.Hooks{Connect: func(context.Context, *milterkit.Session) milterkit.Verdict {
			yes = true
			return milterkit.Continue
		}}
	})
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: child, When: rules.Condition()})
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	w := d.Walk(0)
	defer w.Close()
	w.Connect(t.Context(), host, family, addr, 25)
	return yes
}

// One's own rules stand beside those of S25R, and leave the default as it is.
func TestOwnRulesStandBeside(t *testing.T) {
	own := Default.With(
		[]*regexp.Regexp{regexp.MustCompile(`\.dyn\.example\.net$`)},
		[]Rule{{"a cable line", regexp.MustCompile(`^cable\.`)}})
	for host, want := range map[string]string{
		"203-0-113-7.dyn.example.net": "",
		"203-0-113-7.dyn.example.com": Default.Deny[1].Name,
		"cable.example.com":           "a cable line",
		"mail.example.com":            "",
	} {
		if rule, _ := own.Host(host); rule != want {
			t.Errorf("%s: %q, want %q", host, rule, want)
		}
	}
	if _, yes := Default.Host("cable.example.com"); yes {
		t.Error("the default has changed")
	}
	if rule, yes := (Rules{}).Host("unknown"); yes {
		t.Errorf("the zero Rules catch: %s", rule)
	}
}

// Any name is judged, and the longest soon.
func FuzzHost(f *testing.F) {
	f.Add("220-139-165-188.dynamic.hinet.net")
	f.Add(strings.Repeat("1-", 5000))
	f.Fuzz(func(t *testing.T, host string) {
		if rule, yes := Default.Host(host); yes != (rule != "") {
			t.Errorf("%q: %q, %v", host, rule, yes)
		}
	})
}
