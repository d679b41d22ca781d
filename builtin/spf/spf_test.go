package spf

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// zone is what domains say about their mail. The client of the tests is 192.0.2.7.
func zone() map[string]miltertest.Records {
	txt := func(text string) miltertest.Records { return miltertest.Records{TXT: []string{text}} }
	return map[string]miltertest.Records{
		"pass.example":            txt("v=spf1 ip4:192.0.2.7 -all"),
		"six.example":             txt("v=spf1 ip6:2001:db8::7 -all"),
		"fail.example":            txt("v=spf1 -all"),
		"soft.example":            txt("v=spf1 ~all"),
		"neutral.example":         txt("v=spf1 ?all"),
		"bad.example":             txt("v=spf1 nonsense"),
		"two.example":             {TXT: []string{"v=spf1 +all", "v=spf1 -all"}},
		"down.example":            {Temporary: true},
		"silent.example":          {Silent: true},
		"viadown.example":         txt("v=spf1 include:down.example -all"),
		"mail.example.org":        txt("v=spf1 ip4:192.0.2.7 -all"),
		"xn--bcher-kva.example":   txt("v=spf1 ip4:192.0.2.7 -all"),
		"explains.example":        txt("v=spf1 exp=why.explains.example -all"),
		"why.explains.example":    txt("%{i} is not ours, says %{d}; ask %{s} of %{r} (%{c})"),
		"redirects.example":       txt("v=spf1 redirect=explains.example"),
		"long.explains.example":   txt("v=spf1 -all exp=long.why.example"),
		"long.why.example":        txt(strings.Repeat("because ", 1000)),
		"rude.example":            txt("v=spf1 -all exp=why.rude.example"),
		"why.rude.example":        txt("one\r\n250 OK\x00 \x1b[1m caf\xc3\xa9"),
		"broken.explains.example": txt("v=spf1 -all exp=%{z}.example"),
		"letters.example":         txt("v=spf1 exists:%{l}.%{o}.letters.example -all"),
		"quoted_at.letters.example.letters.example": {IP: []string{"127.0.0.2"}},
		"local.example":            txt("v=spf1 exists:%{l}.local.example -all"),
		"postmaster.local.example": {IP: []string{"127.0.0.2"}},
	}
}

// envelope is that of a message from a client that calls itself helo.
func envelope(client, helo, sender string) *milterkit.Envelope {
	s := &milterkit.Session{Host: "client.example", Family: milterkit.FamilyInet, Addr: client, Helo: helo}
	if strings.Contains(client, ":") {
		s.Family = milterkit.FamilyInet6
	}
	return &milterkit.Envelope{Session: s, Sender: milterkit.NewAddress("<" + sender + ">")}
}

const client = "192.0.2.7"

// Each keyword of RFC 7208 comes of what the domain has published.
func TestKeywords(t *testing.T) {
	r := &miltertest.Resolver{Zone: zone()}
	for _, c := range []struct{ sender, keyword, domain string }{
		{"a@pass.example", Pass, "pass.example"},
		{"A@PASS.example.", Pass, "pass.example"},
		{"a@fail.example", Fail, "fail.example"},
		{"a@soft.example", SoftFail, "soft.example"},
		{"a@neutral.example", Neutral, "neutral.example"},
		{"a@nothing.example", None, "nothing.example"},
		{"a@bad.example", PermError, "bad.example"},
		{"a@two.example", PermError, "two.example"},
		{"a@down.example", TempError, "down.example"},
		{"a@viadown.example", TempError, "viadown.example"},
		{"a@bücher.example", Pass, "xn--bcher-kva.example"},
		{`"fake@pass.example"@fail.example`, Fail, "fail.example"},
		{`"quoted@at"@letters.example`, Fail, "letters.example"},
		{"@local.example", Pass, "local.example"},
		{"local", None, ""},
		{"a@localhost", None, ""},
		{"a@[192.0.2.7]", None, ""},
		{"a@pass..example", None, ""},
	} {
		got := Check(t.Context(), r, envelope(client, "client.example", c.sender))
		if got.Keyword != c.keyword || got.Domain != c.domain || got.Identity != MailFrom {
			t.Errorf("%s: %+v, want %s of %q", c.sender, got, c.keyword, c.domain)
		}
		if needs := c.keyword == None || c.keyword == TempError || c.keyword == PermError; needs != (got.Problem != "") {
			t.Errorf("%s: %s with the problem %q", c.sender, got.Keyword, got.Problem)
		}
	}
}

