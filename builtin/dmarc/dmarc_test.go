package dmarc

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

const client = "192.0.2.7"

// key signs for every domain of the tests whose name begins with what signed says.
var key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// keyed is a zone in which those domains have a key, by the selector s.
func keyed(domains ...string) map[string]miltertest.Records {
	z := maps.Clone(zone())
	for _, d := range domains {
		z["s._domainkey."+d] = txt("v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)))
	}
	return z
}

// signed returns a message with a signature of a domain.
func signed(t *testing.T, domain, text string) string {
	t.Helper()
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
	var out bytes.Buffer
	err := msgauth.Sign(&out, strings.NewReader(text), &msgauth.SignOptions{Domain: domain, Selector: "s", Signer: crypto.Signer(key), Hash: crypto.SHA256,
		HeaderCanonicalization: "relaxed", BodyCanonicalization: "relaxed", HeaderKeys: []string{"From", "Subject"}})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// from is a message from an author.
func from(author string) string { return "From: " + author + "\nSubject: hello\n\nHello.\n" }

// tell is a child that has found something out.
func tell(field string) milterkit.Slot {
	return milterkit.Slot{Child: milterkit.OnMessage("teller", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.InsertHeader(0, "Authentication-Results", field)
		return milterkit.Continue
	})}
}

func newChild(t *testing.T, o Options) milterkit.Child {
	t.Helper()
	child, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return child
}

func player(addr, helo string) miltertest.Client {
	return miltertest.Client{Host: "client.example", Family: wire.FamilyInet, Addr: addr, Port: 1025, Helo: helo, MTA: "mx.example.net"}
}

// send plays a message at children, and returns what became of it.
func send(t *testing.T, c miltertest.Client, sender, text string, slots ...milterkit.Slot) *miltertest.Outcome {
	t.Helper()
	d, err := milterkit.NewDispatcher(slots...)
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
	got, err := p.Mail(miltertest.Mail{From: "<" + sender + ">", To: []miltertest.Recipient{{Addr: "<bob@example.net>"}}, Message: miltertest.ParseMessage([]byte(text))})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// unfolded returns the first results in a message on one line.
func unfolded(o *miltertest.Outcome) string {
	return strings.Join(strings.Fields(o.Message.Get("Authentication-Results")), " ")
}

func options(zone map[string]miltertest.Records) Options {
	o := Defaults
	o.Resolver = &dns.Cache{Resolver: &miltertest.Resolver{Zone: zone}}
	return o
}

// What the domain asks for is done, by an option for each policy; the client is told
// why, and whoever reads the message what was found.
func TestActions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, author        string
		set                 func(*Options)
		reply, result, held string
	}{
		{name: "no record", author: "alice@nothing.example", result: "dmarc=none header.from=nothing.example"},
		{name: "none", author: "alice@none.example", result: "dmarc=fail (p=none dis=none) header.from=none.example"},
		{name: "reject", author: "alice@reject.example", reply: "550 5.7.1 rejected by DMARC policy for reject.example"},
		{name: "sub-domain", author: "alice@a.reject.example", reply: "550 5.7.1 rejected by DMARC policy for a.reject.example"},
		{name: "quarantine", author: "alice@quarantine.example", held: "held by DMARC policy for quarantine.example", result: "dmarc=fail (p=quarantine dis=quarantine) header.from=quarantine.example"},
		{name: "testing", author: "alice@testing.example", held: "held by DMARC policy for testing.example", result: "dmarc=fail (p=reject t=y dis=quarantine) header.from=testing.example"},
		{name: "testing quarantine", author: "alice@testingq.example", result: "dmarc=fail (p=quarantine t=y dis=none) header.from=testingq.example"},
		{name: "broken record", author: "alice@broken.example", result: "dmarc=permerror (the record of broken.example has a policy that is none) header.from=broken.example"},
		{name: "temperror", author: "alice@down.example", reply: "451 4.7.1 DMARC: the message cannot be checked now: the record of down.example cannot be looked up"},
		{name: "temperror none", author: "alice@down.example", set: func(o *Options) { o.TempError = "none" }, result: "dmarc=temperror (the record of down.example cannot be looked up) header.from=down.example"},

		{name: "reject none", author: "alice@reject.example", set: func(o *Options) { o.Reject = "none" }, result: "dmarc=fail (p=reject dis=none) header.from=reject.example"},
		{name: "reject quarantine", author: "alice@reject.example", set: func(o *Options) { o.Reject = "quarantine" }, held: "held by DMARC policy for reject.example", result: "dmarc=fail (p=reject dis=quarantine) header.from=reject.example"},
		{name: "reject tempfail", author: "alice@reject.example", set: func(o *Options) { o.Reject = "tempfail" }, reply: "451 4.7.1 deferred by DMARC policy for reject.example"},
		{name: "quarantine reject", author: "alice@quarantine.example", set: func(o *Options) { o.Quarantine = "reject" }, reply: "550 5.7.1 rejected by DMARC policy for quarantine.example"},
		{name: "quarantine none", author: "alice@quarantine.example", set: func(o *Options) { o.Quarantine = "none" }, result: "dmarc=fail (p=quarantine dis=none) header.from=quarantine.example"},

		{name: "domain excepted", author: "alice@reject.example", set: domains("reject.example", "none"), result: "dmarc=fail (p=reject dis=none) header.from=reject.example"},
		{name: "names below it too", author: "alice@a.b.reject.example", set: domains("Reject.Example.", "none"), result: "dmarc=fail (p=reject dis=none) header.from=a.b.reject.example"},
		{name: "the nearest counts", author: "alice@a.b.reject.example", set: domains("reject.example", "none", "b.reject.example", "reject"), reply: "550 5.7.1 rejected by DMARC policy for a.b.reject.example"},
		{name: "not another's", author: "alice@reject.example", set: domains("ject.example", "none", "a.reject.example", "none"), reply: "550 5.7.1 rejected by DMARC policy for reject.example"},
		{name: "domain that only observes", author: "alice@none.example", set: domains("none.example", "reject"), reply: "550 5.7.1 rejected by DMARC policy for none.example"},
		{name: "domain without a record", author: "alice@nothing.example", set: domains("nothing.example", "reject"), result: "dmarc=none header.from=nothing.example"},
		{name: "domain excepted, temperror", author: "alice@down.example", set: domains("down.example", "none"), result: "dmarc=temperror (the record of down.example cannot be looked up) header.from=down.example"},
		{name: "domain to reject, temperror", author: "alice@down.example", set: domains("down.example", "reject"), reply: "451 4.7.1 DMARC: the message cannot be checked now: the record of down.example cannot be looked up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := options(zone())
			if c.set != nil {
				c.set(&o)
			}
			got := send(t, player(client, "hard.example"), "news@hard.example", from(c.author), milterkit.Slot{Child: newChild(t, o)})
			if got.Reply != c.reply || c.reply != "" && got.At != wire.CmdEOM {
				t.Errorf("%q at %s, want %q at the end", got.Reply, miltertest.Word(got.At), c.reply)
			}
			want := "mx.example.net; spf=pass (hard.example permits 192.0.2.7) smtp.mailfrom=hard.example; dkim=none; " + c.result
			if text := unfolded(got); c.result != "" && text != want {
				t.Errorf("%q,\nwant %q", text, want)
			}
			if got.Held != (c.held != "") || got.Reason != c.held {
				t.Errorf("held: %v, %q; want %q", got.Held, got.Reason, c.held)
			}
		})
	}
}

