package conditions

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// open opens a list that holds a text.
func open(t *testing.T, text string) *List {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, text)
	l, err := OpenList(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const everything = "# all that a list can have\r\n\n" +
	"Example.org   # one domain\n" +
	".example.net\t# and all below it\n" +
	"both.example\n.both.example\n.third.example\nthird.example\n" +
	"Bob@Example.com\n" +
	"a#b@example.com\n" +
	"bücher.example\n" +
	"x@bücher.test\n" +
	"192.0.2.0/24\n198.51.100.7\n2001:DB8::/32\n2001:db9::1\n::ffff:203.0.113.0/120"

func TestList(t *testing.T) {
	l := open(t, everything)
	for text, want := range map[string]bool{
		"example.org": true, "EXAMPLE.ORG": true, "example.org.": true, "mail.example.org": false, "notexample.org": false,
		"alice@example.org": true, "alice@sub.example.org": false, "Alice@EXAMPLE.org": true, `"a@b"@example.org`: true,
		`"a:b"@example.org`: true, `"a:b"@mail.example.net`: true, `a:b@example.org`: true, "bob@example.com.": true,
		"example.net": true, "mail.example.net": true, "a.b.example.net": true, "notexample.net": false, "alice@mail.example.net": true,
		"both.example": true, "a.both.example": true, "third.example": true, "a.third.example": true,
		"bob@example.com": true, "BOB@EXAMPLE.COM": true, "alice@example.com": false, "example.com": false, "a#b@example.com": true,
		"bücher.example": true, "BÜCHER.example": true, "xn--bcher-kva.example": true, "x@bücher.test": true, "x@xn--bcher-kva.test": true, "y@bücher.test": false,
		"192.0.2.7": true, "192.0.3.7": false, "198.51.100.7": true, "198.51.100.8": false, "203.0.113.9": true, "::ffff:192.0.2.7": true,
		"2001:db8::1": true, "IPv6:2001:db8:1::": true, "2001:db9::1": true, "2001:db9::2": false,
		"": false, "@": false, ".": false, "unknown": false, "[192.0.2.7]": false, "\xff": false, "org": false, "/run/s": false,
	} {
		if got := l.Has(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// The null sender is on no list.
func TestConditionsOnLists(t *testing.T) {
	l := open(t, everything)
	for _, c := range []struct {
		condition milterkit.Condition
		e         *milterkit.Envelope
		to        string
		at        milterkit.Stage
		want      bool
	}{
		{l.Client(), from("192.0.2.7", "x", ""), "", milterkit.StageConnect, true},
		{l.Client(), from("192.0.3.7", "mx.example.net", ""), "", milterkit.StageConnect, true},
		{l.Client(), from("192.0.3.7", "unknown", ""), "", milterkit.StageConnect, false},
		{l.Sender(), from("192.0.3.7", "x", "<bob@example.com>"), "", milterkit.StageMail, true},
		{l.Sender(), from("192.0.2.7", "x", "<>"), "", milterkit.StageMail, false},
		{l.Recipient(), from("192.0.3.7", "x", ""), "a@example.org", milterkit.StageRcpt, true},
		{l.Recipient(), from("192.0.3.7", "x", ""), "a@example.edu", milterkit.StageRcpt, false},
	} {
		if got := c.condition.Holds(ctx, c.e, milterkit.NewAddress(c.to)); got != c.want || c.condition.At != c.at {
			t.Errorf("%s: %v at %s", c.condition.Name, got, c.condition.At)
		}
	}
}

// A client is on no list by a name that Sendmail does not vouch for: anybody can have
// any. By its address it is.
func TestAForgedNameIsOnNoList(t *testing.T) {
	l := open(t, everything)
	for resolve, want := range map[string]bool{"": true, "OK": true, "FORGED": false, "TEMP": false, "FAIL": false} {
		for addr, listed := range map[string]bool{"192.0.3.7": false, "192.0.2.7": true} {
			d, err := milterkit.NewDispatcher()
			if err != nil {
				t.Fatal(err)
			}
			w := d.Walk(0)
			w.Macros(milterkit.StageConnect, func(yield func(string, string) bool) { yield("{client_resolve}", resolve) })
			w.Connect(ctx, "mx.example.net", milterkit.FamilyInet, addr, 25)
			if got := l.Client().Holds(ctx, &milterkit.Envelope{Session: w.Session()}, milterkit.Address{}); got != (want || listed) {
				t.Errorf("%s, %q: %v", addr, resolve, got)
			}
			w.Close()
		}
	}
}

// Each line that is of no use is told, with file and line and what would be right.
func TestLinesThatAreWrong(t *testing.T) {
	for text, want := range map[string]string{
		"foo bar":         `"foo bar" is neither a domain ("example.org", ".example.org" with all below it), an address ("bob@example.org") nor a network ("192.0.2.0/24")`,
		"*.example.org":   `"*.example.org" is neither a domain ("example.org", ".example.org" with all below it), an address ("bob@example.org") nor a network ("192.0.2.0/24")`,
		"a..example":      `"a..example" is neither a domain ("example.org", ".example.org" with all below it), an address ("bob@example.org") nor a network ("192.0.2.0/24")`,
		"192.0.2.1/24":    `"192.0.2.1/24" has bits beyond the first 24; write "192.0.2.0/24" or "192.0.2.1/32"`,
		"192.0.2.300":     `"192.0.2.300" is not a network; write one such as "192.0.2.0/24" or "2001:db8::/32"`,
		"2001:db8::/129":  `"2001:db8::/129" is not a network; write one such as "192.0.2.0/24" or "2001:db8::/32"`,
		"<a@example.org>": `"<a@example.org>": addresses stand without angle brackets`,
		"@example.org":    `"@example.org": all addresses of a domain are written "example.org"`,
		"a b@example.org": `"a b@example.org" is not an address; write one such as "bob@example.org"`,
		"a@":              `"a@" is not an address; write one such as "bob@example.org"`,
	} {
		path := filepath.Join(t.TempDir(), "list")
		write(t, path, "example.org\n\n"+text+"\n")
		_, err := OpenList(path, nil)
		if err == nil || err.Error() != path+":3: "+want {
			t.Errorf("%q: got\n%v\nwant\n%s", text, err, path+":3: "+want)
		}
	}
	path := filepath.Join(t.TempDir(), "list")
	if _, err := OpenList(path, nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
	if _, err := OpenList(filepath.Dir(path), nil); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Error(err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenList(pipe, nil); err == nil || !strings.Contains(err.Error(), "is no file") { // and is not waited for
		t.Error(err)
	}
	write(t, path, strings.Repeat("a b\n", 100))
	if _, err := OpenList(path, nil); err == nil || strings.Count(err.Error(), "\n") != maxFaults-1 {
		t.Error(err)
	}
}

// A list is read anew when it has changed, looked at once a second; a new one that is
// of no use leaves the old one in use, and is told once.
func TestAListThatChanges(t *testing.T) {
	var log bytes.Buffer
	clock := new(miltertest.Clock)
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, "one.example\n")
	l, err := OpenList(path, clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	l.file.Log = slog.New(slog.NewTextHandler(&log, nil))
	for _, c := range []struct {
		step     func()
		wait     time.Duration
		one, two bool
		told     string
	}{
		{func() { write(t, path, "two.example is new\n") }, 0, true, false, ""},
		{func() {}, time.Second, true, false, path + `:1: \"two.example is new\" is neither`},
		{func() {}, time.Second, true, false, ""},
		{func() { os.Remove(path) }, time.Second, true, false, "no such file"},
		{func() { write(t, path, "two.example\n") }, time.Second, false, true, "read anew"},
		{func() { write(t, path, "") }, time.Second, false, false, "read anew"},
	} {
		log.Reset()
		c.step()
		clock.Advance(c.wait)
		if one, two := l.Has("one.example"), l.Has("two.example"); one != c.one || two != c.two {
			t.Errorf("%v, %v after %q", one, two, c.told)
		}
		if got := log.String(); !strings.Contains(got, c.told) || c.told == "" && got != "" {
			t.Errorf("told %q, want %q", got, c.told)
		}
	}
}

// Whatever stands in a list, it is an error with its line or a list that can be asked.
func FuzzList(f *testing.F) {
	for line := range strings.Lines(everything) {
		f.Add(line, strings.TrimSpace(line))
	}
	f.Fuzz(func(t *testing.T, text, asked string) {
		path := filepath.Join(t.TempDir(), "list")
		write(t, path, text)
		l, err := OpenList(path, nil)
		if err != nil {
			if !strings.HasPrefix(err.Error(), path+":") {
				t.Fatal(err)
			}
			return
		}
		l.Has(asked)
	})
}

// Nothing is allocated to ask a list.
func TestAListIsAskedWithoutAllocations(t *testing.T) {
	l := open(t, everything)
	for _, text := range []string{"alice@mail.example.net", "192.0.2.7", "2001:db8::1", "a.b.c.example.test"} {
		if n := testing.AllocsPerRun(100, func() { l.Has(text) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}
