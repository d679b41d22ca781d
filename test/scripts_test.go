package test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
	"github.com/milterkit/sdk/test/stack"
)

// A realMilter is a milter of Debian's, alone and behind a milterkit of its own.
type realMilter struct {
	name           string
	socket, behind string // paths
}

// startReal starts milters, and a milterkit in front of each.
func startReal(t *testing.T) map[string]realMilter {
	t.Helper()
	root, err := stack.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Remove() })
	key, err := stack.NewDKIMKey()
	if err != nil {
		t.Fatal(err)
	}
	clamd := &stack.Clamd{Root: root}
	dns := stack.NewUnbound(root, records(key)...)
	clamav := &stack.ClamavMilter{Root: root, Clamd: clamd}
	verifier := &stack.OpenDKIM{Root: root, Name: "verifier", Key: key}
	signer := &stack.OpenDKIM{Root: root, Name: "signer", Key: key, Sign: "relaxed/simple"}
	rspamd := &stack.Rspamd{Root: root, DNS: dns}
	binary := &stack.Binary{Root: root}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := binary.Build(ctx); err != nil {
		t.Fatal(err)
	}
	milters := map[string]realMilter{}
	var kits []stack.Component
	for name, socket := range map[string]string{"opendkim": verifier.Socket(), "signer": signer.Socket(), "clamav": clamav.Socket(), "rspamd": rspamd.Socket()} {
		kit := &stack.Milterkit{Root: root, Binary: binary, Name: "kit-" + name, Children: []stack.Child{{Name: name, Socket: socket}}}
		kits = append(kits, kit)
		milters[name] = realMilter{name, strings.TrimPrefix(socket, "unix:"), strings.TrimPrefix(kit.Socket(), "unix:")}
	}
	for _, list := range [][]stack.Component{{clamd, dns, verifier, signer}, append(kits, clamav, rspamd)} {
		t.Cleanup(func() {
			if err := stack.Stop(list...); err != nil {
				t.Error(err)
			}
		})
		if err := stack.Start(list...); err != nil {
			t.Fatal(err)
		}
	}
	return milters
}

// TestRealMilters plays scripts at milters of Debian's, at their own sockets and at
// that of a milterkit in front of them, and looks how they keep to the protocol.
func TestRealMilters(t *testing.T) {
	milters := startReal(t)
	t.Run("scripts", func(t *testing.T) {
		files, _ := filepath.Glob("testdata/transcripts/*.txt")
		if len(files) < 6 {
			t.Fatalf("only %d scripts", len(files))
		}
		for _, file := range files {
			name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".txt"), "-")
			m := milters[name]
			t.Run(filepath.Base(file), func(t *testing.T) {
				miltertest.Play(t, file, "unix", m.socket)
				miltertest.Play(t, file, "unix", m.behind)
			})
		}
	})
	t.Run("a signature is made and found good", func(t *testing.T) { signAndVerify(t, milters) })
	t.Run("conform", func(t *testing.T) {
		for _, m := range milters {
			t.Run(m.name, func(t *testing.T) { conforms(t, m.name, m.socket) })
			t.Run(m.name+" behind milterkit", func(t *testing.T) { conforms(t, "milterkit", m.behind) })
		}
	})
}

// signAndVerify has a message signed, and plays the script of one that is signed.
func signAndVerify(t *testing.T, milters map[string]realMilter) {
	const letter = "From: alice@example.org\nTo: bob@example.test\nSubject: figures\n\nHello Bob.\n"
	mta, err := miltertest.Dial(t.Context(), "unix", milters["signer"].socket, miltertest.Offer{})
	if err != nil {
		t.Fatal(err)
	}
	defer mta.Close()
	p := &miltertest.Player{MTA: mta, Client: miltertest.Client{Host: "localhost", Family: wire.FamilyInet, Addr: "127.0.0.1", MTA: "mail.example.net"}}
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
	o, err := p.Mail(miltertest.Mail{From: "<alice@example.org>", To: []miltertest.Recipient{{Addr: "<bob@example.test>"}},
		Message: miltertest.ParseMessage([]byte(letter))})
	if err != nil || len(o.Edits) != 1 {
		t.Fatal(o, err)
	}
	script := "# A message with a good signature is found to have one.\n> connect mail.example.org 192.0.2.7\n> mail <alice@example.org>\n> rcpt <bob@example.test>\n" +
		"> header DKIM-Signature:" + strings.ReplaceAll(o.Edits[0].Value, "\n", `\n`) + "\n> header From: alice@example.org\n> header To: bob@example.test\n" +
		"> header Subject: figures\n> body Hello Bob.\n> eom\n< insert header 0 Authentication-Results:...dkim=pass ... header.d=example.org...\n< ...\n< continue\n"
	file := filepath.Join(t.TempDir(), "signed.txt")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	miltertest.Play(t, file, "unix", milters["opendkim"].socket)
	miltertest.Play(t, file, "unix", milters["opendkim"].behind)
}

// departures are the checks that milters are known to fail.
var departures = map[string][]string{
	"rspamd": {"an MTA that offers nothing"}, // it answers the same to every offer, of version 6 or more
}

// conforms looks how a milter keeps to the protocol.
func conforms(t *testing.T, name, socket string) {
	c := miltertest.Conformance{Timeout: time.Minute, Dial: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	var failed []string
	for _, f := range c.Check(t.Context()) {
		t.Log(f)
		if f.Result == miltertest.Broken {
			failed = append(failed, f.Check)
		}
	}
	if !slices.Equal(failed, departures[name]) {
		t.Errorf("%q failed, want %q", failed, departures[name])
	}
}