// The null sender is checked by what the client calls itself; IPv6 clients are as
// good as others.
func TestNullSenderIsCheckedByHelo(t *testing.T) {
	r := &miltertest.Resolver{Zone: zone()}
	for _, c := range []struct{ client, helo, keyword string }{
		{client, "pass.example", Pass},
		{client, "fail.example", Fail},
		{client, "nothing.example", None},
		{client, "[192.0.2.7]", None},
		{client, "", None},
		{"IPv6:2001:db8::7", "six.example", Pass},
		{"IPv6:2001:db8::8", "six.example", Fail},
		{"IPv6:::ffff:192.0.2.7", "pass.example", Pass},
	} {
		got := Check(t.Context(), r, envelope(c.client, c.helo, ""))
		if got.Keyword != c.keyword || got.Identity != Helo {
			t.Errorf("%s %s: %+v, want %s", c.client, c.helo, got, c.keyword)
		}
	}
}

// A domain's explanation is its own words, fit for a line of a reply.
func TestExplanation(t *testing.T) {
	r := &miltertest.Resolver{Zone: zone()}
	for _, c := range []struct{ domain, want string }{
		{"fail.example", ""},
		{"explains.example", "192.0.2.7 is not ours, says explains.example; ask a@explains.example of  (192.0.2.7)"},
		{"redirects.example", "192.0.2.7 is not ours, says explains.example; ask a@redirects.example of  (192.0.2.7)"},
		{"broken.explains.example", ""},
		{"rude.example", "one  250 OK? ?[1m caf?"},
	} {
		got := Check(t.Context(), r, envelope(client, "client.example", "a@"+c.domain))
		if got.Keyword != Fail || got.Explanation != c.want {
			t.Errorf("%s: %s, explained by %q, want %q", c.domain, got.Keyword, got.Explanation, c.want)
		}
	}
	got := Check(t.Context(), r, envelope(client, "client.example", "a@long.explains.example"))
	if n := len(got.Explanation); n < 200 || n > 260 {
		t.Errorf("an explanation of 8,000 bytes has become one of %d", n)
	}
}

// What stands in an explanation's macros: RFC 7208 section 7.4 has these examples.
func TestMacros(t *testing.T) {
	m := macros{"strong-bad", "email.example.com", "email.example.com", netip.MustParseAddr("192.0.2.3"), "mx.example.org", "mx.example.net"}
	six := m
	six.client = netip.MustParseAddr("2001:db8::cb01")
	for _, c := range []struct {
		m          macros
		text, want string
	}{
		{m, "%{s}", "strong-bad@email.example.com"},
		{m, "%{o}", "email.example.com"},
		{m, "%{d4}", "email.example.com"},
		{m, "%{d2}", "example.com"},
		{m, "%{dr}", "com.example.email"},
		{m, "%{d2r}", "example.email"},
		{m, "%{l-}", "strong.bad"},
		{m, "%{lr-}", "bad.strong"},
		{m, "%{l1r-}", "strong"},
		{m, "%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
		{six, "%{ir}.%{v}._spf.%{d2}", "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"},
		{m, "100%% %{S}%_%-", "100% strong-bad@email.example.com %20"},
	} {
		if got, ok := c.m.expand(c.text, false); !ok || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.text, got, ok, c.want)
		}
	}
	for _, bad := range []string{"%", "%x", "%{", "%{d", "%{z}", "%{d0}", "%{}", "%{d-", "a%{d1x}"} {
		if got, ok := m.expand(bad, false); ok {
			t.Errorf("%q is taken for %q", bad, got)
		}
	}
}

