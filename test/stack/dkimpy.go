package stack

import "fmt"

// DKIMPy is dkimpy-milter, which verifies the signatures of a message, each of
// them, and adds what it finds. It removes the Authentication-Results that claim
// to be its own.
type DKIMPy struct {
	Root *Root
	DNS  *Unbound

	// AuthservID is the name in the Authentication-Results that it adds.
	AuthservID string

	daemon
}

// Socket is where the milter listens, as main.cf has it.
func (d *DKIMPy) Socket() string { return "unix:" + d.Root.Path("dkimpy", "sock") }

// Start implements [Component].
func (d *DKIMPy) Start() error {
	r := d.Root
	dir, err := r.mkdir("dkimpy")
	if err != nil {
		return err
	}
	config := fmt.Sprintf(`Mode v
Socket local:%s
PidFile %s
UserID nobody:nogroup
InternalHosts %s
AuthservID %s
Syslog no
`, r.Path("dkimpy", "sock"), r.Path("dkimpy", "pid"), elsewhere, d.AuthservID)
	conf := r.Path("dkimpy", "dkimpy.conf")
	if err := r.write(conf, config); err != nil {
		return err
	}
	d.grace = stopLimitLibmilter
	if err := d.DNS.launchAsking(&d.daemon, "dkimpy", dir, "dkimpy-milter", conf); err != nil {
		return err
	}
	return d.listens(r.Path("dkimpy", "sock"))
}
