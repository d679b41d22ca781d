package daemon

import (
	"github.com/milterkit/sdk/builtin/headers"
	"github.com/milterkit/sdk/builtin/spamd"
	"github.com/milterkit/sdk/builtin/spf"
)

// builtins are the native children that every milterkit has. A child of the
// caller's own must not have one of these names.
func builtins() []Native {
	return []Native{
		Use("headers", headers.Defaults, headers.New),
		Use("spamd", spamd.Defaults, spamd.New),
		Use("spf", spf.Defaults, spf.New),
	}
}
