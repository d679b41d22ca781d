package test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/milterkit/sdk/builtin/dkim"
	"github.com/milterkit/sdk/test/stack"
)

// The keys of dkim-sign, by their selectors.
const (
	rsaSelector = "rsa"
	edSelector  = "ed"
)

// dkimBench has dkim-sign before OpenDKIM and dkimpy-milter, which verify what it
// signs, and dkim-verify, for what others have signed.
type dkimBench struct {
	*bench
	keys map[string]string // files with the keys, by their selectors

	records string // of the keys, as items of a dictionary in Python
}

// The chains of a dkimBench.
const (
	signedChain   = "dkim-signed"   // dkim-sign, and then two who verify
	verifiedChain = "dkim-verified" // dkim-verify
)

func startDKIM(t *testing.T) *dkimBench {
	t.Helper()
	all := start(t)
	if all.kitErr != nil {
		t.Fatal(all.kitErr)
	}
	root, err := stack.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Remove() })
	b := &dkimBench{&bench{root: root, kits: map[string]*stack.Milterkit{}, binary: all.binary}, map[string]string{}, ""}
	records, options := map[string]string{}, ""
	for selector, kind := range map[string]string{rsaSelector: "rsa", edSelector: "ed25519"} {
		text := b.newKey(t, selector, kind)
		for _, domain := range []string{"example.org", "example.test"} {
			records[selector+"._domainkey."+domain] = text
			b.records += fmt.Sprintf("b'%s._domainkey.%s.': b'%s', ", selector, domain, text)
			options += fmt.Sprintf("[[milter.options.key]]\ndomain = %q\nselector = %q\nfile = %q\nsubdomains = true\n", domain, selector, b.keys[selector])
		}
	}
	theirs, err := stack.NewDKIMKey()
	if err != nil {
		t.Fatal(err)
	}
	zone := []string{theirs.Record()}
	for name, text := range records {
		zone = append(zone, stack.TXT(name, text))
	}
	dns := stack.NewUnbound(root, zone...)
	opendkim := &stack.OpenDKIM{Root: root, Name: "verify", Key: theirs, More: records}
	dkimpy := &stack.DKIMPy{Root: root, DNS: dns, AuthservID: dkimID}
	b.postfix = &stack.Postfix{Root: root, Mailboxes: []string{"bob", "sender"}, Settings: []string{"internal_mail_filter_classes = bounce"}}
	b.addChain(chain{signedChain, []stack.Child{
		{Name: "dkim-sign", Use: "dkim-sign", Options: options},
		{Name: "opendkim", Socket: opendkim.Socket()},
		{Name: "dkimpy", Socket: dkimpy.Socket()},
	}}, routes[1])
	b.addChain(chain{verifiedChain, []stack.Child{
		{Name: "dkim-verify", Use: "dkim-verify", Options: fmt.Sprintf("nameserver = %q\nauthserv_id = %q\n", dns.Addr(), stack.AuthservID)},
	}}, routes[1])
	scanners := []stack.Component{dns, opendkim, dkimpy}
	for _, canon := range []string{"relaxed/relaxed", "simple/simple", "relaxed/simple"} {
		name := strings.ReplaceAll(canon, "/", "-")
		signer := &stack.OpenDKIM{Root: root, Name: name, Key: theirs, Sign: canon}
		scanners = append(scanners, signer)
		b.addChain(chain{name, []stack.Child{{Name: "sign", Socket: signer.Socket()}}}, routes[0])
	}
	b.postfix.Cleanup = []string{"non_smtpd_milters = " + b.kit(chain{name: signedChain}, routes[1]).Socket()}
	b.startAll(t, scanners)
	return b
}

// startAll starts the daemons, and has them stopped when the test ends.
func (b *dkimBench) startAll(t *testing.T, scanners []stack.Component) {
	t.Helper()
	var kits []stack.Component
	for _, kit := range b.kits {
		kit.Binary = b.binary
		kits = append(kits, kit)
	}
	last := []stack.Component{b.postfix}
	t.Cleanup(func() {
		if err := stack.Stop(slices.Concat(last, kits, scanners)...); err != nil {
			t.Error(err)
		}
	})
	for _, some := range [][]stack.Component{scanners, kits, last} {
		if err := stack.Start(some...); err != nil {
			t.Fatal(err)
		}
	}
}

