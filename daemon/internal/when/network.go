package when

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/milterkit/sdk/milterkit"
)

// networks are those that a condition names, by their text.
type networks map[string]netip.Prefix

// add takes in a network, or one address. It refuses one whose address has bits
// beyond its length: that is a slip in either, and a guess would be wrong half
// of the time.
func (n networks) add(text string) error {
	p, err := netip.ParsePrefix(text)
	if addr, e := netip.ParseAddr(text); e == nil && addr.Zone() == "" {
		p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil {
		return fmt.Errorf(`%q is not a network; write one such as "192.0.2.0/24" or "2001:db8::/32"`, text)
	}
	if masked := p.Masked(); masked != p {
		return fmt.Errorf("%q has bits beyond the first %d; write %q or %q", text, p.Bits(), masked, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	n[text] = p
	return nil
}

// cidr is the function of that name: whether an address is in one of some
// networks. What is not an IP address is in none.
func (n networks) cidr(args ...any) (any, error) {
	addr, ok := parseAddr(args[0].(string))
	if !ok {
		return false, nil
	}
	for _, text := range args[1:] {
		if n[text.(string)].Contains(addr) {
			return true, nil
		}
	}
	return false, nil
}

// parseAddr reads an address as MTAs write it: IPv6 ones of Sendmail, and those
// in macros of both, begin with "IPv6:".
func parseAddr(text string) (netip.Addr, bool) {
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text = text[5:]
	}
	addr, err := netip.ParseAddr(text)
	return addr.Unmap().WithZone(""), err == nil
}

// local reports whether the mail comes from this machine: from its loopback, or
// from no network at all. Mail that Postfix's cleanup hands to non_smtpd_milters
// comes from 127.0.0.1 or ::1, port 0; what Sendmail reads from its standard
// input (-bs) has no family.
func local(s *milterkit.Session) bool {
	switch s.Family {
	case milterkit.FamilyInet, milterkit.FamilyInet6:
		return s.Client().Addr().IsLoopback()
	}
	return true
}
