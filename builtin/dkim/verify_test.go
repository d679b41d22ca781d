package dkim

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// limit is how long any message may take here, on a machine that others use too and
// with the race detector. By itself none takes a second; without the guards some take
// minutes, and the results are others.
const limit = 10 * time.Second

// craft signs a message for example.org with any tags besides c=, h=, bh= and b=, and
// any of these that are given, simple/simple where nothing is said. It is a signer of
// its own, and knows no more than it needs to.
func craft(t testing.TB, key crypto.Signer, text, tags string) string {
	t.Helper()
	header, body, _ := strings.Cut(text, "\r\n\r\n")
	if strings.Trim(body, "\r\n") == "" {
		body = ""
	}
	hash := sha256.Sum256([]byte(strings.TrimRight(body, "\r\n") + "\r\n"))
	value := " v=1; bh=" + base64.StdEncoding.EncodeToString(hash[:]) + "; " + tags
	if !strings.Contains(tags, " h=") {
		value += "; h=From"
	}
	if _, ok := key.(*rsa.PrivateKey); ok && !strings.Contains(tags, "a=") {
		value += "; a=rsa-sha256"
	} else if !ok {
		value += "; a=ed25519-sha256"
	}
	value += "; b="
	var signed string
	for line := range strings.SplitSeq(header, "\r\n") {
		if strings.HasPrefix(line, "From:") {
			signed = line + "\r\n"
		}
	}
	digest := sha256.Sum256([]byte(signed + FieldName + ":" + value))
	opts := crypto.SignerOpts(crypto.SHA256)
	if _, ok := key.(*rsa.PrivateKey); !ok {
		opts = crypto.Hash(0)
	}
	sig, err := key.Sign(rand.Reader, digest[:], opts)
	if err != nil {
		t.Fatal(err)
	}
	return FieldName + ":" + value + base64.StdEncoding.EncodeToString(sig) + "\r\n" + text
}

// now is the time in tests where signatures expire: it is to come, as the library looks
// at the real one too.
var now = time.Date(2199, 11, 26, 12, 0, 0, 0, time.UTC)