// send plays a message at the child, and returns what became of it.
func send(t *testing.T, o Options, c miltertest.Client, mail miltertest.Mail) *miltertest.Outcome {
	t.Helper()
	child, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: child})
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	server := &milterkit.Server{Dispatcher: d}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(ln)
	defer server.Close()
	mta, err := miltertest.Dial(t.Context(), "tcp", ln.Addr().String(), miltertest.Offer{})
	if err != nil {
		t.Fatal(err)
	}
	p := &miltertest.Player{MTA: mta, Client: c}
	defer p.Close()
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
	if mail.To == nil {
		mail.To = []miltertest.Recipient{{Addr: "<bob@example.net>"}}
	}
	if mail.Message == nil {
		mail.Message = miltertest.ParseMessage([]byte("From: a@example.org\nSubject: hello\n\nHello.\n"))
	}
	outcome, err := p.Mail(mail)
	if err != nil {
		t.Fatal(err)
	}
	return outcome
}

func player(addr, helo string) miltertest.Client {
	return miltertest.Client{Host: "client.example", Family: wire.FamilyInet, Addr: addr, Port: 1025, Helo: helo, MTA: "mx.example.net"}
}

func options() Options {
	o := Defaults
	o.Resolver = &dns.Cache{Resolver: &miltertest.Resolver{Zone: zone()}}
	return o
}

// Each result has its own action, by an option of its name; the client is told what
// is wrong, and whoever reads the message what was found.
func TestActions(t *testing.T) {
	t.Parallel()
	reject := func(o *Options) { o.Fail, o.SoftFail, o.PermError = "reject", "reject", "reject" }
	defer_ := func(o *Options) {
		o.Fail, o.SoftFail, o.PermError, o.TempError = "tempfail", "tempfail", "tempfail", "tempfail"
	}
	hold := func(o *Options) {
		o.Fail, o.SoftFail, o.PermError, o.TempError = "quarantine", "quarantine", "quarantine", "quarantine"
	}
	none := func(o *Options) { o.Fail = "none" }
	for _, c := range []struct {
		name, sender, helo string
		set                func(*Options)
		reply, header      string
		held               string
	}{
		{name: "pass", sender: "a@pass.example", header: "mx.example.net;\n\tspf=pass (pass.example permits 192.0.2.7) smtp.mailfrom=pass.example"},
		{name: "none", sender: "a@nothing.example", header: "mx.example.net;\n\tspf=none (no DNS record found) smtp.mailfrom=nothing.example"},
		{name: "neutral", sender: "a@neutral.example", header: "mx.example.net;\n\tspf=neutral\n\t(neutral.example does not say whether it permits 192.0.2.7)\n\tsmtp.mailfrom=neutral.example"},
		{name: "null sender", helo: "pass.example", header: "mx.example.net;\n\tspf=pass (pass.example permits 192.0.2.7) smtp.helo=pass.example"},
		{name: "fail", sender: "a@fail.example", reply: "550 5.7.23 SPF: 192.0.2.7 may not send mail for fail.example"},
		{name: "fail explained", sender: "a@explains.example", reply: "550-5.7.23 SPF: 192.0.2.7 may not send mail for explains.example\r\n" +
			"550 5.7.23 explains.example explains: 192.0.2.7 is not ours, says explains.example; ask a@explains.example of mx.example.net (192.0.2.7)"},
		{name: "fail none", sender: "a@fail.example", set: none, header: "mx.example.net;\n\tspf=fail (fail.example does not permit 192.0.2.7)\n\tsmtp.mailfrom=fail.example"},
		{name: "fail tempfail", sender: "a@fail.example", set: defer_, reply: "451 4.7.23 SPF: 192.0.2.7 may not send mail for fail.example"},
		{name: "fail quarantine", sender: "a@fail.example", set: hold, held: "SPF fail for fail.example", header: "mx.example.net;\n\tspf=fail (fail.example does not permit 192.0.2.7)\n\tsmtp.mailfrom=fail.example"},
		{name: "softfail", sender: "a@soft.example", header: "mx.example.net;\n\tspf=softfail (soft.example probably does not permit 192.0.2.7)\n\tsmtp.mailfrom=soft.example"},
		{name: "softfail reject", sender: "a@soft.example", set: reject, reply: "550 5.7.23 SPF: 192.0.2.7 probably may not send mail for soft.example"},
		{name: "permerror", sender: "a@bad.example", header: "mx.example.net;\n\tspf=permerror (unknown field) smtp.mailfrom=bad.example"},
		{name: "permerror reject", sender: "a@bad.example", set: reject, reply: "550 5.7.24 SPF: the record of bad.example cannot be used: unknown field"},
		{name: "temperror is no fail", sender: "a@viadown.example", set: reject, header: "mx.example.net;\n\tspf=temperror (lookup down.example: the name server has failed)\n\tsmtp.mailfrom=viadown.example"},
		{name: "temperror tempfail", sender: "a@down.example", set: defer_, reply: "451 4.7.24 SPF: the record of down.example cannot be looked up now"},
		{name: "temperror quarantine", sender: "a@down.example", set: hold, held: "SPF temperror for down.example", header: "mx.example.net;\n\tspf=temperror (lookup down.example: the name server has failed)\n\tsmtp.mailfrom=down.example"},
		{name: "helo fail", sender: "a@pass.example", helo: "fail.example", reply: "550 5.7.23 SPF: 192.0.2.7 may not call itself fail.example"},
		{name: "helo fail, not looked at", sender: "a@pass.example", helo: "fail.example", set: func(o *Options) { o.Helo = false }, header: "mx.example.net;\n\tspf=pass (pass.example permits 192.0.2.7) smtp.mailfrom=pass.example"},
		{name: "only helo says something", sender: "a@nothing.example", helo: "pass.example", header: "mx.example.net;\n\tspf=pass (pass.example permits 192.0.2.7) smtp.helo=pass.example"},
		{name: "id", sender: "a@pass.example", set: func(o *Options) { o.AuthservID = "id.example" }, header: "id.example;\n\tspf=pass (pass.example permits 192.0.2.7) smtp.mailfrom=pass.example"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := options()
			if c.set != nil {
				c.set(&o)
			}
			if c.helo == "" {
				c.helo = "client.example"
			}
			got := send(t, o, player(client, c.helo), miltertest.Mail{From: "<" + c.sender + ">"})
			if got.Reply != c.reply || c.reply != "" && got.At != wire.CmdMail {
				t.Errorf("%q at %s, want %q at mail", got.Reply, miltertest.Word(got.At), c.reply)
			}
			if c.header != "" && got.Message.Get("Authentication-Results") != c.header {
				t.Errorf("%q,\nwant %q", got.Message.Get("Authentication-Results"), c.header)
			}
			if got.Held != (c.held != "") || got.Reason != c.held {
				t.Errorf("held: %v, %q; want %q", got.Held, got.Reason, c.held)
			}
		})
	}
}

