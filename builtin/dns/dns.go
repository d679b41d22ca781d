// Package dns is the resolver that native children share: it asks each question
// once for all of them, and has an answer or an error in bounded time.
package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A Resolver answers what SPF, DKIM and DMARC ask. *net.Resolver is one, and so is
// miltertest.Resolver. Errors are *net.DNSError; IsNotFound is set where the name,
// or a record of that type, does not exist.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// NotFound reports whether a look-up failed because there is no such record; any
// other failure may be gone a moment later.
func NotFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// Server returns a Resolver that asks one name server, over UDP and TCP, in place of
// those of the system.
func Server(addr netip.AddrPort) Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr.String())
	}}
}

var shared sync.Map // of netip.AddrPort to *Cache

// Shared returns the Cache that all of this process share who ask that name server.
// The zero address stands for the resolver of the system.
func Shared(server netip.AddrPort) *Cache {
	if c, ok := shared.Load(server); ok {
		return c.(*Cache)
	}
	c := &Cache{}
	if server.IsValid() {
		c.Resolver, c.server = Server(server), server.String()
	}
	first, _ := shared.LoadOrStore(server, c)
	return first.(*Cache)
}

// What a Cache does where it is told nothing else.
const (
	DefaultTimeout  = 5 * time.Second
	DefaultLifetime = time.Minute
	DefaultMaxBytes = 8 << 20
)

// failureLifetime is how long a failure that may pass is kept: the children that
// look at one message ask once, and the client's next try asks anew.
const failureLifetime = 5 * time.Second
