package socket

import (
	"strings"
	"testing"
)

func TestSockets(t *testing.T) {
	for spec, want := range map[string]Addr{
		"unix:/run/a.sock":     {"unix", "/run/a.sock"},
		"local:/run/a.sock":    {"unix", "/run/a.sock"},
		"/run/a.sock":          {"unix", "/run/a.sock"},
		"inet:8890@127.0.0.1":  {"tcp", "127.0.0.1:8890"},
		"inet:8890@localhost":  {"tcp", "localhost:8890"},
		"inet:localhost:8890":  {"tcp", "localhost:8890"},
		"tcp:localhost:8890":   {"tcp", "localhost:8890"},
		"inet:0.0.0.0:8890":    {"tcp", "0.0.0.0:8890"},
		"inet:8890":            {"tcp", "127.0.0.1:8890"},
		"inet6:8890":           {"tcp", "[::1]:8890"},
		"inet6:8890@[::1]":     {"tcp", "[::1]:8890"},
		"inet6:8890@::1":       {"tcp", "[::1]:8890"},
		"inet6:[::1]:8890":     {"tcp", "[::1]:8890"},
		"inet:[0::1]:8890":     {"tcp", "[::1]:8890"},
		"inet6:8890@mx":        {"tcp6", "mx:8890"},
		"inet:smtp@127.0.0.1":  {"tcp", "127.0.0.1:25"},
		"inet6:1@[fe80::1%e0]": {"tcp", "[fe80::1%e0]:1"},
		"systemd:milter":       {"systemd", "milter"},
	} {
		got, err := Parse(spec)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", spec, got, err)
		}
	}
}

func TestWrongSocketsAreToldWhatIsRight(t *testing.T) {
	long := "/" + strings.Repeat("x", 107)
	for spec, want := range map[string]string{
		"":                    `"" is not a socket; ` + socketForms,
		"unix":                `"unix" is not a socket; ` + socketForms,
		"run/a.sock":          `"run/a.sock" is not a socket; ` + socketForms,
		"unix:a.sock":         `the path of a unix socket begins with /, "a.sock" does not`,
		"unix:/run/":          `"/run/" is a directory, not a unix socket`,
		"unix:/a\x00b":        `the path "/a\x00b" has a control character`,
		long:                  `the path of a unix socket is at most 107 bytes long, this one is 108`,
		"unxi:/a":             `"unxi" is not a kind of socket; did you mean "unix"?`,
		"127.0.0.1:8890":      `"127.0.0.1:8890" does not say what kind of socket it is; did you mean "inet:8890@127.0.0.1"?`,
		"inet:0@localhost":    `"0" is not a port: it is a number from 1 to 65535`,
		"inet:65536":          `"65536" is not a port: it is a number from 1 to 65535`,
		"inet:nosuchservice":  `"nosuchservice" is not a port: it is a number from 1 to 65535`,
		"inet:1@":             `"" is neither a host name nor an IP address`,
		"inet:1@1.2.3":        `"1.2.3" is neither a host name nor an IP address`,
		"inet:1@a b":          `"a b" is neither a host name nor an IP address`,
		"inet:1@[localhost]":  `"[localhost]" is neither a host name nor an IP address`,
		"inet6:::1:8890":      `"::1:8890": an IPv6 address stands in brackets: inet6:PORT@[ADDRESS]`,
		"inet6:8890@10.0.0.1": `10.0.0.1 is an IPv4 address: write inet:`,
		"systemd:":            `after systemd: stands the FileDescriptorName of the socket unit`,
	} {
		if _, err := Parse(spec); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", spec, err, want)
		}
	}
}

// A socket that is written is read as the same one.
func FuzzSocket(f *testing.F) {
	for _, s := range []string{"unix:/a", "inet:1@h", "inet:h:1", "inet6:1@[::1]", "inet6:1@h", "inet6:1@[fe80::1%e]", "systemd:x", "/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		s, err := Parse(spec)
		if err != nil {
			if s != (Addr{}) || strings.ContainsAny(err.Error(), "\n\x00\x1b") {
				t.Fatalf("%q: %+v, %q", spec, s, err)
			}
			return
		}
		again, err := Parse(s.String())
		if err != nil || again != s {
			t.Fatalf("%q: %+v is written %q and read %+v, %v", spec, s, s, again, err)
		}
	})
}
