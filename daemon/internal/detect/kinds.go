package detect

import (
	"path"
	"slices"
	"strings"

	"github.com/milterkit/sdk/milterkit"
)

// Ranks are the places of filters in the order in which they are asked.
const (
	rankGreylist = iota // costs a client nothing but time, and spares all others
	rankRules
	rankVerify // before SPF: those of DKIM delete results that are said to be ours
	rankSPF
	rankDMARC // after both, whose results it reads
	rankVirus
	rankSpam
	rankOther
	rankSign // after all that edits
)

// Conditions of those filters that are not asked about all mail.
const (
	whenForeign = "!authenticated && !local" // mail that comes from elsewhere
	whenOwn     = "authenticated || local"   // the rest of it
	whenS25R    = "s25r && !authenticated"
)

// A kind is a filter that is known.
type kind struct {
	name   string
	names  []string // of its services and programs, besides name
	rank   int
	when   string
	action milterkit.DefaultAction

	flag   string   // of the socket on its command line
	conf   []string // flags that name its configuration
	files  []string // where that is otherwise
	keys   []string // of the socket there, in small letters
	socket string   // where nothing is said; what its own sources say
	dkim   bool     // it may verify, sign, or do both
}

var generic = &kind{rank: rankOther, conf: []string{"-c", "-x", "-C", "-f", "--config", "--config-file"},
	keys: []string{"socket", "miltersocket", "milter.socket", "milter_socket"}}

var kinds = []*kind{
	{name: "milter-greylist", names: []string{"miltergreylist"}, rank: rankGreylist, when: whenS25R, action: milterkit.DefaultAccept,
		flag: "-p", conf: []string{"-f"}, keys: []string{"socket"}, socket: "/var/milter-greylist/milter-greylist.sock",
		files: []string{"/etc/milter-greylist/greylist.conf", "/etc/mail/greylist.conf", "/usr/local/etc/mail/greylist.conf", "/usr/pkg/etc/mail/greylist.conf", "/usr/pkg/etc/milter-greylist/greylist.conf"}},
	{name: "pyspf-milter", names: []string{"pyspf_milter"}, rank: rankSPF, when: whenForeign,
		keys: []string{"socket"}, socket: "local:/run/pyspf-milter/pyspf-milter.sock",
		files: []string{"/etc/pyspf-milter/pyspf-milter.conf", "/usr/local/etc/pyspf-milter/pyspf-milter.conf"}},
	{name: "smf-spf", names: []string{"smf_spf"}, rank: rankSPF, when: whenForeign,
		conf: []string{"-c"}, keys: []string{"socket"}, files: []string{"/etc/mail/smfs/smf-spf.conf", "/etc/smf-spf.conf", "/usr/local/etc/mail/smfs/smf-spf.conf"}},
	{name: "spfmilter", rank: rankSPF, when: whenForeign, flag: "-p"},
	{name: "sid-milter", names: []string{"milter-sid", "miltersid", "sid-filter"}, rank: rankSPF, when: whenForeign, flag: "-p"},
	{name: "milter-regex", names: []string{"milterregex"}, rank: rankRules, when: whenForeign,
		flag: "-p", socket: "unix:/var/spool/milter-regex/sock"},
	{name: "enma", names: []string{"milter-enma", "milterenma"}, rank: rankVerify, when: whenForeign,
		conf: []string{"-c"}, keys: []string{"milter.socket"}, socket: "inet:10025@127.0.0.1",
		files: []string{"/etc/enma.conf", "/usr/local/etc/enma.conf", "/usr/pkg/etc/enma.conf"}},
	{name: "opendkim", names: []string{"milter-opendkim", "milteropendkim"}, rank: rankVerify, dkim: true,
		flag: "-p", conf: []string{"-x"}, keys: []string{"socket"},
		files: []string{"/etc/opendkim.conf", "/usr/local/etc/mail/opendkim.conf", "/usr/local/etc/opendkim.conf", "/usr/pkg/etc/opendkim.conf"}},
	{name: "dkimpy-milter", names: []string{"dkimpy_milter"}, rank: rankVerify, dkim: true,
		keys: []string{"socket"}, socket: "local:/var/run/dkimpy-milter/dkimpy-milter.sock",
		files: []string{"/etc/dkimpy-milter/dkimpy-milter.conf", "/etc/dkimpy-milter.conf", "/usr/local/etc/dkimpy-milter/dkimpy-milter.conf", "/usr/local/etc/dkimpy-milter.conf"}},
	{name: "opendmarc", rank: rankDMARC, when: whenForeign,
		flag: "-p", conf: []string{"-c"}, keys: []string{"socket"},
		files: []string{"/etc/opendmarc.conf", "/usr/local/etc/mail/opendmarc.conf", "/usr/local/etc/opendmarc.conf", "/usr/pkg/etc/opendmarc.conf"}},
	{name: "clamav-milter", names: []string{"clamav_milter", "clamd.milter"}, rank: rankVirus,
		conf: []string{"-c", "--config-file"}, keys: []string{"miltersocket"},
		files: []string{"/etc/clamav/clamav-milter.conf", "/etc/mail/clamav-milter.conf", "/etc/clamav-milter.conf", "/usr/local/etc/clamav-milter.conf", "/usr/pkg/etc/clamav-milter.conf"}},
	{name: "amavisd-milter", names: []string{"amavisd_milter", "amavis-milter", "amavisd-new-milter", "amavismilter"}, rank: rankVirus,
		flag: "-s", socket: "/var/lib/amavis/amavisd-milter.sock"},
	{name: "mimedefang", names: []string{"mimedefang.pl"}, rank: rankVirus, flag: "-p"},
	{name: "spamass-milter", names: []string{"spamass_milter", "spamass-milter-root"}, rank: rankSpam, when: whenForeign, action: milterkit.DefaultAccept,
		flag: "-p"},
	{name: "rspamd", rank: rankSpam, when: whenForeign, action: milterkit.DefaultAccept},
}

