package clamd

import (
	"context"
	"time"

	"github.com/milterkit/sdk/builtin/internal/peer"
)

// What is known of a version may be so old: a clamd that was brought up to date says
// so an hour later at most, and one that did not tell is asked again in a minute.
const (
	versionAge   = time.Hour
	noVersionAge = time.Minute
)

// A version is that of one clamd, as far as it is known.
type version struct {
	turn  chan struct{} // has room for the one who looks at the rest
	text  string
	asked time.Time
}

func newVersions(addrs []peer.Addr) map[peer.Addr]*version {
	versions := make(map[peer.Addr]*version)
	for _, a := range addrs {
		versions[a] = &version{turn: make(chan struct{}, 1)}
	}
	return versions
}

// of returns the version of a clamd that has just answered, or "". Where it must be
// asked for, one message does, and others wait for that.
func (v *version) of(ctx context.Context, a peer.Addr, now func() time.Time) string {
	select {
	case v.turn <- struct{}{}:
	case <-ctx.Done():
		return ""
	}
	defer func() { <-v.turn }()
	age := versionAge
	if v.text == "" {
		age = noVersionAge
	}
	if v.asked.IsZero() || now().Sub(v.asked) >= age {
		if text := askVersion(ctx, a); text != "" {
			v.text = text
		}
		if ctx.Err() == nil { // else another message may ask
			v.asked = now()
		}
	}
	return v.text
}
