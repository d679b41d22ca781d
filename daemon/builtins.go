package daemon

import (
	"github.com/milterkit/sdk/builtin/clamd"
	"github.com/milterkit/sdk/builtin/dkim"
	"github.com/milterkit/sdk/builtin/dmarc"
	"github.com/milterkit/sdk/builtin/greylist"
	"github.com/milterkit/sdk/builtin/headers"
	"github.com/milterkit/sdk/builtin/rspamd"
	"github.com/milterkit/sdk/builtin/spamd"
	"github.com/milterkit/sdk/builtin/spf"
)

// builtins are the native children that every milterkit has. A child of the
// caller's own must not have one of these names.
func builtins() []Native {
	all := []Native{
		Use("clamd", clamd.Defaults, clamd.New),
		Use("greylist", greylist.Defaults, greylist.New),
		Use("dkim-sign", dkim.SignDefaults, dkim.NewSign),
		Use("dkim-verify", dkim.VerifyDefaults, dkim.NewVerify),
		Use("dmarc", dmarc.Defaults, dmarc.New),
		Use("headers", headers.Defaults, headers.New),
		Use("rspamd", rspamd.Defaults, rspamd.New),
		Use("spamd", spamd.Defaults, spamd.New),
		Use("spf", spf.Defaults, spf.New),
	}
	for i, n := range all { // those that do not say that they write do not
		all[i].writes = func(o any) ([]string, bool) {
			folders, _ := n.writes(o)
			return folders, true
		}
	}
	return all
}
