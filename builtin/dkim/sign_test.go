package dkim

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// What is signed verifies, whatever the body: with an RSA key, an Ed25519 key, and
// with both, each of which makes a signature of its own.
func TestWhatIsSignedVerifies(t *testing.T) {
	bodies := map[string]string{
		"lines": crlf("Hello  Bob,\n\n\tthe figures \nare here. \n"), "empty": "", "one empty line": "\r\n", "white space": " \t\r\n \r\n",
		"no end of line": "Hello", "empty lines at the end": "Hello\r\n\r\n\r\n", "8-bit": "caf\xe9 \xff\x00\r\n", "bare LF": "one\n\ntwo \nthree\n",
		"white space at the end": "Hello \t", "long": strings.Repeat("0123456789abcde\r\n", 20000),
	}
	for _, selectors := range [][]string{{"rsa"}, {"ed"}, {"rsa", "ed"}} {
		for name, body := range bodies {
			out := signed(t, signWith(t, selectors...), letter(body))
			list := verify(t, &Verifier{Resolver: resolver(t)}, out)
			if got := keywords(list); got != strings.TrimSpace(strings.Repeat("pass ", len(selectors))) {
				t.Errorf("%v, %s: %+v\n%s", selectors, name, list, out[:min(len(out), 2000)])
				continue
			}
			for i, s := range selectors {
				if list[i].Selector != s || list[i].Domain != "example.org" {
					t.Errorf("%v, %s: %+v", selectors, name, list)
				}
			}
		}
	}
}

