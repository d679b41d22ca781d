package wire

import (
	"slices"
	"strings"
	"testing"
)

// flat is what a list of macros holds.
func flat(m Macros) (got []string) {
	for name, value := range m.All() {
		got = append(got, string(name), string(value))
	}
	return got
}

// Macros come as they were sent: in order, braces on, empty values too. A last
// name without a value has an empty one.
func TestMacros(t *testing.T) {
	for p, want := range map[string][]string{
		"C":                      nil,
		"Mi\x004XY\x00":          {"i", "4XY"},
		"Mi\x00\x00{v}\x00b\x00": {"i", "", "{v}", "b"},
		"Mi\x004XY\x00{v}\x00":   {"i", "4XY", "{v}", ""},
		"M\x00\x00":              {"", ""},
		"Mi\x001\x00i\x002\x00":  {"i", "1", "i", "2"},
	} {
		m, err := ParseMacros([]byte(p))
		if got := flat(m); err != nil || m.For != p[0] || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v", p, got, err)
		}
	}
}

// Macros of no command, or cut off, are an error.
func TestBadMacros(t *testing.T) {
	for _, p := range []string{"", "Mi", "Mi\x00x"} {
		if _, err := ParseMacros([]byte(p)); err == nil {
			t.Errorf("%q is taken", p)
		}
	}
}

// Who has seen enough of the macros or parameters may stop.
func TestIteratorsStopWhenTold(t *testing.T) {
	m, _ := ParseMacros([]byte("Ma\x00b\x00c\x00d\x00"))
	seen := 0
	for range m.All() {
		seen++
		break
	}
	a, _ := ParseAddress(CmdMail, []byte("a\x00b\x00c\x00"))
	for range a.Args() {
		seen++
		break
	}
	if seen != 2 {
		t.Errorf("%d steps, want 2", seen)
	}
	for range (Macros{}).All() {
		t.Error("no macros, and yet one")
	}
	for range (Address{}).Args() {
		t.Error("no parameters, and yet one")
	}
}

// Every family has its parts where the protocol puts them.
func TestConnect(t *testing.T) {
	for _, c := range []struct {
		p, host string
		family  Family
		port    uint16
		addr    string
	}{
		{"a.example\x004\x04\x01192.0.2.1\x00", "a.example", FamilyInet, 1025, "192.0.2.1"},
		{"[::1]\x006\xff\xff::1\x00", "[::1]", FamilyInet6, 65535, "::1"},
		{"localhost\x00L\x00\x00\x00", "localhost", FamilyUnix, 0, ""},
		{"\x00U", "", FamilyUnknown, 0, ""},
	} {
		got, err := ParseConnect([]byte(c.p))
		if err != nil || string(got.Host) != c.host || got.Family != c.family || got.Port != c.port || string(got.Addr) != c.addr {
			t.Errorf("%q: got %+v, %v", c.p, got, err)
		}
	}
}

// What is missing of a CONNECT, or too much, is named.
func TestBadConnect(t *testing.T) {
	for p, want := range map[string]string{
		"host":                       "no NUL after the host name",
		"host\x00":                   "no address family",
		"host\x00U\x00":              "an address of no family",
		"host\x005\x00\x191.2.3\x00": "unknown address family '5'",
		"host\x00\x00":               "unknown address family 0x00",
		"host\x004\x00":              "no port",
		"host\x004\x00\x19":          "no NUL after the address",
		"host\x004\x00\x191\x00x":    "something follows the address",
	} {
		if _, err := ParseConnect([]byte(p)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", p, err, want)
		}
	}
}

// The zero Connect can be sent: a client of whom nothing is known.
func TestTheZeroConnectIsOfNoFamily(t *testing.T) {
	if got, want := string(Connect{}.Append(nil)), "\x00\x00\x00\x03C\x00U"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// An address is kept as it came, brackets or not, with all its parameters.
func TestAddresses(t *testing.T) {
	for p, want := range map[string][]string{
		"<a@b>\x00":                    {"<a@b>"},
		"a@b\x00":                      {"a@b"},
		"\x00":                         {""},
		"<>\x00BODY=8BITMIME\x00\x00":  {"<>", "BODY=8BITMIME", ""},
		"<\xc3\xa9@b>\x00SMTPUTF8\x00": {"<é@b>", "SMTPUTF8"},
	} {
		a, err := ParseAddress(CmdRcpt, []byte(p))
		got := []string{string(a.Addr)}
		for arg := range a.Args() {
			got = append(got, string(arg))
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v", p, got, err)
		}
	}
}

// The error of a bad address names the command it came with.
func TestABadAddressNamesItsCommand(t *testing.T) {
	for code, want := range map[byte]string{CmdMail: "MAIL: no NUL after the address", CmdRcpt: "RCPT: no NUL after the address"} {
		if _, err := ParseAddress(code, []byte("<a@b>")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := ParseAddress(CmdMail, []byte("<a@b>\x00SIZE")); err == nil {
		t.Error("a parameter that was cut off is taken")
	}
}

// A value is given as it came: empty, 8-bit, folded, very long, with its leading
// space, with NULs inside.
func TestHeaders(t *testing.T) {
	for _, value := range []string{"", " ", " a\n\tb\n c", " \xff\xfe", "a\x00b", "\x00", strings.Repeat("x", 300000)} {
		name, got, err := ParseHeader([]byte("X-Name\x00" + value + "\x00"))
		if err != nil || string(name) != "X-Name" || string(got) != value {
			t.Errorf("%.20q: got %q, %.20q, %v", value, name, got, err)
		}
	}
}

// One string is not a field: the value's own NUL must be there.
func TestBadHeaders(t *testing.T) {
	for _, p := range []string{"", "X", "X\x00", "X\x00y"} {
		if _, _, err := ParseHeader([]byte(p)); err == nil {
			t.Errorf("%q is taken", p)
		}
	}
}

// HELO and UNKNOWN are one string and nothing else.
func TestOneStringCommands(t *testing.T) {
	for p, good := range map[string]bool{"": false, "a": false, "\x00": true, "a b\xff\x00": true, "a\x00b\x00": false, "a\x00\x00": false} {
		name, err1 := ParseHelo([]byte(p))
		line, err2 := ParseUnknown([]byte(p))
		if (err1 == nil) != good || (err2 == nil) != good {
			t.Errorf("%q: %v, %v", p, err1, err2)
		}
		if want := strings.TrimSuffix(p, "\x00"); good && (string(name) != want || string(line) != want) {
			t.Errorf("%q: got %q and %q", p, name, line)
		}
	}
}