// newKey makes a key that milterkit can read, and returns the text of its record.
func (b *dkimBench) newKey(t *testing.T, selector, kind string) string {
	t.Helper()
	file := b.root.Path(selector + ".pem")
	key, err := dkim.GenerateKey(kind)
	if err == nil {
		err = dkim.WriteKey(file, key)
	}
	nobody, lookup := user.Lookup("nobody")
	if err = errors.Join(err, lookup); err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	text, err := dkim.Record(key.Public())
	if err = errors.Join(err, os.Chown(file, uid, -1)); err != nil {
		t.Fatal(err)
	}
	b.keys[selector] = file
	return text
}

// bothPass are what OpenDKIM and dkimpy-milter say of the two signatures of a domain.
func bothPass(domain string) []string {
	return []string{
		"dkim=pass (2048-bit key) header.d=" + domain,
		"dkim=pass header.d=" + domain, // neither says how long an Ed25519 key is
		"dkim=pass (Good 2048 bit rsa-sha256 signature) header.d=" + domain,
		"dkim=pass (Good ed25519-sha256 signature) header.d=" + domain,
	}
}

// wantResults checks that each of these texts stands in the results of a message's
// header, and no other results do.
func wantResults(t *testing.T, message string, want ...string) {
	t.Helper()
	header, _, _ := strings.Cut(message, "\n\n")
	flat := strings.Join(strings.Fields(header), " ")
	for _, text := range want {
		if !strings.Contains(flat, text) {
			t.Errorf("no %q in\n%s", text, header)
		}
	}
	if got := strings.Count(flat, " dkim="); got != len(want) {
		t.Errorf("%d results, want %d\n%s", got, len(want), header)
	}
}

// TestDKIMSign has dkim-sign sign mail with an RSA and an Ed25519 key. OpenDKIM and
// dkimpy-milter find both signatures good.
func TestDKIMSign(t *testing.T) {
	b := startDKIM(t)
	many := "Cc: carol@example.test,\r\n\tdave@example.test,\r\n erin@example.test\r\nReferences: <1@example.org>\r\n <2@example.org>\r\n"
	for name, message := range map[string][]byte{
		"plain":            letter("plain", "", "Hello."),
		"tricky":           letter("tricky", trickyFields, "Hello Bob,", "", "the figures are  in the folder. ", "\t", "", ""),
		"folded":           letter("folded", many, "Hello."),
		"8-bit":            letter("8-bit", "", "caf\xc3\xa9 caf\xe9 \xff"),
		"empty body":       bytes.TrimSuffix(letter("empty", "", ""), []byte("\r\n")),
		"a signature more": letter("more", "DKIM-Signature: v=1; a=rsa-sha256; d=example.com\r\n", "Hello."),
		"no date":          lines("From: alice@example.org", "", "Hello."),
		"of a sub-domain":  bytes.Replace(letter("sub", "", "Hello."), []byte("<alice@"), []byte("<alice@mail."), 1),
		"many lines":       letter("many", "", slices.Repeat([]string{"0123456789 0123456789 0123456789"}, 20000)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := delivered(t, b.play(t, signedChain, routes[1], send(message)))
			want := bothPass("example.org")
			if name == "a signature more" {
				want = nil // what they say of that one is theirs to know
			}
			if want != nil {
				wantResults(t, got, want...)
			}
			if strings.Count(got, "\nDKIM-Signature: v=1; a=") != 2+strings.Count(string(message), "DKIM-Signature:") {
				t.Errorf("signed is\n%s", got)
			}
		})
	}
	t.Run("8-bit header", func(t *testing.T) {
		t.Parallel()
		o := b.play(t, signedChain, routes[1], send(letter("caf\xc3\xa9 caf\xe9", "Cc: Caf\xc3\xa9 <x@example.com>\r\n", "Hello.")))
		// Dkimpy-milter reads a header as text, and so cannot verify it; dkimpy can.
		wantResults(t, delivered(t, o), append(bothPass("example.org")[:2], "dkim=fail (Bad 2048", "dkim=fail (Bad 256")...)
		signed := unwrap(t, o)
		b.dkimpyVerify(t, signed[bytes.Index(signed, []byte("DKIM-Signature:")):], 2)
	})
	t.Run("one From more", func(t *testing.T) {
		t.Parallel()
		signed := unwrap(t, b.play(t, signedChain, routes[1], send(letter("oversigned", "", "Hello."))))
		forged := append([]byte("From: mallory@example.com\r\n"), signed...)
		wantText(t, delivered(t, b.play(t, signedChain, routes[1], send(forged))), "dkim=fail")
	})
	t.Run("not by SMTP", func(t *testing.T) { b.local(t) })
}

