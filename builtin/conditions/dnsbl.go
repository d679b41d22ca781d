package conditions

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/builtin/internal/domain"
	"github.com/milterkit/sdk/milterkit"
)

// A Zone is a list of addresses in the DNS (DNSBL, RFC 5782).
type Zone struct {
	Name string // such as "zen.spamhaus.org"

	// Answers are those that count. Zero: all of 127.0.0.0/8.
	Answers netip.Prefix
}

// ParseZone reads a zone, "zen.spamhaus.org"; one with the answers that count is
// "zen.spamhaus.org=127.0.0.10/31".
func ParseZone(text string) (Zone, error) {
	name, answers, some := strings.Cut(text, "=")
	var z Zone
	var err error
	if z.Name, err = domain.ASCII(name); err != nil || !strings.Contains(z.Name, ".") || len(z.Name) > domain.MaxLength-longest {
		return Zone{}, fmt.Errorf(`%q is not the domain of a list; write one such as "zen.spamhaus.org"`, name)
	}
	if !some {
		return z, nil
	}
	if z.Answers, err = ParseNetwork(answers); err == nil && !anyAnswer.Overlaps(z.Answers) {
		err = fmt.Errorf("%q is no answer of a list; they are in 127.0.0.0/8", answers)
	}
	return z, err
}

// longest is what stands before a zone's name when an IPv6 address is asked about.
const longest = len("f.") * 32

var (
	anyAnswer = netip.MustParsePrefix("127.0.0.0/8")

	// refusal are the answers by which a list says that it will not answer: asked
	// by way of an open resolver, or too often. It gives them for any address.
	// Source: Spamhaus, "Return codes".
	refusal = netip.MustParsePrefix("127.255.255.0/24")
)

// DNSBL holds where one of the lists has the client's address, IPv4 or IPv6. They are
// asked at the same time. A list that does not answer, or refuses to, does not have
// it, and the log says so. A client without an IP address is on none. It is settled
// at connect.
func DNSBL(r dns.Resolver, zones ...Zone) milterkit.Condition {
	lists := &blocklists{resolver: cached(r), zones: zones}
	names := make([]string, len(zones))
	for i, z := range zones {
		names[i] = z.Name
	}
	return milterkit.Condition{Name: "dnsbl(" + strings.Join(names, ", ") + ")", At: milterkit.StageConnect,
		Holds: func(ctx context.Context, e *milterkit.Envelope, _ milterkit.Address) bool {
			addr := e.Client().Addr().Unmap().WithZone("")
			return addr.IsValid() && lists.have(ctx, addr)
		}}
}

// blocklists are lists that are asked together.
type blocklists struct {
	resolver *dns.Cache
	zones    []Zone
	warned   atomic.Int64 // when it was logged last that one refuses, in Unix seconds
}

// have reports whether one of the lists has the address.
func (b *blocklists) have(ctx context.Context, addr netip.Addr) bool {
	ctx, cancel := context.WithTimeout(ctx, LookupTimeout)
	defer cancel() // of the others, when one has it
	reversed := reverse(addr)
	if len(b.zones) == 1 {
		return b.has(ctx, b.zones[0], reversed)
	}
	found := make(chan bool, len(b.zones))
	for _, z := range b.zones {
		go func() { found <- b.has(ctx, z, reversed) }()
	}
	for range b.zones {
		if <-found {
			return true
		}
	}
	return false
}

// has reports whether one list does. What fails is logged by the resolver.
func (b *blocklists) has(ctx context.Context, z Zone, reversed string) bool {
	answers, err := b.resolver.LookupIPAddr(ctx, reversed+z.Name)
	if err != nil {
		return false
	}
	for _, a := range answers {
		switch addr := answer(a); {
		case refusal.Contains(addr):
			b.refused(z, addr)
		case anyAnswer.Contains(addr) && (!z.Answers.IsValid() || z.Answers.Contains(addr)):
			return true
		}
	}
	return false
}

func answer(a net.IPAddr) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.IP)
	return addr.Unmap()
}

// refused logs that a list refuses to answer, once a minute at most.
func (b *blocklists) refused(z Zone, answer netip.Addr) {
	now, last := time.Now().Unix(), b.warned.Load()
	if now-last >= 60 && b.warned.CompareAndSwap(last, now) {
		slog.Warn("a DNS list does not answer this name server, so no client is taken to be on it", "list", z.Name, "answer", answer.String())
	}
}

// reverse returns what stands before a zone's name: "7.2.0.192.", or the digits of an
// IPv6 address. Source: RFC 5782 sections 2.1 and 2.4.
func reverse(addr netip.Addr) string {
	const digits = "0123456789abcdef"
	if addr.Is4() {
		b := addr.As4()
		return fmt.Sprintf("%d.%d.%d.%d.", b[3], b[2], b[1], b[0])
	}
	b := addr.As16()
	text := make([]byte, 0, longest)
	for i := len(b) - 1; i >= 0; i-- {
		text = append(text, digits[b[i]&15], '.', digits[b[i]>>4], '.')
	}
	return string(text)
}