func domains(pairs ...string) func(*Options) {
	return func(o *Options) {
		o.Policies = map[string]string{}
		for pair := range slices.Chunk(pairs, 2) {
			o.Policies[pair[0]] = pair[1]
		}
	}
}

// Alone the child checks SPF and DKIM itself.
func TestAloneItChecksAll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, sender, helo, text, reply string }{
		{name: "SPF", sender: "alice@reject.example", text: from("alice@reject.example")},
		{name: "SPF of a sub-domain", sender: "alice@sub.reject.example", text: from("alice@reject.example")},
		{name: "SPF of HELO, where the sender is null", helo: "reject.example", text: from("MAILER-DAEMON@reject.example")},
		{name: "not SPF of HELO, where it is not", sender: "news@hard.example", helo: "reject.example", text: from("alice@reject.example"), reply: "550"},
		{name: "DKIM", sender: "news@hard.example", text: signed(t, "reject.example", from("alice@reject.example"))},
		{name: "DKIM of a sub-domain", sender: "news@hard.example", text: signed(t, "a.reject.example", from("alice@reject.example"))},
		{name: "DKIM of the domain, for a sub-domain", sender: "news@hard.example", text: signed(t, "reject.example", from("alice@a.reject.example"))},
		{name: "DKIM of another", sender: "news@hard.example", text: signed(t, "hard.example", from("alice@reject.example")), reply: "550"},
		{name: "DKIM broken", sender: "news@hard.example", text: signed(t, "reject.example", from("alice@reject.example")) + "more\n", reply: "550"},
		{name: "SPF strict", sender: "a@a.strict.example", text: from("alice@strict.example"), reply: "550"},
		{name: "DKIM strict", sender: "news@hard.example", text: signed(t, "strict.example", from("alice@strict.example"))},
		{name: "DKIM not strict enough", sender: "news@hard.example", text: signed(t, "a.strict.example", from("alice@strict.example")), reply: "550"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := options(keyed("reject.example", "a.reject.example", "hard.example", "strict.example", "a.strict.example"))
			got := send(t, player(client, c.helo), c.sender, c.text, milterkit.Slot{Child: newChild(t, o)})
			if !strings.HasPrefix(got.Reply, c.reply) || (got.Reply == "") != (c.reply == "") {
				t.Errorf("%q, want %q: %s", got.Reply, c.reply, got.Message)
			}
			if text := got.Message.String(); c.reply == "" && !strings.Contains(text, "dmarc=pass") {
				t.Error(text)
			}
		})
	}
}

