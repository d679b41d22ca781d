package miltertest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// A Resolver answers DNS queries from a map. It has those methods of
// [net.Resolver] that libraries for SPF, DKIM and DMARC ask for, and its answers and
// errors are of the same form. Its zero value knows no name. It is safe for use by
// many goroutines, as long as Zone stays as it is.
type Resolver struct {
	// Zone has what is known, by name: "example.org", without a dot at the end,
	// in lower case. An address, "192.0.2.7", has its names. A name that is not
	// there does not exist.
	Zone map[string]Records

	mu      sync.Mutex
	queries []string
}

// Records are those of one name.
type Records struct {
	TXT []string
	MX  []net.MX
	IP  []string // A and AAAA: "192.0.2.7", "2001:db8::7"
	PTR []string // of an address: names

	// Temporary has every query fail for now, as where a name server answers
	// SERVFAIL.
	Temporary bool

	// Silent has no query answered: it waits until its ctx is done.
	Silent bool
}

// Queries returns all that was asked, in order: "TXT example.org".
func (r *Resolver) Queries() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.queries)
}

// LookupTXT returns the TXT records of a name.
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return lookup(ctx, r, "TXT", name, func(z Records) []string { return slices.Clone(z.TXT) })
}

// LookupMX returns the MX records of a name, by preference.
func (r *Resolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	return lookup(ctx, r, "MX", name, func(z Records) []*net.MX {
		var list []*net.MX
		for _, mx := range z.MX {
			list = append(list, &net.MX{Host: rooted(mx.Host), Pref: mx.Pref})
		}
		slices.SortStableFunc(list, func(a, b *net.MX) int { return int(a.Pref) - int(b.Pref) })
		return list
	})
}

// LookupAddr returns the names of an address.
func (r *Resolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: "unrecognized address", Name: addr}
	}
	return lookup(ctx, r, "PTR", ip.String(), func(z Records) []string {
		var list []string
		for _, name := range z.PTR {
			list = append(list, rooted(name))
		}
		return list
	})
}

// LookupNetIP returns the addresses of a host. network is "ip", "ip4" or "ip6". An
// address is its own, without a query.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if !slices.Contains([]string{"ip", "ip4", "ip6"}, network) {
		return nil, net.UnknownNetworkError(network)
	}
	of := func(list []string) (found []netip.Addr) {
		for _, text := range list {
			ip, err := netip.ParseAddr(text)
			if err == nil && (network == "ip" || ip.Is4() == (network == "ip4")) {
				found = append(found, ip)
			}
		}
		return found
	}
	if list := of([]string{host}); list != nil {
		return list, nil
	}
	return lookup(ctx, r, strings.ToUpper(network), host, func(z Records) []netip.Addr { return of(z.IP) })
}

// LookupIPAddr returns the addresses of a host.
func (r *Resolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	list, err := r.LookupNetIP(ctx, "ip", host)
	var found []net.IPAddr
	for _, ip := range list {
		found = append(found, net.IPAddr{IP: ip.AsSlice(), Zone: ip.Zone()})
	}
	return found, err
}

// LookupHost returns the addresses of a host as text.
func (r *Resolver) LookupHost(ctx context.Context, host string) ([]string, error) {
	list, err := r.LookupNetIP(ctx, "ip", host)
	var found []string
	for _, ip := range list {
		found = append(found, ip.String())
	}
	return found, err
}

// lookup answers a query from the records of a name. That there are none of the
// kind is the same to who asks as that the name does not exist.
func lookup[T any](ctx context.Context, r *Resolver, kind, name string, of func(Records) []T) ([]T, error) {
	r.mu.Lock()
	r.queries = append(r.queries, kind+" "+strings.TrimSuffix(name, "."))
	r.mu.Unlock()
	z := r.Zone[strings.ToLower(strings.TrimSuffix(name, "."))]
	if z.Silent {
		<-ctx.Done()
	}
	if err := ctx.Err(); err != nil {
		return nil, ctxError(err, name)
	}
	if z.Temporary {
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	}
	list := of(z)
	if len(list) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return list, nil
}

// ctxError returns the error for a query whose ctx is done, as package net has it.
func ctxError(err error, name string) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &net.DNSError{UnwrapErr: err, Err: "i/o timeout", Name: name, IsTimeout: true, IsTemporary: true}
	}
	return &net.DNSError{UnwrapErr: err, Err: "operation was canceled", Name: name}
}

// rooted returns a name with the dot at its end, as package net returns names.
func rooted(name string) string { return strings.TrimSuffix(name, ".") + "." }
