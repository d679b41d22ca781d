package stack

import (
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
)

// Unbound is a name server that knows a few records. All other names do not
// exist, and no other name server is asked.
type Unbound struct {
	Root *Root

	// Records are those it knows, each as a line of a zone file.
	Records []string

	// Refused are domains about which it refuses to say anything.
	Refused []string

	ip string
	daemon
}

// NewUnbound makes a name server that is still to be started. It is given an
// address of its own, as resolv.conf cannot tell of a port: it must be 53.
func NewUnbound(r *Root, records ...string) *Unbound {
	ip := net.IPv4(127, 53, byte(rand.IntN(256)), byte(1+rand.IntN(254)))
	return &Unbound{Root: r, Records: records, ip: ip.String()}
}

// Addr is where it answers.
func (u *Unbound) Addr() string { return net.JoinHostPort(u.ip, "53") }

// Start implements [Component].
func (u *Unbound) Start() error {
	r := u.Root
	dir, err := r.mkdir("unbound")
	if err != nil {
		return err
	}
	config := fmt.Sprintf(`server:
  directory: "%s"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  interface: %s
  access-control: 127.0.0.0/8 allow
  module-config: "iterator"
  rrset-roundrobin: no
  local-zone: "." static
`, dir, u.ip)
	for _, record := range u.Records {
		config += "  local-data: '" + record + "'\n"
	}
	for _, domain := range u.Refused {
		config += "  local-zone: \"" + domain + ".\" refuse\n"
	}
	config += "remote-control:\n  control-enable: no\n"
	conf := r.Path("unbound", "unbound.conf")
	if err := r.write(conf, config); err != nil {
		return err
	}
	// Nobody may open a port below 1024 with this capability only.
	u.grace = stopLimit
	if err := u.launch(r, "unbound", dir, nil, nil, "setpriv", fmt.Sprintf("--reuid=%d", r.uid), fmt.Sprintf("--regid=%d", r.gid), "--clear-groups",
		"--pdeathsig=KILL", "--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service", "unbound", "-d", "-c", conf); err != nil {
		return err
	}
	return u.connects("tcp", u.Addr())
}

// launchAsking starts a program as nobody, for which this is the machine's name
// server: in a mount namespace with another /etc/resolv.conf, which is the only
// place where some programs look.
func (u *Unbound) launchAsking(d *daemon, name, dir string, argv ...string) error {
	r := u.Root
	if _, err := program(argv[0]); err != nil {
		return err
	}
	resolv := filepath.Join(dir, "resolv.conf")
	if err := r.write(resolv, "nameserver "+u.ip+"\n"); err != nil {
		return err
	}
	script := fmt.Sprintf("mount --bind %s /etc/resolv.conf && exec setpriv --reuid=%d --regid=%d --clear-groups --pdeathsig=KILL \"$@\"",
		resolv, r.uid, r.gid)
	argv = append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"}, argv...)
	return d.launch(r, name, dir, nil, nil, argv...)
}

// TXT is a TXT record, as a line of a zone file. It is several strings of at most
// 255 bytes.
func TXT(name, text string) string {
	var parts []string
	for n := 0; text != ""; text = text[n:] {
		n = min(200, len(text))
		parts = append(parts, `"`+text[:n]+`"`)
	}
	return name + ". 60 IN TXT " + strings.Join(parts, " ")
}