// Results that filters before it have added are gone by, and not found out again;
// those of another name, or that came with the message, are not.
func TestResultsOfOthers(t *testing.T) {
	t.Parallel()
	text := from("alice@reject.example")
	for _, c := range []struct{ name, sender, told, came, reply, own string }{
		{name: "OpenDKIM", sender: "news@hard.example", told: "mx.example.net; dkim=pass (2048-bit key; unprotected) header.d=reject.example header.i=@reject.example header.a=rsa-sha256 header.s=s header.b=abc", own: "mx.example.net; spf=pass (hard.example permits 192.0.2.7) smtp.mailfrom=hard.example; dmarc=pass (p=reject dis=none) header.from=reject.example"},
		{name: "pyspf-milter", sender: "alice@reject.example", told: "mx.example.net; spf=pass (sender SPF\n\tauthorized) smtp.mailfrom=reject.example (client-ip=192.0.2.9; helo=x; envelope-from=alice@reject.example; receiver=<UNKNOWN>)", own: "mx.example.net; dkim=none; dmarc=pass (p=reject dis=none) header.from=reject.example"},
		{name: "an address", sender: "a@hard.example", told: "mx.example.net; spf=pass smtp.mailfrom=alice@reject.example", own: "mx.example.net; dkim=none; dmarc=pass (p=reject dis=none) header.from=reject.example"},
		{name: "both", sender: "news@hard.example", told: "mx.example.net; spf=fail smtp.mailfrom=hard.example; dkim=pass header.d=reject.example", own: "mx.example.net; dmarc=pass (p=reject dis=none) header.from=reject.example"},
		{name: "SPF has failed", sender: "alice@reject.example", told: "mx.example.net; spf=fail smtp.mailfrom=reject.example", reply: "550"},
		{name: "temperror", sender: "news@hard.example", told: "mx.example.net; dkim=temperror header.d=reject.example", reply: "451"},
		{name: "of HELO only", sender: "news@hard.example", told: "mx.example.net; spf=pass smtp.helo=reject.example", reply: "550"},
		{name: "without a domain", sender: "news@hard.example", told: "mx.example.net; dkim=pass", reply: "550"},
		{name: "another name", sender: "news@hard.example", told: "other.example.net; dkim=pass header.d=reject.example", reply: "550"},
		{name: "forged", sender: "news@hard.example", told: "mx.example.net; dkim=none", came: "mx.example.net; dkim=pass header.d=reject.example; spf=pass smtp.mailfrom=reject.example", reply: "550"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := text
			if c.came != "" {
				text = "Authentication-Results: " + c.came + "\n" + text
			}
			got := send(t, player(client, "client.example"), c.sender, text, tell(c.told), milterkit.Slot{Child: newChild(t, options(zone()))})
			if !strings.HasPrefix(got.Reply, c.reply) || (got.Reply == "") != (c.reply == "") {
				t.Errorf("%q, want %q", got.Reply, c.reply)
			}
			if text := unfolded(got); c.own != "" && text != c.own {
				t.Errorf("%q, want %q", text, c.own)
			}
		})
	}
}

