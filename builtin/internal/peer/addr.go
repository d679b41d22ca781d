// Package peer is about the servers that children ask, such as clamd: their
// addresses as an administrator writes them, and which of several is asked.
package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// ConnectTimeout bounds each Dial. A server that is up answers at once.
const ConnectTimeout = 5 * time.Second

// maxUnixPath is the longest path a unix socket can have on Linux, in bytes:
// sun_path holds 108, the last of them NUL. Source: unix(7).
const maxUnixPath = 107

// forms is what an administrator is told an address can look like.
const forms = "write unix:/PATH, inet:PORT@HOST or HOST:PORT"

// An Addr is the address of a server, in the words of package net.
type Addr struct {
	Network string // "unix" or "tcp"
	Addr    string // a path, or "host:port"
}

// Parse reads an address as Postfix writes sockets: unix:PATH, inet:PORT@HOST,
// inet:HOST:PORT, and the same with local: for unix: and with inet6: or tcp: for
// inet:. A path alone will do, and so will HOST:PORT. An IPv6 address stands in
// brackets.
func Parse(spec string) (Addr, error) {
	if strings.HasPrefix(spec, "/") {
		return parseUnix(spec)
	}
	scheme, rest, _ := strings.Cut(spec, ":")
	switch scheme {
	case "unix", "local":
		return parseUnix(rest)
	case "inet", "inet6", "tcp":
		return parseInet(spec, rest)
	}
	return parseInet(spec, spec)
}

// ParseAll reads several addresses.
func ParseAll(specs []string) ([]Addr, error) {
	if len(specs) == 0 {
		return nil, errors.New("there is no address; " + forms)
	}
	addrs := make([]Addr, len(specs))
	for i, spec := range specs {
		var err error
		if addrs[i], err = Parse(spec); err != nil {
			return nil, err
		}
		for _, before := range addrs[:i] {
			if before == addrs[i] {
				return nil, fmt.Errorf("%s stands there twice", before)
			}
		}
	}
	return addrs, nil
}

func parseUnix(path string) (Addr, error) {
	switch {
	case !strings.HasPrefix(path, "/"):
		return Addr{}, fmt.Errorf("the path of a unix socket begins with /, %q does not", path)
	case strings.HasSuffix(path, "/"):
		return Addr{}, fmt.Errorf("%q is a directory, not a unix socket", path)
	case strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }):
		return Addr{}, fmt.Errorf("the path %q has a control character", path)
	case len(path) > maxUnixPath:
		return Addr{}, fmt.Errorf("the path of a unix socket is at most %d bytes long, this one is %d", maxUnixPath, len(path))
	}
	return Addr{"unix", path}, nil
}

// parseInet reads PORT@HOST or HOST:PORT, which is rest of spec.
func parseInet(spec, rest string) (Addr, error) {
	port, host, found := strings.Cut(rest, "@")
	if !found {
		i := strings.LastIndexByte(rest, ':')
		if i < 0 {
			return Addr{}, fmt.Errorf("%q is not the address of a server; %s", spec, forms)
		}
		host, port = rest[:i], rest[i+1:]
		if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
			return Addr{}, fmt.Errorf("%q is not the address of a server: an IPv6 address stands in brackets", spec)
		}
	}
	bare := host
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		bare = host[1 : len(host)-1]
	}
	if ip, err := netip.ParseAddr(bare); err == nil && isHostName(ip.WithZone("").String()+ip.Zone()) {
		bare = ip.String()
	} else if bare != host || !isHostName(host) || strings.Contains(host, ":") || isNumber(host[strings.LastIndexByte(host, '.')+1:]) {
		return Addr{}, fmt.Errorf("%q is not the address of a server: %q is neither a host name nor an IP address; %s", spec, host, forms)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return Addr{}, fmt.Errorf("%q is not the address of a server: %q is not a port, which is a number from 1 to 65535", spec, port)
	}
	return Addr{"tcp", net.JoinHostPort(bare, strings.TrimLeft(port, "0"))}, nil
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// isHostName reports whether s is made of what names and addresses of hosts are
// made of.
func isHostName(s string) bool {
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && !('0' <= c && c <= '9') && !strings.ContainsRune(".-_:", rune(c)) {
			return false
		}
	}
	return s != "" && len(s) <= 253 && s[0] != '.' && s[0] != '-'
}

// String writes the address so that Parse reads the same one: unix:PATH or
// inet:PORT@HOST.
func (a Addr) String() string {
	host, port, err := net.SplitHostPort(a.Addr)
	switch {
	case a.Network != "tcp" || err != nil:
		return a.Network + ":" + a.Addr
	case strings.Contains(host, ":"):
		return "inet6:" + port + "@[" + host + "]"
	}
	return "inet:" + port + "@" + host
}

// Dial connects to the server, within [ConnectTimeout]. The error says why not,
// without the address.
func (a Addr) Dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: ConnectTimeout}
	conn, err := d.DialContext(ctx, a.Network, a.Addr)
	if err != nil {
		return nil, fmt.Errorf("cannot connect: %w", Reason(err))
	}
	return conn, nil
}

// Reason is what is wrong with a connection, without the address and the name of
// the system call: the caller knows the one, and nobody needs the other.
func Reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return err
}
