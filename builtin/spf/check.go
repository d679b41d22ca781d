package spf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"blitiri.com.ar/go/spf"
	"github.com/milterkit/sdk/builtin/authres"
	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/builtin/internal/domain"
	"github.com/milterkit/sdk/milterkit"
)

// The keywords of results. Source: RFC 7208 section 2.6.
const (
	None      = "none"      // the domain says nothing
	Neutral   = "neutral"   // it says that it says nothing
	Pass      = "pass"      // the client may send for it
	Fail      = "fail"      // it may not
	SoftFail  = "softfail"  // it probably may not
	TempError = "temperror" // the DNS does not answer now
	PermError = "permerror" // its record cannot be made out
)

// The identities that are checked.
const (
	MailFrom = "mailfrom" // the envelope's sender
	Helo     = "helo"     // what the client calls itself
)

// CheckTimeout bounds the look-ups of one check. Source: RFC 7208 section 4.6.4.
const CheckTimeout = 20 * time.Second

// The longest that a local part and a record may be, in bytes. Those that are meant
// well are not that long. Source: RFC 5321 section 4.5.3.1, RFC 7208 section 3.4.
const (
	maxLocal  = 253
	maxRecord = 8 << 10
)

// A Result is what came of one check.
type Result struct {
	Keyword  string // Pass, Fail, ...
	Identity string // MailFrom or Helo
	Domain   string // that was checked, in small letters and ASCII; "" where there is none
	Client   netip.Addr

	// Problem says why there is no better result, where it is None, TempError or
	// PermError.
	Problem string

	// Explanation is what the domain wants its Fail to be explained by: printable
	// ASCII, not long, and a stranger's words. "" where it says nothing.
	Explanation string
}

// Check checks whether the client may use the sender's domain, or, where the sender
// is null, the name by which the client calls itself. It returns soon after ctx is
// done, with TempError, and within CheckTimeout.
func Check(ctx context.Context, r dns.Resolver, e *milterkit.Envelope) Result {
	if e.Sender.Addr == "" {
		return CheckHelo(ctx, r, e.Session)
	}
	return check(ctx, r, e.Session, MailFrom, e.Sender.Local(), e.Sender.Domain())
}

// CheckHelo checks whether the client may call itself as it does. It is bounded as
// Check is.
func CheckHelo(ctx context.Context, r dns.Resolver, s *milterkit.Session) Result {
	return check(ctx, r, s, Helo, "", s.Helo)
}

// Passes returns a function that reports whether SPF passes for the sender's domain,
// and whether that is one of domains, or below one; without domains any will do. An
// error is that the DNS did not answer. It serves children that are to treat the
// mail of known senders in another way.
func Passes(r dns.Resolver, domains ...string) func(context.Context, *milterkit.Envelope) (bool, error) {
	return func(ctx context.Context, e *milterkit.Envelope) (bool, error) {
		of := func(d string) bool { return domain.Under(e.Sender.Domain(), strings.ToLower(strings.Trim(d, "."))) }
		if len(domains) > 0 && !slices.ContainsFunc(domains, of) {
			return false, nil
		}
		result := Check(ctx, r, e)
		if result.Keyword == TempError {
			return false, fmt.Errorf("SPF of %s: %s", result.Domain, result.Problem)
		}
		return result.Keyword == Pass && result.Identity == MailFrom, nil
	}
}

func check(ctx context.Context, r dns.Resolver, s *milterkit.Session, identity, local, name string) Result {
	client := s.Client().Addr().Unmap().WithZone("")
	result := Result{Keyword: None, Identity: identity, Client: client}
	var err error
	if result.Domain, err = lookupName(name); err != nil {
		result.Problem = err.Error()
		return result
	}
	if !client.IsValid() {
		result.Problem = "the client has no IP address"
		return result
	}
	ctx, cancel := context.WithTimeout(ctx, CheckTimeout)
	defer cancel()
	g := guard{r}
	// An @ within the local part would be taken for the one before the domain.
	local = strings.ReplaceAll(cut(local, maxLocal), "@", "_")
	if local == "" {
		local = "postmaster"
	}
	helo := cut(s.Helo, domain.MaxLength)
	keyword, err := spf.CheckHostWithSender(client.AsSlice(), helo, local+"@"+result.Domain, spf.WithContext(ctx), spf.WithResolver(g))
	result.Keyword = string(keyword)
	switch result.Keyword {
	case None, TempError, PermError:
		if err != nil {
			result.Problem = err.Error()
		}
	case Fail:
		result.Explanation = explain(ctx, g, macros{local, result.Domain, result.Domain, client, helo, s.MTAName()})
	}
	return result
}

