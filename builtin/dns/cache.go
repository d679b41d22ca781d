package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"
)

// A Cache asks another Resolver, and keeps the answers for a while, also that there
// is none. Who asks what somebody else is asking already waits for that answer. The
// zero Cache serves; its fields must not change once it was asked. Answers are
// shared: do not write to them.
type Cache struct {
	// Resolver is asked what is not known. Nil: that of the system.
	Resolver Resolver

	// Timeout bounds each look-up. Zero: DefaultTimeout.
	Timeout time.Duration

	// Lifetime is how long an answer is kept. (The system's resolver does not
	// tell how long it might be.) Zero: DefaultLifetime.
	Lifetime time.Duration

	// MaxBytes bounds the memory of the answers, about. Zero: DefaultMaxBytes.
	MaxBytes int

	// Now is the time. Nil: time.Now.
	Now func() time.Time

	// Logger is told why a look-up has failed, once for all who ask. Their error
	// does not say it: it may end up in a header. Nil: slog.Default().
	Logger *slog.Logger

	server string // that is asked, where it is not the system's

	mu         sync.Mutex
	young, old map[question]*answer // what is old goes when young is full
	bytes      int                  // of young
	oldBytes   int
	stats      Stats // but for what the above tells
}

// A question is what the name server is asked.
type question struct{ kind, name string }

// An answer is one that is known, or under way until done is closed.
type answer struct {
	done    chan struct{}
	records any
	err     error
	until   time.Time // zero while it is under way
}

var _ Resolver = (*Cache)(nil)

// LookupTXT returns the TXT records of a name. The strings of each are joined.
func (c *Cache) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return ask(ctx, c, question{"TXT", rooted(name)}, Resolver.LookupTXT, sizeOf)
}

// sizeOf is about how much memory texts take.
func sizeOf(list []string) (n int) {
	for _, text := range list {
		n += len(text) + 16
	}
	return n
}

// LookupMX returns the MX records of a name, by preference.
func (c *Cache) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	return ask(ctx, c, question{"MX", rooted(name)}, Resolver.LookupMX, func(list []*net.MX) (n int) {
		for _, mx := range list {
			n += len(mx.Host) + 64
		}
		return n
	})
}

// LookupIPAddr returns the addresses of a host.
func (c *Cache) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	return ask(ctx, c, question{"IP", rooted(host)}, Resolver.LookupIPAddr, func(list []net.IPAddr) int { return 64 * len(list) })
}

// LookupAddr returns the names of an address.
func (c *Cache) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	return ask(ctx, c, question{"PTR", addr}, Resolver.LookupAddr, sizeOf)
}

// rooted makes a name one that the search list of resolv.conf does not apply to.
func rooted(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) + "." }

// ask returns what is known, or finds it out.
func ask[T any](ctx context.Context, c *Cache, q question, lookup func(Resolver, context.Context, string) ([]T, error),
	size func([]T) int) ([]T, error) {
	a, mine := c.find(q)
	if mine {
		// Its ctx is not the one of who asks first: others wait for it too.
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), positive(c.Timeout, DefaultTimeout))
			defer cancel()
			records, err := caught(func() ([]T, error) { return lookup(c.resolver(), ctx, q.name) })
			if err != nil {
				err = c.plain(q, err)
			}
			c.learn(q, a, records, err, len(q.name)+size(records)+200)
		}()
	}
	select {
	case <-a.done:
		records, _ := a.records.([]T)
		return records, a.err
	case <-ctx.Done():
		return nil, &net.DNSError{Err: noAnswer, Name: unrooted(q.name), IsTimeout: true, IsTemporary: true}
	}
}

// caught makes an error of a panic: on this goroutine it would be the end of the
// process, and those who wait for the answer would wait for nothing.
func caught[T any](lookup func() ([]T, error)) (records []T, err error) {
	defer func() {
		if p := recover(); p != nil {
			records, err = nil, fmt.Errorf("the resolver panicked: %v", p)
		}
	}()
	return lookup()
}

// What an error says where more would be told of this network than is others'
// business.
const (
	noAnswer = "the name server does not answer"
	failed   = "the name server has failed"
)

// plain returns the error of a look-up without what is nobody else's business, and
// tells the log why it has failed.
func (c *Cache) plain(q question, err error) error {
	plain := &net.DNSError{Err: failed, Name: unrooted(q.name), IsTemporary: true}
	server := c.server
	var dns *net.DNSError
	if errors.As(err, &dns) {
		if server == "" {
			server = dns.Server
		}
		switch {
		case dns.IsNotFound:
			return &net.DNSError{Err: dns.Err, Name: plain.Name, IsNotFound: true}
		case dns.IsTimeout:
			plain.Err, plain.IsTimeout = noAnswer, true
		}
		err = errors.New(dns.Err)
	}
	log := c.Logger
	if log == nil {
		log = slog.Default()
	}
	log.Warn("a DNS look-up has failed", "type", q.kind, "name", plain.Name, "server", server, "error", err)
	return plain
}

func unrooted(name string) string { return strings.TrimSuffix(name, ".") }

func (c *Cache) resolver() Resolver {
	if c.Resolver == nil {
		return net.DefaultResolver
	}
	return c.Resolver
}

func (c *Cache) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

func positive[T int | time.Duration](n, otherwise T) T {
	if n > 0 {
		return n
	}
	return otherwise
}

// find returns the answer to a question; mine says that the caller is to find it.
func (c *Cache) find(q question) (a *answer, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a = c.young[q]
	if a == nil {
		a = c.old[q]
	}
	if a != nil && (a.until.IsZero() || c.now().Before(a.until)) {
		c.stats.Hits++
		return a, false
	}
	c.stats.Misses++
	a = &answer{done: make(chan struct{})}
	if c.young == nil {
		c.young = map[question]*answer{}
	}
	c.young[q] = a
	return a, true
}

// learn keeps an answer, and tells it to those who wait.
func (c *Cache) learn(q question, a *answer, records any, err error, size int) {
	lifetime := positive(c.Lifetime, DefaultLifetime)
	if err != nil && !NotFound(err) {
		lifetime = min(lifetime, failureLifetime)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && !NotFound(err) {
		c.stats.Failures++
	}
	a.records, a.err, a.until = records, err, c.now().Add(lifetime)
	close(a.done)
	most := positive(c.MaxBytes, DefaultMaxBytes) / 2
	if size > most { // it would push out all others
		delete(c.young, q)
		return
	}
	if c.bytes += size; c.bytes > most {
		c.old, c.oldBytes, c.young, c.bytes = c.young, c.bytes, map[question]*answer{}, 0
	}
}