// What is wrong with a signature, or its key, is told by the keyword for it, with the
// reason.
func TestResults(t *testing.T) {
	short := smallKey(t)
	z := zone(t)
	rsaText := z["rsa._domainkey.example.org"].TXT[0]
	for name, r := range map[string]miltertest.Records{
		"revoked": {TXT: []string{"v=DKIM1; p="}}, "garbage": {TXT: []string{"v=DKIM1; p=!!!"}}, "two": {TXT: []string{rsaText, rsaText}},
		"servfail": {Temporary: true}, "strict": {TXT: []string{rsaText + "; t=s"}}, "testing": {TXT: []string{rsaText + "; t=y"}},
		"short": {TXT: []string{recordText(short)}}, "huge": {TXT: []string{hugeRecord()}}, "tabs": {TXT: []string{strings.ReplaceAll(rsaText, "; ", ";\t")}},
		"sha1only": {TXT: []string{rsaText + "; h=sha1"}}, "tls": {TXT: []string{rsaText + "; s=tlsrpt"}}, "v2": {TXT: []string{"v=DKIM2; p=x"}},
		"other": {TXT: []string{recordOf(t, otherKey())}},
		// What is no tag is one for the library, and what else is in the record counts there.
		"hugeodd": {TXT: []string{hugeRecord() + "; x-y=1"}}, "strictodd": {TXT: []string{rsaText + "; t=s; x-y=1"}},
	} {
		z[name+"._domainkey.example.org"] = r
	}
	v := &Verifier{Resolver: &miltertest.Resolver{Zone: z}, Clock: func() time.Time { return now }}
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for _, c := range []struct{ tags, value, reason string }{
		{"d=example.org; s=rsa", Pass, ""},
		{"d=EXAMPLE.org; s=rsa", Pass, ""},
		{"d=example.org; s=rsa; i=joe@mail.example.org", Pass, ""},
		{"d=example.org; s=rsa; i=joe@EXAMPLE.org", Pass, ""},
		{"d=example.org; s=other; i=joe@EXAMPLE.org", Fail, "signature did not verify"},
		{"d=example.org; s=strict; i=joe@EXAMPLE.org", Pass, ""},
		{"d=example.org; s=strict; i=joe@mail.EXAMPLE.org", PermError, "sub-domains"},
		{"d=example.org; s=none; i=joe@EXAMPLE.org", PermError, "no key"},
		{"d=example.org; s=rsa; i=joe@example.com", PermError, "not of the domain"},
		{"d=example.org; s=rsa; i=joe@notexample.org", PermError, "not of the domain"},
		{"d=example.org; s=rsa; i=example.org", PermError, "not of the domain"},
		{"d=example.org; s=testing", Pass, ""},
		{"d=example.org; s=tabs", Pass, ""},
		{"d=example.org; s=strict", Pass, ""},
		{"d=example.org; s=strict; i=joe@mail.example.org", PermError, "sub-domains"},
		{"d=example.org; s=other", Fail, "signature did not verify"},
		{"d=example.org; s=rsa; bh=", Neutral, "twice"},
		{"d=example.org; s=none", PermError, "no key for signature"},
		{"d=example.org; s=revoked", PermError, "revoked"},
		{"d=example.org; s=garbage", PermError, "base64"},
		{"d=example.org; s=two", PermError, "multiple TXT records"},
		{"d=example.org; s=v2", PermError, "version"},
		{"d=example.org; s=sha1only", PermError, "hash"},
		{"d=example.org; s=tls", PermError, "service"},
		{"d=example.org; s=servfail", TempError, "key unavailable"},
		{"d=example.org; s=short", Policy, "too weak"},
		{"d=example.org; s=huge", Policy, "takes too long"},
		{"d=example.org; s=hugeodd", PermError, "no tag"},
		{"d=example.org; s=strictodd; i=joe@mail.example.org", PermError, "no tag"},
		{"d=example.org; s=rsa; l=3", Policy, "l="},
		{"d=example.org; s=rsa; a=rsa-sha1", Policy, "SHA-1"},
		{"d=example.org; s=rsa; a=dsa-sha256", PermError, "inappropriate key algorithm"},
		{"d=example.org; s=rsa; q=x/y", PermError, "query"},
		{"d=example.org; s=rsa; c=other/other", PermError, "canonicalization"},
		{"d=example.org; s=rsa; h=Subject", PermError, "From"},
		{fmt.Sprintf("d=example.org; s=rsa; x=%d", at(time.Hour)), Pass, ""},
		{fmt.Sprintf("d=example.org; s=rsa; x=%d", at(-time.Hour)), Policy, "expired"},
		{fmt.Sprintf("d=example.org; s=rsa; t=%d", at(4*time.Minute)), Pass, ""},
		{fmt.Sprintf("d=example.org; s=rsa; t=%d", at(6*time.Minute)), Policy, "future"},
		{fmt.Sprintf("d=example.org; s=rsa; t=%d; x=%d", at(0), at(0)), Neutral, "expires before"},
		{"d=example.org; s=rsa; t=soon", Neutral, "no time"},
		{"d=example.org; s=rsa; s=rsa", Neutral, "twice"},
		{"d=example.org; s=rsa; what", Neutral, "no tag"},
		{"d=example.org", Neutral, "no s= tag"},
		{"d=; s=rsa", Neutral, "no d= tag"},
		{"d=example..org; s=rsa", Neutral, "no names"},
		{"d=example.org; s=a/b", Neutral, "no names"},
		{"d=example.org; s=" + strings.Repeat("a.", 115) + "a", Neutral, "too long"},
		{"d=example.org; s=rsa; z=" + strings.Repeat("x", 64<<10), Policy, "64 KiB"},
	} {
		list := verify(t, v, craft(t, rsaKey(), letter("Hello.\r\n"), c.tags))
		if len(list) != 1 || list[0].Value != c.value || !strings.Contains(list[0].Reason, c.reason) || (c.value == Pass) != (list[0].Reason == "") {
			t.Errorf("%.80s: %+v, want %s, %s", c.tags, list, c.value, c.reason)
		}
	}
	broken := strings.Replace(craft(t, rsaKey(), letter("Hello.\r\n"), "d=example.org; s=rsa"), "Hello.", "Hello!", 1)
	if list := verify(t, v, broken); keywords(list) != Fail || !strings.Contains(list[0].Reason, "body hash") {
		t.Errorf("a changed body: %+v", list)
	}
	if list := verify(t, v, strings.Replace(broken, "v=1", "v=2", 1)); keywords(list) != Neutral {
		t.Errorf("another version: %+v", list)
	}
	if list := verify(t, v, letter("Hello.\r\n")); len(list) > 0 {
		t.Errorf("no signature: %+v", list)
	}
}

// smallKey returns a key of 512 bits, which Go does not make.
func smallKey(t testing.TB) *rsa.PublicKey {
	t.Helper()
	n, ok := new(big.Int).SetString("13407807929942597099574024998205846127479365820592393377723561443721764030073546976801874298166903427690031858186486050853753882811946569946433649006084097", 10)
	if !ok || n.BitLen() > 520 {
		t.Fatal(n)
	}
	return &rsa.PublicKey{N: n, E: 65537}
}

// hugeRecord is one with a key that takes long to verify with.
func hugeRecord() string {
	n := new(big.Int).Lsh(big.NewInt(1), 60000)
	return recordText(&rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537})
}

func recordText(key crypto.PublicKey) string {
	text, err := Record(key)
	if err != nil {
		panic(err)
	}
	return text
}

var otherKey = func() *rsa.PrivateKey { key, _ := rsa.GenerateKey(rand.Reader, 2048); return key }

// The result stands on top of the header as OpenDKIM writes it, one for each
// signature.
func TestResultsInTheHeader(t *testing.T) {
	child := newVerify(t, VerifyOptions{MaxSignatures: 5})
	_, out := outside.through(t, child, signed(t, signWith(t, "rsa", "ed"), letter("Hello.\r\n")))
	list := resultsIn(t, out)
	if len(list) != 2 || list[0].Comment != "2048-bit key" || list[0].Prop("header", "s") != "rsa" || list[0].Prop("header", "a") != "rsa-sha256" ||
		list[0].Prop("header", "d") != "example.org" || list[0].Prop("header", "i") != "@example.org" || len(list[0].Prop("header", "b")) != 8 ||
		list[0].Value != Pass || list[1].Prop("header", "s") != "ed" || list[1].Value != Pass {
		t.Errorf("%+v\n%s", list, out)
	}
	_, out = outside.through(t, child, letter("Hello.\r\n"))
	if !strings.HasPrefix(out, "Authentication-Results: mx.example.net;\r\n\tdkim=none\r\nFrom:") {
		t.Errorf("without a signature\n%s", out)
	}
	_, out = outside.through(t, newVerify(t, VerifyOptions{MaxSignatures: 5, AuthservID: "mine"}), letter("Hello.\r\n"))
	if !strings.HasPrefix(out, "Authentication-Results: mine;") {
		t.Errorf("with a name of its own\n%s", out)
	}
}

// Results in our name that came with the message are removed, also where they cannot
// be read; those of others stay.
func TestForgedResultsAreRemoved(t *testing.T) {
	forged := "Authentication-Results: mx.example.net; dkim=pass header.d=bank.example\r\n" +
		"Authentication-Results: MX.example.net (\r\n" +
		"Authentication-Results: elsewhere.example; dkim=pass header.d=example.com\r\n"
	_, out := outside.through(t, newVerify(t, VerifyOptions{MaxSignatures: 5}), forged+letter("Hello.\r\n"))
	want := "Authentication-Results: mx.example.net;\r\n\tdkim=none\r\nAuthentication-Results: elsewhere.example; dkim=pass header.d=example.com\r\nFrom:"
	if !strings.HasPrefix(out, want) {
		t.Errorf("got\n%s", out)
	}
}