// A record that is so long that reading it would be an effort is wrong.
func TestLongRecord(t *testing.T) {
	for length, want := range map[int]string{maxRecord: Pass, maxRecord + 1: PermError} {
		text := "v=spf1 "
		for len(text) < length-4-len("ip4:192.0.2.7/32 ") {
			text += "ip4:192.0.2.7/32 "
		}
		text = strings.TrimSuffix(text, " ") + strings.Repeat(" ", length-4-len(text)+1) + "-all"
		r := &miltertest.Resolver{Zone: map[string]miltertest.Records{"long.example": {TXT: []string{text}}}}
		if got := Check(t.Context(), r, envelope(client, "client.example", "a@long.example")); got.Keyword != want {
			t.Errorf("%d bytes: %+v, want %s", len(text), got, want)
		}
	}
}

// A name that is too long for the DNS loses its first labels.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("abcdefgh.", 25) + "x.example"
	r := &miltertest.Resolver{Zone: map[string]miltertest.Records{long: {TXT: []string{"v=spf1 exists:%{l}.%{d}.%{d} -all"}}}}
	Check(t.Context(), r, envelope(client, "client.example", strings.Repeat("l", 300)+"@"+long))
	if n := len(r.Queries()); n < 2 {
		t.Errorf("only asked %q", r.Queries())
	}
	for _, q := range r.Queries() {
		if name := q[strings.LastIndexByte(q, ' ')+1:]; len(name) > 254 || !strings.HasSuffix(strings.TrimSuffix(name, "."), "x.example") {
			t.Errorf("asked for %q", q)
		}
	}
}

