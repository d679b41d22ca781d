package greylist

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"strings"
	"time"
)

// A Store remembers who has tried to send what to whom. Its methods may be called
// at the same time, also by several processes where the store is not in memory,
// and return soon after their ctx is done. Times are kept in milliseconds.
type Store interface {
	// Check looks a try up and records it, in one step: of two tries at the
	// same time one is the first, whoever shares the store. Where the client is
	// allowed, nothing is recorded.
	Check(ctx context.Context, t Try, p Policy) (Record, error)

	// Allow lets a client pass from now on: an address or a network as
	// netip.Prefix writes it, or a domain in small letters.
	Allow(ctx context.Context, name string, now time.Time) error

	// Entries yields what is remembered at that time, in no order. With an error
	// it ends. What is recorded meanwhile may be among it or not.
	Entries(ctx context.Context, now time.Time) iter.Seq2[Entry, error]

	// Forget removes entries, and returns how many there were.
	Forget(ctx context.Context, entries []Entry) (int, error)

	// Close gives back what the store holds. What it has answered stays
	// recorded.
	Close() error
}

// A Try is an attempt to send mail to one recipient.
type Try struct {
	Key

	// Names are those by which the client may have been allowed: its networks
	// and its domains.
	Names []string

	At time.Time
}

// A Key is what a try is known by when it comes again. Addresses are in small
// letters.
type Key struct {
	Client    string // its network, "192.0.2.0/24"; or "spf:example.org"
	Sender    string // "" is the null sender
	Recipient string
}

// A Policy says how long what is remembered. All are more than zero.
type Policy struct {
	Delay       time.Duration // from the first try until one passes
	RetryWindow time.Duration // from the first try until it is forgotten
	Lifetime    time.Duration // from the last try that passed until it is forgotten
}

// A State is how a triplet, or a client, stands.
type State uint8

const (
	Waiting State = iota // put off, until the delay is over
	Passed               // it came again in time
	Allowed              // the administrator lets the client pass
)

// String returns the state's name, as `milterkit greylist` has it.
func (s State) String() string {
	switch s {
	case Waiting:
		return "waiting"
	case Passed:
		return "passed"
	case Allowed:
		return "allowed"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText returns the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Record is what is remembered of a triplet.
type Record struct {
	State   State
	First   time.Time // the first try; of what is Allowed when that was said
	Last    time.Time // the last try
	Tries   int       // all, those that passed too
	Expires time.Time // when it is forgotten; zero where it is Allowed
}

// An Entry is a record and what it is about. Of what is Allowed the Client is the
// name that is, and there are no addresses.
type Entry struct {
	Key
	Record
}

// next returns the record after one more try. The zero Record is none.
func (p Policy) next(r Record, now time.Time) Record {
	switch {
	case r.Tries == 0 || !now.Before(r.Expires):
		r = Record{First: now, Expires: now.Add(p.RetryWindow)}
	case r.State == Waiting && now.Before(r.First): // the clock was set back
		r.First, r.Expires = now, now.Add(p.RetryWindow)
	case r.State == Waiting && !now.Before(r.First.Add(p.Delay)):
		r.State = Passed
	}
	if r.State == Passed {
		r.Expires = now.Add(p.Lifetime)
	}
	r.Last = now
	r.Tries++
	return r
}

// inMilliseconds returns the policy as the stores keep times.
func (p Policy) inMilliseconds() Policy {
	return Policy{p.Delay.Truncate(time.Millisecond), p.RetryWindow.Truncate(time.Millisecond), p.Lifetime.Truncate(time.Millisecond)}
}

// milliseconds returns a time as the stores keep it.
func milliseconds(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// ParseClient reads what can be allowed: an address, a network or a domain, which
// stands for the names below it too. It returns the text that a Store knows it by.
func ParseClient(text string) (string, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()).String(), nil
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p != p.Masked() {
			return "", fmt.Errorf("%q has bits beyond the first %d; write %q", text, p.Bits(), p.Masked())
		}
		return p.String(), nil
	}
	name := strings.ToLower(strings.Trim(text, "."))
	if !isDomain(name) {
		return "", fmt.Errorf(`%q is no client; write an address, a network such as "192.0.2.0/24", or a domain such as "example.org"`, text)
	}
	return name, nil
}

// isDomain reports whether text can be a domain in small letters. What has no
// letter is a slip in an address.
func isDomain(text string) bool {
	if text == "" || len(text) > 253 || !strings.ContainsFunc(text, func(r rune) bool { return r > '9' }) {
		return false
	}
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || strings.ContainsFunc(label, func(r rune) bool {
			return r < 0x80 && !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-_", r)
		}) {
			return false
		}
	}
	return true
}

// Matches reports whether an entry is about something: an address, a network or a
// domain of clients; a sender or a recipient, or the domain of one. Letters may be
// small or capital.
func (e Entry) Matches(what string) bool {
	what = strings.ToLower(what)
	if what == e.Client || strings.TrimPrefix(e.Client, "spf:") == what {
		return true
	}
	if strings.Contains(what, "@") && !strings.HasPrefix(what, "@") {
		return what == e.Sender || what == e.Recipient
	}
	if name, err := ParseClient(what); err == nil {
		if p, err := netip.ParsePrefix(name); err == nil {
			own, err := netip.ParsePrefix(e.Client)
			return err == nil && own.Overlaps(p)
		}
	}
	at := "@" + strings.TrimPrefix(what, "@")
	return strings.HasSuffix(e.Sender, at) || strings.HasSuffix(e.Recipient, at) || strings.HasSuffix(e.Client, "."+what) && e.State == Allowed
}
