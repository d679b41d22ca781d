package dns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
)

var ctx = context.Background()

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// Who asks the same within the lifetime, in whatever spelling, gets what is known,
// also that there is nothing; after it the question is asked anew.
func TestAQuestionIsAskedOnce(t *testing.T) {
	clock := new(miltertest.Clock)
	r := &miltertest.Resolver{Zone: map[string]miltertest.Records{
		"example.org": {TXT: []string{"v=spf1 -all"}, IP: []string{"192.0.2.1"}, MX: []net.MX{{Host: "mx.example.org"}}},
		"192.0.2.1":   {PTR: []string{"example.org"}},
	}}
	c := &Cache{Resolver: r, Now: clock.Now}
	askAll := func() string {
		txt, _ := c.LookupTXT(ctx, "Example.ORG")
		again, _ := c.LookupTXT(ctx, "example.org.")
		mx, _ := c.LookupMX(ctx, "example.org")
		ip, _ := c.LookupIPAddr(ctx, "example.org")
		ptr, _ := c.LookupAddr(ctx, "192.0.2.1")
		_, none := c.LookupTXT(ctx, "gone.example.org")
		return fmt.Sprintf("%v %v %v %v %v %v", txt, again, mx[0].Host, ip, ptr, NotFound(none))
	}
	want := "[v=spf1 -all] [v=spf1 -all] mx.example.org. [{192.0.2.1 }] [example.org.] true"
	for _, asked := range []int{5, 5} {
		if got := askAll(); got != want || len(r.Queries()) != asked {
			t.Errorf("got %s by %q", got, r.Queries())
		}
	}
	clock.Advance(DefaultLifetime + time.Second)
	if got := askAll(); got != want || len(r.Queries()) != 10 {
		t.Errorf("later: %s by %q", got, r.Queries())
	}
}

// A name server that does not answer costs its time once, not once for each child,
// and is asked again soon.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &miltertest.Resolver{Zone: map[string]miltertest.Records{"slow.example.org": {Silent: true}}}
		c := &Cache{Resolver: r, Timeout: time.Second}
		begin := time.Now()
		for range 3 {
			if _, err := c.LookupTXT(ctx, "slow.example.org"); err == nil || NotFound(err) {
				t.Errorf("got %v", err)
			}
		}
		if took := time.Since(begin); took != time.Second || len(r.Queries()) != 1 {
			t.Errorf("took %v, asked %q", took, r.Queries())
		}
		time.Sleep(failureLifetime)
		c.LookupTXT(ctx, "slow.example.org")
		if len(r.Queries()) != 2 {
			t.Errorf("asked %q", r.Queries())
		}
	})
}

// Who no longer waits does not take the answer from those who still do.
func TestOneWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Cache{Resolver: slow{time.Second}}
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		var others sync.WaitGroup
		_, err := c.LookupTXT(short, "example.org")
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("who gave up got %v", err)
		}
		for range 3 {
			others.Go(func() {
				if list, err := c.LookupTXT(ctx, "example.org"); err != nil || list[0] != "text" {
					t.Errorf("got %q, %v", list, err)
				}
			})
		}
		others.Wait()
	})
}

// slow answers after a while.
type slow struct{ wait time.Duration }