// A name server that does not answer costs no more than CheckTimeout, whoever asks.
func TestCheckTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		got := Check(t.Context(), &miltertest.Resolver{Zone: zone()}, envelope(client, "client.example", "a@silent.example"))
		if took := time.Since(began); got.Keyword != TempError || took != CheckTimeout {
			t.Errorf("%+v after %v", got, took)
		}
	})
}

// Clients of this host, of networks to skip, and those that have authenticated are
// not checked, and nothing is said about their mail.
func TestOwnClientsAreNotChecked(t *testing.T) {
	t.Parallel()
	skipping := options()
	skipping.Skip = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	authenticated := player(client, "client.example")
	authenticated.Known = map[string]string{"auth_authen": "alice"}
	for name, c := range map[string]struct {
		o Options
		c miltertest.Client
	}{
		"loopback":      {options(), player("127.0.0.1", "client.example")},
		"unix":          {options(), miltertest.Client{Host: "localhost", Family: wire.FamilyUnix, Addr: "/run/x", Helo: "client.example", MTA: "mx.example.net"}},
		"skip":          {skipping, player(client, "client.example")},
		"authenticated": {options(), authenticated},
	} {
		got := send(t, c.o, c.c, miltertest.Mail{From: "<a@fail.example>"})
		if got.Result != miltertest.Accepted || len(got.Edits) > 0 {
			t.Errorf("%s: %s, %v", name, got.Reply, got.Edits)
		}
	}
}

// What a client that has authenticated says in our name is forged: nobody has checked
// its mail. Mail from this host may have been checked when it first came in.
func TestForgedResultsOfOwnClients(t *testing.T) {
	t.Parallel()
	authenticated := player(client, "client.example")
	authenticated.Known = map[string]string{"auth_authen": "alice"}
	for _, c := range []struct {
		client miltertest.Client
		stays  bool
	}{{authenticated, false}, {player("127.0.0.1", "client.example"), true}} {
		got := send(t, options(), c.client, miltertest.Mail{From: "<a@fail.example>",
			Message: miltertest.ParseMessage([]byte("Authentication-Results: mx.example.net; spf=pass\nSubject: x\n\nHello.\n"))})
		if stays := strings.Contains(got.Message.String(), "spf=pass"); stays != c.stays {
			t.Errorf("%v: the forged field stays: %v", c.client, stays)
		}
	}
}

// Results that the message came with and that claim to be ours are taken out.
func TestForgedResultsAreRemoved(t *testing.T) {
	t.Parallel()
	got := send(t, options(), player(client, "client.example"), miltertest.Mail{From: "<a@nothing.example>", Message: miltertest.ParseMessage([]byte(
		"Authentication-Results: mx.example.net; spf=pass smtp.mailfrom=nothing.example\nAuthentication-Results: other.example; spf=fail\nFrom: a@nothing.example\n\nHello.\n"))})
	text := got.Message.String()
	if strings.Contains(text, "spf=pass") || !strings.Contains(text, "spf=none") || !strings.Contains(text, "other.example; spf=fail") {
		t.Error(text)
	}
}

// A name server that does not answer costs no more than the time that the child has,
// and is not taken for a fail.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	got := Check(ctx, options().Resolver, envelope(client, "client.example", "a@silent.example"))
	if took := time.Since(began); got.Keyword != TempError || took > 2*time.Second {
		t.Errorf("%s after %s", got.Keyword, took)
	}
}

// An odd error of a resolver is for now, never for good: RFC 7208 section 4.4.
func TestEveryOtherErrorIsTemporary(t *testing.T) {
	for _, err := range []error{errors.New("odd"), &net.DNSError{Err: "refused"}, context.DeadlineExceeded} {
		if got := Check(t.Context(), failing{err}, envelope(client, "client.example", "a@pass.example")); got.Keyword != TempError {
			t.Errorf("%v: %s", err, got.Keyword)
		}
	}
}

type failing struct{ err error }

