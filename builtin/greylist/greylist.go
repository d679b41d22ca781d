// Package greylist puts off mail that it has not met before: a mail server comes
// again, and what only sends spam mostly does not.
//
// What is new is a triplet: the client's network, the sender, the recipient. Its
// first try is answered 451; one that comes again after the delay passes, and so
// does all mail of the triplet from then on. In reading order:
//
//	options.go    what can be set
//	greylist.go   the child: who is put off
//	client.go     what a client, and an address, is known by
//	guard.go      a store that is gone lets mail pass
//	stats.go      how often what was done
//	store.go      what a Store is, and when a triplet passes
//	memory.go     the store of tests
//	disk.go       that in a file, with keeper.go
//	redis.go      that which mail servers share, with check.lua
//	readonly.go   either of these, looked at only
package greylist

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/builtin/internal/action"
	"github.com/milterkit/sdk/builtin/spf"
	"github.com/milterkit/sdk/milterkit"
)

// A Greylist is the child.
type Greylist struct {
	milterkit.Child
	options Options
	allow   clients
	only    recipients
	except  recipients
	trusted []string
	store   Store
	guard   guard
	delayed atomic.Uint64
	let     atomic.Uint64
}

// New returns a child that puts off new mail. Its Close closes the store.
func New(o Options) (milterkit.Child, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := o.ready(); err != nil {
		return nil, err
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.SPF == nil {
		o.SPF = spf.Passes(dns.Shared(o.Nameserver))
	}
	store, err := o.Open()
	if err != nil {
		return nil, action.Errorf("redis", "%w", err)
	}
	allow, _ := o.allow()
	g := &Greylist{options: o, allow: allow, only: lower(o.Recipients), except: lower(o.ExceptRecipients), trusted: lower(o.Trusted),
		store: store, guard: guard{clock: o.Clock, log: o.Logger}}
	g.Child = milterkit.NewChild("greylist", func() milterkit.Hooks {
		s := session{g: g}
		return milterkit.Hooks{Rcpt: s.rcpt, Reset: func() { s.spf = nil }}
	})
	return g, nil
}

// Close closes the store.
func (g *Greylist) Close() error { return g.store.Close() }

// Probe returns why the store does not answer, where it is one that others keep.
func (g *Greylist) Probe(ctx context.Context) error {
	if r, shared := g.store.(*Redis); shared {
		return r.client.Ping(ctx).Err()
	}
	return nil
}

// Undelayed returns for how many recipients mail has passed because the store was
// gone.
func (g *Greylist) Undelayed() uint64 { return g.guard.passed.Load() }

// session is what the child knows of one session.
type session struct {
	g   *Greylist
	spf *bool // what SPF says of the message; nil: it was not asked
}

func (s *session) rcpt(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
	g := s.g
	addr, outside := addrOf(e.Session)
	rcpt := address(to.Addr)
	if !outside || e.AuthUser() != "" || g.except.have(rcpt) || len(g.only) > 0 && !g.only.have(rcpt) {
		return milterkit.Continue
	}
	domains := domainsOf(e.Session)
	if g.allow.have(addr, domains) {
		return milterkit.Continue
	}
	bits := g.options.IPv6Prefix
	if addr.Is4() {
		bits = g.options.IPv4Prefix
	}
	network, _ := addr.Prefix(bits)
	key := Key{Client: network.String(), Sender: address(e.Sender.Addr), Recipient: rcpt}
	if domain := e.Sender.Domain(); domain != "" {
		trusted := slices.Contains(g.trusted, domain)
		if (trusted || g.options.SPFKey) && s.passesSPF(ctx, e) {
			if trusted {
				return milterkit.Continue
			}
			key.Client = "spf:" + address(domain)
		}
	}
	now := g.options.Clock()
	record, ok := g.guard.check(ctx, g.store, Try{Key: key, Names: append(domains, networksOf(addr)...), At: now}, g.options.Policy())
	switch {
	case !ok:
		return milterkit.Continue
	case record.State != Waiting:
		g.let.Add(1)
		return milterkit.Continue
	}
	g.delayed.Add(1)
	return milterkit.TempFail(fmt.Sprintf("4.7.1 Greylisted, try again in %d seconds", seconds(record.First.Add(g.options.Delay).Sub(now))))
}

// seconds returns a time in whole seconds after which it is over.
func seconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }

// spfTime is how long mail waits for SPF. Then it is as if it did not pass.
const spfTime = 5 * time.Second

// passesSPF asks SPF about the message, once.
func (s *session) passesSPF(ctx context.Context, e *milterkit.Envelope) bool {
	if s.spf == nil {
		within, cancel := context.WithTimeout(ctx, spfTime)
		defer cancel()
		pass, err := s.g.options.SPF(within, e)
		if err != nil {
			s.g.options.Logger.Debug("greylist: SPF could not be checked", "session", e.ID, "sender", e.Sender.Addr, "error", err)
		}
		pass = pass && err == nil
		s.spf = &pass
	}
	return *s.spf
}