// The policy of the author's domain, or the nearest above it, says what becomes of
// mail without a good signature of it.
func TestPolicies(t *testing.T) {
	good := craft(t, rsaKey(), letter("Hello.\r\n"), "d=example.org; s=rsa")
	broken := strings.Replace(good, "Hello.", "Hello!", 1)
	unsigned := letter("Hello.\r\n")
	from := func(text, author string) string { return strings.Replace(text, "Alice <alice@example.org>", author, 1) }
	down := craft(t, rsaKey(), letter("Hello.\r\n"), "d=example.org; s=down")
	z := zone(t)
	z["down._domainkey.example.org"] = miltertest.Records{Temporary: true}
	reject := map[string]string{"Example.org": "reject"}
	for _, c := range []struct {
		name, text string
		policies   map[string]string
		want       string
	}{
		{"nothing said", broken, nil, "continue"},
		{"good", good, reject, "continue"},
		{"broken", broken, reject, "reject 550 5.7.22 no good DKIM signature of example.org"},
		{"unsigned", unsigned, reject, "reject 550 5.7.22 no good DKIM signature of example.org"},
		{"tempfail", unsigned, map[string]string{"example.org": "tempfail"}, "tempfail 451 4.7.22 no good DKIM signature of example.org"},
		{"quarantine", unsigned, map[string]string{"example.org": "quarantine"}, "continue held"},
		{"none", unsigned, map[string]string{"example.org": "none", "*": "reject"}, "continue"},
		{"another domain", from(unsigned, "bob@example.com"), reject, "continue"},
		{"all others", from(unsigned, "bob@example.com"), map[string]string{"*": "reject"}, "reject 550 5.7.22 no good DKIM signature of example.com"},
		{"a sub-domain", from(unsigned, "bob@x.Example.ORG"), reject, "reject 550 5.7.22 no good DKIM signature of x.example.org"},
		{"a sub-domain with its own", from(unsigned, "bob@x.example.org"), map[string]string{"example.org": "reject", "x.example.org": "none"}, "continue"},
		{"another's signature", from(craft(t, rsaKey(), from(letter("Hello.\r\n"), "bob@example.com"), "d=example.org; s=rsa"), ""), map[string]string{"*": "reject"},
			"reject 550 5.7.22 no good DKIM signature of example.com"},
		{"the domain above has signed", craft(t, rsaKey(), from(letter("Hello.\r\n"), "bob@x.example.org"), "d=example.org; s=rsa"), reject, "continue"},
		{"the key is not to be had now", down, reject, "tempfail 451 4.7.22 no good DKIM signature of example.org"},
		{"the key is not to be had now, which does not matter", down, map[string]string{"example.com": "reject"}, "continue"},
		{"no author", from(unsigned, ""), map[string]string{"*": "reject"}, "reject 550 5.7.22 no good DKIM signature of the author's domain"},
		{"the worst of two authors", from(unsigned, "a@example.com, b@example.org"), map[string]string{"example.com": "tempfail", "example.org": "reject"},
			"reject 550 5.7.22 no good DKIM signature of example.org"},
		{"an author's domain in other signs", from(unsigned, "alice@example\u3002org"), reject, "reject 550 5.7.22 no good DKIM signature of example.org"},
		{"a policy in other signs", from(unsigned, "alice@xn--bcher-kva.example"), map[string]string{"Bücher.example": "reject"},
			"reject 550 5.7.22 no good DKIM signature of xn--bcher-kva.example"},
		{"a second From above", "From: The chief <chief@example.org>\r\n" + good, reject, "reject 550 5.7.22 no good DKIM signature of example.org"},
		{"a second From below", strings.Replace(good, "To:", "From: The chief <chief@example.org>\r\nTo:", 1), reject,
			"reject 550 5.7.22 no good DKIM signature of example.org"},
		{"two From fields, of others", from("From: a@example.com\r\n"+unsigned, "b@example.net"), reject, "continue"},
		{"an author that is hard to read", from(unsigned, `"x" y@z <b@example.org>`), reject, "reject 550 5.7.22 no good DKIM signature of example.org"},
	} {
		o, _ := outside.through(t, newVerify(t, VerifyOptions{MaxSignatures: 5, Policies: c.policies, Resolver: &miltertest.Resolver{Zone: z}}), c.text)
		got := o.Verdict.Kind().String()
		if code, text := o.Verdict.SMTP(); code != 0 {
			got += fmt.Sprintf(" %d %s", code, text)
		}
		if _, held := o.Held(); held {
			got += " held"
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	p := outside
	p.actions = milterkit.AllActions &^ milterkit.ActionQuarantine
	o, _ := p.through(t, newVerify(t, VerifyOptions{MaxSignatures: 5, Policies: map[string]string{"*": "quarantine"}}), unsigned)
	if o.Verdict.Kind() != milterkit.KindTempFail {
		t.Errorf("an MTA that cannot hold mail is told %v", o.Verdict)
	}
}

// A message with more forged results than a mail server deletes in no time is refused.
func TestTooManyForgedResults(t *testing.T) {
	forged := strings.Repeat("Authentication-Results: mx.example.net; dkim=pass\r\n", 600)
	o, _ := outside.through(t, newVerify(t, VerifyDefaults), forged+letter("Hello.\r\n"))
	if code, _ := o.Verdict.SMTP(); code != 552 {
		t.Errorf("got %v", o.Verdict)
	}
}

// An author that cannot be made out may be of any domain that From has in it: there is
// no way past the policy of one that readers would show.
func TestPoliciesOfUnclearAuthors(t *testing.T) {
	for _, author := range []string{
		"alice@example.org (Alice", `alice@example.org "`, "Alice <alice@example.org", "alice@example.org;", "alice@example.org\x00",
		"a@b@example.org", "Alice alice@ExamPLE.ORG.", "alice@(x)example.org", "alice@exam\r\n ple.org (", "alice@mail.example.org (",
		"=?utf-8?q?alice=40example.org?=", "=?utf-8?q?alice=40example?=.org (", "<alice@example.org> <x@example.com>", "alice@example\u3002org (",
		`"` + strings.Repeat("x", maxFrom) + `" <alice@example.org>`,
	} {
		text := strings.Replace(letter("Hello.\r\n"), "Alice <alice@example.org>", author, 1)
		child := newVerify(t, VerifyOptions{MaxSignatures: 5, Policies: map[string]string{"example.org": "reject", "example.net": "quarantine"}})
		if o, _ := outside.through(t, child, text); o.Verdict.Kind() != milterkit.KindReject {
			t.Errorf("From: %.60q: %v", author, o.Verdict)
		}
		other := strings.NewReplacer("exam", "exom", "Exam", "Exom").Replace(text)
		if o, _ := outside.through(t, child, other); o.Verdict != milterkit.Continue {
			t.Errorf("From, of another domain, like %.60q: %v", author, o.Verdict)
		}
	}
}

// Whatever the resolver's error is, but for "there is none", the key may be there a
// moment later.
func TestAnyErrorOfTheResolverIsTemporary(t *testing.T) {
	v := &Verifier{Resolver: failing{errors.New("the cable is broken")}}
	list := verify(t, v, craft(t, rsaKey(), letter(""), "d=example.org; s=rsa"))
	if keywords(list) != TempError || !strings.Contains(list[0].Reason, "cable") {
		t.Errorf("got %+v", list)
	}
}

type failing struct{ err error }

func (f failing) LookupTXT(context.Context, string) ([]string, error)        { return nil, f.err }
func (f failing) LookupMX(context.Context, string) ([]*net.MX, error)        { return nil, f.err }
func (f failing) LookupIPAddr(context.Context, string) ([]net.IPAddr, error) { return nil, f.err }
func (f failing) LookupAddr(context.Context, string) ([]string, error)       { return nil, f.err }

// Names in other scripts are looked up as the DNS has them.
func TestInternationalNames(t *testing.T) {
	v := &Verifier{Resolver: &miltertest.Resolver{Zone: map[string]miltertest.Records{
		"rsa._domainkey.xn--bcher-kva.example": {TXT: []string{recordOf(t, rsaKey())}},
	}}}
	if list := verify(t, v, craft(t, rsaKey(), letter(""), "d=bücher.example; s=rsa")); keywords(list) != Pass {
		t.Errorf("got %+v", list)
	}
}

// Of 500 signatures no more than five are looked at, and that is said once.
func TestManySignatures(t *testing.T) {
	one, _, _ := strings.Cut(craft(t, rsaKey(), letter("Hello.\r\n"), "d=example.org; s=rsa"), "\r\n")
	r := resolver(t)
	began := time.Now()
	_, out := outside.through(t, newVerify(t, VerifyOptions{MaxSignatures: 5, Resolver: r}), strings.Repeat(one+"\r\n", 500)+letter("Hello.\r\n"))
	if took := time.Since(began); took > limit {
		t.Errorf("it took %v", took)
	}
	list := resultsIn(t, out)
	if len(list) != 6 || list[4].Value != Pass || list[5].Value != Policy || !strings.Contains(list[5].Reason, "495 more") {
		t.Errorf("%+v", list)
	}
	if n := len(r.Queries()); n > 5 {
		t.Errorf("%d queries", n)
	}
}

// Mail that is made to take the library long is answered at once.
func TestVerifyingOddMailTakesNoTime(t *testing.T) {
	empty := strings.Repeat("\r\n", 4<<20)
	run := strings.Repeat("\r\n", maxBlank/2)
	simple := "d=example.org; s=rsa"
	relaxed := simple + "; c=relaxed/relaxed"
	five := func(text, tags string) string {
		one, _, _ := strings.Cut(craft(t, rsaKey(), text, tags), "\r\n")
		return strings.Repeat(one+"\r\n", 5) + text
	}
	for _, c := range []struct{ name, text, want string }{
		{"empty lines", five(letter(empty), simple), Policy},
		{"empty lines, relaxed", five(letter(empty), relaxed), Policy},
		{"empty lines before a text", five(letter(empty+"Hello.\r\n"), simple), Policy},
		{"lines of a space, relaxed", five(letter(strings.Repeat(" \r\n", 3<<20)+"Hello.\r\n"), relaxed), Policy},
		{"as many as may be", five(letter(strings.Repeat(run+"x", 32)), simple), Pass},
		{"many fields", five(letter("Hello.\r\n")[:6]+" alice@example.org\r\n"+strings.Repeat("A:\r\n", 250000)+"\r\nHello.\r\n",
			simple+"; h=From:"+strings.Repeat("a:", 20000)+"a"), Policy},
		{"many folded lines", five("From: alice@example.org"+strings.Repeat("\r\n x", 250000)+"\r\n\r\nHello.\r\n", simple), Policy},
		{"a long field", five("From: alice@example.org\r\nX-Long: "+strings.Repeat("x", 1<<20)+"\r\n\r\nHello.\r\n", simple+"; h=From:X-Long"), Fail},
		{"a megabyte of fields", five(strings.Repeat("X-Field: value\r\n", 65000)+letter("Hello.\r\n"), simple), Pass},
		{"lone CRs", five(letter(strings.Repeat("\r", 8<<20)), simple), Policy},
	} {
		began := time.Now()
		list := verify(t, &Verifier{Resolver: resolver(t)}, c.text)
		if took := time.Since(began); took > limit {
			t.Errorf("%s took %v", c.name, took)
		}
		if len(list) != 5 || list[0].Value != c.want {
			t.Errorf("%s: %+v, want %s", c.name, list, c.want)
		}
	}
}

// A message may have no body, and no empty line after its header.
func TestAHeaderIsAMessage(t *testing.T) {
	text := craft(t, rsaKey(), letter(""), "d=example.org; s=rsa")
	for _, text := range []string{text, strings.TrimSuffix(text, "\r\n")} {
		if list := verify(t, &Verifier{Resolver: resolver(t)}, text); keywords(list) != Pass {
			t.Errorf("%q: %+v", text, list)
		}
	}
}

// A name server that does not answer costs the child its time and no more: it fails,
// and nothing of it stays behind.
func TestSilentNameServer(t *testing.T) {
	t.Parallel()
	z := zone(t)
	z["silent._domainkey.example.org"] = miltertest.Records{Silent: true}
	text := craft(t, rsaKey(), letter("Hello.\r\n"), "d=example.org; s=silent")
	text = craft(t, rsaKey(), text, "d=example.org; s=rsa")
	p := outside
	p.timeout = 200 * time.Millisecond
	began := time.Now()
	o, _ := p.through(t, newVerify(t, VerifyOptions{MaxSignatures: 5, Resolver: &miltertest.Resolver{Zone: z}}), text)
	if o.Verdict.Kind() != milterkit.KindTempFail {
		t.Errorf("got %v", o.Verdict)
	}
	if took := time.Since(began); took > limit {
		t.Errorf("it took %v", took)
	}
}

// Time that runs out while bodies are read ends the reading, of all signatures.
func TestCutShortInTheBody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancelling := cancelAfter{resolver(t), cancel}
	body := strings.Repeat("Hello.\r\n", 1<<17)
	text := craft(t, rsaKey(), letter(body), "d=example.org; s=rsa")
	text = craft(t, rsaKey(), text, "d=example.org; s=rsa")
	outside.through(t, milterkit.OnMessage("verify", func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
		if list := (&Verifier{Resolver: cancelling}).Verify(ctx, m); keywords(list) != "temperror temperror" {
			t.Errorf("got %+v", list)
		}
		return milterkit.Continue
	}), text)
}

