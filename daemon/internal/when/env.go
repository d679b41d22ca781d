package when

import (
	"net/netip"
	"time"

	"github.com/milterkit/sdk/builtin/conditions"
	"github.com/milterkit/sdk/builtin/dns"
)

// An Env is what conditions know besides the session and the envelope. Those that
// are compiled with the same one share its lists. The zero Env serves to find out
// what is wrong with a condition. It is for one goroutine, its conditions for many.
type Env struct {
	// Resolver is asked by dnsbl, spf and trusted. Nil: that of the system.
	Resolver dns.Resolver

	// Sessions returns how many there are. Nil: none.
	Sessions func() int

	// Stress returns from how many sessions on stress holds; 0: never. It is
	// asked when a condition that names stress is compiled. Nil: never.
	Stress func() int

	// Now is the clock. Nil: time.Now.
	Now func() time.Time

	lists map[string]*conditions.List
}

func (e *Env) resolver() dns.Resolver {
	if e.Resolver == nil {
		return dns.Shared(netip.AddrPort{})
	}
	return e.Resolver
}

func (e *Env) sessions() int {
	if e.Sessions == nil {
		return 0
	}
	return e.Sessions()
}

func (e *Env) stress() int {
	if e.Stress == nil {
		return 0
	}
	return e.Stress()
}

func (e *Env) now() time.Time {
	if e.Now == nil {
		return time.Now()
	}
	return e.Now()
}

// list opens a list, once for all that name it.
func (e *Env) list(path string) (*conditions.List, error) {
	if l := e.lists[path]; l != nil {
		return l, nil
	}
	l, err := conditions.OpenList(path, e.now)
	if err != nil {
		return nil, err
	}
	if e.lists == nil {
		e.lists = map[string]*conditions.List{}
	}
	e.lists[path] = l
	return l, nil
}
