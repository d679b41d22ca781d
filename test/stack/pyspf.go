package stack

import "fmt"

// PySPF is pyspf-milter, which refuses the senders of domains whose SPF record
// says that the client is not one of theirs. What it finds of others it adds to
// the message.
type PySPF struct {
	Root *Root
	DNS  *Unbound

	// AuthservID is the name in the Authentication-Results that it adds.
	AuthservID string

	daemon
}

// Socket is where the milter listens, as main.cf has it.
func (p *PySPF) Socket() string { return "unix:" + p.Root.Path("pyspf", "sock") }

// Start implements [Component].
func (p *PySPF) Start() error {
	r := p.Root
	dir, err := r.mkdir("pyspf")
	if err != nil {
		return err
	}
	// It knows libmilter's word for a unix socket only. The address that it
	// takes for the internal network is nobody's.
	config := fmt.Sprintf(`Socket = local:%s
PidFile = %s
UserID = nobody:nogroup
InternalHosts = %s
Authserv_Id = %s
`, r.Path("pyspf", "sock"), r.Path("pyspf", "pid"), elsewhere, p.AuthservID)
	conf := r.Path("pyspf", "pyspf.conf")
	if err := r.write(conf, config); err != nil {
		return err
	}
	p.grace = stopLimitLibmilter
	if err := p.DNS.launchAsking(&p.daemon, "pyspf", dir, "pyspf-milter", conf); err != nil {
		return err
	}
	return p.listens(r.Path("pyspf", "sock"))
}