func (f failing) LookupTXT(context.Context, string) ([]string, error)        { return nil, f.err }
func (f failing) LookupMX(context.Context, string) ([]*net.MX, error)        { return nil, f.err }
func (f failing) LookupIPAddr(context.Context, string) ([]net.IPAddr, error) { return nil, f.err }
func (f failing) LookupAddr(context.Context, string) ([]string, error)       { return nil, f.err }

// Senders, names and records of 64 KiB do no harm.
func TestHugeInput(t *testing.T) {
	long := strings.Repeat("a", 65000)
	z := zone()
	for name, text := range map[string]string{
		"macro.example":   "v=spf1 exists:%{" + long + " -all",
		"macros.example":  "v=spf1 exists:" + strings.Repeat("%{s}.", 1600) + "macros.example -all",
		"terms.example":   "v=spf1 " + strings.Repeat("a ", 4000) + "-all",
		"exp.example":     "v=spf1 -all exp=" + strings.Repeat("%{s}", 1900),
		"include.example": "v=spf1 " + strings.Repeat("include:include.example ", 300) + "-all",
	} {
		z[name] = miltertest.Records{TXT: []string{text}}
	}
	r := &miltertest.Resolver{Zone: z}
	began := time.Now()
	for _, sender := range []string{"a@" + long, long + "@fail.example", "a@" + strings.Repeat("a.", 32000) + "example", strings.Repeat("@", 65000),
		"a@macro.example", long + "@macros.example", "a@terms.example", long + "@exp.example", "a@include.example", "\x00\xff@\x00\xff.example"} {
		got := Check(t.Context(), r, envelope(client, long, sender))
		if len(got.Domain) > 253 || len(got.Explanation) > maxExplanation+3 || got.Keyword == Pass {
			t.Errorf("%.20q...: %+v", sender, got)
		}
		got.AuthRes()
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// Other children can ask whether SPF passes, for all domains or for some that they
// trust; a DNS that does not answer is an error.
func TestPasses(t *testing.T) {
	r := &miltertest.Resolver{Zone: zone()}
	for _, c := range []struct {
		sender  string
		domains []string
		pass    bool
	}{
		{"a@pass.example", nil, true},
		{"a@fail.example", nil, false},
		{"a@nothing.example", nil, false},
		{"", nil, false},
		{"a@pass.example", []string{"other.example"}, false},
		{"a@pass.example", []string{"other.example", "Pass.Example"}, true},
		{"a@mail.example.org", []string{"example.org"}, true},
		{"a@mail.example.org", []string{"ample.org"}, false},
	} {
		got, err := Passes(r, c.domains...)(t.Context(), envelope(client, "pass.example", c.sender))
		if got != c.pass || err != nil {
			t.Errorf("%s, %v: %v, %v", c.sender, c.domains, got, err)
		}
	}
	if _, err := Passes(r)(t.Context(), envelope(client, "client.example", "a@down.example")); err == nil {
		t.Error("a DNS that does not answer is no error")
	}
}

// Options that cannot be are told by their names; nothing is asked for that.
func TestOptionsAreChecked(t *testing.T) {
	o := Defaults
	o.AuthservID, o.Fail, o.TempError = "my name", "bounce", "reject"
	_, err := New(o)
	for _, want := range []string{`authserv_id: "my name" is not the name of a server`, `fail: "bounce" is no action`, `temperror: "reject" is no action`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestRules(t *testing.T) {
	miltertest.ChildTest{
		New: func() milterkit.Child {
			child, err := New(options())
			if err != nil {
				t.Fatal(err)
			}
			return child
		},
		Mails: []miltertest.Mail{{From: "<a@pass.example>"}, {From: "<a@fail.example>"}, {From: "<a@explains.example>"}},
	}.Run(t)
}

// A message with more forged results than a mail server deletes in no time is refused.
func TestTooManyForgedResults(t *testing.T) {
	t.Parallel()
	forged := strings.Repeat("Authentication-Results: mx.example.net; dkim=pass\n", 600)
	got := send(t, options(), player(client, "client.example"), miltertest.Mail{From: "<a@nothing.example>",
		Message: miltertest.ParseMessage([]byte(forged + "Subject: x\n\nHello.\n"))})
	if !strings.HasPrefix(got.Reply, "552 ") {
		t.Errorf("%s %s", got.Result, got.Reply)
	}
}
