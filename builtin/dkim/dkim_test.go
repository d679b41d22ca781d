package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/milterkit/sdk/builtin/authres"
	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// crlf makes the lines of a text end as in SMTP.
func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

// A passage takes messages past a child.
type passage struct {
	client  string // its address and port; "": it is on a unix socket
	user    string // that it has authenticated as
	actions milterkit.Actions
	timeout time.Duration
	pieces  int // how long a piece of the body is
}

// outside is a client of somebody else's.
var outside = passage{client: "192.0.2.7:4711"}

// through takes a message past a child, and returns what the MTA is told and what
// becomes of the message.
func (p passage) through(t testing.TB, child milterkit.Child, text string) (milterkit.Outcome, string) {
	t.Helper()
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: child, ContentTimeout: p.timeout})
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	if p.actions == 0 {
		p.actions = milterkit.AllActions
	}
	w := d.Walk(p.actions)
	t.Cleanup(w.Close)
	macros := func(yield func(string, string) bool) { _ = yield("j", "mx.example.net") }
	w.Macros(milterkit.StageConnect, macros)
	if p.client == "" {
		w.Connect(t.Context(), "localhost", milterkit.FamilyUnix, "/run/x", 0)
	} else {
		at := netip.MustParseAddrPort(p.client)
		w.Connect(t.Context(), "client.example", milterkit.FamilyInet, at.Addr().String(), at.Port())
	}
	if p.user != "" {
		w.Macros(milterkit.StageMail, func(yield func(string, string) bool) { _ = yield("{auth_authen}", p.user) })
	}
	w.Mail(t.Context(), milterkit.NewAddress("<alice@example.org>"))
	w.Rcpt(t.Context(), milterkit.NewAddress("<bob@example.net>"))
	var o milterkit.Outcome
	if p.pieces == 0 {
		o = w.Message(t.Context(), []byte(text))
	} else {
		header, body, _ := strings.Cut(text, "\r\n\r\n")
		for line := range strings.SplitSeq(header, "\r\n") {
			name, value, _ := strings.Cut(line, ":")
			w.Header([]byte(name), []byte(value))
		}
		w.EndOfHeader(t.Context())
		for body != "" {
			n := min(p.pieces, len(body))
			w.Body(t.Context(), []byte(body[:n]))
			body = body[n:]
		}
		o = w.EndOfMessage(t.Context())
	}
	var out strings.Builder
	if !o.Verdict.Final() && p.pieces == 0 {
		if err := o.WriteMessage(&out, ""); err != nil {
			t.Fatal(err)
		}
	}
	return o, out.String()
}

// verify returns what a Verifier makes of a message.
func verify(t testing.TB, v *Verifier, text string) (list []Verification) {
	t.Helper()
	outside.through(t, milterkit.OnMessage("verify", func(ctx context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
		list = v.Verify(ctx, m)
		return milterkit.Continue
	}), text)
	return list
}

// Keys that tests share: making an RSA one takes a while.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

var edKey = sync.OnceValue(func() ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

// zone publishes keys of example.org: "rsa" and "ed" are their selectors.
func zone(t testing.TB) map[string]miltertest.Records {
	return map[string]miltertest.Records{
		"rsa._domainkey.example.org": {TXT: []string{recordOf(t, rsaKey())}},
		"ed._domainkey.example.org":  {TXT: []string{recordOf(t, edKey())}},
	}
}

func recordOf(t testing.TB, key crypto.Signer) string {
	text, err := Record(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func resolver(t testing.TB) *miltertest.Resolver { return &miltertest.Resolver{Zone: zone(t)} }

// keyFile writes a key to a file, and returns its name.
func keyFile(t testing.TB, key crypto.Signer) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := WriteKey(file, key); err != nil {
		t.Fatal(err)
	}
	return file
}

// signWith returns the options of a child that signs for example.org with keys of
// these selectors.
func signWith(t testing.TB, selectors ...string) SignOptions {
	o := SignDefaults
	o.Logger = slog.New(slog.DiscardHandler)
	for _, s := range selectors {
		var key crypto.Signer = rsaKey()
		if s == "ed" {
			key = edKey()
		}
		o.Keys = append(o.Keys, Key{Domain: "example.org", Selector: s, File: keyFile(t, key)})
	}
	return o
}

func newSign(t testing.TB, o SignOptions) milterkit.Child {
	t.Helper()
	child, err := NewSign(o)
	if err != nil {
		t.Fatal(err)
	}
	return child
}

func newVerify(t testing.TB, o VerifyOptions) milterkit.Child {
	t.Helper()
	if o.Resolver == nil {
		o.Resolver = resolver(t)
	}
	o.Logger = slog.New(slog.DiscardHandler)
	child, err := NewVerify(o)
	if err != nil {
		t.Fatal(err)
	}
	return child
}

// inside is a client that has authenticated.
var inside = passage{client: "192.0.2.7:4711", user: "alice"}

// signed returns a message as a child has signed it.
func signed(t testing.TB, o SignOptions, text string) string {
	t.Helper()
	_, out := inside.through(t, newSign(t, o), text)
	return out
}

// letter is a message of alice's.
func letter(body string) string {
	return crlf("From: Alice <alice@example.org>\nTo: bob@example.net\nSubject: hello\n\tthere\n\n") + body
}

// results returns the keywords of results.
func keywords(list []Verification) string {
	var words []string
	for _, v := range list {
		words = append(words, v.Value)
	}
	return strings.Join(words, " ")
}

var _ dns.Resolver = published{}

// resultsIn returns the results in the first field of a message that is of our name.
func resultsIn(t testing.TB, text string) []authres.Result {
	t.Helper()
	value, found := strings.CutPrefix(text, authres.FieldName+":")
	if !found {
		t.Fatalf("no result on top of\n%s", text)
	}
	id, list, err := authres.Parse(firstField(value))
	if err != nil || id != "mx.example.net" {
		t.Fatalf("%s: %v", id, err)
	}
	return list
}

// firstField returns the text up to the end of the field that it begins with.
func firstField(text string) string {
	at := 0
	for {
		n := strings.Index(text[at:], "\r\n")
		if n < 0 {
			return text
		}
		if at += n + 2; at >= len(text) || text[at] != ' ' && text[at] != '\t' {
			return text[:at-2]
		}
	}
}
