package dkim

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/milterkit/sdk/builtin/authres"
	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/builtin/internal/action"
	"github.com/milterkit/sdk/milterkit"
)

// VerifyOptions are the settings of the child that NewVerify makes.
type VerifyOptions struct {
	// AuthservID is our name in Authentication-Results. Empty: the MTA's name.
	AuthservID string `toml:"authserv_id"`

	// MaxSignatures is how many signatures of a message are looked at, from the top.
	MaxSignatures int

	// Policies say, by the domain of the author's address, what becomes of a message
	// without a good signature of that domain: "none", "tempfail", "reject" or
	// "quarantine". An entry holds for sub-domains too, unless they have one of their
	// own; that of "*" for all others, and where there is no author. None: nothing.
	Policies map[string]string

	// Nameserver is asked in place of the system's resolver. Zero: it is not.
	Nameserver netip.AddrPort

	// Resolver is asked in place of both. Nil: it is not.
	Resolver dns.Resolver `toml:"-"`

	// Clock is the time. Nil: time.Now.
	Clock func() time.Time `toml:"-"`

	// Logger is told of messages that a policy is applied to. Nil: slog.Default().
	Logger *slog.Logger `toml:"-"`
}

// VerifyDefaults are the settings where nothing else is said.
var VerifyDefaults = VerifyOptions{MaxSignatures: DefaultMaxSignatures}

// everyone is the entry of Policies for domains that have none.
const everyone = "*"

// Validate returns an error about an option that cannot be.
func (o VerifyOptions) Validate() error {
	if err := authres.CheckID(o.AuthservID); err != nil {
		return action.Wrap("authserv_id", err)
	}
	if o.MaxSignatures < 1 || o.MaxSignatures > 100 {
		return action.Errorf("max_signatures", "%d signatures cannot be looked at; write a number from 1 to 100, such as 5", o.MaxSignatures)
	}
	for domain, what := range o.Policies {
		if domain != everyone && !isName(domain) {
			return action.Errorf("policies", `%q is no domain; write one such as "example.org", or "*" for all others`, domain)
		}
		if err := action.Check("policies", what, action.None, action.TempFail, action.Reject, action.Quarantine); err != nil {
			return err
		}
	}
	return nil
}

// NewVerify returns the child dkim-verify. It adds what it makes of a message's
// signatures as Authentication-Results, on top, and removes those in our name that
// came with the message.
func NewVerify(o VerifyOptions) (milterkit.Child, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Resolver == nil {
		o.Resolver = dns.Shared(o.Nameserver)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	policies := make(map[string]string, len(o.Policies))
	for domain, what := range o.Policies {
		policies[strings.ToLower(domain)] = what // where From is not clear it is looked for as it is
		policies[asciiName(domain)] = what
	}
	o.Policies = policies
	v := &Verifier{MaxSignatures: o.MaxSignatures, Resolver: o.Resolver, Clock: o.Clock}
	return milterkit.OnMessage("dkim-verify", action.Bounded(func(ctx context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		list := v.Verify(ctx, m)
		if err := ctx.Err(); err != nil {
			return milterkit.Fail(fmt.Errorf("the signatures could not be verified in time: %w", context.Cause(ctx)))
		}
		id := authres.ID(o.AuthservID, m.Session)
		authres.RemoveForged(m, e, id)
		e.InsertHeader(0, authres.FieldName, authres.Format(id, Results(list)))
		return o.decide(m, e, list)
	})), nil
}

// Results returns what came of all signatures of a message, as results for
// Authentication-Results. Where there were no signatures that is one, "none".
func Results(list []Verification) []authres.Result {
	if len(list) == 0 {
		return []authres.Result{{Method: "dkim", Value: None}}
	}
	results := make([]authres.Result, len(list))
	for i, v := range list {
		results[i] = v.AuthRes()
	}
	return results
}

// decide does what the policies of the authors' domains say, the strictest of them.
// Where it is not clear who the author is, those count too whose domain From has in it.
func (o *VerifyOptions) decide(m *milterkit.Message, e *milterkit.Edits, list []Verification) milterkit.Verdict {
	if len(o.Policies) == 0 {
		return milterkit.Continue
	}
	order := []string{action.None, action.Quarantine, action.TempFail, action.Reject}
	worst, of := 0, ""
	author := authorshipOf(m)
	if author.fields > 1 {
		list = nil // nobody knows which of them was signed, and which one is shown
	}
	domains := author.domains
	for _, domain := range slices.Sorted(maps.Keys(o.Policies)) {
		if author.unclear != "" && strings.Contains(author.unclear, domain) {
			domains = append(domains, domain) // which a reader might be shown
		}
	}
	if len(domains) == 0 {
		domains = []string{""} // nobody's, for which "*" stands
	}
	for _, domain := range domains {
		if at := slices.Index(order, o.due(domain, list)); at > worst {
			worst, of = at, domain
		}
	}
	if worst == 0 {
		return milterkit.Continue
	}
	text := "no good DKIM signature of the author's domain"
	if of != "" {
		text = "no good DKIM signature of " + printable(of)
	}
	what := order[worst]
	if what == action.Quarantine && m.Actions&milterkit.ActionQuarantine == 0 {
		what = action.TempFail
	}
	o.Logger.Info("dkim-verify: "+text, "session", m.ID, "queue_id", m.QueueID(), "action", what)
	switch what {
	case action.Reject:
		return milterkit.Reject("5.7.22 " + text) // RFC 7372 section 3.1
	case action.TempFail:
		return milterkit.TempFail("4.7.22 " + text)
	}
	e.Quarantine(text)
	return milterkit.Continue
}

// due returns what the policy of a domain has become of a message with these
// verifications.
func (o *VerifyOptions) due(domain string, list []Verification) string {
	policy := o.policy(domain)
	for _, v := range list {
		switch {
		case policy == action.None, v.Value == Pass && vouches(v.Domain, domain):
			return action.None
		case v.Value == TempError && vouches(v.Domain, domain):
			policy = action.TempFail // until it is known
		}
	}
	return policy
}

// policy returns the policy of a domain, which is that of the nearest one above it
// that has one.
func (o *VerifyOptions) policy(domain string) string {
	for domain != "" {
		if what, there := o.Policies[domain]; there {
			return what
		}
		_, domain, _ = strings.Cut(domain, ".")
	}
	if what, there := o.Policies[everyone]; there {
		return what
	}
	return action.None
}

// vouches reports whether a signature of one domain speaks for an author of another:
// it is the same, or a sub-domain, or one above it that is not a top-level one.
func vouches(signer, author string) bool {
	return author != "" && (under(signer, author) || strings.Contains(signer, ".") && under(author, signer))
}

// printable takes out what has no place in a reply or a log, and what is too long.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 253)]
}
