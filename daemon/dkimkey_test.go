package daemon

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/milterkit/sdk/builtin/dkim"
)

// nameServer is one that has a TXT record, of these strings, and nothing else. It
// returns its address.
func nameServer(t *testing.T, name string, strs ...string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			var m dnsmessage.Message
			if err != nil || m.Unpack(buf[:n]) != nil {
				return
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Name.String() == name+"." && len(strs) > 0 {
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.TXTResource{TXT: strs}}}
			} else {
				m.RCode = dnsmessage.RCodeNameError
			}
			reply, _ := m.Pack()
			conn.WriteTo(reply, from)
		}
	}()
	return conn.LocalAddr().String()
}

// A key is made that only its owner can read, with the record that publishes it; one
// that is there is left as it is. When the record is published --check says so.
func TestDKIMKey(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"rsa", "ed25519"} {
		file := filepath.Join(t.TempDir(), "key.pem")
		names := []string{"-d", "example.org", "-s", "sel", file}
		out, status := call(t, newDKIMKeyCommand(), "", append(names, "--type", kind)...)
		if status != 0 {
			t.Fatal(out)
		}
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		for _, want := range []string{"sel._domainkey.example.org.\tIN\tTXT\t", "v=DKIM1; k=" + kind + "; p=", "[[milter.options.key]]", `file     = "` + file + `"`} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		before, _ := os.ReadFile(file)
		if out, status := call(t, newDKIMKeyCommand(), "", names...); status == 0 || !strings.Contains(out, "is there already") {
			t.Errorf("a second key: %d %s", status, out)
		}
		if after, _ := os.ReadFile(file); string(after) != string(before) {
			t.Error("the key was written over")
		}
		var strs []string // of the zone file
		for _, m := range regexp.MustCompile(`"(v=DKIM1[^"]*|[A-Za-z0-9+/=]{20,})"`).FindAllStringSubmatch(out, -1) {
			strs = append(strs, m[1])
			if len(m[1]) > 255 {
				t.Errorf("a string of %d bytes", len(m[1]))
			}
		}
		server := nameServer(t, "sel._domainkey.example.org", strs...)
		out, status = call(t, newDKIMKeyCommand(), "", append(names, "--check", "--nameserver", server)...)
		if status != 0 || !strings.HasSuffix(out, "\n\nIt is published at sel._domainkey.example.org.\n") || !strings.Contains(out, "\tIN\tTXT\t") {
			t.Errorf("%s: %d %s", kind, status, out)
		}
	}
}

// What is wrong with a published record is said, and what would be right.
func TestDKIMKeyCheck(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key.pem")
	key, err := dkim.GenerateKey("ed25519")
	if err == nil {
		err = dkim.WriteKey(file, key)
	}
	if err != nil {
		t.Fatal(err)
	}
	right, _ := dkim.Record(key.Public())
	for record, says := range map[string]string{
		"":                   "there is no TXT record sel._domainkey.example.org",
		"v=DKIM1; p=":        "has been revoked",
		right[:len(right)-8]: "cannot be read",
		right + "; t=y":      "t=y says that the key is being tried out",
		right + "; h=sha1":   "does not allow SHA-256",
		right + "; s=tlsrpt": "not for mail",
		"v=DKIM1; k=ed25519; p=" + strings.Repeat("A", 43) + "=": "has another key, ed25519 of 256 bits",
	} {
		var strs []string
		if record != "" {
			strs = []string{record}
		}
		out, status := call(t, newDKIMKeyCommand(), "", "--check", "-d", "example.org", "-s", "sel", "--nameserver",
			nameServer(t, "sel._domainkey.example.org", strs...), file)
		good := strings.HasSuffix(record, "t=y")
		if !strings.Contains(out, says) || (status == 0) != good || !good && !strings.Contains(out, right) {
			t.Errorf("%q: %d %s", record, status, out)
		}
	}
}

// What is wrong with the command line is said.
func TestDKIMKeyUsage(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key.pem")
	for says, args := range map[string]string{
		"is no domain":                 "-s sel",
		"is no selector":               "-d example.org",
		"there are rsa and ed25519":    "-d example.org -s sel --type dsa",
		"goes with --check":            "-d example.org -s sel --nameserver 127.0.0.1:53",
		"write one such as 127.0.0.1:": "-d example.org -s sel --check --nameserver localhost",
		"no such file":                 "-d example.org -s sel --check",
	} {
		out, status := call(t, newDKIMKeyCommand(), "", append(strings.Fields(args), file)...)
		if status == 0 || !strings.Contains(out, says) {
			t.Errorf("%s: %d %s", args, status, out)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a key was made")
	}
}
