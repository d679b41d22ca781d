package conditions

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

func zones(t *testing.T, texts ...string) (zones []Zone) {
	t.Helper()
	for _, text := range texts {
		z, err := ParseZone(text)
		if err != nil {
			t.Fatal(err)
		}
		zones = append(zones, z)
	}
	return zones
}

// A client is on a list that has an answer for it, one of those that count; a list
// that fails, or says that it will not answer, does not have it.
func TestDNSBL(t *testing.T) {
	answers := func(ip ...string) miltertest.Records { return miltertest.Records{IP: ip} }
	r := &miltertest.Resolver{Zone: map[string]miltertest.Records{
		"7.2.0.192.bl.example":  answers("127.0.0.2"),
		"8.2.0.192.bl.example":  answers("192.0.2.1"), // somebody has bought the domain
		"9.2.0.192.bl.example":  answers("127.255.255.254"),
		"10.2.0.192.bl.example": {Temporary: true},
		"11.2.0.192.bl.example": answers("127.255.255.254", "127.0.0.10"),
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example": answers("127.0.0.2"),
		"7.2.0.192.other.example": answers("127.0.0.11"),
		"8.2.0.192.other.example": answers("127.0.0.11"),
	}}
	for _, c := range []struct {
		zones, addr string
		want        bool
	}{
		{"bl.example", "192.0.2.7", true},
		{"BL.Example.", "::ffff:192.0.2.7", true},
		{"bl.example", "192.0.2.8", false},
		{"bl.example", "192.0.2.9", false},
		{"bl.example", "192.0.2.10", false},
		{"bl.example", "192.0.2.11", true},
		{"bl.example", "192.0.2.12", false},
		{"bl.example", "IPv6:2001:db8::1", true},
		{"bl.example", "2001:db8::2", false},
		{"bl.example", "", false},
		{"bl.example", "unknown", false},
		{"bl.example=127.0.0.2", "192.0.2.7", true},
		{"bl.example=127.0.0.10/31", "192.0.2.7", false},
		{"bl.example=127.0.0.10/31", "192.0.2.11", true},
		{"bl.example other.example", "192.0.2.8", true},
		{"bl.example none.example", "192.0.2.8", false},
		{"bl.example other.example", "192.0.2.10", false},
	} {
		got := DNSBL(r, zones(t, strings.Fields(c.zones)...)...).Holds(ctx, from(c.addr, "", ""), milterkit.Address{})
		if got != c.want {
			t.Errorf("%s on %s: %v", c.addr, c.zones, got)
		}
	}
}

// The log says once that a list does not want to be asked.
func TestAListThatRefusesIsTold(t *testing.T) {
	var log bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	r := &miltertest.Resolver{Zone: map[string]miltertest.Records{"7.2.0.192.bl.example": {IP: []string{"127.255.255.254"}}}}
	c := DNSBL(r, zones(t, "bl.example")...)
	for range 3 {
		if c.Holds(ctx, from("192.0.2.7", "", ""), milterkit.Address{}) {
			t.Error("it is listed")
		}
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "list=bl.example answer=127.255.255.254") {
		t.Errorf("told %q", got)
	}
}

// Lists are asked at the same time; one that hangs costs its time once, and does not
// keep another from saying yes.
func TestListsAreAskedAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &miltertest.Resolver{Zone: map[string]miltertest.Records{
			"7.2.0.192.slow1.example": {Silent: true}, "7.2.0.192.slow2.example": {Silent: true}, "7.2.0.192.bl.example": {IP: []string{"127.0.0.2"}},
		}}
		for _, c := range []struct {
			zones string
			want  bool
			took  time.Duration
		}{{"slow1.example slow2.example", false, LookupTimeout}, {"slow1.example slow2.example bl.example", true, 0}} {
			start := time.Now()
			got := DNSBL(r, zones(t, strings.Fields(c.zones)...)...).Holds(ctx, from("192.0.2.7", "", ""), milterkit.Address{})
			if took := time.Since(start); got != c.want || took != c.took {
				t.Errorf("%s: %v after %v", c.zones, got, took)
			}
		}
		time.Sleep(time.Minute) // until the look-ups have ended
	})
}

// panicking is a resolver with a fault.
type panicking struct{ miltertest.Resolver }

func (*panicking) LookupIPAddr(context.Context, string) ([]net.IPAddr, error) { panic("at the disco") }