// A message is not read any more when time is up.
func TestFeedEndsInTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := newFeed(ctx, []byte("A: b\r\n\r\n"), [][]byte{[]byte("Hello."), []byte("Bob.")})
	if n, err := f.Read(make([]byte, 100)); n != 8 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	cancel()
	if n, err := f.WriteTo(new(strings.Builder)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("written %d, %v", n, err)
	}
}

// cancelAfter cancels when it has answered.
type cancelAfter struct {
	dns.Resolver
	cancel func()
}

func (c cancelAfter) LookupTXT(ctx context.Context, name string) ([]string, error) {
	defer c.cancel()
	return c.Resolver.LookupTXT(ctx, name)
}

// A panic while a signature is verified is the child's failure, not the process's end.
func TestPanicIsAFailure(t *testing.T) {
	text := craft(t, rsaKey(), letter(""), "d=example.org; s=rsa")
	o, _ := outside.through(t, newVerify(t, VerifyOptions{MaxSignatures: 5, Resolver: panicking{}}), craft(t, rsaKey(), text, "d=example.org; s=rsa"))
	if o.Verdict.Kind() != milterkit.KindTempFail {
		t.Errorf("got %v", o.Verdict)
	}
}

type panicking struct{ dns.Resolver }

func (panicking) LookupTXT(context.Context, string) ([]string, error) { panic("no") }

