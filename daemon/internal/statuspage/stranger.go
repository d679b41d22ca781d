package statuspage

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// stranger returns why a request is not to be answered, or "". A page of another site
// can have a browser ask this server, and by a name of its own that leads here (DNS
// rebinding) it could even read the answer; then the name in Host is not one of ours.
// Who uses a name of an attacker's cannot use an address.
func stranger(r *http.Request, names []string) string {
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate" {
		return "this is not for pages of other sites"
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(names, host) {
		return ""
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" && !strings.Contains(host, ".") {
		return "" // who asks there makes a name up, as in http://milterkit/; through a tunnel a browser gets there too
	}
	return "milterkit does not go by the name in this request's Host; use the address, as in http://127.0.0.1:8891/, or a name that status in [server] has; a web server before it sends Host: localhost"
}