func (s slow) LookupTXT(ctx context.Context, _ string) ([]string, error) {
	select {
	case <-time.After(s.wait):
		return []string{"text"}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
func (slow) LookupMX(context.Context, string) ([]*net.MX, error)        { return nil, nil }
func (slow) LookupIPAddr(context.Context, string) ([]net.IPAddr, error) { return nil, nil }
func (slow) LookupAddr(context.Context, string) ([]string, error)       { return nil, nil }

// However many names and however long the answers, the memory is bounded.
func TestMemoryIsBounded(t *testing.T) {
	zone := map[string]miltertest.Records{"huge.example.org": {TXT: []string{strings.Repeat("x", 60_000)}}}
	c := &Cache{Resolver: &miltertest.Resolver{Zone: zone}, MaxBytes: 100_000}
	for i := range 2000 {
		c.LookupTXT(ctx, fmt.Sprintf("%d.example.org", i))
		c.LookupTXT(ctx, "huge.example.org")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.young) + len(c.old); n > 1000 || n == 0 {
		t.Errorf("%d answers are kept", n)
	}
}

// An answer that is longer than all memory does not push out the others.
func TestHugeAnswerIsNotKept(t *testing.T) {
	r := &miltertest.Resolver{Zone: map[string]miltertest.Records{"huge.example.org": {TXT: []string{strings.Repeat("x", 60_000)}}}}
	c := &Cache{Resolver: r, MaxBytes: 100_000}
	for range 3 {
		c.LookupTXT(ctx, "small.example.org")
		c.LookupTXT(ctx, "huge.example.org")
	}
	if got := len(r.Queries()); got != 4 {
		t.Errorf("asked %q, want the small one once", r.Queries())
	}
}

// Long names of mail servers and hosts count.
func TestMemoryOfNamesIsBounded(t *testing.T) {
	long := strings.Repeat("x", 250)
	zone := map[string]miltertest.Records{}
	for i := range 1000 {
		zone[fmt.Sprintf("%d.example.org", i)] = miltertest.Records{MX: []net.MX{{Host: long}, {Host: long}, {Host: long}, {Host: long}}}
		zone[fmt.Sprintf("192.0.2.%d", i)] = miltertest.Records{PTR: []string{long, long, long, long}}
	}
	c := &Cache{Resolver: &miltertest.Resolver{Zone: zone}, MaxBytes: 100_000}
	for i := range 1000 {
		c.LookupMX(ctx, fmt.Sprintf("%d.example.org", i))
		c.LookupAddr(ctx, fmt.Sprintf("192.0.2.%d", i))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.young) + len(c.old); n > 100 || n == 0 {
		t.Errorf("%d answers of a kilobyte are kept", n)
	}
}

// A resolver that panics has not answered: it does not take the process with it.
func TestPanicIsAnError(t *testing.T) {
	c := &Cache{Resolver: panicking{}}
	if list, err := c.LookupTXT(ctx, "example.org"); err == nil || NotFound(err) {
		t.Errorf("got %q, %v", list, err)
	}
}

type panicking struct{ slow }

func (panicking) LookupTXT(context.Context, string) ([]string, error) { panic("no") }

// All who name one server share its answers.
func TestShared(t *testing.T) {
	a, b := netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("192.0.2.2:53")
	caches := []*Cache{Shared(a), Shared(b), Shared(netip.AddrPort{})}
	for i, again := range []*Cache{Shared(a), Shared(b), Shared(netip.AddrPort{})} {
		if slices.Index(caches, again) != i {
			t.Errorf("%d is another one", i)
		}
	}
}

// The log says why a look-up has failed, and whom it asked, once for all; the error,
// which may stand in a header for all to see, does not.
func TestTheLogSaysWhatTheErrorDoesNot(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := conn.LocalAddr().String()
	conn.Close() // nobody is there
	var log bytes.Buffer
	c := Shared(netip.MustParseAddrPort(server))
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	c.Timeout = 200 * time.Millisecond
	for range 2 {
		_, err := c.LookupTXT(ctx, "Example.org")
		if err == nil || !strings.HasPrefix(err.Error(), "lookup example.org: the name server ") {
			t.Errorf("got %v", err)
		}
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "type=TXT name=example.org server="+server+" error=") {
		t.Errorf("the log has %s", got)
	}
}

// A name server is asked at the address that was given, and who it is not is not.
func TestServer(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		query := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			reply := query[:n]
			reply[2], reply[3] = 0x81, 0x83 // an answer: the name does not exist
			conn.WriteTo(reply, from)
		}
	}()
	c := &Cache{Resolver: Server(netip.MustParseAddrPort(conn.LocalAddr().String()))}
	if _, err := c.LookupTXT(ctx, "example.org"); !NotFound(err) {
		t.Errorf("got %v", err)
	}
}

// The figures tell what was known, what was asked, and what went wrong.
func TestStats(t *testing.T) {
	c := &Cache{Resolver: panicking{}, Logger: slog.New(slog.DiscardHandler)}
	for range 3 {
		c.LookupTXT(t.Context(), "example.org")
	}
	s := c.Stats()
	if s.Hits != 2 || s.Misses != 1 || s.Failures != 1 || s.Answers != 1 || s.Bytes == 0 {
		t.Errorf("%+v", s)
	}
	before := SharedStats()
	Shared(netip.MustParseAddrPort("127.0.0.1:1")).Stats()
	if after := SharedStats(); after != before {
		t.Errorf("%+v, before %+v", after, before)
	}
}
