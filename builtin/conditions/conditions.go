// Package conditions has the conditions under which children take part, as
// functions: who the client is, whom the mail is from, what lists and name servers
// say of them. All, Any and Not put them together.
//
//	milterkit.Slot{Child: greylist, When: conditions.All(
//		s25r.Default.Condition(),
//		conditions.Not(conditions.Authenticated()),
//		conditions.Not(conditions.Trusted(nil)),
//	)}
//
// A condition that asks the DNS and gets no answer within LookupTimeout does not
// hold. Where a resolver can be given, nil stands for that of the system, as
// dns.Shared has it; the answers of any are kept for a while.
//
// `when` in the configuration file is made of the same, and a few more that in Go
// are a line of one's own.
package conditions

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/milterkit"
)

// LookupTimeout bounds what one condition asks the DNS. A condition that takes
// longer than its child may is a failure of the child, so it is short.
const LookupTimeout = 3 * time.Second

// test is what a condition asks.
type test = func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool

// All holds where each of the conditions does. They are asked in order, until one
// does not hold.
func All(cs ...milterkit.Condition) milterkit.Condition {
	return joined(" && ", cs, func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
		for i := range cs {
			if !holds(&cs[i], ctx, e, to) {
				return false
			}
		}
		return true
	})
}

// Any holds where one of the conditions does. They are asked in order, until one
// holds.
func Any(cs ...milterkit.Condition) milterkit.Condition {
	return joined(" || ", cs, func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
		for i := range cs {
			if holds(&cs[i], ctx, e, to) {
				return true
			}
		}
		return false
	})
}

// Not holds where the condition does not.
func Not(c milterkit.Condition) milterkit.Condition {
	not := joined("", []milterkit.Condition{c}, func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
		return !holds(&c, ctx, e, to)
	})
	not.Name = "!" + nameOf(&c)
	return not
}

// holds asks a condition. The zero one always holds.
func holds(c *milterkit.Condition, ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
	return c.Holds == nil || c.Holds(ctx, e, to)
}

func nameOf(c *milterkit.Condition) string {
	if c.Holds == nil {
		return "true"
	}
	return c.Name
}

// joined returns a condition that asks others: it is settled when the last of them
// can be, and needs the macros of all.
func joined(by string, cs []milterkit.Condition, ask test) milterkit.Condition {
	c := milterkit.Condition{At: milterkit.StageConnect, Holds: ask}
	names := make([]string, len(cs))
	for i := range cs {
		names[i] = nameOf(&cs[i])
		c.At = max(c.At, cs[i].At)
		for at, list := range cs[i].Macros {
			for _, name := range list {
				if slices.Contains(c.Macros[at], name) {
					continue
				}
				if c.Macros == nil {
					c.Macros = map[milterkit.Stage][]string{}
				}
				c.Macros[at] = append(c.Macros[at], name)
			}
		}
	}
	c.Name = "(" + strings.Join(names, by) + ")"
	return c
}

// Authenticated holds for clients that have logged in by SMTP AUTH. It is settled at
// mail.
func Authenticated() milterkit.Condition {
	return milterkit.Condition{Name: "authenticated", At: milterkit.StageMail,
		Holds: func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) bool { return e.AuthUser() != "" }}
}

// Local holds for mail that comes from this machine: from its loopback, from a unix
// socket, or from no address at all. It is settled at connect.
//
// Mail that Postfix's cleanup hands to non_smtpd_milters comes from 127.0.0.1 or
// ::1; what Sendmail reads from its standard input (-bs) has no family.
func Local() milterkit.Condition {
	return milterkit.Condition{Name: "local", At: milterkit.StageConnect,
		Holds: func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) bool {
			switch e.Family {
			case milterkit.FamilyInet, milterkit.FamilyInet6:
				return e.Client().Addr().IsLoopback()
			}
			return true
		}}
}

// Network holds for clients in one of the networks; ::ffff:192.0.2.1 is 192.0.2.1. A
// client without an IP address is in none. It is settled at connect.
func Network(networks ...netip.Prefix) milterkit.Condition {
	texts := make([]string, len(networks))
	networks = slices.Clone(networks)
	for i, p := range networks {
		texts[i], networks[i] = p.String(), unmapped(p)
	}
	return milterkit.Condition{Name: "network(" + strings.Join(texts, ", ") + ")", At: milterkit.StageConnect,
		Holds: func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) bool {
			addr := e.Client().Addr().Unmap().WithZone("")
			return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr) })
		}}
}

// Stress holds while there are at least so many sessions, as with
// milterkit.Server.Sessions to count them; never where threshold is 0. It is settled
// at connect.
func Stress(sessions func() int, threshold int) milterkit.Condition {
	return milterkit.Condition{Name: "stress", At: milterkit.StageConnect,
		Holds: func(context.Context, *milterkit.Envelope, milterkit.Address) bool {
			return threshold > 0 && sessions() >= threshold
		}}
}

// TimeBetween holds from one time of day to another, by the clock on the wall; each is
// counted from midnight. Where from is later than to, midnight is between them. now
// is the clock; nil: time.Now. It is settled at connect.
func TimeBetween(from, to time.Duration, now func() time.Time) milterkit.Condition {
	if now == nil {
		now = time.Now
	}
	return milterkit.Condition{Name: "time_between", At: milterkit.StageConnect,
		Holds: func(context.Context, *milterkit.Envelope, milterkit.Address) bool {
			h, m, s := now().Clock()
			t := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second
			if from <= to {
				return from <= t && t < to
			}
			return from <= t || t < to
		}}
}

// cached returns a resolver that can be waited for, whatever becomes of the one below.
func cached(r dns.Resolver) *dns.Cache {
	if r == nil {
		return dns.Shared(netip.AddrPort{})
	}
	if c, ok := r.(*dns.Cache); ok {
		return c
	}
	return &dns.Cache{Resolver: r}
}