// local posts a message with the sendmail command, to one who does not exist: it is
// signed, and so is the bounce.
func (b *dkimBench) local(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), deliveryLimit)
	defer cancel()
	message := "From: sender@example.test\nTo: bob@example.test\nSubject: posted\n\nHello.\n"
	for _, to := range []string{"bob@example.test", "nobody-here@example.test"} {
		if err := errors.Join(b.postfix.Post(ctx, "sender@example.test", []byte(message), to), b.postfix.AwaitCollected(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	posted, notice, err := b.postfix.AwaitReturned(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, copies, err := b.postfix.Await(ctx, notice)
	if err != nil || len(copies) != 1 {
		t.Fatalf("%s: %d copies, %v", posted, len(copies), err)
	}
	bounce, original, _ := strings.Cut(string(copies[0].Content), "\n\n")
	wantResults(t, bounce, bothPass("example.test")...)
	if !strings.Contains(original, "d=example.test") {
		t.Errorf("what was posted was not signed:\n%s", original)
	}
}

// TestDKIMVerify has OpenDKIM and dkimpy sign mail, in each of their ways. dkim-verify
// finds the signatures good, and not when the mail has changed.
func TestDKIMVerify(t *testing.T) {
	b := startDKIM(t)
	message := letter("figures", trickyFields, "Hello Bob,", "", "the figures are  in the folder.", "", "")
	signed := map[string][]byte{}
	for _, canon := range []string{"relaxed-relaxed", "simple-simple", "relaxed-simple"} {
		signed["opendkim "+canon] = unwrap(t, b.play(t, canon, routes[0], send(message)))
	}
	for _, canon := range []string{"relaxed/relaxed", "simple/simple", "relaxed/simple", "simple/relaxed"} {
		for _, selector := range []string{rsaSelector, edSelector} {
			signed["dkimpy "+canon+" "+selector] = b.dkimpySign(t, message, selector, canon)
		}
	}
	for name, message := range signed {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bits := "2048"
			if strings.HasSuffix(name, " "+edSelector) {
				bits = "256"
			}
			wantResults(t, delivered(t, b.play(t, verifiedChain, routes[1], send(message))), "dkim=pass ("+bits+"-bit key) header.d=example.org")
			changed := bytes.Replace(message, []byte("the figures are"), []byte("the numbers are"), 1)
			wantResults(t, delivered(t, b.play(t, verifiedChain, routes[1], send(changed))), "dkim=fail ("+bits+"-bit key) reason=\"body hash did not verify\"")
		})
	}
}

// dkimpySign has dkimpy sign a message with one of the keys.
func (b *dkimBench) dkimpySign(t *testing.T, message []byte, selector, canon string) []byte {
	t.Helper()
	file, algorithm := b.keys[selector], "rsa-sha256"
	if selector == edSelector {
		algorithm = "ed25519-sha256"
		file = b.seed(t, file)
	}
	head, body, _ := strings.Cut(canon, "/")
	sign := exec.Command("/usr/bin/dkimsign", "--hcanon", head, "--bcanon", body, "--signalg", algorithm, selector, "example.org", file)
	sign.Stdin = bytes.NewReader(message)
	var stderr bytes.Buffer
	sign.Stderr = &stderr
	out, err := sign.Output()
	if err != nil {
		t.Fatalf("dkimsign: %v\n%s(it is of the package python3-dkim)", err, stderr.String())
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(out, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// dkimpyVerify has dkimpy verify the n signatures of a message.
func (b *dkimBench) dkimpyVerify(t *testing.T, message []byte, n int) {
	t.Helper()
	script := "import sys, dkim\nm = dkim.DKIM(sys.stdin.buffer.read())\n" +
		fmt.Sprintf("print([m.verify(i, dnsfunc=lambda name, timeout=5: {%s}[name]) for i in range(%d)])", b.records, n)
	verify := exec.Command("/usr/bin/python3", "-c", script)
	verify.Stdin = bytes.NewReader(message)
	out, err := verify.CombinedOutput()
	if want := "[" + strings.TrimSuffix(strings.Repeat("True, ", n), ", ") + "]\n"; err != nil || string(out) != want {
		t.Errorf("dkimpy says %q, %v, want %q, of\n%s", out, err, want, message)
	}
}

// seed writes an Ed25519 key as dkimpy reads it.
func (b *dkimBench) seed(t *testing.T, file string) string {
	t.Helper()
	var key crypto.Signer
	key, err := dkim.ReadKey(file)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "seed")
	text := base64.StdEncoding.EncodeToString(key.(ed25519.PrivateKey).Seed())
	if err := os.WriteFile(out, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}
