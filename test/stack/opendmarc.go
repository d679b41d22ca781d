package stack

import (
	"errors"
	"fmt"
	"strings"
)

// OpenDMARC is an OpenDMARC milter. It refuses mail that fails the policy of the
// domain in From, or has it held, where that says so. It goes by the Authentication-Results that
// the milters before it have added.
type OpenDMARC struct {
	Root *Root
	DNS  *Unbound

	// Trusted are the names whose Authentication-Results it goes by.
	Trusted []string

	// Suffixes are domains below which others register theirs, such as "org". It
	// needs them to tell a domain from a sub-domain.
	Suffixes []string

	daemon
}

// Socket is where the milter listens, as main.cf has it.
func (o *OpenDMARC) Socket() string { return "unix:" + o.Root.Path("opendmarc", "sock") }

// Start implements [Component].
func (o *OpenDMARC) Start() error {
	r := o.Root
	dir, err := r.mkdir("opendmarc")
	if err != nil {
		return err
	}
	suffixes := r.Path("opendmarc", "suffixes")
	// Unless told otherwise it passes over the mail of loopback.
	ignored := r.Path("opendmarc", "ignored")
	config := fmt.Sprintf(`Socket local:%s
UMask 000
Background false
Syslog false
AuthservID %s
TrustedAuthservIDs %s
IgnoreHosts %s
PublicSuffixList %s
RejectFailures true
HoldQuarantinedMessages true
SoftwareHeader true
`, r.Path("opendmarc", "sock"), AuthservID, strings.Join(o.Trusted, ","), ignored, suffixes)
	conf := r.Path("opendmarc", "opendmarc.conf")
	if err := errors.Join(r.write(ignored, elsewhere+"\n"), r.write(suffixes, strings.Join(o.Suffixes, "\n")+"\n"), r.write(conf, config)); err != nil {
		return err
	}
	o.grace = stopLimitLibmilter
	if err := o.DNS.launchAsking(&o.daemon, "opendmarc", dir, "opendmarc", "-f", "-c", conf); err != nil {
		return err
	}
	return o.listens(r.Path("opendmarc", "sock"))
}
