package greylist

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/milterkit/sdk/milterkit"
)

// clients are those of the option allow.
type clients struct {
	networks []netip.Prefix
	domains  []string
}

// have reports whether a client is one of them.
func (c clients) have(addr netip.Addr, domains []string) bool {
	return slices.ContainsFunc(c.networks, func(p netip.Prefix) bool { return p.Contains(addr) }) ||
		slices.ContainsFunc(domains, func(d string) bool { return slices.Contains(c.domains, d) })
}

// addrOf returns the address of a client that is not on this machine.
func addrOf(s *milterkit.Session) (netip.Addr, bool) {
	addr := s.Client().Addr().Unmap().WithZone("")
	return addr, addr.IsValid() && !addr.IsLoopback()
}

// maxLabels bounds the domains that a client's name is looked up by.
const maxLabels = 16

// domainsOf returns the client's name and the domains that it is in, without the
// top-level one; none where the MTA does not vouch for the name. Postfix has no
// name then; Sendmail says FORGED.
func domainsOf(s *milterkit.Session) []string {
	name := strings.ToLower(strings.TrimSuffix(s.Host, "."))
	if resolve := s.Macro("client_resolve"); !isDomain(name) || resolve != "" && resolve != "OK" {
		return nil
	}
	var domains []string
	for len(domains) < maxLabels && strings.Contains(name, ".") {
		domains = append(domains, name)
		_, name, _ = strings.Cut(name, ".")
	}
	return domains
}

// networksOf returns all networks that an address is in, as a Store knows them.
func networksOf(addr netip.Addr) []string {
	names := make([]string, 0, addr.BitLen()+1)
	for bits := addr.BitLen(); bits >= 0; bits-- {
		p, _ := addr.Prefix(bits)
		names = append(names, p.String())
	}
	return names
}

// maxAddress bounds what is kept of an address, in bytes. Of those that are longer
// the first so many count.
const maxAddress = 320

// address returns an address as a Key has it: in small letters, and without what
// no address has.
func address(text string) string {
	text = text[:min(len(text), maxAddress)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToLower(strings.ToValidUTF8(text, "")))
}

// recipients are a list of addresses and domains, in small letters.
type recipients []string

// have reports whether an address is one of them, or of one of their domains.
func (r recipients) have(addr string) bool {
	_, domain, _ := cutLast(addr, "@")
	return slices.Contains(r, addr) || domain != "" && slices.Contains(r, domain)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