// The order in which fields of one name are signed is from the last to the first, also
// where there are other signatures between them.
func TestSignedSignatures(t *testing.T) {
	o := signWith(t, "ed")
	o.Headers = []string{"From", FieldName}
	first := signed(t, signWith(t, "rsa"), letter("Hello.\r\n"))
	both := signed(t, o, first)
	if list := verify(t, &Verifier{Resolver: resolver(t)}, both); keywords(list) != "pass pass" {
		t.Errorf("%+v\n%s", list, both)
	}
}

// Capitals make no difference between i= and d=, however the signature was made.
func TestCapitals(t *testing.T) {
	text := "To: one\r\nX:  a \r\n\tb\r\nTo:two\r\n" + letter("Hello.\r\n")
	for _, key := range []crypto.Signer{rsaKey(), edKey()} {
		outside.through(t, milterkit.OnMessage("sign", func(ctx context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
			id := identity{domain: "example.org", selector: "rsa", agent: "@Mail.EXAMPLE.org", key: key}
			if key == crypto.Signer(edKey()) {
				id.selector = "ed"
			}
			h, header, err := toSign(m, []string{"From", "to", "X", "Subject", "To"}, []string{"From"})
			hash, _ := bodyHash(ctx, m.Body())
			value, signErr := id.sign(h, header, hash, time.Now())
			if err := errors.Join(err, signErr); err != nil {
				t.Fatal(err)
			}
			signed := FieldName + ": " + crlf(value) + "\r\n" + text
			v := &Verifier{Resolver: resolver(t)}
			if list := verify(t, v, signed); keywords(list) != Pass || list[0].Identifier != "@Mail.EXAMPLE.org" {
				t.Errorf("%+v\n%s", list, signed)
			}
			for _, change := range []string{"two", "Hello.", "alice", "h=From"} {
				if list := verify(t, v, strings.Replace(signed, change, change+"x", 1)); keywords(list) != Fail {
					t.Errorf("%s changed: %+v\n%s", change, list, signed)
				}
			}
			return milterkit.Continue
		}), text)
	}
}

