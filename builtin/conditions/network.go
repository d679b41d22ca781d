package conditions

import (
	"fmt"
	"net/netip"
	"strings"
)

// ParseNetwork reads a network, "192.0.2.0/24", or one address. It refuses a network
// whose address has bits beyond its length: that is a slip in either, and a guess
// would be wrong half of the time. ::ffff:192.0.2.0/120 is 192.0.2.0/24.
func ParseNetwork(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if addr, e := netip.ParseAddr(text); e == nil && addr.Zone() == "" {
		p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil {
		return p, fmt.Errorf(`%q is not a network; write one such as "192.0.2.0/24" or "2001:db8::/32"`, text)
	}
	if masked := p.Masked(); masked != p {
		return p, fmt.Errorf("%q has bits beyond the first %d; write %q or %q", text, p.Bits(), masked, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
	}
	return unmapped(p), nil
}

func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// ParseAddr reads an address as MTAs write it: IPv6 ones of Sendmail, and those in
// macros of both, begin with "IPv6:".
func ParseAddr(text string) (netip.Addr, bool) {
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text = text[5:]
	}
	addr, err := netip.ParseAddr(text)
	return addr.Unmap().WithZone(""), err == nil
}
