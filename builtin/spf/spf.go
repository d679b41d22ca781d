// Package spf is a child that checks whether clients may send for the domains whose
// names they use (SPF, RFC 7208), by blitiri.com.ar/go/spf.
package spf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/milterkit/sdk/builtin/authres"
	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/builtin/internal/action"
	"github.com/milterkit/sdk/milterkit"
)

// Options say what becomes of which result. An action is "none", "reject" (550),
// "tempfail" (451) or "quarantine".
type Options struct {
	// AuthservID is the name in the Authentication-Results. Empty: that of the MTA.
	AuthservID string `toml:"authserv_id"`

	// Fail is the action where the client may not send for the domain.
	Fail string

	// SoftFail is the action where it probably may not.
	SoftFail string `toml:"softfail"`

	// PermError is the action where the domain's record cannot be made out.
	PermError string `toml:"permerror"`

	// TempError is the action where the DNS does not answer; it is not "reject".
	TempError string `toml:"temperror"`

	// Helo has the name checked, too, by which the client calls itself. The actions
	// are the same.
	Helo bool

	// Skip are networks of clients that are not checked, besides this host and
	// clients that have authenticated.
	Skip []netip.Prefix

	// Nameserver is the name server that is asked, "127.0.0.1:53". Absent: those of
	// the system.
	Nameserver netip.AddrPort

	// Resolver is asked instead. Nil: dns.Shared(Nameserver).
	Resolver dns.Resolver `toml:"-"`
}

// Defaults are the actions that pyspf-milter has by default.
var Defaults = Options{
	Fail:      action.Reject,
	SoftFail:  action.None,
	PermError: action.None,
	TempError: action.None,
	Helo:      true,
}

// Validate returns what is wrong with the options, each error with its option.
func (o Options) Validate() error {
	return errors.Join(
		action.Wrap("authserv_id", authres.CheckID(o.AuthservID)),
		action.Check("fail", o.Fail, action.None, action.Reject, action.TempFail, action.Quarantine),
		action.Check("softfail", o.SoftFail, action.None, action.Reject, action.TempFail, action.Quarantine),
		action.Check("permerror", o.PermError, action.None, action.Reject, action.TempFail, action.Quarantine),
		action.Check("temperror", o.TempError, action.None, action.TempFail, action.Quarantine),
	)
}

// New returns the child. It asks nobody anything yet.
func New(o Options) (milterkit.Child, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Resolver == nil {
		o.Resolver = dns.Shared(o.Nameserver)
	}
	return milterkit.NewChild("spf", func() milterkit.Hooks {
		t := &transaction{options: &o}
		return milterkit.Hooks{Mail: t.mail, Message: action.Bounded(t.message), Reset: func() { t.result = nil }}
	}), nil
}

// A transaction is one message on its way.
type transaction struct {
	options *Options
	result  *Result // nil: nothing was checked
}

// mail checks the sender, and refuses it where that is due.
func (t *transaction) mail(ctx context.Context, e *milterkit.Envelope) milterkit.Verdict {
	t.result = nil
	if _, outside := action.Outside(e.Session, t.options.Skip); !outside {
		return milterkit.Continue
	}
	result, verdict := t.check(ctx, e)
	if err := ctx.Err(); err != nil {
		return milterkit.Fail(err)
	}
	t.result = &result
	return verdict
}

// check checks the name of the client, where it is to be, and then the sender. The
// result is the sender's, or the name's where only that says something, as with
// pyspf-milter.
func (t *transaction) check(ctx context.Context, e *milterkit.Envelope) (Result, milterkit.Verdict) {
	ctx, cancel := context.WithTimeout(ctx, CheckTimeout) // for both
	defer cancel()
	var helo Result
	if t.options.Helo && e.Sender.Addr != "" {
		helo = CheckHelo(ctx, t.options.Resolver, e.Session)
		if verdict := t.options.verdict(helo); verdict != milterkit.Continue || t.options.action(helo) == action.Quarantine {
			return helo, verdict
		}
	}
	result := Check(ctx, t.options.Resolver, e)
	if result.Keyword == None && helo.Keyword != "" && helo.Keyword != None {
		return helo, milterkit.Continue
	}
	return result, t.options.verdict(result)
}

// action returns what becomes of a message with that result.
func (o *Options) action(r Result) string {
	switch r.Keyword {
	case Fail:
		return o.Fail
	case SoftFail:
		return o.SoftFail
	case PermError:
		return o.PermError
	case TempError:
		return o.TempError
	}
	return action.None
}

// verdict refuses the sender where the action says so. The codes are those of RFC
// 7372 section 3.2.
func (o *Options) verdict(r Result) milterkit.Verdict {
	switch o.action(r) {
	case action.Reject:
		return milterkit.Reject(r.refusal("5"))
	case action.TempFail:
		return milterkit.TempFail(r.refusal("4"))
	}
	return milterkit.Continue
}

// refusal is what the client is told. class is the first digit of the enhanced code.
func (r Result) refusal(class string) string {
	switch r.Keyword {
	case TempError:
		return class + ".7.24 SPF: the record of " + r.Domain + " cannot be looked up now"
	case PermError:
		return class + ".7.24 SPF: the record of " + r.Domain + " cannot be used: " + clean(r.Problem)
	}
	as := "send mail for"
	if r.Identity == Helo {
		as = "call itself"
	}
	text := fmt.Sprintf("%s.7.23 SPF: %s may not %s %s", class, r.Client, as, r.Domain)
	if r.Keyword == SoftFail {
		text = fmt.Sprintf("%s.7.23 SPF: %s probably may not %s %s", class, r.Client, as, r.Domain)
	}
	if r.Explanation != "" { // the words of a stranger. Source: RFC 7208 section 6.2.
		text += "\n" + class + ".7.23 " + r.Domain + " explains: " + r.Explanation
	}
	return text
}

// message tells the result to those who come after.
func (t *transaction) message(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
	id := authres.ID(t.options.AuthservID, m.Session)
	if t.result == nil {
		if m.AuthUser() != "" { // nobody of ours has said anything yet
			authres.RemoveForged(m, e, id)
		}
		return milterkit.Continue
	}
	authres.RemoveForged(m, e, id)
	e.InsertHeader(0, authres.FieldName, authres.Format(id, []authres.Result{t.result.AuthRes()}))
	if t.options.action(*t.result) == action.Quarantine {
		e.Quarantine("SPF " + t.result.Keyword + " for " + t.result.Domain)
	}
	return milterkit.Continue
}
