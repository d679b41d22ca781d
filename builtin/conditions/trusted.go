package conditions

import (
	"context"
	"slices"

	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/builtin/spf"
	"github.com/milterkit/sdk/milterkit"
)

// trusted are the domains that milter-manager 2.3.2 trusts by default.
var trusted = []string{
	"gmail.com", "hotmail.com", "msn.com", "yahoo.co.jp", "softbank.ne.jp", "ezweb.ne.jp", "docomo.ne.jp", "clear-code.com",
}

// Trusted holds where the sender's domain is one of domains, in small letters, and
// SPF says that the client may send for it. Each stands for itself only. Without
// domains they are those that milter-manager trusts. The name server is asked only
// where the domain is one of them, and where it does not answer the sender is not
// trusted. It is settled at mail.
func Trusted(r dns.Resolver, domains ...string) milterkit.Condition {
	if len(domains) == 0 {
		domains = trusted
	}
	passes := spf.Passes(cached(r))
	return milterkit.Condition{Name: "trusted", At: milterkit.StageMail,
		Holds: func(ctx context.Context, e *milterkit.Envelope, _ milterkit.Address) bool {
			if !slices.Contains(domains, e.Sender.Domain()) {
				return false
			}
			ctx, cancel := context.WithTimeout(ctx, LookupTimeout)
			defer cancel()
			pass, err := passes(ctx, e)
			return pass && err == nil
		}}
}