// lookupName returns a domain as the DNS has it. An error is that there can be no
// record of that name. Source: RFC 7208 section 4.3.
func lookupName(name string) (string, error) {
	if name == "" {
		return "", errors.New("no domain")
	}
	ascii, err := domain.ASCII(name)
	if err == nil && !strings.Contains(ascii, ".") {
		return "", errors.New("not a full domain")
	}
	return ascii, err
}

// cut returns the beginning of a text that is too long.
func cut(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// AuthRes returns the result as it stands in Authentication-Results. The property is
// the domain alone, as pyspf-milter has it: what stands before the @ proves nothing.
func (r Result) AuthRes() authres.Result {
	a := authres.Result{Method: "spf", Value: r.Keyword, Comment: r.comment()}
	if r.Domain != "" {
		a.Props = []authres.Property{{Type: "smtp", Name: r.Identity, Value: r.Domain}}
	}
	return a
}

func (r Result) comment() string {
	if r.Problem != "" {
		return r.Problem
	}
	switch r.Keyword {
	case Pass:
		return fmt.Sprintf("%s permits %s", r.Domain, r.Client)
	case Fail:
		return fmt.Sprintf("%s does not permit %s", r.Domain, r.Client)
	case SoftFail:
		return fmt.Sprintf("%s probably does not permit %s", r.Domain, r.Client)
	}
	return fmt.Sprintf("%s does not say whether it permits %s", r.Domain, r.Client)
}

// A guard is between the library and the resolver: names are not longer than the DNS
// allows, and an error is either that there is no such record or temporary. (The
// library takes other errors for the domain's fault, and looks for the first only
// where it is not wrapped.) Source: RFC 7208 sections 4.4 and 7.3.
type guard struct{ dns.Resolver }

// LookupTXT fails for good where an SPF record is so long that reading it would be
// an effort: the library takes one macro apart in quadratic time.
func (g guard) LookupTXT(ctx context.Context, name string) ([]string, error) {
	list, err := guarded(ctx, name, g.Resolver.LookupTXT)
	for _, text := range list {
		if len(text) > maxRecord && strings.EqualFold(text[:len("v=spf1")], "v=spf1") {
			return nil, errTooLong
		}
	}
	return list, err
}

var errTooLong = fmt.Errorf("an SPF record of more than %d bytes", maxRecord)

func (g guard) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	return guarded(ctx, name, g.Resolver.LookupMX)
}

func (g guard) LookupIPAddr(ctx context.Context, name string) ([]net.IPAddr, error) {
	return guarded(ctx, name, g.Resolver.LookupIPAddr)
}

func (g guard) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	return guarded(ctx, addr, g.Resolver.LookupAddr)
}

func guarded[T any](ctx context.Context, name string, lookup func(context.Context, string) ([]T, error)) ([]T, error) {
	for len(name) > domain.MaxLength {
		_, rest, found := strings.Cut(name, ".")
		if !found {
			return nil, &net.DNSError{Err: "no such host", Name: cut(name, domain.MaxLength), IsNotFound: true}
		}
		name = rest
	}
	list, err := lookup(ctx, name)
	switch {
	case err == nil:
		return list, nil
	case dns.NotFound(err):
		return list, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	text := err.Error()
	if known, ok := errors.AsType[*net.DNSError](err); ok {
		text = known.Err // without the name server, which is not the client's affair
	}
	return list, &net.DNSError{Err: text, Name: strings.TrimSuffix(name, "."), IsTemporary: true}
}