// Options that cannot be are told by their names, with what would be right.
func TestVerifyOptionsAreChecked(t *testing.T) {
	for _, c := range []struct {
		o            VerifyOptions
		option, says string
	}{
		{VerifyOptions{MaxSignatures: 5, AuthservID: "my name"}, "authserv_id", "mx.example.org"},
		{VerifyOptions{}, "max_signatures", "such as 5"},
		{VerifyOptions{MaxSignatures: 101}, "max_signatures", "such as 5"},
		{VerifyOptions{MaxSignatures: 5, Policies: map[string]string{"example.org": "rejct"}}, "policies", `"reject"`},
		{VerifyOptions{MaxSignatures: 5, Policies: map[string]string{"example org": "reject"}}, "policies", "is no domain"},
	} {
		_, err := NewVerify(c.o)
		of, ok := err.(interface{ Option() string })
		if !ok || of.Option() != c.option || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
}

// The child keeps to the rules of children.
func TestVerifyIsAChild(t *testing.T) {
	text := signed(t, signWith(t, "rsa", "ed"), letter("Hello.\r\n"))
	miltertest.ChildTest{New: func() milterkit.Child { return newVerify(t, VerifyOptions{MaxSignatures: 5}) },
		Mails: []miltertest.Mail{{Message: miltertest.ParseMessage([]byte(text))}}}.Run(t)
}

// The body is read as it is, however it is cut, but for white space without end.
func FuzzFeed(f *testing.F) {
	f.Add([]byte("Hello\r\n\r\n\r\nBob\r\n\r\n"), uint16(3))
	f.Add([]byte(" \r\n \r\n"), uint16(1))
	f.Fuzz(func(t *testing.T, body []byte, cut uint16) {
		pieces := slices.Collect(slices.Chunk(body, 1+int(cut)))
		var got strings.Builder
		if _, err := newFeed(t.Context(), []byte("A: b\r\n\r\n"), pieces).WriteTo(&got); err != nil {
			if errors.Is(err, errBlank) && len(body) > maxBlank {
				return
			}
			t.Fatal(err)
		}
		if got.String() != "A: b\r\n\r\n"+string(body) {
			t.Fatalf("%q is read as %q", body, got.String())
		}
	})
}

// Nothing that stands in a message crashes the Verifier, and what dkim-sign has signed
// verifies, whatever its body.
func FuzzVerify(f *testing.F) {
	f.Add("v=1; a=ed25519-sha256; d=example.org; s=ed; h=From; bh=x; b=y", "X: y", "Hello.\r\n")
	f.Add("v=1; a=ed25519-sha256; c=relaxed; d=example.org; s=ed; i=@example.ORG; h=from:x; x=1; t=2; bh=; b=", "X:\r\n\ty", " \n\t")
	child := newSign(f, signWith(f, "ed"))
	v := &Verifier{Resolver: &miltertest.Resolver{Zone: map[string]miltertest.Records{"ed._domainkey.example.org": {TXT: []string{recordOf(f, edKey())}}}}}
	f.Fuzz(func(t *testing.T, signature, field, body string) {
		if len(body) > maxBlank {
			return
		}
		text := FieldName + ": " + signature + "\r\n" + field + "\r\nFrom: alice@example.org\r\n\r\n" + body
		for _, v := range verify(t, v, text) {
			if v.Value == Pass || v.Reason == "" {
				t.Fatalf("%+v", v)
			}
		}
		if strings.Contains(strings.ReplaceAll(body, "\r\n", ""), "\r") { // which the library takes for the end of a line
			return
		}
		_, out := inside.through(t, child, letter(body))
		if list := verify(t, v, out); keywords(list) != Pass {
			t.Fatalf("%q: %+v", body, list)
		}
	})
}
