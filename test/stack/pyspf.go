package stack

import "fmt"

// PySPF is pyspf-milter, which refuses the senders of domains whose SPF record
// says that the client is not one of theirs. What it finds of others it adds to
// the message.
type PySPF struct {
	Root *Root
	DNS  *Unbound

	// Name tells several in one root apart.
	Name string

	// Tolerant has it refuse nothing, but only tell what it finds.
	Tolerant bool

	// AuthservID is the name in the Authentication-Results that it adds.
	AuthservID string

	daemon
}

// Socket is where the milter listens, as main.cf has it.
func (p *PySPF) Socket() string { return "unix:" + p.Root.Path(p.Name, "sock") }

// Start implements [Component].
func (p *PySPF) Start() error {
	r := p.Root
	dir, err := r.mkdir(p.Name)
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
`, r.Path(p.Name, "sock"), r.Path(p.Name, "pid"), elsewhere, p.AuthservID)
	if p.Tolerant {
		config += "HELO_reject = False\nMail_From_reject = False\n"
	}
	conf := r.Path(p.Name, "pyspf.conf")
	if err := r.write(conf, config); err != nil {
		return err
	}
	p.grace = stopLimitLibmilter
	if err := p.DNS.launchAsking(&p.daemon, p.Name, dir, "pyspf-milter", conf); err != nil {
		return err
	}
	return p.listens(r.Path(p.Name, "sock"))
}
