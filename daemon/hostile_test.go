//go:build !race

package daemon

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/milterkit"
)

// costly are messages that are made to cost much.
func costly() map[string]string {
	signature := "DKIM-Signature: v=1; a=rsa-sha256; c=%s; d=example.org; s=s%d;\r\n\th=From:To:Subject:From; bh=AAAA; b=AAAA\r\n"
	var signatures strings.Builder
	for i := range 500 {
		fmt.Fprintf(&signatures, signature, []string{"simple/simple", "relaxed/relaxed"}[i%2], i)
	}
	five := strings.Join(strings.SplitAfterN(signatures.String(), "b=AAAA\r\n", 6)[:5], "")
	header := "From: Alice <alice@example.org>\r\nTo: bob@example.net\r\nSubject: hello\r\n"
	return map[string]string{
		"8 MB of blank lines":                  five + header + "\r\n" + strings.Repeat("\r\n", 4<<20),
		"8 MB of blank lines, and a last word": five + header + "\r\n" + strings.Repeat("\r\n", 4<<20) + "end\r\n",
		"8 MB of blanks":                       five + header + "\r\n" + strings.Repeat(" ", 8<<20) + "\r\n",
		"8 MB in one line":                     five + header + "\r\n" + strings.Repeat("x", 8<<20) + "\r\n",
		"8 MB of other lines":                  five + header + "\r\n" + strings.Repeat("\r\nx \t", 8<<20/5),
		"500 signatures":                       signatures.String() + header + "\r\nbody\r\n",
		"a field of 1 MB":                      five + header + "X-Long: " + strings.Repeat("y ", 1<<19) + "\r\n\r\nbody\r\n",
		"a folded field of 1 MB":               five + header + "Subject: a" + strings.Repeat("\r\n b", 1<<18) + "\r\n\r\nbody\r\n",
		"1 MB of fields":                       five + header + strings.Repeat("X-Spam-Flag: NO\r\nSubject: x\r\n", 1<<15) + "\r\nbody\r\n",
		"1 MB of forged results":               five + header + strings.Repeat("Authentication-Results: mx.example.net (; dkim=pass\r\n", 20000) + "\r\nbody\r\n",
		"1 MB of authors":                      five + "From: " + strings.Repeat("a@example.org, ", 70000) + "b@example.org\r\n\r\nbody\r\n",
	}
}

// Each native child answers within a second, and with bounded memory, whatever a
// message is like. (With the race detector it would take ten times as long.)
func TestHostileMail(t *testing.T) {
	children := everyChild(t)
	for _, mta := range []string{"Postfix 3.7.11", "8.17.1"} {
		t.Run(mta, func(t *testing.T) { hostileMail(t, children, mta) })
	}
}

func hostileMail(t *testing.T, children []milterkit.Child, mta string) {
	for name, text := range costly() {
		for _, child := range children {
			// On a machine that has other work a try may wait for it.
			took, mib, failure := hostileTry(t, child, mta, text)
			for range 2 {
				if took > time.Second {
					took, mib, failure = hostileTry(t, child, mta, text)
				}
			}
			t.Logf("%-36s %-12s %8v %4d MiB", name, child.Name(), took.Round(time.Millisecond), mib)
			if took > time.Second || mib > 200 {
				t.Errorf("%s: %s took %v and %d MiB", name, child.Name(), took, mib)
			}
			if failure != nil && !strings.Contains(failure.Error(), "fields would be signed") {
				t.Errorf("%s: %s failed: %v", name, child.Name(), failure)
			}
		}
	}
}

// hostileTry shows one message to one child, and returns what that took, and why the
// child has failed, if it has.
func hostileTry(t *testing.T, child milterkit.Child, mta, text string) (took time.Duration, mib uint64, failure error) {
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: child})
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	d.OnReport = func(r *milterkit.Report) {
		for _, c := range r.Children {
			failure = c.Verdict.Err()
		}
	}
	w := d.Walk(milterkit.AllActions)
	defer w.Close()
	ctx := t.Context()
	w.Macros(milterkit.StageConnect, maps.All(map[string]string{"j": "mx.example.net", "v": mta}))
	w.Connect(ctx, "mail.example.org", milterkit.FamilyInet, "192.0.2.1", 25)
	w.Helo(ctx, "mail.example.org")
	w.Mail(ctx, milterkit.NewAddress("<alice@example.org>"))
	w.Rcpt(ctx, milterkit.NewAddress("<bob@example.net>"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	w.Message(ctx, []byte(text))
	took = time.Since(began)
	runtime.ReadMemStats(&after)
	w.Reset() // the report
	return took, (after.TotalAlloc - before.TotalAlloc) >> 20, failure
}

// everyChild makes each of the native children. Those that ask others ask some that
// answer at once.
func everyChild(t *testing.T) []milterkit.Child {
	t.Helper()
	dir := t.TempDir()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "key.pem")
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(file, private, 0o600); err != nil {
		t.Fatal(err)
	}
	dns := fmt.Sprintf("nameserver = %q\n", serveTXT(t, "v=DKIM1; p="+base64.StdEncoding.EncodeToString(public)))
	rspamd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"action":"no action","score":0.1,"required_score":15.0,"symbols":{}}`)
	}))
	t.Cleanup(rspamd.Close)
	clamd := serveAnswers(t, []byte{0, 0, 0, 0}, "stream: OK\x00")
	spamd := serveAnswers(t, nil, "SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\nSpam: False ; 0.0 / 5.0\r\n\r\n")
	options := map[string]string{
		"clamd":       fmt.Sprintf("addresses = [%q]\nheaders = false\n", clamd),
		"dkim-sign":   fmt.Sprintf("sign = \"all\"\n[[milter.options.key]]\ndomain = \"example.org\"\nselector = \"new\"\nfile = %q\n", file),
		"dkim-verify": dns,
		"dmarc":       dns,
		"greylist":    fmt.Sprintf("delay = \"1s\"\nallow = [\"192.0.2.1\"]\ndatabase = %q\n%s", filepath.Join(dir, "greylist.db"), dns),
		"headers": "[[milter.options.rule]]\nheader = \"X-Spam-*\"\naction = \"remove\"\n" +
			"[[milter.options.rule]]\nheader = \"Subject\"\nmatch = '(a|b|aa)*c$'\naction = \"warn\"\ntext = \"odd\"\n",
		"rspamd": fmt.Sprintf("addresses = [%q]\nmax_size = 0\n", rspamd.Listener.Addr()),
		"spamd":  fmt.Sprintf("addresses = [%q]\nmax_size = 0\n", spamd),
		"spf":    dns,
	}
	var text strings.Builder
	known := config.Natives{}
	all := builtinNatives(t)
	for name, n := range all {
		known[name] = n.schema
		fmt.Fprintf(&text, "[[milter]]\nname = %q\nuse = %q\n[milter.options]\n%s", name, name, options[name])
	}
	c, err := config.Parse("x", []byte(text.String()), known)
	if err != nil {
		t.Fatal(err)
	}
	children, faults := all.children(c)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	t.Cleanup(func() { closeAll(children) })
	return children
}

// serveTXT serves a name server whose answer to every question is one text.
func serveTXT(t *testing.T, text string) (addr string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1<<12)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			query := buf[:n]
			name := query[12:]
			size := bytes.IndexByte(name, 0) + 5 // with type and class
			reply := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}, name[:size]...)
			reply = append(reply, 0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, byte(len(text)+1), byte(len(text)))
			conn.WriteTo(append(reply, text...), from)
		}
	}()
	return conn.LocalAddr().String()
}