// Where it is not clear who the author is, an option decides; where nobody's domain
// is named, none is looked up.
func TestBadFrom(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, set, reply, result string }{
		{name: "two fields", text: "From: a@none.example\nFrom: b@none.example\n\nx\n", reply: "550 5.7.1 DMARC: it is not clear who the message is from: several From fields"},
		{name: "two domains", text: from("a@none.example, b@reject.example"), reply: "550 5.7.1 DMARC: it is not clear who the message is from: several domains in From"},
		{name: "unclear", text: from("a@none.example b@reject.example"), reply: "550 5.7.1 DMARC: it is not clear who the message is from: an address that cannot be made out in From"},
		{name: "let pass", text: from("a@none.example, b@reject.example"), set: "none", result: "dmarc=permerror (several domains in From)"},
		{name: "held", text: from("a@none.example, b@reject.example"), set: "quarantine", result: "dmarc=permerror (several domains in From)"},
		{name: "no field", text: "Subject: x\n\nx\n", result: "dmarc=none (From names no domain)"},
		{name: "no header", text: "\nx\n", result: "dmarc=none (From names no domain)"},
		{name: "no domain", text: from("alice"), result: "dmarc=none (From names no domain)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := options(zone())
			if c.set != "" {
				o.BadFrom = c.set
			}
			got := send(t, player(client, "client.example"), "news@hard.example", c.text, milterkit.Slot{Child: newChild(t, o)})
			if got.Reply != c.reply || got.Held != (c.set == "quarantine") {
				t.Errorf("%q, held: %v; want %q", got.Reply, got.Held, c.reply)
			}
			if text := unfolded(got); c.result != "" && !strings.HasSuffix(text, c.result) {
				t.Errorf("%q, want %q", text, c.result)
			}
		})
	}
}

// Mail of this host, of networks to skip, and of clients that have authenticated is
// not checked.
func TestOwnClientsAreNotChecked(t *testing.T) {
	t.Parallel()
	skipping := options(zone())
	skipping.Skip = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	authenticated := player(client, "client.example")
	authenticated.Known = map[string]string{"auth_authen": "alice"}
	for name, c := range map[string]struct {
		o Options
		c miltertest.Client
	}{
		"loopback":      {options(zone()), player("127.0.0.1", "client.example")},
		"unix":          {options(zone()), miltertest.Client{Host: "localhost", Family: wire.FamilyUnix, Addr: "/run/x", Helo: "client.example", MTA: "mx.example.net"}},
		"skip":          {skipping, player(client, "client.example")},
		"authenticated": {options(zone()), authenticated},
	} {
		got := send(t, c.c, "news@hard.example", from("alice@reject.example"), milterkit.Slot{Child: newChild(t, c.o)})
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
		got := send(t, c.client, "a@example.org", "Authentication-Results: mx.example.net; spf=pass\n"+from("alice@example.org"),
			milterkit.Slot{Child: newChild(t, options(zone()))})
		if stays := strings.Contains(got.Message.String(), "spf=pass"); stays != c.stays {
			t.Errorf("%v: the forged field stays: %v", c.client, stays)
		}
	}
}

// Options that cannot be are told by their names.
func TestOptionsAreChecked(t *testing.T) {
	o := Defaults
	o.AuthservID, o.Reject, o.TempError = "my name", "discard", "reject"
	o.Policies = map[string]string{"a b": "none", "example.org": "drop", "*.example.org": "none"}
	_, err := New(o)
	for _, want := range []string{`authserv_id: "my name" is not the name of a server`, `reject: "discard" is no action`, `temperror: "reject" is no action`, `policies: "a b" is not a domain`, `policies: "*.example.org" has an asterisk`, `policies: "drop" is no action`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestRules(t *testing.T) {
	z := keyed("reject.example")
	miltertest.ChildTest{
		New: func() milterkit.Child { return newChild(t, options(z)) },
		Mails: []miltertest.Mail{
			{From: "<alice@reject.example>", Message: miltertest.ParseMessage([]byte(from("alice@reject.example")))},
			{From: "<alice@fail.example>", Message: miltertest.ParseMessage([]byte(from("alice@quarantine.example")))},
			{Message: miltertest.ParseMessage([]byte(signed(t, "reject.example", from("alice@reject.example"))))},
		},
	}.Run(t)
}

// A message with more forged results than a mail server deletes in no time is refused.
func TestTooManyForgedResults(t *testing.T) {
	t.Parallel()
	forged := strings.Repeat("Authentication-Results: mx.example.net; dkim=pass\n", 600)
	got := send(t, player(client, "client.example"), "a@nothing.example", forged+from("alice@nothing.example"), milterkit.Slot{Child: newChild(t, options(zone()))})
	if !strings.HasPrefix(got.Reply, "552 ") {
		t.Errorf("%s %s", got.Result, got.Reply)
	}
}