func TestAResolverThatPanicsDoesNotList(t *testing.T) {
	if DNSBL(&panicking{}, zones(t, "a.example", "b.example")...).Holds(ctx, from("192.0.2.7", "", ""), milterkit.Address{}) {
		t.Error("it is listed")
	}
}

func TestZonesThatAreWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                       `"" is not the domain of a list; write one such as "zen.spamhaus.org"`,
		"zen":                    `"zen" is not the domain of a list; write one such as "zen.spamhaus.org"`,
		"a b.example":            `"a b.example" is not the domain of a list; write one such as "zen.spamhaus.org"`,
		"bl.example=2":           `"2" is not a network; write one such as "192.0.2.0/24" or "2001:db8::/32"`,
		"bl.example=192.0.2.0/8": `"192.0.2.0/8" has bits beyond the first 8; write "192.0.0.0/8" or "192.0.2.0/32"`,
		"bl.example=192.0.2.1":   `"192.0.2.1" is no answer of a list; they are in 127.0.0.0/8`,
	} {
		if _, err := ParseZone(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := ParseZone(strings.Repeat("a.", 110) + "example"); err == nil {
		t.Error("a name is taken with which the question would be too long")
	}
}

// The sender's domain is on the list, and SPF says that the client may send for it.
// A name server that does not answer makes nobody trusted.
func TestTrusted(t *testing.T) {
	r := &miltertest.Resolver{Zone: map[string]miltertest.Records{
		"gmail.com":       {TXT: []string{"v=spf1 ip4:192.0.2.0/24 -all"}},
		"mail.gmail.com":  {TXT: []string{"v=spf1 ip4:192.0.2.0/24 -all"}},
		"hotmail.com":     {Temporary: true},
		"msn.com":         {TXT: []string{"v=spf1 ?all"}},
		"example.org":     {TXT: []string{"v=spf1 ip4:192.0.2.0/24 -all"}},
		"mx.example.org":  {TXT: []string{"v=spf1 ip4:192.0.2.0/24 -all"}},
		"yahoo.co.jp":     {},
		"softbank.ne.jp.": {},
	}}
	for _, c := range []struct {
		addr, sender string
		domains      []string
		want         bool
	}{
		{"192.0.2.7", "<alice@gmail.com>", nil, true},
		{"192.0.2.7", "<alice@GMail.com>", nil, true},
		{"198.51.100.7", "<alice@gmail.com>", nil, false},
		{"192.0.2.7", "<alice@mail.gmail.com>", nil, false},
		{"192.0.2.7", "<alice@hotmail.com>", nil, false},
		{"192.0.2.7", "<alice@msn.com>", nil, false},
		{"192.0.2.7", "<alice@yahoo.co.jp>", nil, false},
		{"192.0.2.7", "<alice@example.org>", nil, false},
		{"192.0.2.7", "<alice@example.org>", []string{"example.org"}, true},
		{"192.0.2.7", "<alice@gmail.com>", []string{"example.org"}, false},
		{"192.0.2.7", "<>", []string{"mx.example.org"}, false},
		{"", "<alice@gmail.com>", nil, false},
	} {
		e := from(c.addr, "mx.example.org", c.sender)
		if got := Trusted(r, c.domains...).Holds(ctx, e, milterkit.Address{}); got != c.want {
			t.Errorf("%s from %s, %v: %v", c.sender, c.addr, c.domains, got)
		}
	}
	if slices.ContainsFunc(r.Queries(), func(q string) bool { return strings.Contains(q, "mail.gmail.com") }) {
		t.Error("a domain that is not on the list was asked about")
	}
}

// The wait for SPF is bounded.
func TestTrustIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &miltertest.Resolver{Zone: map[string]miltertest.Records{"gmail.com": {Silent: true}}}
		start := time.Now()
		if Trusted(r).Holds(ctx, from("192.0.2.7", "", "<alice@gmail.com>"), milterkit.Address{}) || time.Since(start) != LookupTimeout {
			t.Errorf("it took %v", time.Since(start))
		}
		time.Sleep(time.Minute)
	})
}

// The domains that are trusted by default stand in the documentation.
func TestTrustedDomainsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range trusted {
		if !strings.Contains(string(text), "`"+d+"`") {
			t.Errorf("%s does not", d)
		}
	}
}
