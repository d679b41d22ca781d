package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/milterkit/sdk/internal/socket"
	"github.com/milterkit/sdk/internal/tomlfile"
)

// A Socket is an address to listen on or to dial.
type Socket = socket.Addr

// ParseSocket reads a socket as it stands in the file.
func ParseSocket(spec string) (Socket, error) { return socket.Parse(spec) }

// isControl reports whether r has no place in a path or a name that is logged.
func isControl(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }

// readListen takes a list of sockets.
func (l *loader) readListen(v *tomlfile.Value) ([]Socket, error) {
	const example = `write a list, such as ["unix:/run/milterkit/milterkit.sock"]`
	if v.Kind != tomlfile.IsArray {
		return nil, fmt.Errorf("this is %s; %s", v.Kind, example)
	}
	if len(v.Items) == 0 {
		return nil, fmt.Errorf("the list is empty, so no MTA could connect; %s", example)
	}
	return l.sockets(v.Items, "listen", tomlfile.Text("unix:/run/milterkit/milterkit.sock", ParseSocket)), nil
}

// readStatus takes a list of addresses, or one, or "" for none.
func (l *loader) readStatus(v *tomlfile.Value) ([]Socket, error) {
	read := tomlfile.Text("127.0.0.1:8891", parseStatus)
	if v.Kind == tomlfile.IsArray {
		return l.sockets(v.Items, "status", read), nil
	}
	s, err := read(v)
	if err != nil || v.Text == "" {
		return nil, err
	}
	return []Socket{s}, nil
}

// sockets reads the items of a list of sockets, the value of key.
func (l *loader) sockets(items []*tomlfile.Value, key string, read func(*tomlfile.Value) (Socket, error)) []Socket {
	var sockets []Socket
	for _, item := range items {
		s, err := read(item)
		switch {
		case err != nil:
		case s == (Socket{}):
			err = errors.New("an empty text is no address")
		case slices.Contains(sockets, s):
			err = fmt.Errorf("%s is in the list twice", s)
		}
		if err != nil {
			l.report(item.At, key+": "+err.Error())
			continue
		}
		sockets = append(sockets, s)
	}
	return sockets
}

func parseChildSocket(spec string) (Socket, error) {
	s, err := ParseSocket(spec)
	if err == nil && s.Network == "systemd" {
		return Socket{}, errors.New("systemd: is for listen; a milter is found at unix:/PATH or inet:PORT@HOST")
	}
	return s, err
}

// parseStatus reads HOST:PORT, or a socket.
func parseStatus(spec string) (Socket, error) {
	if spec == "" {
		return Socket{}, nil
	}
	host, port, err := net.SplitHostPort(spec)
	scheme, _, _ := strings.Cut(spec, ":")
	if err != nil || socket.IsScheme(scheme) {
		s, err := ParseSocket(spec)
		if err != nil {
			return Socket{}, fmt.Errorf(`%w; for the status page also "127.0.0.1:8891" will do`, err)
		}
		return s, nil
	}
	if host == "" {
		return ParseSocket("inet:" + port)
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return ParseSocket("inet:" + host + ":" + port)
}