// named returns the kind of a service or a program by its name.
func named(name string) *kind {
	name, _, _ = strings.Cut(name, "@")
	for _, k := range kinds {
		if k.name == name || slices.Contains(k.names, name) {
			return k
		}
	}
	return nil
}

// others are what has to do with milters and is none: milterkit itself, what it
// takes the place of, and mail servers.
var others = []string{"milterkit", "milter-manager", "milter_manager", "miltermanager", "postfix", "sendmail", "postmulti"}

// kindOf returns what a service is: a known filter, generic, or nil for what is no
// milter by all that is known of it.
func kindOf(s *service) *kind {
	program := path.Base(s.program)
	if slices.Contains(others, program) || slices.Contains(others, s.name) {
		return nil
	}
	for _, name := range []string{program, s.name, s.base} {
		if k := named(name); k != nil {
			return k
		}
	}
	milterish := strings.Contains(strings.ToLower(s.name+" "+s.title+" "+program), "milter")
	for _, flag := range []string{"-p", "-s"} {
		text, ok := s.flag(flag)
		if scheme, _, found := strings.Cut(text, ":"); ok && found && slices.Contains([]string{"unix", "local", "inet", "inet6"}, scheme) {
			milterish = true
		}
	}
	if milterish {
		return generic
	}
	return nil
}

// flag returns the argument of a flag: -p X, -pX, --flag X, --flag=X.
func (s *service) flag(flag string) (string, bool) {
	for i, a := range s.args {
		rest, ok := strings.CutPrefix(a, flag)
		switch {
		case !ok:
		case rest == "" && i+1 < len(s.args):
			return s.args[i+1], true
		case rest != "" && strings.HasPrefix(flag, "--"):
			if text, ok := strings.CutPrefix(rest, "="); ok {
				return text, true
			}
		case rest != "" && !strings.HasPrefix(a, "--"):
			return rest, true
		}
	}
	return "", false
}

// rank is the place of a milter in the order.
func (m *Found) rank() int {
	if m.kind.dkim && m.signs && !m.verifies {
		return rankSign
	}
	return m.kind.rank
}
