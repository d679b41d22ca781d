package action

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/milterkit/sdk/milterkit"
)

// An error about an action names the option, what is wrong, and what would be right.
func TestErrorSaysWhatWouldBeRight(t *testing.T) {
	err := Check("fail", "rejct", None, Reject, TempFail)
	const want = `fail: "rejct" is no action; write "none", "reject" or "tempfail"`
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	var named interface{ Option() string }
	if !errors.As(err, &named) || named.Option() != "fail" {
		t.Error("the error does not name its option")
	}
	if err := Check("fail", "reject", None, Reject); err != nil {
		t.Error(err)
	}
}

// Clients are told by their addresses, in whatever form an MTA has these.
func TestOutside(t *testing.T) {
	skip := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/10")}
	for _, c := range []struct {
		family milterkit.Family
		addr   string
		want   bool
	}{
		{milterkit.FamilyInet, "203.0.113.7", true},
		{milterkit.FamilyInet, "192.0.2.7", false},
		{milterkit.FamilyInet, "127.0.0.2", false},
		{milterkit.FamilyInet6, "IPv6:2001:db8::1", true},
		{milterkit.FamilyInet6, "::1", false},
		{milterkit.FamilyInet6, "::ffff:192.0.2.7", false},
		{milterkit.FamilyInet6, "::ffff:127.0.0.1", false},
		{milterkit.FamilyInet6, "fe80::1%eth0", false},
		{milterkit.FamilyUnix, "/run/x", false},
		{milterkit.FamilyUnknown, "", false},
	} {
		if _, got := Outside(&milterkit.Session{Family: c.family, Addr: c.addr}, skip); got != c.want {
			t.Errorf("%s: %v", c.addr, got)
		}
	}
}
