// Package dmarc is a child that looks whether the domain in From stands behind a
// message, and does with it what that domain asks for (DMARC, RFC 9989).
package dmarc

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/milterkit/sdk/builtin/authres"
	"github.com/milterkit/sdk/builtin/dkim"
	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/builtin/internal/action"
	"github.com/milterkit/sdk/builtin/internal/domain"
	"github.com/milterkit/sdk/milterkit"
)

// Options say what becomes of messages that the domain of their author does not stand
// behind. An action is "none", "reject" (550), "tempfail" (451) or "quarantine".
type Options struct {
	// AuthservID is the name in the Authentication-Results, and that of the results
	// of other filters that count. Empty: that of the MTA.
	AuthservID string `toml:"authserv_id"`

	// Reject is the action where the domain asks to reject.
	Reject string

	// Quarantine is the action where the domain asks to quarantine.
	Quarantine string

	// TempError is the action where the DNS does not answer; it is not "reject".
	TempError string `toml:"temperror"`

	// BadFrom is the action where it is not clear who the author is: there are
	// several From fields, or several domains in it, or it cannot be made out.
	BadFrom string `toml:"bad_from"`

	// Policies are the actions for messages that fail, or cannot be checked now, by
	// the author's domain, whatever that asks for. One holds for the names below it,
	// too, where these have none of their own.
	Policies map[string]string

	// Skip are networks of clients that are not checked, besides this host and
	// clients that have authenticated.
	Skip []netip.Prefix

	// Nameserver is the name server that is asked, "127.0.0.1:53". Absent: those of
	// the system.
	Nameserver netip.AddrPort

	// Resolver is asked instead. Nil: dns.Shared(Nameserver).
	Resolver dns.Resolver `toml:"-"`

	// Clock is the time, for signatures that expire. Nil: time.Now.
	Clock func() time.Time `toml:"-"`
}

// Defaults do what the domains ask for.
var Defaults = Options{
	Reject:     action.Reject,
	Quarantine: action.Quarantine,
	TempError:  action.TempFail,
	BadFrom:    action.Reject,
}

// Validate returns what is wrong with the options, each error with its option.
func (o Options) Validate() error {
	all := []string{action.None, action.Reject, action.TempFail, action.Quarantine}
	errs := []error{
		action.Wrap("authserv_id", authres.CheckID(o.AuthservID)),
		action.Check("reject", o.Reject, all...),
		action.Check("quarantine", o.Quarantine, all...),
		action.Check("temperror", o.TempError, action.None, action.TempFail, action.Quarantine),
		action.Check("bad_from", o.BadFrom, all...),
	}
	for _, name := range slices.Sorted(maps.Keys(o.Policies)) {
		if strings.Contains(name, "*") {
			errs = append(errs, action.Errorf("policies", "%q has an asterisk, which stands for nothing here; write a name such as \"example.org\", which holds for those below it, too", name))
		} else if _, err := domain.ASCII(name); err != nil {
			errs = append(errs, action.Errorf("policies", "%q is %w; write a name such as \"example.org\"", name, err))
		} else if err := action.Check("policies", o.Policies[name], all...); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// New returns the child. It asks nobody anything yet.
func New(o Options) (milterkit.Child, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Resolver == nil {
		o.Resolver = dns.Shared(o.Nameserver)
	}
	domains := make(map[string]string, len(o.Policies))
	for name, act := range o.Policies {
		ascii, _ := domain.ASCII(name) // Validate has looked
		domains[ascii] = act
	}
	o.Policies = domains
	c := &checker{options: o, verifier: &dkim.Verifier{Resolver: o.Resolver, Clock: o.Clock}}
	return milterkit.OnMessage("dmarc", action.Bounded(c.message)), nil
}

// action returns what becomes of a message with that evaluation.
func (o *Options) action(e Evaluation) string {
	var act string
	switch {
	case e.Keyword == Fail && e.InForce() == PolicyReject:
		act = o.Reject
	case e.Keyword == Fail && e.InForce() == PolicyQuarantine:
		act = o.Quarantine
	case e.Keyword == Fail:
		act = action.None
	case e.Keyword == TempError && (e.Policy == "" || e.InForce() != PolicyNone):
		act = o.TempError
	default:
		return action.None
	}
	own, there := o.override(e.Author)
	switch {
	case !there:
		return act
	case e.Keyword == TempError && own != action.None: // it has not failed yet
		return o.TempError
	}
	return own
}

// override returns the action of the author's domain, or of the next one above it
// that has one.
func (o *Options) override(name string) (act string, there bool) {
	for {
		if act, there = o.Policies[name]; there {
			return act, true
		}
		_, above, found := strings.Cut(name, ".")
		if !found {
			return "", false
		}
		name = above
	}
}
