package peer

import (
	"strings"
	"testing"
)

func TestAddressesAsPostfixWritesThem(t *testing.T) {
	for spec, want := range map[string]string{
		"unix:/run/clamav/clamd.ctl":  "unix:/run/clamav/clamd.ctl",
		"local:/run/clamav/clamd.ctl": "unix:/run/clamav/clamd.ctl",
		"/run/clamav/clamd.ctl":       "unix:/run/clamav/clamd.ctl",
		"inet:3310@127.0.0.1":         "inet:3310@127.0.0.1",
		"inet:127.0.0.1:3310":         "inet:3310@127.0.0.1",
		"tcp:127.0.0.1:3310":          "inet:3310@127.0.0.1",
		"127.0.0.1:3310":              "inet:3310@127.0.0.1",
		"scan.example.org:3310":       "inet:3310@scan.example.org",
		"inet:03310@scan":             "inet:3310@scan",
		"inet6:3310@[::1]":            "inet6:3310@[::1]",
		"inet6:3310@::1":              "inet6:3310@[::1]",
		"inet:[0::1]:3310":            "inet6:3310@[::1]",
		"[::1]:3310":                  "inet6:3310@[::1]",
		"inet6:1@[fe80::1%e0]":        "inet6:1@[fe80::1%e0]",
	} {
		if got, err := Parse(spec); err != nil || got.String() != want {
			t.Errorf("%s: got %s, %v; want %s", spec, got, err, want)
		}
	}
}

func TestWrongAddressesAreToldWhatIsRight(t *testing.T) {
	for spec, want := range map[string]string{
		"":                       `"" is not the address of a server; ` + forms,
		"clamd":                  `"clamd" is not the address of a server; ` + forms,
		"tcp:192.0.2.1":          `"tcp:192.0.2.1" is not the address of a server; ` + forms,
		"unix:clamd.ctl":         `the path of a unix socket begins with /, "clamd.ctl" does not`,
		"unix:/run/":             `"/run/" is a directory, not a unix socket`,
		"/a\x00b":                `the path "/a\x00b" has a control character`,
		"/" + long:               `the path of a unix socket is at most 107 bytes long, this one is 108`,
		"inet:0@localhost":       `"inet:0@localhost" is not the address of a server: "0" is not a port, which is a number from 1 to 65535`,
		"localhost:65536":        `"localhost:65536" is not the address of a server: "65536" is not a port, which is a number from 1 to 65535`,
		"inet:1@":                `"inet:1@" is not the address of a server: "" is neither a host name nor an IP address; ` + forms,
		"inet:1@192.0.2":         `"inet:1@192.0.2" is not the address of a server: "192.0.2" is neither a host name nor an IP address; ` + forms,
		"inet:1@a b":             `"inet:1@a b" is not the address of a server: "a b" is neither a host name nor an IP address; ` + forms,
		"http://localhost:11333": `"http://localhost:11333" is not the address of a server: an IPv6 address stands in brackets`,
		"::1:3310":               `"::1:3310" is not the address of a server: an IPv6 address stands in brackets`,
	} {
		if _, err := Parse(spec); err == nil || err.Error() != want {
			t.Errorf("%s: got  %v\nwant %s", spec, err, want)
		}
	}
}

var long = strings.Repeat("x", 107)

func TestAListHasAnAddressAndNoneTwice(t *testing.T) {
	if addrs, err := ParseAll([]string{"unix:/a", "a:1"}); err != nil || len(addrs) != 2 {
		t.Errorf("got %v, %v", addrs, err)
	}
	for want, specs := range map[string][]string{
		"there is no address; " + forms:      {},
		"inet:1@a stands there twice":        {"a:1", "unix:/a", "inet:1@a"},
		`"x" is not the address of a server`: {"a:1", "x"},
	} {
		if _, err := ParseAll(specs); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", specs, err, want)
		}
	}
}

// What is read is written so that it is read again as the same address.
func FuzzParse(f *testing.F) {
	for _, spec := range []string{"unix:/run/clamd.ctl", "inet:3310@127.0.0.1", "inet6:1@[fe80::1%e0]", "a:1", "[::1]:1", "tcp:a_b:01"} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		a, err := Parse(spec)
		if err != nil {
			return
		}
		if again, err := Parse(a.String()); err != nil || again != a {
			t.Errorf("%q is read as %s, and that as %s, %v", spec, a, again, err)
		}
	})
}
