package doctor

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/internal/socket"
)

// A filter is what the configuration of one says that is looked at.
type filter struct {
	file     string
	settings map[string]string // in small letters
	socket   socket.Addr
}

// filterFiles are where filters have their configurations, below the root.
var filterFiles = map[string][]string{
	"opendkim":      {"etc/opendkim.conf", "etc/opendkim/opendkim.conf", "usr/local/etc/mail/opendkim.conf", "usr/local/etc/opendkim.conf", "usr/pkg/etc/opendkim.conf"},
	"dkimpy-milter": {"etc/dkimpy-milter/dkimpy-milter.conf", "etc/dkimpy-milter.conf", "usr/local/etc/dkimpy-milter/dkimpy-milter.conf", "usr/local/etc/dkimpy-milter.conf"},
	"opendmarc":     {"etc/opendmarc.conf", "etc/opendmarc/opendmarc.conf", "usr/local/etc/mail/opendmarc.conf", "usr/local/etc/opendmarc.conf", "usr/pkg/etc/opendmarc.conf"},
	"pyspf-milter":  {"etc/pyspf-milter/pyspf-milter.conf", "usr/local/etc/pyspf-milter/pyspf-milter.conf"},
}

// filterOf returns the configuration of the filter at a socket, nil where there is
// none that could be its. Where the socket is nil any will do.
func filterOf(root, kind string, at *config.Socket) *filter {
	for _, name := range filterFiles[kind] {
		text, err := readFile(filepath.Join(root, name))
		if err != nil {
			continue
		}
		f := &filter{file: filepath.Join(root, name), settings: settings(text)}
		f.socket, _ = socket.Parse(f.settings["socket"]) // zero where it cannot be read
		if at == nil || f.socket == (socket.Addr{}) || same(f.socket, *at) || same(*at, f.socket) {
			return f // where its socket is not said, it is in the unit that starts it
		}
	}
	return nil
}

// settings are the lines "Key value" of a file; the last of one key counts.
func settings(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
		n := strings.IndexAny(line, " \t=")
		if line == "" || line[0] == '#' || n < 0 {
			continue
		}
		value := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line[n:]), "="))
		all[strings.ToLower(line[:n])] = strings.Trim(value, `"`)
	}
	return all
}

// hostName is what filters call HOSTNAME.
func hostName() string {
	name, _ := os.Hostname()
	return name
}
