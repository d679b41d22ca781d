package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// importedName is the chain of a milterkit whose configuration was imported.
const importedName = "imported"

// imported is that milterkit.
func (b *bench) imported() *stack.Milterkit {
	return &stack.Milterkit{Root: b.root, Binary: b.binary, Name: "kit-" + importedName}
}

// addImported adds its listener.
func (b *bench) addImported() {
	b.postfix.Listeners = append(b.postfix.Listeners, stack.Listener{Name: importedName + "/" + routes[1].name, Milters: []string{b.imported().Socket()}})
}

// milterManager is a part of what milter-manager --show-config prints: all that is not
// as it is by default.
const milterManager = `# default
manager.connection_spec = %q
# /etc/milter-manager/milter-manager.local.conf:1
manager.unix_socket_mode = 0666
# default
manager.fallback_status = "accept"

define_applicable_condition("S25R") do |condition|
  condition.description = "Selective SMTP Rejection"
end

define_milter("milter-greylist") do |milter|
  milter.connection_spec = "unix:/run/milter-greylist/milter-greylist.sock"
  milter.enabled = true
  milter.applicable_conditions = [
    "Sendmail Compatible",
    "Stress Notify",
    "Trust",
    "Remote Network",
    "S25R",
    "Unauthenticated",
  ]
  # default
  milter.reading_timeout = 7.0
end

define_milter("clamav-milter") do |milter|
  milter.connection_spec = "unix:/var/run/clamav/clamav-milter.ctl"
  milter.applicable_conditions = []
end

define_milter("opendkim") do |milter|
  milter.connection_spec = "unix:/run/opendkim/opendkim.sock"
end

define_milter("spamass-milter") do |milter|
  milter.connection_spec = "unix:/var/spool/postfix/spamass/spamass.sock"
  milter.applicable_conditions = [
    "Remote Network",
    "Unauthenticated",
    "No Stress",
  ]
end
`