// A signature fails when what it is about has changed, or a second From was added.
func TestASignatureHolds(t *testing.T) {
	out := signed(t, signWith(t, "rsa"), letter("Hello.\r\n"))
	for _, c := range []struct{ name, text, want string }{
		{"body", strings.Replace(out, "Hello.", "Hello!", 1), Fail},
		{"subject", strings.Replace(out, "Subject: hello", "Subject: hullo", 1), Fail},
		{"second From", "From: mallory@example.com\r\n" + out, Fail},
		{"second From below", strings.Replace(out, "\r\nSubject:", "\r\nFrom: mallory@example.com\r\nSubject:", 1), Fail},
		{"unsigned field", "X-Other: mallory\r\n" + out, Pass},
		{"white space", strings.Replace(out, "Subject: hello", "Subject:   hello", 1), Pass},
	} {
		if got := keywords(verify(t, &Verifier{Resolver: resolver(t)}, c.text)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// A signature's lines are short, however many fields are signed.
func TestSignaturesAreFolded(t *testing.T) {
	var b strings.Builder
	for i := range 150 {
		fmt.Fprintf(&b, "To: <user%d@example.net>\r\n", i)
	}
	out := signed(t, signWith(t, "rsa", "ed"), b.String()+letter("Hello.\r\n"))
	for line := range strings.SplitSeq(out, "\r\n") {
		if len(strings.ReplaceAll(line, "\t", "        ")) > 78 {
			t.Errorf("a line of %d: %s", len(line), line)
		}
	}
	if got := keywords(verify(t, &Verifier{Resolver: resolver(t)}, out)); got != "pass pass" {
		t.Errorf("%s\n%s", got, out)
	}
}

// All fields of the list are signed, and those of oversign once more than there are.
func TestWhichFieldsAreSigned(t *testing.T) {
	o := signWith(t, "ed")
	o.Headers, o.Oversign = []string{"From", "X-Mine", "Cc"}, []string{"From", "Subject"}
	out := signed(t, o, "X-Mine: 1\r\nX-Mine: 2\r\n"+letter("Hello.\r\n"))
	if !strings.Contains(out, "h=From:X-Mine:X-Mine:Subject:From:Subject;") {
		t.Errorf("signed\n%s", out)
	}
	if got := keywords(verify(t, &Verifier{Resolver: resolver(t)}, out)); got != Pass {
		t.Errorf("%s\n%s", got, out)
	}
}

// Mail of clients that have authenticated, are in one of the networks, or have no
// address is signed, and what Postfix makes itself; other mail is not, unless all is to
// be.
func TestWhoseMailIsSigned(t *testing.T) {
	for _, c := range []struct {
		name string
		p    passage
		set  func(*SignOptions)
		want bool
	}{
		{"authenticated", inside, nil, true},
		{"outside", outside, nil, false},
		{"on a unix socket", passage{}, nil, true},
		{"loopback", passage{client: "127.0.0.1:4711"}, nil, true},
		{"our network", outside, func(o *SignOptions) { o.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }, true},
		{"loopback is not ours", passage{client: "127.0.0.1:4711"}, func(o *SignOptions) { o.Networks = nil }, false},
		{"Postfix, without SMTP", passage{client: "127.0.0.1:0"}, func(o *SignOptions) { o.Networks = nil }, true},
		{"all", outside, func(o *SignOptions) { o.Sign = "all" }, true},
	} {
		o := signWith(t, "ed")
		if c.set != nil {
			c.set(&o)
		}
		_, out := c.p.through(t, newSign(t, o), letter("Hello.\r\n"))
		if got := strings.HasPrefix(out, FieldName+":"); got != c.want {
			t.Errorf("%s: signed is %t", c.name, got)
		}
	}
}

// The author's domain is the one that signs; that of a sub-domain does where it was
// told to, and then it is the nearest.
func TestWhichDomainSigns(t *testing.T) {
	file := keyFile(t, edKey())
	o := SignDefaults
	o.Logger = slog.New(slog.DiscardHandler)
	o.Keys = []Key{{"Example.org", "a", file, true}, {"strict.example.org", "b", file, false}, {"example.com", "c", file, false}}
	child := newSign(t, o)
	for from, want := range map[string]string{
		"alice@example.org": "d=example.org; s=a;", "alice@EXAMPLE.Org": "d=example.org; s=a;", "Alice <alice@x.y.example.org>": "d=example.org; s=a;",
		"alice@strict.example.org": "d=strict.example.org; s=b;", "a@x.strict.example.org": "d=example.org; s=a;",
		"alice@example.com": "d=example.com; s=c;", "alice@www.example.com": "", "alice@notexample.org": "", "alice": "", "": "",
	} {
		_, out := inside.through(t, child, "From: "+from+"\r\n\r\nHello.\r\n")
		if !strings.Contains(strings.ReplaceAll(out, "\r\n\t", " "), want) || strings.HasPrefix(out, FieldName) != (want != "") {
			t.Errorf("%s: want %q\n%s", from, want, out)
		}
	}
}

// Mail of no author, or of several, is not signed, and the log says why.
func TestMailOfSeveralAuthors(t *testing.T) {
	for _, header := range []string{"", "From: a@example.org, b@example.org\r\n", "From: a@example.org\r\nFrom: b@example.org\r\n",
		"From: The chief\r\nFrom: a@example.org\r\n", "From: nobody\r\n"} {
		var log bytes.Buffer
		o := signWith(t, "ed")
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		if _, out := inside.through(t, newSign(t, o), header+"To: b@example.net\r\n\r\nHello.\r\n"); strings.Contains(out, FieldName) {
			t.Errorf("%q is signed:\n%s", header, out)
		}
		if !strings.Contains(log.String(), "not signed: it has") {
			t.Errorf("%q: the log says %q", header, log.String())
		}
	}
}

// Mail of our own of a domain without a key is not signed, such as a bounce in the
// name of the host, and the log says why.
func TestMailOfADomainWithoutAKey(t *testing.T) {
	var log bytes.Buffer
	o := signWith(t, "ed")
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	_, out := inside.through(t, newSign(t, o), "From: MAILER-DAEMON@mx.example.net\r\n\r\nReturned.\r\n")
	if strings.Contains(out, FieldName) || !strings.Contains(log.String(), "not signed: there is no key for mx.example.net") {
		t.Errorf("the log says %q of\n%s", log.String(), out)
	}
}

// A message that comes by twice is signed once, unless it has changed.
func TestNoSecondSignature(t *testing.T) {
	o := signWith(t, "rsa", "ed")
	once := signed(t, o, letter("Hello.\r\n"))
	if twice := signed(t, o, once); twice != once {
		t.Errorf("signed again:\n%s", twice)
	}
	again := signed(t, o, once+"-- \r\nThe footer of a list\r\n")
	if got := keywords(verify(t, &Verifier{Resolver: resolver(t)}, again)); got != "pass pass fail fail" {
		t.Errorf("%s\n%s", got, again)
	}
}

// A key is read anew when its file has changed, without a restart; while it cannot be
// read the old one stays in use, and the log says so once.
func TestKeysAreReadAnew(t *testing.T) {
	var clock miltertest.Clock
	var log bytes.Buffer
	o := signWith(t, "rsa")
	o.Clock, o.Logger = clock.Now, slog.New(slog.NewTextHandler(&log, nil))
	file := o.Keys[0].File
	child := newSign(t, o)
	algorithm := func() string {
		t.Helper()
		_, out := inside.through(t, child, letter("Hello.\r\n"))
		_, after, _ := strings.Cut(out, "a=")
		a, _, _ := strings.Cut(after, ";")
		return a
	}
	want := func(when, a string, logged int) {
		t.Helper()
		if got := algorithm(); got != a {
			t.Errorf("%s: signed with %q, want %q", when, got, a)
		}
		if got := strings.Count(log.String(), "stays in use"); got != logged {
			t.Errorf("%s: logged\n%s", when, log.String())
		}
	}
	want("at first", "rsa-sha256", 0)
	replace := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(file+".new", text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	ed, err := os.ReadFile(keyFile(t, edKey()))
	if err != nil {
		t.Fatal(err)
	}
	replace([]byte("broken"))
	want("within the same second", "rsa-sha256", 0)
	clock.Advance(time.Second)
	want("broken", "rsa-sha256", 1)
	clock.Advance(time.Second)
	want("still broken", "rsa-sha256", 1)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Second)
	want("gone", "rsa-sha256", 2)
	replace(ed)
	clock.Advance(time.Second)
	want("a new one", "ed25519-sha256", 2)
}

// What signs for everybody goes by OpenDKIM's tables where they are given.
func TestTables(t *testing.T) {
	dir := t.TempDir()
	key, _ := os.ReadFile(keyFile(t, edKey()))
	for _, name := range []string{"default.pem", "example.com.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), key, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys := filepath.Join(dir, "KeyTable")
	text := "# name  domain:selector:file\n\ndefault %:def:" + dir + "/default.pem\nfixed example.org:fix:" + dir + "/default.pem\n" +
		"second example.org:two:" + dir + "/default.pem\nby-domain %:dom:" + dir + "/%.pem\nexample.net example.net:net:" + dir + "/default.pem\n"
	if err := os.WriteFile(keys, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	signing := filepath.Join(dir, "SigningTable")
	for _, c := range []struct {
		name, table, from, want string // want is what stands in the signatures, or "fail"
		wild                    bool
	}{
		{"of an address", "alice@example.org fixed\nexample.org second\n", "alice@example.org", "example.org/fix/", false},
		{"of a domain", "alice@example.org fixed\nexample.org second\n", "bob@example.org", "example.org/two/", false},
		{"of a sub-domain", ".example.org fixed\n", "bob@x.y.example.org", "example.org/fix/", false},
		{"a dot is not the domain itself", ".example.org fixed\n", "bob@example.org", "", false},
		{"of one in sub-domains", "bob@.example.org fixed\n.example.org second\n", "bob@x.example.org", "example.org/fix/", false},
		{"of a name", "bob@* default\n* by-domain\n", "bob@example.net", "example.net/def/", false},
		{"of all others", "bob@* default\n* by-domain\n", "carol@example.com", "example.com/dom/", false},
		{"no file for the domain", "* by-domain\n", "carol@example.edu", "fail", false},
		{"a domain that would be a path", "* by-domain\n", "<carol@../x/example.com>", "", false},
		{"the name of the key is the domain", "* %\n", "carol@example.net", "example.net/net/", false},
		{"no key of that name", "* %\n", "carol@example.edu", "", false},
		{"two keys", "example.org fixed\nexample.org second\n", "bob@example.org", "example.org/fix/ example.org/two/", false},
		{"asterisks", "*@*.example.org second\n*@example.org fixed\n* default\n", "Bob@Example.ORG", "example.org/fix/", true},
		{"asterisks, in order", "a*e@example.org fixed\n*@example.org second", "alice@example.org", "example.org/fix/", true},
		{"two keys of a pattern", "*@example.org fixed\n*@* default\n*@example.org second\n", "bob@example.org", "example.org/fix/ example.org/two/", true},
		{"who signs", "*@example.org fixed joe@%\n", "bob@example.org", "example.org/fix/joe@example.org", true},
		{"who signs is of another domain", "*@example.org fixed joe@example.com\n", "bob@example.org", "example.org/fix/", true},
	} {
		if err := os.WriteFile(signing, []byte(c.table), 0o600); err != nil {
			t.Fatal(err)
		}
		o := SignDefaults
		o.Logger = slog.New(slog.DiscardHandler)
		o.KeyTable, o.SigningTable = keys, signing
		if c.wild {
			o.SigningTable = "refile:" + signing
		}
		outcome, out := inside.through(t, newSign(t, o), "From: "+c.from+"\r\n\r\nHello.\r\n")
		var got []string
		for _, sig := range strings.Split(strings.ReplaceAll(out, "\r\n\t", " "), FieldName+":")[1:] {
			s, fault := parseSignature(fieldOf(sig), time.Now())
			if fault != nil {
				t.Fatal(fault)
			}
			if s.identifier == "@"+s.domain {
				s.identifier = ""
			}
			got = append(got, s.domain+"/"+s.selector+"/"+s.identifier)
		}
		if outcome.Verdict.Kind() == milterkit.KindTempFail {
			got = []string{"fail"}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q\n%s", c.name, got, c.want, out)
		}
	}
}

func fieldOf(text string) milterkit.Field {
	value, _, _ := strings.Cut(text, "\r\n")
	return milterkit.Field{Name: []byte(FieldName), Value: []byte(value)}
}

// A table is read anew when it has changed.
func TestTablesAreReadAnew(t *testing.T) {
	dir := t.TempDir()
	var clock miltertest.Clock
	o := SignDefaults
	o.Clock, o.Logger = clock.Now, slog.New(slog.DiscardHandler)
	o.KeyTable, o.SigningTable = filepath.Join(dir, "KeyTable"), filepath.Join(dir, "SigningTable")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Second)
	}
	write(o.KeyTable, "one example.org:one:"+keyFile(t, edKey())+"\n")
	write(o.SigningTable, "example.org one\n")
	child := newSign(t, o)
	if _, out := inside.through(t, child, letter("")); !strings.Contains(out, "s=one;") {
		t.Errorf("not signed\n%s", out)
	}
	write(o.SigningTable, "example.com one # not ours any more\n")
	if _, out := inside.through(t, child, letter("")); strings.Contains(out, "s=one;") {
		t.Errorf("signed\n%s", out)
	}
}

// Eight megabytes of empty lines, at the end or before it, and a megabyte of header
// are signed at once.
func TestSigningOddMailTakesNoTime(t *testing.T) {
	empty := strings.Repeat("\r\n", 4<<20)
	for name, text := range map[string]string{
		"empty lines":        letter(empty),
		"empty lines before": letter(empty + "Hello.\r\n"),
		"many fields":        strings.Repeat("A:\r\n", 250000) + letter("Hello.\r\n"),
		"a long field":       "Subject: " + strings.Repeat("x\r\n\t", 250000) + "\r\n" + letter("Hello.\r\n"),
	} {
		o := signWith(t, "rsa", "ed")
		began := time.Now()
		out := signed(t, o, text)
		if took := time.Since(began); took > limit {
			t.Errorf("%s took %v", name, took)
		}
		if n := strings.Count(out[:min(len(out), 2000)], FieldName+":"); n != 2 {
			t.Errorf("%s: %d signatures", name, n)
		}
	}
}

// Signatures that look like ours, and are not, take no time however many there are:
// the message is signed anew.
func TestManySignaturesLikeOurs(t *testing.T) {
	text := signed(t, signWith(t, "rsa"), letter(strings.Repeat("Hello there.\r\n", 600000)))
	field, rest, _ := strings.Cut(text, "\r\nFrom:")
	at := strings.LastIndex(field, "b=") + 4
	forged := field[:at] + "AAAA" + field[at+4:] + "\r\n"
	o := signWith(t, "rsa")
	began := time.Now()
	out := signed(t, o, strings.Repeat(forged, 500)+"From:"+rest)
	if took := time.Since(began); took > limit {
		t.Errorf("signing took %v", took)
	}
	if n := strings.Count(out[:1<<20], FieldName+":"); n != 501 {
		t.Errorf("%d signatures", n)
	}
}

// A header with more fields than can be signed is not signed, and whether the message
// goes out is up to the slot.
func TestTooManyFields(t *testing.T) {
	o, _ := inside.through(t, newSign(t, signWith(t, "ed")), strings.Repeat("To: a@b\r\n", 1001)+letter("Hello.\r\n"))
	if o.Verdict.Kind() != milterkit.KindTempFail {
		t.Errorf("got %v", o.Verdict)
	}
}

// The hash of a body does not depend on how it is cut.
func TestBodyHashOfPieces(t *testing.T) {
	const text = "a \r\n\r\n \tb\n\n\rc\r\n\r\n \r\r\n x \r\n\r\n \t"
	whole, _ := bodyHash(t.Context(), [][]byte{[]byte(text)})
	for range 200 {
		var pieces [][]byte
		for rest := []byte(text); len(rest) > 0; {
			n := 1 + rand.IntN(min(4, len(rest)))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if got, _ := bodyHash(t.Context(), pieces); got != whole {
			t.Errorf("%q: %s, want %s", pieces, got, whole)
		}
	}
}

// Who can read or change the key of others can sign in their name: a key is its
// owner's, and at most its group reads it.
func TestModesOfKeys(t *testing.T) {
	file := keyFile(t, edKey())
	for mode, good := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: true, 0o660: false, 0o620: false, 0o644: false, 0o602: false} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(file); (err == nil) != good || err != nil && !strings.Contains(err.Error(), "chmod 0600") {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

// Options that cannot be are told by their names, with what would be right.
func TestSignOptionsAreChecked(t *testing.T) {
	file := keyFile(t, edKey())
	readable := filepath.Join(t.TempDir(), "readable.pem")
	text, _ := os.ReadFile(file)
	if err := os.WriteFile(readable, text, 0o644); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one := func(k Key) func(*SignOptions) { return func(o *SignOptions) { o.Keys = []Key{k} } }
	tables := func(keys, signing string) func(*SignOptions) {
		return func(o *SignOptions) {
			o.Keys, o.KeyTable, o.SigningTable = nil, write("KeyTable", keys), write("SigningTable", signing)
		}
	}
	for _, c := range []struct {
		set          func(*SignOptions)
		option, says string
	}{
		{func(o *SignOptions) { o.Keys = nil }, "key", "add a table [[milter.options.key]]"},
		{one(Key{Domain: "", Selector: "s", File: file}), "key[1].domain", "is no domain"},
		{one(Key{Domain: "example.org", Selector: "a b", File: file}), "key[1].selector", "is no selector"},
		{one(Key{Domain: "example.org", Selector: "s", File: "key.pem"}), "key[1].file", "absolute path"},
		{one(Key{Domain: "example.org", Selector: "s", File: "/nowhere/key.pem"}), "key[1].file", "no such file"},
		{one(Key{Domain: "example.org", Selector: "s", File: readable}), "key[1].file", "its mode is 0644"},
		{one(Key{Domain: "example.org", Selector: "s", File: write("x", "hello")}), "key[1].file", "no PEM file"},
		{one(Key{Domain: "example.org", Selector: "s", File: write("x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")}), "key[1].file", "the private one is needed"},
		{one(Key{Domain: "example.org", Selector: "s", File: write("x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}), "key[1].file", "CERTIFICATE"},
		{one(Key{Domain: "example.org", Selector: "s", File: write("x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")}), "key[1].file", "broken"},
		{one(Key{Domain: "example.org", Selector: "s", File: write("x", ecKey)}), "key[1].file", "ecdsa"},
		{func(o *SignOptions) { o.KeyTable = "/x" }, "signing_table", "need each other"},
		{func(o *SignOptions) { o.KeyTable, o.SigningTable = "db:/x", "/x" }, "key_table", "no absolute path"},
		{func(o *SignOptions) { o.KeyTable, o.SigningTable = "/x", "ldap://x" }, "signing_table", "no absolute path"},
		{func(o *SignOptions) { o.KeyTable, o.SigningTable = "/nowhere/x", "/x" }, "key_table", "no such file"},
		{tables("a b\n", "x a\n"), "key_table", "line 1"},
		{tables("a example.org:s:"+readable+"\n", "x a\n"), "key_table", "its mode is 0644"},
		{tables("a example.org:s:MIIB\n", "x a\n"), "key_table", "absolute path"},
		{tables("a example.org:s:"+file+"\n", "x\n"), "signing_table", "line 1"},
		{tables("a example.org:s:"+file+"\n", "\n*@x a\n"), "signing_table", "line 2"},
		{tables("a example.org:s:"+file+"\n", "x b\n"), "signing_table", `the key "b", which is not in`},
		{func(o *SignOptions) { o.Sign = "some" }, "sign", "outgoing"},
		{func(o *SignOptions) { o.Headers = []string{"Subject"} }, "headers", `"From" must be signed`},
		{func(o *SignOptions) { o.Headers = []string{"From", "a b"} }, "headers", "no name of a field"},
		{func(o *SignOptions) { o.Oversign = []string{"From:"} }, "oversign", "no name of a field"},
	} {
		o := signWith(t, "ed")
		c.set(&o)
		_, err := NewSign(o)
		of, ok := err.(interface{ Option() string })
		if err != nil && !ok {
			if all, joined := err.(interface{ Unwrap() []error }); joined {
				of, ok = all.Unwrap()[0].(interface{ Option() string })
			}
		}
		if !ok || of.Option() != c.option || !strings.Contains(err.Error(), c.says) {
			t.Errorf("want %s: %s\ngot  %v", c.option, c.says, err)
		}
	}
}

// A key of a kind that DKIM does not have.
const ecKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2
OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r
1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G
-----END PRIVATE KEY-----
`

// The child keeps to the rules of children.
func TestSignIsAChild(t *testing.T) {
	o := signWith(t, "rsa", "ed")
	o.Clock = new(miltertest.Clock).Now // t= is the same in all signatures
	miltertest.ChildTest{New: func() milterkit.Child { return newSign(t, o) },
		Client: miltertest.Client{Addr: "127.0.0.1"}}.Run(t)
}
