// Package socket reads the addresses of sockets as mail servers write them, and
// makes way for a unix socket.
package socket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/milterkit/sdk/internal/nearest"
)

// maxUnixPath is the longest path a unix socket can have on Linux, in bytes:
// sun_path holds 108, the last of them NUL. Source: unix(7).
const maxUnixPath = 107

// An Addr is an address to listen on or to dial, in the words of package net.
// The zero Addr is none.
type Addr struct {
	Network string // "unix", "tcp", "tcp6" or "systemd"
	Addr    string // a path, "host:port", or the name that systemd knows a socket by
}

// socketForms is what an administrator is told a socket can look like.
const socketForms = `write unix:/PATH, inet:PORT@HOST, inet:HOST:PORT or inet6:PORT@[ADDRESS]`

// socketSchemes are the words before the first colon.
var socketSchemes = []string{"unix", "local", "inet", "inet6", "tcp", "systemd"}

// IsScheme reports whether word is one that a socket may begin with.
func IsScheme(word string) bool { return slices.Contains(socketSchemes, word) }

// Parse reads a socket as Postfix and libmilter write it: unix:PATH,
// local:PATH, /PATH, inet:PORT@HOST, inet:HOST:PORT, inet:PORT, the same with
// inet6 or tcp, and systemd:NAME. Without a host it is loopback, never all
// addresses.
func Parse(spec string) (Addr, error) {
	if strings.HasPrefix(spec, "/") {
		return parseUnix(spec)
	}
	scheme, rest, found := strings.Cut(spec, ":")
	switch scheme {
	case "unix", "local":
		if found {
			return parseUnix(rest)
		}
	case "inet", "tcp":
		if found {
			return parseInet(rest, false)
		}
	case "inet6":
		if found {
			return parseInet(rest, true)
		}
	case "systemd":
		if found {
			return parseSystemd(rest)
		}
	}
	if near := nearest.To(scheme, socketSchemes); found && near != "" {
		return Addr{}, fmt.Errorf("%q is not a kind of socket; did you mean %q?", scheme, near)
	}
	if s, err := parseInet(spec, false); err == nil && found {
		return Addr{}, fmt.Errorf("%q does not say what kind of socket it is; did you mean %q?", spec, s)
	}
	return Addr{}, fmt.Errorf("%q is not a socket; %s", spec, socketForms)
}

// String writes the socket so that Parse reads the same one.
func (s Addr) String() string {
	if s == (Addr{}) {
		return ""
	}
	if s.Network == "unix" || s.Network == "systemd" {
		return s.Network + ":" + s.Addr
	}
	host, port, err := net.SplitHostPort(s.Addr)
	switch {
	case err != nil:
		return s.Network + ":" + s.Addr
	case strings.Contains(host, ":"):
		return "inet6:" + port + "@[" + host + "]"
	case s.Network == "tcp6":
		return "inet6:" + port + "@" + host
	}
	return "inet:" + port + "@" + host
}

func parseUnix(path string) (Addr, error) {
	switch {
	case !strings.HasPrefix(path, "/"):
		return Addr{}, fmt.Errorf("the path of a unix socket begins with /, %q does not", path)
	case strings.HasSuffix(path, "/"):
		return Addr{}, fmt.Errorf("%q is a directory, not a unix socket", path)
	case strings.ContainsFunc(path, isControl):
		return Addr{}, fmt.Errorf("the path %q has a control character", path)
	case len(path) > maxUnixPath:
		return Addr{}, fmt.Errorf("the path of a unix socket is at most %d bytes long, this one is %d", maxUnixPath, len(path))
	}
	return Addr{"unix", path}, nil
}

func parseSystemd(name string) (Addr, error) {
	// Source: sd_listen_fds_with_names(3).
	if name == "" || len(name) > 255 || strings.ContainsFunc(name, isControl) || strings.Contains(name, ":") {
		return Addr{}, errors.New("after systemd: stands the FileDescriptorName of the socket unit")
	}
	return Addr{"systemd", name}, nil
}

// parseInet reads PORT@HOST, HOST:PORT or PORT.
func parseInet(spec string, six bool) (Addr, error) {
	var host, port string
	if i := strings.LastIndexByte(spec, '@'); i >= 0 {
		port, host = spec[:i], spec[i+1:]
	} else if i := strings.LastIndexByte(spec, ':'); i >= 0 {
		host, port = spec[:i], spec[i+1:]
		if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
			return Addr{}, fmt.Errorf("%q: an IPv6 address stands in brackets: inet6:PORT@[ADDRESS]", spec)
		}
	} else {
		port, host = spec, "127.0.0.1"
		if six {
			host = "::1"
		}
	}
	port, err := parsePort(port)
	if err != nil {
		return Addr{}, err
	}
	host, named, err := parseHost(host, six)
	if err != nil {
		return Addr{}, err
	}
	network := "tcp"
	if six && named {
		network = "tcp6"
	}
	return Addr{network, net.JoinHostPort(host, port)}, nil
}

// parsePort returns the number of a port, which may be given as a service's
// name.
func parsePort(port string) (string, error) {
	n, err := strconv.ParseUint(port, 10, 32)
	if err != nil && isHostName(port) {
		var service int
		service, err = net.LookupPort("tcp", port)
		n = uint64(service)
	}
	if err != nil || n == 0 || n > 65535 {
		return "", fmt.Errorf("%q is not a port: it is a number from 1 to 65535", port)
	}
	return strconv.FormatUint(n, 10), nil
}

// parseHost returns the canonical form of an address or a name.
func parseHost(host string, six bool) (canonical string, named bool, err error) {
	bare := host
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		bare = host[1 : len(host)-1]
	}
	if addr, err := netip.ParseAddr(bare); err == nil && (addr.Zone() == "" || isHostName(addr.Zone())) {
		if six && addr.Is4() {
			return "", false, fmt.Errorf("%s is an IPv4 address: write inet:", addr)
		}
		return addr.String(), false, nil
	}
	// A name whose last part is a number is an address written wrongly.
	last := bare[strings.LastIndexByte(bare, '.')+1:]
	if _, err := strconv.Atoi(last); err == nil || bare != host || !isHostName(host) {
		return "", false, fmt.Errorf("%q is neither a host name nor an IP address", host)
	}
	return host, true, nil
}

// isHostName reports whether s is made of what host names, services and
// interfaces are made of.
func isHostName(s string) bool {
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && !('0' <= c && c <= '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 253 && s[0] != '.' && s[0] != '-'
}

// isControl reports whether r has no place in a path or a name that is logged.
func isControl(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }
