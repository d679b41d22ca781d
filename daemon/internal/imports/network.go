package imports

import (
	"net"
	"net/netip"
	"strings"

	"github.com/milterkit/sdk/internal/socket"
)

// prefixOf reads a network or an address: 192.0.2.0/24, 192.0.2.0/255.255.255.0,
// 192.0.2.1, [::1], ::ffff:127.0.0.0/104.
func prefixOf(s string) (netip.Prefix, bool) {
	host, bits, isNet := strings.Cut(s, "/")
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	p := netip.PrefixFrom(addr, addr.BitLen())
	if isNet {
		if mask := net.ParseIP(bits).To4(); mask != nil && addr.Is4() {
			ones, size := net.IPMask(mask).Size()
			if size == 0 {
				return netip.Prefix{}, false
			}
			p = netip.PrefixFrom(addr, ones)
		} else if p, err = netip.ParsePrefix(addr.String() + "/" + bits); err != nil {
			return netip.Prefix{}, false
		}
	}
	if addr.Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

// isLoopback reports whether a network is only this machine.
func isLoopback(p netip.Prefix) bool {
	return p.Addr().IsLoopback() && (p.Addr().Is6() && p.Bits() == 128 || p.Addr().Is4() && p.Bits() >= 8)
}

// hosts are the entries of a list: networks, and what is none.
type hosts struct {
	networks []netip.Prefix
	others   []string
}

// add takes in one entry. The name of this machine is its addresses.
func (h *hosts) add(entry string) {
	switch p, ok := prefixOf(entry); {
	case ok:
		h.networks = append(h.networks, p)
	case strings.EqualFold(entry, "localhost"):
		h.networks = append(h.networks, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	default:
		h.others = append(h.others, entry)
	}
}

// foreign are the networks that are not this machine.
func (h *hosts) foreign() []netip.Prefix {
	var list []netip.Prefix
	for _, p := range h.networks {
		if !isLoopback(p) {
			list = append(list, p)
		}
	}
	return list
}

// hostsOf reads a list of hosts as OpenDKIM and OpenDMARC have it: the entries
// themselves, or the file that has them, a line each. The second result is the file
// that could not be read, or "".
func (s *service) hostsOf(value string) (hosts, string) {
	var h hosts
	file := strings.TrimPrefix(strings.TrimPrefix(value, "refile:"), "file:")
	if !strings.HasPrefix(file, "/") {
		for _, entry := range (setting{value: strings.TrimPrefix(value, "csl:")}).list() {
			h.add(entry)
		}
		return h, ""
	}
	text, ok := s.readFile(file)
	if !ok {
		return h, file
	}
	for _, set := range settingsOf(text, "", false) {
		h.add(set.key)
	}
	return h, ""
}

// narrowed are networks without those that lie within another.
func narrowed(networks []netip.Prefix) []netip.Prefix {
	have := map[netip.Prefix]bool{}
	for _, p := range networks {
		have[p.Masked()] = true
	}
	var list []netip.Prefix
	seen := map[netip.Prefix]bool{}
	for _, p := range networks {
		p = p.Masked()
		within := seen[p]
		for bits := 0; bits < p.Bits() && !within; bits++ {
			within = have[netip.PrefixFrom(p.Addr(), bits).Masked()]
		}
		if !within {
			list = append(list, p)
		}
		seen[p] = true
	}
	return list
}

// texts are networks as the configuration file has them.
func texts(networks []netip.Prefix) []string {
	list := make([]string, len(networks))
	for i, p := range networks {
		list[i] = p.String()
	}
	return list
}

// dialed is where a milter is found that listens on spec, in the words of the
// configuration file; false where spec is none.
func dialed(spec string) (string, bool) {
	spec = unquoted(strings.TrimSpace(spec))
	scheme, rest, found := strings.Cut(spec, ":")
	switch {
	case strings.HasPrefix(spec, "/"):
		spec = "unix:" + spec
	case !found:
		return "", false
	case scheme == "local":
		spec = "unix:" + rest
	case strings.HasPrefix(scheme, "inet"):
		port, host, _ := strings.Cut(rest, "@")
		if host != "" || !strings.Contains(rest, ":") { // else HOST:PORT
			switch strings.Trim(host, "[]") {
			case "", "0.0.0.0":
				host = "127.0.0.1"
				if scheme == "inet6" {
					host = "[::1]"
				}
			case "::":
				host = "[::1]"
			}
			if scheme == "inet" && strings.HasPrefix(host, "[") && !strings.Contains(host, ":") {
				host = strings.Trim(host, "[]") // libmilter writes IPv4 addresses so
			}
			spec = scheme + ":" + port + "@" + host
		}
	}
	a, err := socket.Parse(spec)
	if err != nil || a.Network == "systemd" {
		return "", false
	}
	return a.String(), true
}
