package miltertest_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	. "github.com/milterkit/sdk/milterkit/miltertest"
)

// What a child takes from package net it can take from the resolver.
// Source: DNSResolver in blitiri.com.ar/go/spf.
type spfResolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupAddr(ctx context.Context, addr string) (names []string, err error)
}

var (
	_ spfResolver = (*net.Resolver)(nil)
	_ spfResolver = (*Resolver)(nil)
	_ interface {
		spfResolver
		LookupHost(ctx context.Context, host string) ([]string, error)
		LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	} = (*Resolver)(nil)
)

func zone() *Resolver {
	return &Resolver{Zone: map[string]Records{
		"example.org": {
			TXT: []string{"v=spf1 mx -all"},
			MX:  []net.MX{{Host: "b.example.org", Pref: 20}, {Host: "a.example.org.", Pref: 10}},
			IP:  []string{"192.0.2.7", "2001:db8::7"},
		},
		"192.0.2.7":           {PTR: []string{"mail.example.org"}},
		"busy.example.org":    {Temporary: true},
		"silent.example.org":  {Silent: true},
		"without.example.org": {IP: []string{"192.0.2.8"}},
	}}
}

func TestResolverAnswersAsPackageNet(t *testing.T) {
	r := zone()
	ctx := t.Context()
	txt, err1 := r.LookupTXT(ctx, "Example.ORG.")
	mx, err2 := r.LookupMX(ctx, "example.org")
	ptr, err3 := r.LookupAddr(ctx, "192.0.2.7")
	hosts, err4 := r.LookupHost(ctx, "example.org")
	ip4, err5 := r.LookupNetIP(ctx, "ip4", "example.org")
	ips, err6 := r.LookupIPAddr(ctx, "192.0.2.99")
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	got := []any{txt, mx, ptr, hosts, ip4, ips}
	want := []any{
		[]string{"v=spf1 mx -all"}, []*net.MX{{Host: "a.example.org.", Pref: 10}, {Host: "b.example.org.", Pref: 20}},
		[]string{"mail.example.org."}, []string{"192.0.2.7", "2001:db8::7"}, []netip.Addr{netip.MustParseAddr("192.0.2.7")},
		[]net.IPAddr{{IP: net.IPv4(192, 0, 2, 99)}},
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Error(d)
	}
	asked := []string{"TXT Example.ORG", "MX example.org", "PTR 192.0.2.7", "IP example.org", "IP4 example.org"}
	if d := cmp.Diff(asked, r.Queries()); d != "" {
		t.Error(d)
	}
}

func TestResolverFailsAsPackageNet(t *testing.T) {
	r := zone()
	for _, c := range []struct {
		name string
		want net.DNSError
	}{
		{"nowhere.example.org", net.DNSError{Err: "no such host", IsNotFound: true}},
		{"without.example.org", net.DNSError{Err: "no such host", IsNotFound: true}},
		{"busy.example.org", net.DNSError{Err: "server misbehaving", IsTemporary: true}},
	} {
		_, err := r.LookupTXT(t.Context(), c.name)
		var got *net.DNSError
		if c.want.Name = c.name; !errors.As(err, &got) || *got != c.want {
			t.Errorf("%s: %#v, want %#v", c.name, err, &c.want)
		}
	}
	if _, err := r.LookupAddr(t.Context(), "mail.example.org"); err == nil {
		t.Error("a name was taken for an address")
	}
}

// A name server that is silent costs the time that the ctx has, and no more.
func TestResolverWaitsForItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		_, err := zone().LookupMX(ctx, "silent.example.org")
		var got *net.DNSError
		if !errors.As(err, &got) || !got.IsTimeout || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%#v", err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it took %v", took)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := zone().LookupTXT(ctx, "example.org"); !errors.Is(err, context.Canceled) {
		t.Errorf("%#v", err)
	}
}

// A child that is given the clock's Now sees ten minutes go by at once.
func TestClockGoesByHand(t *testing.T) {
	var c Clock
	began := c.Now()
	c.Advance(10 * time.Minute)
	if d := c.Now().Sub(began); d != 10*time.Minute {
		t.Errorf("%v went by", d)
	}
}