// importSettings imports the settings that the installation guides have, and returns
// the configuration. The delay of greylisting is a second, and not ten minutes.
func (b *bench) importSettings(t *testing.T, dir, selector, key string) string {
	t.Helper()
	args := []string{"import"}
	for _, f := range []struct{ name, text string }{
		{"show-config.rb", fmt.Sprintf(milterManager, b.imported().Socket())},
		{"spamass-milter", "EXTRA_FLAGS=\"-m -r 15 -- -U " + (&stack.Spamd{Root: b.root}).Addr() + "\"\n"},
		{"clamav-milter.conf", "MilterSocket /var/run/clamav/clamav-milter.ctl\nClamdSocket unix:" + (&stack.Clamd{Root: b.root}).Addr() +
			"\nOnInfected Reject\nRejectMsg 5.7.1 Infected with %v\nAddHeader Replace\n"},
		{"greylist.conf", `socket "/run/milter-greylist/milter-greylist.sock" 660
list "my network" addr { 127.0.0.1/8 192.0.2.0/24 }
racl whitelist list "my network"
subnetmatch /24
greylist 1s
autowhite 1w
sm_macro "trusted_domain" "{trusted_domain}" "yes"
racl whitelist sm_macro "trusted_domain" spf pass
racl greylist sm_macro "trusted_domain" not spf pass
racl greylist default
`},
		{"opendkim.conf", fmt.Sprintf("Mode sv\nCanonicalization relaxed/relaxed\nOversignHeaders From\nKeyTable %s\nSigningTable refile:%s\nInternalHosts %s\n",
			filepath.Join(dir, "KeyTable"), filepath.Join(dir, "SigningTable"), filepath.Join(dir, "TrustedHosts"))},
		{"KeyTable", "example.org example.org:" + selector + ":" + key + "\n"},
		{"SigningTable", "*@example.org example.org\n"},
		{"TrustedHosts", "127.0.0.1\nlocalhost\n"},
	} {
		file := filepath.Join(dir, f.name)
		if err := os.WriteFile(file, []byte(f.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if f.name == strings.ToLower(f.name) { // the tables are named by opendkim.conf
			args = append(args, file)
		}
	}
	text, err := b.binary.Output(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	// The default folder is one of the system's.
	database := fmt.Sprintf("database = %q\ndelay ", b.root.Path("kit-"+importedName, selector+".db"))
	return strings.Replace(text, "\ndelay ", "\n"+database, 1)
}

// TestImported has the settings of milter-manager and of the milters behind it imported,
// and milterkit does what they did.
func TestImported(t *testing.T) {
	b := start(t)
	if b.kitErr != nil {
		t.Fatal(b.kitErr)
	}
	dir, err := os.MkdirTemp(b.root.Dir, "imports")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	selector := filepath.Base(dir)
	d := &dkimBench{b, map[string]string{}, ""}
	record := d.newKey(t, selector, "rsa")
	kit := b.imported()
	kit.Config = b.importSettings(t, dir, selector, d.keys[selector])
	if err := kit.Start(); err != nil {
		t.Fatalf("%v\n%s", err, kit.Config)
	}
	t.Cleanup(func() {
		if err := kit.Stop(); err != nil {
			t.Error(err)
		}
	})
	const outside = "203.0.113.9"

	t.Run("spam is refused at 15", func(t *testing.T) {
		refused("550 5.7.1 Blocked by SpamAssassin")(t, b.play(t, importedName, routes[1], sendFrom(outside, alice, letter("spam", "", stack.GTUBE))))
	})
	t.Run("spam below is marked", func(t *testing.T) {
		message := delivered(t, b.play(t, importedName, routes[1], sendFrom(outside, alice, letter(stack.SpamSubject, "", "Hello."))))
		wantText(t, message, "\nX-Spam-Flag: YES\n", "\nSubject: "+stack.SpamSubject+"\n", "\nX-Virus-Status: Clean\n")
		wantNoText(t, message, "\nDKIM-Signature:")
	})
	t.Run("a virus is refused", func(t *testing.T) {
		refused("550 5.7.1 Infected with "+stack.EICARName)(t, b.play(t, importedName, routes[1], send(hasVirus)))
	})
	t.Run("our own mail is signed and marked as scanned", func(t *testing.T) {
		o := b.play(t, importedName, routes[1], send(hasNoVirus))
		wantScanned(t, o)
		wantNoText(t, delivered(t, o), "\nX-Spam-Status:")
		wantSignature(t, delivered(t, o), selector, record)
	})
	t.Run("an end user's line is put off", func(t *testing.T) {
		for i, c := range []struct{ xclient, reply string }{
			{lineClient, "451 4.7.1 "},
			{lineClient, "451 4.7.1 "},
			{serverClient, "250 "},
			{lineClient + " LOGIN=alice", "250 "},
			{"NAME=10-1-2-3.dyn.example.net ADDR=10.1.2.3", "250 "}, // a network that is not remote
			{lineClient, "250 "},                                    // after the delay
		} {
			if i == 5 {
				delayIsOver()
			}
			if got := b.rcpt(t, importedName+"/"+routes[1].name, c.xclient, carol); !strings.HasPrefix(got, c.reply) {
				t.Errorf("%d: %s: %q, want %q", i, c.xclient, got, c.reply)
			}
		}
	})
}

// rcpt is what a client that XCLIENT names is told about a recipient.
func (b *bench) rcpt(t *testing.T, listener, xclient, sender string) string {
	t.Helper()
	c, err := smtpclient.Dial(b.postfix.Addr(listener))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Ehlo(client)
	c.Cmd("XCLIENT %s", xclient)
	c.Ehlo(client)
	c.Mail(sender)
	defer c.Quit()
	return c.Rcpt(bob).String()
}

// wantSignature wants a good signature of example.org's, by the key of the table.
func wantSignature(t *testing.T, message, selector, record string) {
	t.Helper()
	crlf := bytes.ReplaceAll([]byte(message), []byte("\n"), []byte("\r\n"))
	list, err := msgauth.VerifyWithOptions(bytes.NewReader(crlf), &msgauth.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		if name != selector+"._domainkey.example.org" {
			t.Errorf("the key of %s is asked for", name)
		}
		return []string{record}, nil
	}})
	if err != nil || len(list) != 1 || list[0].Err != nil || list[0].Domain != "example.org" {
		t.Errorf("signatures: %+v, %v\n%s", list, err, message)
	}
}
